"""Phrasings: compact templates, expanded to lists and split for training and testing.

"{draw|paint} {me|} $scene" stands for four phrasings. Of each intent's phrasings 15 %,
and at least two, are kept out of training, chosen by a hash of the phrasing itself; so
what is tested is wording that was never trained on, made of words that were.
"""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from string import Template

from heliograph.model.primer.scenes import Split

HELD_OUT_SHARE = 0.15
_ALTERNATIVES = re.compile(r"\{([^{}]*)\}")


def expand(template: str) -> list[str]:
    """Every phrasing that the template stands for, spaces tidied."""
    pieces = _ALTERNATIVES.split(template)  # text, alternatives, text, alternatives, …
    choices = [p.split("|") if i % 2 else [p] for i, p in enumerate(pieces)]
    return [" ".join("".join(c).split()) for c in itertools.product(*choices)]


@dataclass(frozen=True)
class Phrasings:
    """The phrasings of one intent in one language, apart by split."""

    train: tuple[Template, ...]
    held_out: tuple[Template, ...]

    @classmethod
    def of(cls, templates: Sequence[str]) -> Phrasings:
        """Expand and split; the same phrasing twice counts once."""
        every = sorted({p for t in templates for p in expand(t)}, key=_digest)
        kept = max(2, round(len(every) * HELD_OUT_SHARE))
        return cls(tuple(map(Template, every[kept:])), tuple(map(Template, every[:kept])))

    def __getitem__(self, split: Split) -> tuple[Template, ...]:
        return self.train if split == "train" else self.held_out


def table(templates: Mapping[str, Sequence[str]]) -> dict[str, Phrasings]:
    """A whole language's table of intents."""
    return {intent: Phrasings.of(lines) for intent, lines in templates.items()}


def _digest(phrasing: str) -> bytes:
    return hashlib.blake2s(phrasing.encode(), digest_size=8).digest()
