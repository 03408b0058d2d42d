"""Which encoder and which text encoder made a stored tensor: names that follow the weights.

A fingerprint is a hash of the contents of a part's files, so it stays the same when a core is
copied to another machine, and other weights never read what these wrote.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from heliograph.model.checkpoint import fingerprint
from heliograph.model.parts import MODALITIES, Modality
from heliograph.model.shelf import Shelf
from heliograph.model.sources import base_of

FORMAT = 1
"""Raised when what is computed from the same weights changes."""

NOT_TEXT = frozenset(
    ("unet", "transformer", "transformer_2", "vae", "scheduler", "vocoder", "motion_adapter")
    + ("safety_checker", "feature_extractor", "image_encoder")
)
"""Folders of a pipeline that a caption's condition doesn't depend on; unknown ones count."""


@dataclass(frozen=True)
class Fingerprints:
    """Of the parts of a core that make features and conditions."""

    encoders: dict[Modality, str]
    """By the modality that they read."""
    decoders: dict[Modality, str]
    """Of their text encoders, by the modality that they make."""

    @classmethod
    def of(cls, core: Path) -> Fingerprints:
        """Read the files of a core directory; a gigabyte takes about a second.

        Raises:
            WeightsError: files are missing or damaged.
        """
        shelf = Shelf.from_pretrained(core)
        encoders: dict[str, str] = {}
        read: dict[Modality, str] = {}
        for modality in MODALITIES:
            name = next((n for n, known in shelf.encoders.items() if modality in known), None)
            if name is not None:
                if name not in encoders:
                    said = shelf.origins.reading.get(name, {})
                    encoders[name] = _hash(shelf.folder(f"encoders/{name}", "encoder"), (), said)
                read[modality] = encoders[name]
        made = {m: _hash(_text_folder(shelf, m), NOT_TEXT) for m in shelf.decoders}
        return cls(read, made)


def _text_folder(shelf: Shelf, modality: Modality) -> Path:
    """Where a decoder's text encoder is: in the decoder whose parts it shares, if it shares."""
    folder = shelf.folder(f"decoders/{modality}", "decoder")
    base = base_of(folder)
    return folder if base is None else folder.parent / base


def _hash(folder: Path, without: Iterable[str], said: Mapping[str, Any] | None = None) -> str:
    """Of the files in a folder, and of how they are read where the core says it."""
    left_out = {folder / name for name in (*without, "decoder.json")}
    reading = json.dumps(said, sort_keys=True) if said else ""
    return fingerprint(folder, left_out, f"heliograph {FORMAT}{reading}")
