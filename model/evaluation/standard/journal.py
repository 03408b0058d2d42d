"""Rows of work as they are done, in a file that a later run goes on with.

A row is a line of JSON, written whole before the next is begun. A process that is killed
leaves at most one half line at the end, which the next run takes away.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from heliograph.model.errors import InputError
from heliograph.model.evaluation.report import write_json


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

    Use it as a context. Rows that are no objects with a key are left where they are.
    """

    def __init__(self, path: Path) -> None:
        """Read what is there.

        Raises:
            InputError: the file can't be read or written.
        """
        self.rows: dict[str, dict[str, Any]] = {}
        try:
            self._file = path.open("ab+")
            self._file.seek(0)
            whole = 0
            for line in self._file:
                if not line.endswith(b"\n"):
                    break
                whole += len(line)
                try:
                    row = json.loads(line)
                    self.rows[str(row["key"])] = row
                except (ValueError, KeyError, TypeError):
                    continue
            self._file.truncate(whole)
        except OSError as error:
            raise InputError(f"{path} can't be written: {error.strerror}.") from error

    def add(self, row: Mapping[str, Any]) -> None:
        """Append one row; the last of a key counts.

        Raises:
            InputError: the disk is full.
        """
        try:
            self._file.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")
            self._file.flush()
        except OSError as error:
            raise InputError(f"{self._file.name} can't be written: {error.strerror}.") from error
        self.rows[str(row["key"])] = dict(row)

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()
