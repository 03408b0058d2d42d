"""What a turn tells while it runs, and the answer that it ends with.

A stream of one turn is, in order of time:

    TextDelta*                        words as the core says them
    SignalStarted                     the core began a picture, a sound or a film
    DecoderProgress*, MediumDone      its decoder at work, and what came (or MediumFailed)
    ToolCalled, ToolResult            a tool was called, and what it gave back
    TurnEnd                           once, last: the whole answer, its parts in the order said

``index`` counts the signals and tool calls of one turn from 0 in the order in which the
core said them, and ties the events of one of them together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from heliograph.model.parts import Media, Modality, Text, ToolCall


@dataclass(frozen=True)
class TextDelta:
    """The next words of the answer."""

    text: str


@dataclass(frozen=True)
class SignalStarted:
    """The core began to signal a medium."""

    index: int
    modality: Modality


@dataclass(frozen=True)
class DecoderProgress:
    """A decoder finished ``step`` of ``total`` steps."""

    index: int
    step: int
    total: int


@dataclass(frozen=True)
class MediumDone:
    """A decoder finished its medium."""

    index: int
    media: Media


@dataclass(frozen=True)
class MediumFailed:
    """A decoder failed twice; the answer holds a ``Failure`` in its place."""

    index: int
    modality: Modality
    message: str


@dataclass(frozen=True)
class ToolCalled:
    """The core called a tool."""

    index: int
    name: str
    args: Mapping[str, object]


@dataclass(frozen=True)
class ToolResult:
    """A tool gave its result, or said in words why it has none."""

    index: int
    name: str
    result: str


@dataclass(frozen=True)
class Failure:
    """Stands in an answer where a medium was said that could not be made."""

    modality: Modality
    caption: str
    message: str


AnswerPart: TypeAlias = Text | Media | ToolCall | Failure


@dataclass(frozen=True)
class Entry:
    """One speaker's part of a conversation, as it is shown to people."""

    role: Literal["user", "assistant"]
    parts: tuple[AnswerPart, ...]


@dataclass(frozen=True)
class Timing:
    """Seconds that a turn took."""

    load_s: float = 0.0
    """Loading the core; 0 where it was loaded already."""
    first_token_s: float | None = None
    """From the start of the turn, after loading, to its first event; ``None`` where the core
    said nothing."""
    total_s: float = 0.0
    """The whole turn, loading included."""


@dataclass(frozen=True)
class Answer:
    """What the assistant said in one turn."""

    thread: str
    parts: tuple[AnswerPart, ...]
    timing: Timing = field(default=Timing(), compare=False)

    @property
    def text(self) -> str:
        """The words alone, in order."""
        return "".join(part.text for part in self.parts if isinstance(part, Text))

    @property
    def media(self) -> tuple[Media, ...]:
        """The pictures, sounds and films, in order."""
        return tuple(part for part in self.parts if isinstance(part, Media))

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The tool calls with their results, in order."""
        return tuple(part for part in self.parts if isinstance(part, ToolCall))

    @property
    def failures(self) -> tuple[Failure, ...]:
        """What was said but could not be made."""
        return tuple(part for part in self.parts if isinstance(part, Failure))


@dataclass(frozen=True)
class TurnEnd:
    """The turn is over."""

    answer: Answer


TurnEvent: TypeAlias = (
    TextDelta
    | SignalStarted
    | DecoderProgress
    | MediumDone
    | MediumFailed
    | ToolCalled
    | ToolResult
    | TurnEnd
)
