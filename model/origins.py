"""What a core's ``config.json`` says of its parts: where they come from, and what is fresh.

"sources": {"language": {"id": "org/name", "revision": "…"},
            "encoders/clip": {"path": "/models/clip", "sha256": "…"},
            "decoders/image": {"path": "sd", "sha256": "…", "copied": true},
            "projections": {"path": "nextgpt", "sha256": "…", "copied": true}},
"reading": {"clip": {"film_frames": 4}},
"fresh":   {"inputs.image": "…", "outputs.image": "…", "rows": "…"}
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heliograph.model.sources import Kind, Source

if TYPE_CHECKING:
    from torch import Tensor

LANGUAGE = "language"
ROWS = "rows"
"""The embeddings of signal tokens, among what is fresh."""


@dataclass(frozen=True)
class Origins:
    """Of a core's parts, by their folders in its directory."""

    sources: Mapping[str, Source] = field(default_factory=dict)
    """Parts without one were made with the core. That of ``projections`` is the checkpoint from
    which they were imported, and with them rows and LoRA of the language model."""
    reading: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """How an encoder is read, by its name, where its own files don't say it."""
    fresh: Mapping[str, str] = field(default_factory=dict)
    """The ``fingerprint`` that each new part had when the core was composed."""

    def referenced(self, part: str) -> bool:
        """Whether a part is read from its source."""
        return part in self.sources and not self.sources[part].copied

    def place(self, directory: Path, part: str, kind: Kind, hashed: bool = True) -> Path:
        """The folder that a part is read from.

        Args:
            directory: of the core.
            part: its folder there.
            kind: what it is.
            hashed: whether the content of one that is read from its source is checked.

        Raises:
            WeightsError: it's read from its source, which is missing or has changed.
        """
        if self.referenced(part):
            return self.sources[part].folder(kind, hashed)
        return directory / part

    def with_copied(self, part: str) -> Origins:
        """The same once a part lies in the core's directory."""
        return replace(self, sources={**self.sources, part: self.sources[part].as_copied()})

    def to_config(self) -> dict[str, Any]:
        """Entries of ``config.json``; none for a core that wasn't composed."""
        entries = {
            "sources": {part: source.to_dict() for part, source in self.sources.items()},
            "reading": {name: dict(values) for name, values in self.reading.items()},
            "fresh": dict(self.fresh),
        }
        return {name: entry for name, entry in entries.items() if entry}

    @staticmethod
    def from_config(config: Mapping[str, Any]) -> Origins:
        """What ``to_config`` gave.

        Raises:
            TypeError, ValueError, AttributeError: an entry isn't one.
        """
        sources = config.get("sources", {})
        return Origins(
            {part: Source.from_dict(values) for part, values in sources.items()},
            {name: dict(values) for name, values in config.get("reading", {}).items()},
            dict(config.get("fresh", {})),
        )


def fingerprint(tensors: Mapping[str, Tensor]) -> str:
    """A short hash of values in half precision, in which they are stored."""
    import torch

    digest = hashlib.sha256()
    for name in sorted(tensors):
        half = tensors[name].detach().to("cpu", torch.float16).contiguous()
        digest.update(f"{name}{tuple(half.shape)}".encode())
        digest.update(half.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]
