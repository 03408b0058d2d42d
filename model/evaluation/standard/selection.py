"""Which cases of a set are evaluated, and how."""

from __future__ import annotations

import hashlib
import heapq
import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from heliograph.model.errors import DataError, InputError, MissingExtra
from heliograph.model.evaluation.standard.items import Item, Place
from heliograph.model.evaluation.standard.sets import StandardSet


@dataclass(frozen=True)
class Settings:
    """What to evaluate and how."""

    place: Place
    limit: int | None = None
    """At most so many cases, drawn by the seed; a larger limit holds those of a smaller one."""
    seed: int = 0
    """Draws cases, and seeds what is made."""
    batch: int = 8
    """Cases that are worked on side by side."""
    prompt: str | None = None
    """Instead of the set's own; ``{question}`` stands for the item's."""
    longest: int | None = None
    """Tokens of an answer, instead of the set's own."""
    steps: int | None = None
    """Denoising steps, ``None`` for each decoder's own."""
    guidance: float | None = None
    """Guidance scale, likewise."""
    path: Literal["signal", "caption"] = "signal"
    """What decoders are conditioned on: projected hidden states, or the captions said."""

    def __post_init__(self) -> None:
        if self.batch < 1 or (self.limit is not None and self.limit < 1):
            raise InputError("The limit and the batch have to be at least 1.")


@dataclass(frozen=True, eq=False)
class Selection:
    """The cases that are evaluated."""

    items: tuple[Item, ...]
    """In the set's order."""
    total: int
    """Cases of the whole set."""
    digest: str
    """Of the whole set, as it was read."""


def select(chosen: StandardSet, settings: Settings) -> Selection:
    """Read the set and draw the cases; nothing heavy is loaded.

    Raises:
        DataError: a file of the set is missing or isn't as it is published, or none of the
            media is there.
        InputError: there is no such split.
        MissingExtra: a package of the metrics or of the report is not installed.
    """
    require(*chosen.needs)
    digest, total = hashlib.sha256(), 0

    def read() -> Iterator[tuple[int, int, Item]]:
        nonlocal total
        for item in chosen.read(settings.place):
            for text in (item.key, item.question, *item.references):
                digest.update(text.encode() + b"\0")
            yield number_of(f"{settings.seed}/{item.key}"), total, item
            total += 1

    try:
        if settings.limit is None:
            drawn = list(read())
        else:
            drawn = heapq.nsmallest(settings.limit, read(), key=lambda row: row[:2])
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise DataError(
            f"The annotations in {settings.place.data} are not those of {chosen.title} as they "
            f"are published at {chosen.source} ({type(error).__name__}: {error})."
        ) from error
    items = tuple(item for _, _, item in sorted(drawn, key=lambda row: row[1]))
    shown = [item for item in items if item.media]
    if shown and not any(settings.place.medium(item.media) for item in shown):
        raise DataError(
            f"None of the media of {chosen.title} is in {settings.place.root}: "
            f"{shown[0].media[0]}, for one, is missing; say where they are with --media "
            f"({chosen.source})."
        )
    return Selection(items, total, digest.hexdigest()[:16])


def require(*packages: str) -> None:
    """See to it that these packages of the extra ``eval`` are there, before hours of answering.

    Raises:
        MissingExtra: one is not, or what draws the report's figures.
    """
    for package in (*packages, "matplotlib"):
        if importlib.util.find_spec(package) is None:
            raise MissingExtra(package, "eval")


def number_of(text: str) -> int:
    """A number below 2**31 that a text always has."""
    return int(hashlib.sha256(text.encode()).hexdigest()[:8], 16) >> 1
