"""Keeps what libraries of models tell developers off the terminal of a person.

While they load or save, transformers and diffusers show progress bars and log advice about
things that are meant to be so: a safety checker that isn't there, modules cast to half
precision for storage. Nor may a folder's own code run, or a person be asked whether it may.
"""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

_ONE_AT_A_TIME = threading.RLock()
"""Their settings belong to the process: two threads that restore them would disagree."""
_KNOWN = (
    "`is_gradient_checkpointing`",  # peft reads a name that transformers deprecated
    "`torch.nn.utils.weight_norm`",  # Oobleck, the autoencoder of StableAudio, is built with it
)


@contextmanager
def quiet(*libraries: str) -> Iterator[None]:
    """Only errors are logged, no bars are shown and no code in a folder runs; afterwards all is as
    it was.

    Args:
        libraries: which of them are imported and kept quiet besides ``transformers``.
    """
    with _ONE_AT_A_TIME, _advice_of("bitsandbytes"):  # which the others import where it is there
        logs: list[Any] = [
            import_module(f"{name}.utils.logging") for name in (*libraries, "transformers")
        ]
        before = [(log, log.get_verbosity(), log.is_progress_bar_enabled()) for log in logs]
        # What a model or a processor reads inside isn't told `LOCAL`: seconds to ask a person.
        dynamic: Any = import_module("transformers.dynamic_module_utils")
        seconds, dynamic.TIME_OUT_REMOTE_CODE = dynamic.TIME_OUT_REMOTE_CODE, 0
        for log in logs:
            log.set_verbosity_error()
            log.disable_progress_bar()
        try:
            with warnings.catch_warnings():
                for message in _KNOWN:
                    warnings.filterwarnings("ignore", message, FutureWarning)
                yield
        finally:
            for log, level, bars in before:
                log.set_verbosity(level)
                if bars:
                    log.enable_progress_bar()
            dynamic.TIME_OUT_REMOTE_CODE = seconds


@contextmanager
def _advice_of(name: str) -> Iterator[None]:
    """Keeps back what a library without such settings logs below errors."""
    logger = logging.getLogger(name)
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)
