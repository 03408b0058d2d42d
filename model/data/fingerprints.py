"""Which encoder and which text encoder made a stored tensor: names that follow the weights.

A fingerprint is a hash of the contents of a part's files, so it stays the same when a core is
copied to another machine, and other weights never read what these wrote.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from heliograph.model.checkpoint import read_json
from heliograph.model.errors import WeightsError
from heliograph.model.origins import Origins
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
        shelf = shelf_of(core)
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


def shelf_of(core: Path) -> Shelf:
    """The encoders and decoders of a core directory, none of them loaded.

    Raises:
        WeightsError: ``config.json`` is missing or damaged.
    """
    config = read_json(core / "config.json")
    try:
        encoders = {name: tuple(known) for name, known in config["encoders"].items()}
        origins = Origins.from_config(config)
        return Shelf(encoders, tuple(config["decoders"]), core, origins=origins)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise WeightsError(
            f"The weights are damaged: {core / 'config.json'} lacks or misnames an entry ({error})."
        ) from error


def _text_folder(shelf: Shelf, modality: Modality) -> Path:
    """Where a decoder's text encoder is: in the decoder whose parts it shares, if it shares."""
    folder = shelf.folder(f"decoders/{modality}", "decoder")
    base = base_of(folder)
    return folder if base is None else folder.parent / base


def _hash(folder: Path, without: Iterable[str], said: Mapping[str, Any] | None = None) -> str:
    """Of the files in a folder, and of how they are read where the core says it."""
    leave = {folder / name for name in (*without, "decoder.json")}
    digest = hashlib.sha256(f"heliograph {FORMAT}".encode())
    if said:
        digest.update(json.dumps(said, sort_keys=True).encode())
    files = [p for p in folder.rglob("*") if p.is_file() and not leave & {p, *p.parents}]
    if not files:
        raise WeightsError(f"The weights are incomplete: {folder} is empty or missing.")
    try:
        for path in sorted(files):
            digest.update(f"\0{path.relative_to(folder)}\0{path.stat().st_size}\0".encode())
            with open(path, "rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    except OSError as error:
        raise WeightsError(f"{folder} can't be read: {error.strerror}.") from error
    return digest.hexdigest()[:16]
