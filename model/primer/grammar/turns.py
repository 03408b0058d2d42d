"""What a dialogue is made of. Media are scenes: they are rendered only when needed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from heliograph.model.primer.scenes import Scene
from heliograph.model.primer.vocabulary import Language


@dataclass(frozen=True)
class Shown:
    """A medium that the user sends."""

    scene: Scene
    seed: int
    """For the renderer."""


@dataclass(frozen=True)
class Made:
    """A medium that the assistant is to make; its caption is English in every language."""

    scene: Scene


@dataclass(frozen=True)
class Called:
    """A tool call; what follows it is said once the result has come back."""

    name: str
    args: dict[str, str]
    result: str


Said: TypeAlias = str | Shown
Answered: TypeAlias = str | Made | Called


@dataclass(frozen=True)
class Turn:
    """A user's message and the assistant's answer, parts in order."""

    user: tuple[Said, ...]
    assistant: tuple[Answered, ...]


@dataclass(frozen=True)
class Dialogue:
    """One or more turns about one task, in one language."""

    task: str
    language: Language
    turns: tuple[Turn, ...]
