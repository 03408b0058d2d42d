"""What the commands on data sets share: bad rows in bounds, progress, and token counts."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from heliograph.model.data.examples import BadRow
    from heliograph.model.data.survey import Measure

Show = Annotated[int, typer.Option(min=0, help="Name at most so many bad rows; 0 names all.")]


class Teller:
    """Prints bad rows up to a bound. What a data set says goes to the terminal in plain signs.

    Args:
        most: so many are named; 0 names all.
        as_json: name all of them, as JSON lines.
        aside: on standard error, where they aren't what was asked for.
    """

    def __init__(self, most: int, as_json: bool = False, aside: bool = False) -> None:
        self._most, self._as_json, self._count = 0 if as_json else most, as_json, 0
        self._file = sys.stderr if aside else sys.stdout

    def __call__(self, row: BadRow) -> None:
        """One bad row."""
        self._count += 1
        if self._as_json:
            origin = row.origin
            entry = {"file": str(origin.file), "index": origin.index, "line": origin.line}
            self._print(json.dumps({**entry, "name": origin.name, "reason": row.reason}))
        elif not self._most or self._count <= self._most:
            self._print(plain(str(row))[:500])

    def end(self) -> None:
        """Say how many were not named."""
        if self._most and self._count > self._most:
            self._print(f"… and {self._count - self._most:,} more.")

    def _print(self, line: str) -> None:
        print(line, file=self._file)


def plain(text: str) -> str:
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def note(sentence: str) -> None:
    print(sentence, file=sys.stderr)


@contextmanager
def status_line() -> Iterator[Callable[[str], None]]:
    """A line on standard error that says how far it is; nothing where it is no terminal."""
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda words: None
        return
    with console.status("reading") as status:
        yield lambda words: status.update(words)


def measure_of(folder: Path) -> Measure:
    """Counts tokens by the tokenizer in a folder, or in that of a core.

    Raises:
        MissingExtra: it is written in SentencePiece's format, and its reader isn't installed.
        WeightsError: there is none, or it is damaged.
    """
    from heliograph.model.pretrained import read_tokenizer

    language = folder / "language"
    place = language if language.is_dir() else folder
    tokenizer = read_tokenizer(place)
    return lambda text: len(tokenizer(text, add_special_tokens=False, verbose=False).input_ids)
