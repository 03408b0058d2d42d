"""Several data sets as one endless stream, each drawn from as often as its weight says.

    {"sources": [{"path": "cc3m.json", "root": "images", "weight": 3},
                 {"path": "audiocaps.json", "root": "audios"}]}

The stream is a function of the seed alone. A source that comes to its end starts again; rows are
shuffled within a window, because files are read in order and not loaded.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from heliograph.model.data.examples import BadRow, Example
from heliograph.model.data.sets import DataSet, examples, first_error
from heliograph.model.errors import DataError, InputError, MissingExtra

LARGEST = 1_000_000
"""Bytes of a mixture; a larger file of JSON is a data set."""
HELD_BYTES = 256 * 1024**2
"""Of media that come with their rows: no more are held for shuffling."""


class Source(DataSet):
    """A data set of a mixture."""

    name: str = ""
    """What tables call it; its path unless given."""
    weight: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    """How often its rows are drawn, relative to other sources."""

    @property
    def title(self) -> str:
        """Its name in tables."""
        return self.name or str(self.path)

    @property
    def public_title(self) -> str:
        """Its name for people elsewhere: of a path from the root only the last part."""
        return Path(self.title).name if Path(self.title).is_absolute() else self.title

    def anchored(self, folder: Path) -> Self:
        """The same, its relative paths counted from ``folder``, its title as it was."""
        return super().anchored(folder).model_copy(update={"name": self.title})


class Mixture(BaseModel):
    """Sources and how they are drawn from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sources: tuple[Source, ...]
    seed: int = 0
    shuffle: int = Field(default=1000, ge=1)
    """Rows of each source among which the next is chosen."""

    @model_validator(mode="after")
    def _named_apart(self) -> Mixture:
        titles = [source.title for source in self.sources]
        if not titles:
            raise ValueError("a mixture has at least one source")
        if len(set(titles)) < len(titles):
            raise ValueError("two sources have the same name")
        return self

    @classmethod
    def read(cls, path: Path) -> Mixture:
        """The mixture in a file of JSON or YAML; paths in it are counted from its folder.

        Raises:
            InputError: the file can't be read or used.
            MissingExtra: it is YAML, and no reader of it is installed.
        """
        try:
            text = path.read_text(encoding="utf-8")
            value = _yaml(text, path) if path.suffix in (".yaml", ".yml") else json.loads(text)
        except OSError as error:
            raise InputError(f"{path} can't be read: {error.strerror}.") from error
        except (ValueError, RecursionError) as error:
            raise InputError(f"{path} is neither JSON nor YAML that can be read.") from error
        if not isinstance(value, dict):
            raise InputError(f'{path} is not an object with "sources".')
        try:
            mixture = cls.model_validate(value)
        except ValidationError as error:
            raise InputError(f"{path} can't be used: {first_error(error)}.") from error
        sources = tuple(source.anchored(path.parent) for source in mixture.sources)
        return mixture.model_copy(update={"sources": sources})

    def shares(self) -> dict[str, float]:
        """How many of the rows drawn come from each source, by its title; they add up to 1."""
        whole = sum(source.weight for source in self.sources)
        return {source.title: source.weight / whole for source in self.sources}

    def stream(self, bad: Callable[[BadRow], None] | None = None) -> Iterator[tuple[str, Example]]:
        """Examples without end, each with its source's title.

        Args:
            bad: told each row that can't be used; without it the first such row ends the stream.

        Raises:
            DataError: a source can't be read, or has no row that can be used.
        """
        chance = random.Random(self.seed)
        weights = [source.weight for source in self.sources]
        streams = [
            _again(source, random.Random(f"{self.seed}/{source.title}"), self.shuffle, bad)
            for source in self.sources
        ]
        while True:
            (chosen,) = chance.choices(range(len(streams)), weights)
            yield self.sources[chosen].title, next(streams[chosen])


def _again(
    source: Source, chance: random.Random, window: int, bad: Callable[[BadRow], None] | None
) -> Iterator[Example]:
    """A source's rows shuffled within a window, again and again."""
    while True:
        held: list[Example] = []
        size, empty = 0, True
        for example in examples(source, bad):
            empty = False
            if len(held) < window and size < HELD_BYTES:
                held.append(example)
                size += sum(len(file.data or b"") for file in example.shown)
                continue
            place = chance.randrange(len(held))
            held[place], example = example, held[place]
            yield example
        if empty:
            raise DataError(f"{source.path} has no row that can be used.")
        chance.shuffle(held)
        yield from held


def _yaml(text: str, path: Path) -> Any:
    try:
        import yaml
    except ImportError:
        raise MissingExtra("PyYAML", "data") from None
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InputError(f"{path} is no YAML that can be read.") from error


def is_mixture(path: Path) -> bool:
    """Whether a file is a mixture and not a data set."""
    if path.suffix in (".yaml", ".yml"):
        return True
    if not path.is_file() or path.stat().st_size > LARGEST:
        return False
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        return False
    return isinstance(value, dict) and "sources" in value
