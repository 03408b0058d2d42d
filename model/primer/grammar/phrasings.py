"""Phrasings: compact templates, expanded to lists and split for training and testing.

"{draw|paint} {me|} $scene" stands for four phrasings. Of each intent's phrasings 15 %,
and at least two, are kept out of training, chosen by a hash of the phrasing itself; so
what is tested is wording that was never trained on, made of words that were.
"""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from string import Template
from typing import Generic, TypeVar

from heliograph.model.primer.scenes import Split

T = TypeVar("T")

HELD_OUT_SHARE = 0.15
_WORDS = re.compile(r"[^\s,.:;?!؟،]+")
_ALTERNATIVES = re.compile(r"\{([^{}]*)\}")


def expand(template: str) -> list[str]:
    """Every phrasing that the template stands for, spaces tidied."""
    pieces = _ALTERNATIVES.split(template)  # text, alternatives, text, alternatives, …
    choices = [p.split("|") if i % 2 else [p] for i, p in enumerate(pieces)]
    every = (" ".join("".join(c).split()) for c in itertools.product(*choices))
    return [phrasing.replace(" ,", ",") for phrasing in every]


@dataclass(frozen=True)
class Parted(Generic[T]):
    """The ways to say one thing in one language, apart by split."""

    train: tuple[T, ...]
    held_out: tuple[T, ...]

    def __getitem__(self, split: Split) -> tuple[T, ...]:
        return self.train if split == "train" else self.held_out


def part(wordings: Iterable[str]) -> Parted[str]:
    """Split by hash; the same wording twice counts once."""
    every = sorted(set(wordings), key=_digest)
    kept = max(2, round(len(every) * HELD_OUT_SHARE))
    return Parted(tuple(every[kept:]), tuple(every[:kept]))


def table(templates: Mapping[str, Sequence[str]]) -> dict[str, Parted[Template]]:
    """A whole language's table of intents, expanded and split.

    A phrasing that several intents share is held out of all of them or of none, and none is
    held out with a word that no phrasing of training has: nobody could know what it means.
    """
    every = {k: {p for t in lines for p in expand(t)} for k, lines in templates.items()}
    away = {_plain(p) for phrasings in every.values() for p in part(phrasings).held_out}
    left = (p for phrasings in every.values() for p in phrasings if _plain(p) not in away)
    known = {word for p in left for word in _words(p)}
    away = {p for p in away if known.issuperset(_words(p))}
    return {
        intent: Parted(
            train=tuple(Template(p) for p in sorted(phrasings) if _plain(p) not in away),
            held_out=tuple(Template(p) for p in sorted(phrasings) if _plain(p) in away),
        )
        for intent, phrasings in every.items()
    }


def _plain(phrasing: str) -> str:
    return phrasing.rstrip(" .!?؟")


def _words(phrasing: str) -> list[str]:
    return _WORDS.findall(phrasing)


def _digest(phrasing: str) -> bytes:
    return hashlib.blake2s(phrasing.encode(), digest_size=8).digest()
