"""How much a network works with: the tensors that are alive at once while it is called.

The network is called on the meta device, where tensors have shapes and no data, and the storages
that its operations make are followed from their making to their end. Attention is taken to be
computed without its matrix of scores, as PyTorch's kernels on GPUs do.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


def alive(module: nn.Module, call: Callable[[], Any]) -> int:
    """The most numbers that are alive at once during a call, beside the module's own.

    Args:
        module: best on the meta device. Its numbers are counted as large as its first parameter's:
            what it computes in float32 whatever its precision counts twice in 16 bits.
        call: calls it, with tensors on its device.
    """
    own = [*module.parameters(), *module.buffers()]
    with torch.no_grad(), _Alive(own) as seen, _Attention():
        call()
    return int(seen.most // own[0].element_size())


class _Alive(TorchDispatchMode):
    def __init__(self, own: Sequence[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._known = {tensor.untyped_storage()._cdata for tensor in own}
        self._now = self.most = 0

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        made = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, Tensor):
                self._see(tensor.untyped_storage())
        return made

    def _see(self, storage: Any) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key not in self._known:
            self._known.add(key)
            self._now += size
            self.most = max(self.most, self._now)
            weakref.finalize(storage, self._forget, key, size)

    def _forget(self, key: int, size: int) -> None:
        self._known.discard(key)
        self._now -= size


class _Attention(TorchFunctionMode):
    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = dict(kwargs or {})
        if func is not F.scaled_dot_product_attention:
            return func(*args, **kwargs)
        given = dict(zip(("query", "key", "value"), args, strict=False)) | kwargs
        return given["query"].new_empty(*given["query"].shape[:-1], given["value"].shape[-1])
