"""Directories of Hugging Face ``datasets`` with a medium and a text in each row.

Read are what ``save_to_disk`` wrote (memory-mapped, one split of several) and folders of Parquet
files (streamed). Media are taken as the bytes that they are: nothing is decoded here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heliograph.model.data.examples import BadRow, Example, MediaFile, Origin
from heliograph.model.data.pairs import PairStyle, pair
from heliograph.model.data.roots import Roots
from heliograph.model.errors import DataError, MediaError, MissingExtra, in_one_line
from heliograph.model.media import read_bytes, sniff
from heliograph.model.parts import MODALITIES

if TYPE_CHECKING:
    from datasets import Dataset, IterableDataset

CAPTIONS = ("caption", "captions", "text", "sentence", "description")
"""Names that a column of captions goes by."""


def is_directory(path: Path) -> bool:
    """Whether a folder is one that ``examples`` can read."""
    saved = ("dataset_info.json", "dataset_dict.json", "state.json")
    return any((path / name).is_file() for name in saved) or any(path.rglob("*.parquet"))


def examples(
    path: Path, roots: Roots, style: PairStyle, split: str | None, columns: Mapping[str, str]
) -> Iterator[Example | BadRow]:
    """The rows of a directory, good and bad, in order.

    Args:
        path: the directory.
        roots: where files are that rows name rather than hold.
        style: how pairs become conversations.
        split: one of the splits; needed where there are several and none is "train".
        columns: names of the columns "media" and "text" where they can't be told.

    Raises:
        DataError: the directory can't be read, or it can't be told which column is which.
        MissingExtra: ``datasets`` is not installed.
    """
    data = _opened(path, split)
    media, text = _columns(data, columns, path)
    for index, row in enumerate(_until_damaged(_undecoded(data, media))):
        origin = Origin(path, index)
        if isinstance(row, Exception):
            why = in_one_line(row)
            yield BadRow(origin, f"The data set is damaged from this row on ({why}).")
            return
        try:
            made = list(_examples(row[media], row[text], media, roots, origin, style))
        except (DataError, MediaError) as error:
            yield BadRow(origin, str(error))
        else:
            yield from made


def _opened(path: Path, split: str | None) -> Dataset | IterableDataset:
    try:
        import datasets
    except ImportError:
        raise MissingExtra("datasets", "data") from None
    try:
        if any(path.glob("*.json")) and not any(path.rglob("*.parquet")):
            found = datasets.load_from_disk(str(path))
            splits = dict(found) if isinstance(found, datasets.DatasetDict) else None
        else:
            files = sorted(map(str, path.rglob("*.parquet")))
            by_split: dict[str, list[str]] = {}
            for file in files:  # named as the hub has it: train-00000-of-00012.parquet
                by_split.setdefault(Path(file).stem.split("-")[0], []).append(file)
            found = datasets.load_dataset("parquet", data_files=by_split, streaming=True)
            splits = dict(found)
    except Exception as error:  # the library raises dozens of kinds on damaged files
        why = in_one_line(error)
        raise DataError(f"{path} can't be read as a data set ({why}).") from error
    if splits is None:
        return found
    name = split or ("train" if "train" in splits or len(splits) != 1 else next(iter(splits)))
    if name not in splits:
        raise DataError(f"{path} has no split {name!r}; it has {', '.join(sorted(splits))}.")
    return splits[name]


def _columns(data: Any, columns: Mapping[str, str], path: Path) -> tuple[str, str]:
    import datasets

    features = data.features or {}
    typed = (datasets.Image, datasets.Audio, datasets.Video)
    media = [name for name, kind in features.items() if isinstance(kind, typed)]
    media = media or [name for name in features if name in MODALITIES]
    text = [name for name in CAPTIONS if name in features]
    chosen: list[str] = []
    for role, found in (("media", media), ("text", text[:1])):
        name = columns.get(role) or (found[0] if len(found) == 1 else "")
        if name not in features:
            known = ", ".join(features) or "none"
            raise DataError(
                f"It can't be told which column of {path} holds the {role}; name one of its "
                f"columns ({known})."
            )
        chosen.append(name)
    return chosen[0], chosen[1]


def _undecoded(data: Any, column: str) -> Iterator[dict[str, Any]]:
    """The rows, their medium as ``{"bytes", "path"}`` or whatever the column holds."""
    kind = data.features[column]
    if hasattr(kind, "decode"):
        data = data.cast_column(column, type(kind)(decode=False))
    return iter(data)


def _until_damaged(rows: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any] | Exception]:
    """The rows, and at a place that can't be read why, which is the last."""
    try:
        yield from rows
    except Exception as error:  # the library raises dozens of kinds on damaged files
        yield error


def _examples(
    held: Any, text: Any, column: str, roots: Roots, origin: Origin, style: PairStyle
) -> Iterator[Example]:
    data = held.get("bytes") if isinstance(held, dict) else held
    name = held.get("path") if isinstance(held, dict) else held
    if isinstance(data, bytes):
        file = MediaFile(sniff(data)[0], data=data)
    elif isinstance(name, str):
        kinds = [m for m in MODALITIES if m == column]
        path = roots.existing(kinds[0] if kinds else "image", name)
        file = MediaFile(sniff(read_bytes(path))[0], path)
    else:
        raise DataError("The row has no medium.")
    captions = [text] if isinstance(text, str) else text
    if not isinstance(captions, list) or not captions:
        raise DataError("The row has no caption.")
    if not all(isinstance(caption, str) for caption in captions):
        raise DataError("One of the row's captions is no text.")
    for caption in captions:
        yield pair(file.modality, file, caption, origin, style)
