"""A data set as its owner describes it, and the one function that reads all kinds of them.

    examples(DataSet.of("cc3m_comprehension.json", root="images"))

Files and folders of each kind are known by their content; see ``docs/data.md``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from heliograph.model.data import conversations, hub, shards
from heliograph.model.data.examples import BadRow, Example, Origin
from heliograph.model.data.pairs import Direction, PairStyle
from heliograph.model.data.roots import RootKind, Roots
from heliograph.model.data.rows import rows
from heliograph.model.errors import DataError, InputError
from heliograph.model.media import DEFAULT_LIMITS, MediaLimits


class DataSet(BaseModel):
    """Where a data set lies and how it is to be read. Frozen; ``DataSet.of`` checks it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: Path
    """A file of JSON or JSON lines, a tar shard, or a folder of shards or of ``datasets``."""
    root: Path | None = None
    """Folder of the files that rows name; ``None`` is the folder that ``path`` lies in."""
    roots: dict[RootKind, Path] = Field(default_factory=dict)
    """Folders for one modality, or for "embeddings", instead."""
    pairs: Direction = "describe"
    """Whether media of pairs are shown and described, or asked for and made."""
    prompts: tuple[str, ...] = ()
    """What a person says with a pair, in place of the built-in wordings."""
    split: str | None = None
    """Split of a ``datasets`` directory."""
    columns: dict[Literal["media", "text"], str] = Field(default_factory=dict)
    """Columns of a ``datasets`` directory, where they can't be told."""
    limit: int | None = Field(default=None, ge=1)
    """Read only so many examples."""

    @classmethod
    def of(cls, path: Path | str, **values: Any) -> DataSet:
        """A data set with these values.

        Raises:
            InputError: a value can't be used.
        """
        try:
            return cls(path=Path(path), **values)
        except ValidationError as error:
            raise InputError(f"The data set can't be used: {first_error(error)}.") from error

    def anchored(self, folder: Path) -> Self:
        """The same, its relative paths counted from ``folder``."""
        return self.model_copy(
            update={
                "path": folder / self.path,
                "root": None if self.root is None else folder / self.root,
                "roots": {kind: folder / path for kind, path in self.roots.items()},
            }
        )

    def media_roots(self) -> Roots:
        """The folders of its files."""
        default = self.path if self.path.is_dir() else self.path.parent
        return Roots(self.root or default, self.roots)

    def style(self) -> PairStyle:
        """How its pairs become conversations."""
        return PairStyle(self.pairs, self.prompts)


def first_error(error: ValidationError) -> str:
    """What pydantic found first, as half a sentence."""
    first = error.errors()[0]
    name = ".".join(str(part) for part in first["loc"])
    message = first["msg"][:1].lower() + first["msg"][1:]
    return f"{name}: {message}" if name else message


def examples(
    dataset: DataSet,
    bad: Callable[[BadRow], None] | None = None,
    limits: MediaLimits = DEFAULT_LIMITS,
) -> Iterator[Example]:
    """The examples of a data set in order, one at a time.

    Args:
        dataset: what to read.
        bad: told each row that can't be used; without it the first such row ends the reading.
        limits: how large media in shards may be.

    Raises:
        DataError: there is no such data set, it has no rows, it can't be read, or a row can't be
            used.
        MissingExtra: ``datasets`` is needed and not installed.
    """
    count, empty = 0, True
    for found in _found(dataset, limits):
        empty = False
        if isinstance(found, Example):
            yield found
            count += 1
            if count == dataset.limit:
                return
        elif bad is None:
            raise DataError(str(found))
        else:
            bad(found)
    if empty:
        raise DataError(f"{dataset.path} has no rows.")


def _found(dataset: DataSet, limits: MediaLimits) -> Iterator[Example | BadRow]:
    path, roots, style = dataset.path, dataset.media_roots(), dataset.style()
    if not path.exists():
        raise DataError(f"There is no data set {path}.")
    if path.is_dir():
        tars = sorted(file for file in path.iterdir() if _is_tar(file))
        if tars:
            for file in tars:
                try:
                    yield from shards.examples(file, style, limits)
                except DataError as error:  # the other shards are read all the same
                    yield BadRow(Origin(file, 0), str(error))
        elif hub.is_directory(path):
            columns = {str(role): name for role, name in dataset.columns.items()}
            yield from hub.examples(path, roots, style, dataset.split, columns)
        else:
            raise DataError(
                f"{path} holds neither tar shards nor a directory of datasets (Arrow or Parquet)."
            )
    elif _is_tar(path):
        yield from shards.examples(path, style, limits)
    else:
        for row in rows(path):
            if isinstance(row, BadRow):
                yield row
                continue
            try:
                yield from list(conversations.examples(row.value, roots, row.origin, style))
            except DataError as error:
                yield BadRow(row.origin, str(error))


def _is_tar(path: Path) -> bool:
    return path.is_file() and path.name.endswith((".tar", ".tar.gz", ".tgz"))
