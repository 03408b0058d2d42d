"""Finds annotation files and reads them as streams; every error says what to put where."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from heliograph.model.data.examples import BadRow
from heliograph.model.data.rows import rows
from heliograph.model.errors import DataError, MissingExtra


def find(data: Path, patterns: Sequence[str], source: str) -> Path:
    """The annotation file in ``data`` or ``data/annotations``; ``data`` may be the file itself.

    Args:
        data: where to look.
        patterns: file names, the most wanted first; ``*`` stands for anything.
        source: where the file is published, for the error.

    Raises:
        DataError: there is none.
    """
    if data.is_file():
        return data
    for pattern in patterns:
        for folder in (data, data / "annotations"):
            if found := sorted(folder.glob(pattern)):
                return found[0]
    raise DataError(f"{data} has no {' or '.join(patterns)}: put it there, from {source}.")


def objects(path: Path, prefix: str) -> Iterator[dict[str, Any]]:
    """The objects of a list in a JSON file, one by one, however large the file is.

    Args:
        path: the file.
        prefix: where the list's items are, in ijson's words: ``images.item``.

    Raises:
        DataError: the file can't be read, is not JSON, or has no such list.
    """
    try:
        import ijson
    except ImportError as error:
        raise MissingExtra("ijson", "eval") from error
    count = 0
    try:
        with path.open("rb") as file:
            for value in ijson.items(file, prefix, use_float=True):
                if not isinstance(value, dict):
                    raise DataError(f"{path}: {prefix} number {count + 1} is not an object.")
                count += 1
                yield value
    except (ijson.JSONError, UnicodeDecodeError) as error:
        raise DataError(f"{path} is not JSON, or is cut short after {count} rows.") from error
    except OSError as error:
        raise DataError(f"{path} can't be read: {error.strerror}.") from error
    if not count:
        raise DataError(f"{path} has no list {prefix.partition('.')[0]!r}, or an empty one.")


def lines(path: Path) -> Iterator[dict[str, Any]]:
    """The objects of a file of JSON lines; empty lines are left out.

    Raises:
        DataError: the file can't be read, or a line is no object.
    """
    for row in rows(path):
        if isinstance(row, BadRow):
            raise DataError(str(row))
        yield row.value


def table(path: Path, columns: Sequence[str]) -> Iterator[dict[str, str]]:
    """The rows of a CSV file with a heading.

    Raises:
        DataError: the file can't be read, or lacks one of the columns.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            lacking = [name for name in columns if name not in (reader.fieldnames or ())]
            if lacking:
                raise DataError(f"{path} has no column {lacking[0]}.")
            for row in reader:
                if any(row[name] is None for name in columns):
                    raise DataError(f"{path}, line {reader.line_num}, has too few columns.")
                yield row
    except OSError as error:
        raise DataError(f"{path} can't be read: {error.strerror}.") from error
    except (csv.Error, UnicodeDecodeError) as error:
        raise DataError(f"{path} is not a CSV file of UTF-8 text.") from error


def entry(row: dict[str, Any], name: str, path: Path) -> Any:
    """What a row has under a name.

    Raises:
        DataError: it has nothing there.
    """
    if name not in row:
        shown = json.dumps(row, ensure_ascii=False)[:80]
        raise DataError(f"{path} has a row without {name!r}: {shown}")
    return row[name]
