"""The end-to-end core, its parts, its data, training and evaluation.

    from heliograph.model import AnyToAny
    core = AnyToAny.from_pretrained(directory)

What needs torch is imported when it is first asked for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from heliograph.model.errors import HeliographError
from heliograph.model.parts import MODALITIES, Media, Message, Modality, Text, ToolCall

if TYPE_CHECKING:
    from heliograph.model.core import AnyToAny
    from heliograph.model.generation import GenerationOptions
    from heliograph.model.language import LanguageModel
    from heliograph.model.signals import Signal

__all__ = [
    "MODALITIES",
    "AnyToAny",
    "GenerationOptions",
    "HeliographError",
    "LanguageModel",
    "Media",
    "Message",
    "Modality",
    "Signal",
    "Text",
    "ToolCall",
]

_LAZY = {
    "AnyToAny": "core",
    "GenerationOptions": "generation",
    "LanguageModel": "language",
    "Signal": "signals",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_LAZY[name]}"), name)
