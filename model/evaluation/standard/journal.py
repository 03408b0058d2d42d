"""Rows of work as they are done, in a file that a later run goes on with.

A row is a line of JSON that is on the disk before the next is begun. A process that is killed
leaves at most one half line at the end, which the next run takes away.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Self

from heliograph.model.errors import InputError
from heliograph.model.evaluation.report import write_json
from heliograph.model.files import append_line, held, mend_lines


def claim(folder: Path, settings: Mapping[str, Any]) -> None:
    """Make a report's folder, or check that what is in it was made with these settings.

    Raises:
        InputError: it holds answers that were made with others, or can't be written.
    """
    path = folder / "settings.json"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            write_json(path, dict(settings))
            return
        before = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{folder} can't be written: {error.strerror}.") from error
    except ValueError as error:
        raise InputError(f"{path} is damaged; give another --out.") from error
    wanted = json.loads(json.dumps(settings))
    if before != wanted:
        name = next(n for n in {**before, **wanted} if before.get(n) != wanted.get(n))
        raise InputError(
            f"{folder} holds answers that were made with other settings ({name}: "
            f"{before.get(name)!r} and now {wanted.get(name)!r}); give another --out."
        )


class Journal:
    """The rows of a file of JSON lines by their ``key``, and a way to add more.

    Rows that are no objects with a key are left where they are.
    """

    def __init__(self, file: BinaryIO) -> None:
        """Read the rows of a file that is open for reading and appending; see ``open``."""
        self._file = file
        self.rows: dict[str, dict[str, Any]] = {}
        file.seek(0)
        for line in file:
            try:
                row = json.loads(line)
                self.rows[str(row["key"])] = row
            except (ValueError, KeyError, TypeError):
                continue

    @classmethod
    @contextmanager
    def open(cls, path: Path) -> Iterator[Self]:
        """Hold the file for this process alone, and read what is there.

        Raises:
            InputError: it can't be read or written, or another process holds it.
        """
        with ExitStack() as stack:
            try:
                file = stack.enter_context(held(path))
                mend_lines(file)
                journal = cls(file)
            except BlockingIOError:
                raise InputError(f"Another process is writing to {path}: wait for it.") from None
            except OSError as error:
                raise InputError(f"{path} can't be written: {error.strerror}.") from error
            yield journal

    def add(self, row: Mapping[str, Any]) -> None:
        """Append one row; the last of a key counts.

        Raises:
            InputError: the disk is full.
        """
        try:
            append_line(self._file, json.dumps(row, ensure_ascii=False).encode("utf-8", "replace"))
        except OSError as error:
            raise InputError(f"{self._file.name} can't be written: {error.strerror}.") from error
        self.rows[str(row["key"])] = dict(row)
