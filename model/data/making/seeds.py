"""What instruction data is made from: rows of captions, with boxes, media and topics.

    {"image": "dog.jpg", "captions": ["A dog runs."], "boxes": [{"label": "dog",
                                                                 "box": [0.1, 0.2, 0.5, 0.9]}]}
    {"audio_name": "3.wav", "caption": "A bell rings."}
    {"topic": "planning a garden", "media": [{"image_name": "bed.jpg", "caption": "…"}]}

The published files of pairs are seeds as they are.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from heliograph.model.data.examples import BadRow, Origin
from heliograph.model.data.rows import rows
from heliograph.model.errors import DataError
from heliograph.model.parts import MODALITIES, Modality


@dataclass(frozen=True)
class Box:
    """Where something stands in a picture."""

    label: str
    corners: tuple[float, float, float, float]
    """Left, top, right, bottom, as shares of the picture's width and height."""


@dataclass(frozen=True)
class SeedMedium:
    """A medium of the data set, and what is known of it."""

    modality: Modality
    name: str
    """Its file, as the made rows will name it; "" where there is none."""
    captions: tuple[str, ...]
    boxes: tuple[Box, ...] = ()


@dataclass(frozen=True)
class Seed:
    """What one row is made from."""

    id: str
    origin: Origin
    media: tuple[SeedMedium, ...] = ()
    topic: str = ""


def seeds(path: Path) -> Iterator[Seed | BadRow]:
    """The seeds of a file of JSON or JSON lines, good and bad, in order.

    Raises:
        DataError: the file can't be read.
    """
    for row in rows(path):
        if isinstance(row, BadRow):
            yield row
            continue
        try:
            yield _seed(row.value, row.origin)
        except DataError as error:
            yield BadRow(row.origin, str(error))


def repeated(found: Iterable[Seed | BadRow]) -> Iterator[Seed]:
    """The seeds of which nothing is made, since an earlier one has their id."""
    known: set[str] = set()
    for seed in found:
        if isinstance(seed, Seed):
            if seed.id in known:
                yield seed
            known.add(seed.id)


def _seed(value: Mapping[str, Any], origin: Origin) -> Seed:
    entries = value.get("media")
    entries = [value] if entries is None else entries
    if not isinstance(entries, list) or not all(isinstance(e, dict) for e in entries):
        raise DataError('"media" is not a list of objects.')
    media = tuple(medium for entry in entries for medium in _medium(entry))
    topic = value.get("topic", "")
    if not isinstance(topic, str):
        raise DataError('"topic" is no text.')
    if not media and not topic.strip():
        raise DataError("The seed has neither a caption nor a topic.")
    if "id" in value:
        identity = str(value["id"])
    else:
        whole = json.dumps(value, sort_keys=True, ensure_ascii=True)
        identity = hashlib.sha256(whole.encode()).hexdigest()[:16]
    return Seed(identity, origin, media, topic.strip())


def _medium(value: Mapping[str, Any]) -> Iterator[SeedMedium]:
    captions = value.get("captions", value.get("caption"))
    captions = [captions] if isinstance(captions, str) else captions
    named = [(m, value[k]) for m in MODALITIES for k in (f"{m}_name", m) if k in value]
    modality, name = named[0] if named else (value.get("modality", "image"), "")
    if captions is None and not named:
        return  # a topic alone
    if not isinstance(captions, list) or not all(
        isinstance(c, str) and c.strip() for c in captions
    ):
        raise DataError("A medium has no captions.")
    if len(named) > 1 or modality not in MODALITIES or not isinstance(name, str):
        raise DataError("It can't be told which medium the captions are of.")
    if not captions:
        raise DataError("A medium has no captions.")
    boxes = value.get("boxes") or []
    if not isinstance(boxes, list):
        raise DataError('"boxes" is not a list.')
    yield SeedMedium(modality, name, tuple(captions), tuple(map(_box, boxes)))


def _box(value: Any) -> Box:
    try:
        left, top, right, bottom = (float(number) for number in value["box"])
        if not (0 <= left <= right <= 1 and 0 <= top <= bottom <= 1):
            raise ValueError
        return Box(str(value["label"]), (left, top, right, bottom))
    except (KeyError, TypeError, ValueError):
        raise DataError(
            'A box is not {"label", "box": [left, top, right, bottom]} in shares of the picture.'
        ) from None
