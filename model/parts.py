"""What a conversation is made of: frozen values for text, media and tool calls.

A medium is known by the SHA-256 of its bytes; two files with the same content are the
same medium whatever they are called. Nothing here reads a file or decodes a medium
(see ``media.py``), and nothing here needs torch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, TypeAlias

Modality: TypeAlias = Literal["image", "audio", "video"]
MODALITIES: tuple[Modality, ...] = ("image", "audio", "video")
NAMES: dict[str, str] = {"image": "pictures", "audio": "sounds", "video": "films"}
"""Modalities as sentences call them."""

Role: TypeAlias = Literal["system", "user", "assistant", "tool"]


@dataclass(frozen=True)
class Text:
    """Words of a message."""

    text: str


@dataclass(frozen=True)
class Media:
    """A picture, a sound or a film as the bytes of its file."""

    modality: Modality
    mime_type: str
    data: bytes = field(repr=False)
    caption: str | None = None
    """The words that the core said with its signal; ``None`` for what a user sends."""

    @cached_property
    def sha256(self) -> str:
        """Hexadecimal SHA-256 of ``data``: the medium's identity."""
        return hashlib.sha256(self.data).hexdigest()


@dataclass(frozen=True)
class ToolCall:
    """A call that the assistant made, and what came back (``None`` while it is open)."""

    name: str
    args: Mapping[str, object]
    result: str | None = None


Part: TypeAlias = Text | Media | ToolCall


@dataclass(frozen=True)
class Message:
    """One speaker's contribution, its parts in the order in which they were said."""

    role: Role
    parts: tuple[Part, ...]

    @property
    def text(self) -> str:
        """The words alone, joined in order."""
        return "".join(part.text for part in self.parts if isinstance(part, Text))
