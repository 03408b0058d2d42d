"""Encoder features by media hash: a medium is encoded once, however often it is read.

Features lie beside the artifacts, in ``features/<encoders>/<sha256>.safetensors``. The
folder's name comes from the size and the time of each file of the encoders' weights, and from
the pinned sources of those that lie elsewhere, so that other weights never read what these wrote.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from heliograph.model.errors import StoreError
from heliograph.model.files import write_atomically
from heliograph.model.parts import Media, Message

if TYPE_CHECKING:
    from torch import Tensor

    from heliograph.graphs.steps import Core


def fingerprint(weights: Path) -> str:
    """A short name for the encoders in a weights directory."""
    digest = hashlib.sha256()
    for path in sorted((weights / "encoders").rglob("*")):
        if path.is_file():
            stat = path.stat()
            digest.update(
                f"{path.relative_to(weights)}\0{stat.st_size}\0{stat.st_mtime_ns}\0".encode()
            )
    digest.update(_pinned(weights / "config.json"))
    return digest.hexdigest()[:16]


def _pinned(config: Path) -> bytes:
    """What a core's configuration says of encoders that aren't in its directory."""
    try:
        entries = json.loads(config.read_text(encoding="utf-8"))
        sources = {n: s for n, s in entries.get("sources", {}).items() if n.startswith("encoders/")}
    except (OSError, ValueError, AttributeError):
        return b""  # the core itself tells what is wrong with it
    said = [sources, entries.get("reading", {}), entries.get("encoders")]
    return json.dumps(said, sort_keys=True).encode() if sources else b""


class Features:
    """A cache of features, on disk and for the last few in memory.

    Args:
        root: directory of these encoders' features; ``None`` keeps them in memory only.
    """

    IN_MEMORY = 64

    def __init__(self, root: Path | None) -> None:
        self._root = root
        self._recent: dict[str, Tensor] = {}

    def of(self, core: Core, conversations: Sequence[Sequence[Message]]) -> Mapping[str, Tensor]:
        """Features (n, width) of all media that users sent, by ``Media.sha256``."""
        found: dict[str, Tensor] = {}
        for conversation in conversations:
            for message in conversation:
                for part in message.parts:
                    if isinstance(part, Media) and message.role != "assistant":
                        found[part.sha256] = self.one(core, part)
        return found

    def one(self, core: Core, media: Media) -> Tensor:
        """Features (n, width) of one medium.

        Raises:
            MediaError: it can't be decoded.
            InputError: the core can't read its modality.
            StoreError: there is no room for them.
        """
        tokens = self._recent.pop(media.sha256, None)
        if tokens is None:
            tokens = self._kept(core, media)
        self._recent[media.sha256] = tokens  # now the last to be dropped
        while len(self._recent) > self.IN_MEMORY:
            del self._recent[next(iter(self._recent))]
        return tokens

    def _kept(self, core: Core, media: Media) -> Tensor:
        if self._root is None:
            return core.encode(media)
        from safetensors import SafetensorError
        from safetensors.torch import load, save

        path = self._root / f"{media.sha256}.safetensors"
        try:
            return load(path.read_bytes())["tokens"]
        except (FileNotFoundError, SafetensorError, KeyError):
            pass  # a cache may be lost or damaged: encode again
        tokens = core.encode(media)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, save({"tokens": tokens.contiguous()}))
        except OSError as error:
            raise StoreError(f"{path.parent} can't be written: {error.strerror}.") from error
        return tokens
