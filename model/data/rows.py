"""Rows of JSON files one at a time, with the line on which each starts.

Two layouts are read, told apart by their first character: an array of objects, as the published
data sets are, and JSON lines. An array is decoded element by element from a window of the text,
so a file of many gigabytes takes as much memory as its longest row. ``json`` itself does the
decoding: incremental parsers don't say on which line they are.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from heliograph.model.data.examples import BadRow, Origin
from heliograph.model.errors import DataError

MAX_ROW = 16 * 1024**2
"""Characters that a row may have."""
_WINDOW = 1024**2
_SPACE = " \t\r\n"
_DECODER = json.JSONDecoder()


@dataclass(frozen=True)
class Row:
    """An object of a file."""

    origin: Origin
    value: dict[str, Any]


def rows(path: Path) -> Iterator[Row | BadRow]:
    """The rows of a file of JSON, good and bad, in order.

    Where an array is broken its end can't be told from the row's, so what follows isn't read;
    of JSON lines only the broken line is lost.

    Raises:
        DataError: the file can't be opened.
    """
    try:
        with open(path, "rb") as lines:
            if _first(lines) != b"[":
                lines.seek(0)
                yield from _lines(lines, path)
                return
        with open(path, encoding="utf-8-sig") as text:
            yield from _array(text, path)
    except OSError as error:
        raise DataError(f"{path} can't be read: {error.strerror}.") from error


def _first(file: IO[bytes]) -> bytes:
    """The first byte that is no white space, behind a byte order mark."""
    piece = file.read(4096).removeprefix(codecs.BOM_UTF8)
    while piece:
        if text := piece.lstrip():
            return text[:1]
        piece = file.read(4096)
    return b""


class _Window:
    """The part of a text that is being decoded."""

    def __init__(self, file: IO[str]) -> None:
        self.file, self.text, self.at, self.line, self.ended = file, "", 0, 1, False

    def more(self) -> None:
        """Read on; at least as much again as there is left, so that long rows stay linear."""
        left = self.text[self.at :]
        piece = self.file.read(max(_WINDOW, len(left)))
        self.text, self.at, self.ended = left + piece, 0, not piece

    def go(self, to: int) -> None:
        """Move on, counting lines."""
        self.line += self.text.count("\n", self.at, to)
        self.at = to

    def next(self) -> str:
        """The next character that is no white space; "" at the end."""
        while True:
            to = self.at
            while to < len(self.text) and self.text[to] in _SPACE:
                to += 1
            self.go(to)
            if to < len(self.text):
                return self.text[to]
            if self.ended:
                return ""
            self.more()

    def value(self) -> Any:
        """Decode the value that starts here.

        Raises:
            ValueError: it is no JSON, or too long.
            RecursionError: it is nested too deeply.
        """
        while True:
            try:
                value, end = _DECODER.raw_decode(self.text, self.at)
            except json.JSONDecodeError as error:
                # Near the window's end, or in a string, it may only be cut off.
                cut = error.pos > len(self.text) - 16 or error.msg.startswith("Unterminated")
                if self.ended or not cut:
                    raise
            else:
                if end < len(self.text) or self.ended:
                    self.go(end)
                    return value
            if len(self.text) - self.at > MAX_ROW:
                raise ValueError(f"longer than {MAX_ROW:,} characters")
            self.more()


def _array(file: IO[str], path: Path) -> Iterator[Row | BadRow]:
    window, index = _Window(file), 0
    try:
        window.next()
        window.go(window.at + 1)  # the bracket
        while (found := window.next()) != "]":
            if index:
                if found != ",":
                    yield _broken(path, index, window.line, "a comma or the end is missing")
                    return
                window.go(window.at + 1)
                window.next()
            origin = Origin(path, index, window.line)
            try:
                value = window.value()
            except (ValueError, RecursionError) as error:
                yield _broken(path, index, window.line, _why(error))
                return
            yield _row(origin, value)
            index += 1
        window.go(window.at + 1)
        if window.next():
            yield BadRow(Origin(path, index, window.line), "More text follows the array's end.")
    except UnicodeDecodeError:
        yield _broken(path, index, window.line, "it is not UTF-8 text")


def _lines(file: IO[bytes], path: Path) -> Iterator[Row | BadRow]:
    index = 0
    for number, line in enumerate(iter(lambda: file.readline(MAX_ROW + 1), b""), 1):
        origin = Origin(path, index, number)
        if len(line) > MAX_ROW:
            yield BadRow(origin, f"The row is longer than {MAX_ROW:,} bytes.")
            while line and not line.endswith(b"\n"):
                line = file.readline(_WINDOW)
        elif line.strip():
            try:
                value = json.loads(line.decode("utf-8-sig" if number == 1 else "utf-8"))
            except (ValueError, RecursionError) as error:
                if index == 0:  # a file of something else would be bad line by line
                    why = f"neither an array of JSON objects nor JSON lines ({_why(error)})"
                    yield BadRow(origin, f"The file is {why}.")
                    return
                yield BadRow(origin, f"The line is not JSON ({_why(error)}).")
            else:
                yield _row(origin, value)
        else:
            continue
        index += 1


def _row(origin: Origin, value: Any) -> Row | BadRow:
    if isinstance(value, dict):
        return Row(origin, value)
    return BadRow(origin, "The row is not a JSON object.")


def _broken(path: Path, index: int, line: int, why: str) -> BadRow:
    reason = f"The JSON is broken here ({why}); the rest of the file isn't read."
    return BadRow(Origin(path, index, line), reason)


def _why(error: Exception) -> str:
    match error:
        case json.JSONDecodeError():
            return error.msg[:1].lower() + error.msg[1:]
        case UnicodeDecodeError():
            return "it is not UTF-8 text"
        case RecursionError():
            return "it is nested too deeply"
    return str(error)
