"""One case of a set, what the core answered, and the figures that come of many."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Place:
    """Where a set lies on disk."""

    data: Path
    """Folder of the annotation files, or one of them."""
    media: Path | None = None
    """Folder of the pictures, sounds or films; ``None`` is ``data``."""
    split: str | None = None
    """Which part of the set; ``None`` is the one that is usually reported."""

    @property
    def folder(self) -> Path:
        """Folder of the annotation files."""
        return self.data.parent if self.data.is_file() else self.data

    @property
    def root(self) -> Path:
        """Folder that the media are looked for in."""
        return self.media or self.folder

    def medium(self, names: Sequence[str]) -> Path | None:
        """The first of these names that is a file in the media's folder."""
        root = self.root
        return next((path for name in names if (path := root / name).is_file()), None)


@dataclass(frozen=True)
class Item:
    """One case: what is asked, what is shown, and what is right."""

    key: str
    """The set's own id of it."""
    question: str = ""
    """What the set asks, or the caption of what is to be made."""
    media: tuple[str, ...] = ()
    """Names under which its medium may lie in the media's folder; empty where there is none."""
    references: tuple[str, ...] = ()
    """Captions or answers that people gave."""
    facts: Mapping[str, str] = field(default_factory=dict)
    """What the set tells about it besides, such as its category."""


@dataclass(frozen=True)
class Answered:
    """What the core said to an item."""

    key: str
    text: str = ""
    made: str | None = None
    """File of the medium that it made, seen from the report's folder."""
    error: str | None = None
    """Why there is no answer: a medium that is missing or damaged, or too long a question."""

    def json(self) -> dict[str, Any]:
        """As a line of the journal."""
        return {name: value for name, value in asdict(self).items() if value is not None}


@dataclass(frozen=True)
class Case:
    """An item and its answer."""

    item: Item
    answer: Answered


@dataclass(frozen=True)
class Figure:
    """One number of the report."""

    name: str
    value: float
    count: int
    """Cases that it was computed of."""
    low: float | None = None
    """Lower end of the 95 % interval; ``None`` where none is computed."""
    high: float | None = None
    unit: str = ""
    """``%``, ``dB``, or nothing."""
    better: str = "higher"
    """Which way is better: higher or lower."""
    note: str = ""
    """What has to be known to compare it with others."""


@dataclass
class Found:
    """What a scorer found."""

    figures: list[Figure] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)
    """Metrics that could not be computed, each with a sentence that says what it needs."""
    scores: dict[str, dict[str, float]] = field(default_factory=dict)
    """For metrics that have a value for each case: metric to key to value."""

    def merge(self, other: Found) -> None:
        """Take what another found."""
        self.figures += other.figures
        self.missing |= other.missing
        self.scores |= other.scores
