"""Which encoder and which text encoder made a stored tensor: names that follow the weights.

A fingerprint is a hash of the contents of a part's files, so it stays the same when a core is
copied to another machine, and other weights never read what these wrote.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from heliograph.model.checkpoint import fingerprint, read_json
from heliograph.model.errors import WeightsError
from heliograph.model.parts import MODALITIES, Modality
from heliograph.model.shelf import Shelf

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
                    encoders[name] = _hash(core / "encoders" / name, ())
                read[modality] = encoders[name]
        made = {m: _hash(_text_folder(core, m), NOT_TEXT) for m in shelf.decoders}
        return cls(read, made)


def shelf_of(core: Path) -> Shelf:
    """The encoders and decoders of a core directory, none of them loaded.

    Raises:
        WeightsError: ``config.json`` is missing or damaged.
    """
    config = read_json(core / "config.json")
    try:
        encoders = {name: tuple(known) for name, known in config["encoders"].items()}
        return Shelf(encoders, tuple(config["decoders"]), core)
    except (KeyError, TypeError, AttributeError) as error:
        raise WeightsError(
            f"The weights are damaged: {core / 'config.json'} lacks or misnames an entry ({error})."
        ) from error


def _text_folder(core: Path, modality: Modality) -> Path:
    """Where a decoder's text encoder is: in the decoder whose parts it shares, if it shares."""
    folder = core / "decoders" / modality
    settings = folder / "decoder.json"
    base = read_json(settings).get("base") if settings.exists() else None
    return folder if base is None else folder.parent / str(base)


def _hash(folder: Path, without: Iterable[str]) -> str:
    left_out = {folder / name for name in (*without, "decoder.json")}
    return fingerprint(folder, left_out, f"heliograph {FORMAT}")
