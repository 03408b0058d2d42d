"""Figures: shares with their 95 % intervals, pooled rows, and what was taken for what."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from heliograph.model.evaluation.judging import Reading, Verdict, attributes

Z = 1.959964  # of the normal distribution: 95 % lie within so many deviations
NOTHING = "nothing known"


@dataclass(frozen=True)
class Share:
    """So many right of so many, with Wilson's interval (1927), which holds near 0 and 1."""

    right: int
    count: int

    @property
    def value(self) -> float:
        """The share, 0 where there is nothing to share."""
        return self.right / self.count if self.count else 0.0

    @property
    def interval(self) -> tuple[float, float]:
        """The ends of the 95 % interval, (0, 1) where nothing is known."""
        if not self.count:
            return 0.0, 1.0
        n, p = self.count, self.value
        middle = (p + Z * Z / (2 * n)) / (1 + Z * Z / n)
        half = Z / (1 + Z * Z / n) * math.sqrt(p * (1 - p) / n + Z * Z / (4 * n * n))
        # At the ends the interval ends there too; rounding would leave it a hair inside.
        low = 0.0 if self.right == 0 else middle - half
        return low, 1.0 if self.right == n else middle + half

    def json(self) -> dict[str, float]:
        """For ``results.json``."""
        low, high = self.interval
        return {
            "count": self.count,
            "right": self.right,
            "share": round(self.value, 4),
            "low": round(low, 4),
            "high": round(high, 4),
        }

    def text(self) -> str:
        """As it stands in the table."""
        if not self.count:
            return ""
        low, high = self.interval
        return f"{100 * self.value:.1f} % ({100 * low:.0f}–{100 * high:.0f})"


def share(marks: Iterable[bool | None]) -> Share:
    """The share of true ones among those that are not ``None``."""
    known = [mark for mark in marks if mark is not None]
    return Share(sum(known), len(known))


POOLS: Mapping[str, tuple[str, Callable[[Verdict], bool], Callable[[Verdict], bool]]] = {
    "order": (
        "the right modalities in the right order, all rows",
        lambda v: True,
        lambda v: v.order,
    ),
    "one-kind": (
        "picture drawn, one object or several of a kind",
        lambda v: v.row in ("draw-one", "draw-several"),
        lambda v: v.right,
    ),
    "english": ("English, all rows", lambda v: v.language == "en", lambda v: v.right),
    "french": ("French, all rows", lambda v: v.language == "fr", lambda v: v.right),
    "arabic": ("Arabic, all rows", lambda v: v.language == "ar", lambda v: v.right),
    "held-out-phrasings": (
        "held-out phrasings, all tasks",
        lambda v: True,
        lambda v: v.right,
    ),
}
"""Rows over the cases of the others: name to title, which cases, and when one is right."""


def row_figures(verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """All figures of the cases of one row."""
    made = [v for v in verdicts if v.media is not None]
    return {
        **share(v.right for v in verdicts).json(),
        "exact": share(v.exact for v in verdicts).json(),
        "order": share(v.order for v in verdicts).json(),
        "words": share(v.words for v in verdicts).json(),
        "captions": share(v.captions for v in verdicts).json(),
        "media": share(v.media for v in verdicts).json(),
        # Of what was rightly named, how much was rightly made: the way from words to media.
        "media_of_right_captions": share(v.media for v in made if v.captions).json(),
        "by_language": _by(verdicts, lambda v: v.language),
        "by_task": _by(verdicts, lambda v: v.task),
    }


def pooled(verdicts: Sequence[Verdict]) -> dict[str, dict[str, Any]]:
    """The figures of the rows that are over all cases."""
    return {
        name: {"title": title, **share(right(v) for v in verdicts if counts(v)).json()}
        for name, (title, counts, right) in POOLS.items()
    }


def confusions(verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """What was taken for what, by attribute, and the shares by task and language.

    ``{"media": {"object": {"dog": {"dog": 12, "wolf": 1}}}}``: of 13 dogs that were to be
    drawn, one was read as a wolf.
    """
    counts: dict[str, dict[str, dict[str, Counter[str]]]] = {}
    for verdict in verdicts:
        for reading in verdict.readings:
            for attribute, asked, came in differences(reading):
                table = counts.setdefault(reading.where, {}).setdefault(attribute, {})
                table.setdefault(asked, Counter())[came] += 1
    return {
        **{where: _sorted(tables) for where, tables in counts.items()},
        "task": _by(verdicts, lambda v: v.task),
        "language": _by(verdicts, lambda v: v.language),
    }


def differences(reading: Reading) -> Iterable[tuple[str, str, str]]:
    """Each attribute of what was asked, its value, and the value that came."""
    asked = attributes(reading.asked)
    came = attributes(reading.came) if reading.came is not None else {}
    if came.get("kind") != asked["kind"]:
        came = {"kind": came.get("kind", NOTHING)} | {k: came[k] for k in came if k == "background"}
    names = {"first": "object", "second": "object"}
    for key, value in asked.items():
        yield names.get(key, key), value, came.get(key, NOTHING)


def worst(confused: Mapping[str, Any], where: str, most: int = 12) -> list[tuple[str, str, int]]:
    """The commonest mistakes of one kind of reading: asked, came, how often."""
    found = [
        (f"{attribute} {asked}", came, count)
        for attribute, table in confused.get(where, {}).items()
        for asked, taken in table.items()
        for came, count in taken.items()
        if came != asked
    ]
    return sorted(found, key=lambda f: -f[2])[:most]


def _sorted(tables: Mapping[str, Mapping[str, Counter[str]]]) -> dict[str, Any]:
    return {
        attribute: {asked: dict(came.most_common()) for asked, came in sorted(table.items())}
        for attribute, table in sorted(tables.items())
    }


def _by(verdicts: Sequence[Verdict], key: Callable[[Verdict], str]) -> dict[str, Any]:
    names = sorted({key(v) for v in verdicts})
    return {name: share(v.right for v in verdicts if key(v) == name).json() for name in names}
