"""The one thread in which cores compute, whatever threads their turns run in.

Each thread that runs PyTorch operations on the processor gets a pool of OpenMP threads of
its own. Once all pools of a process have more threads than the machine has cores, the
runtime hardly lets them spin any more (libgomp's manual, GOMP_SPINCOUNT), so they fall
asleep between the short operations of a small network: on two cores, a picture that takes
0.3 s where one thread computes takes 0.7 s in a second one. Two things computed side by
side would also share the same cores. So everything is computed here, one thing after the
other: loading weights, encoding, generating, decoding.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

_THREAD = ThreadPoolExecutor(max_workers=1, thread_name_prefix="heliograph-computing")


def computed(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call the function in the computing thread, and wait for what it gives or raises.

    It sees the caller's context variables. It must not call ``computed`` itself, which
    would wait for its own end.
    """
    context = copy_context()
    return _THREAD.submit(lambda: context.run(function, *args, **kwargs)).result()
