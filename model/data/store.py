"""Tensors by key in safetensors shards: written once, read by memory map, never rewritten.

A shard is written whole beside its place, reaches the disk and is renamed, so a process may be
killed at any moment and what is there is whole. There is no other file: the index is read from
the shards' headers when a store is opened.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heliograph.model.errors import DataError, StoreError
from heliograph.model.files import held, write_atomically

if TYPE_CHECKING:
    from torch import Tensor

SUFFIX = ".safetensors"


class Shards:
    """The tensors of a folder. Each key, a hexadecimal SHA-256, has tensors by name."""

    def __init__(self, folder: Path, damaged: Callable[[Path], None] | None = None) -> None:
        """Read the headers.

        Args:
            folder: of the shards.
            damaged: told each shard that can't be read, and is left out.

        Raises:
            DataError: a shard is damaged, and there is nobody to tell.
        """
        self.folder = folder
        self._files: list[Path] = []
        self._names: list[tuple[str, ...]] = []
        self._where: dict[bytes, int] = {}
        self._open: dict[int, Any] = {}
        for path in sorted(folder.glob(f"*{SUFFIX}")):
            try:
                self.include(path)
            except DataError:
                if damaged is None:
                    raise
                damaged(path)

    def include(self, path: Path) -> None:
        """Add a shard.

        Raises:
            DataError: it is damaged.
        """
        opened = _opened(path)
        entries = [entry.partition("/") for entry in opened.keys()]
        keys = {_packed(key, path) for key, _, _ in entries}
        number = len(self._files)
        self._files.append(path)
        self._open[number] = opened
        self._where.update(dict.fromkeys(keys, number))
        self._names.append(tuple(sorted({name for _, _, name in entries})))

    def __contains__(self, key: str) -> bool:
        return bytes.fromhex(key) in self._where

    def __len__(self) -> int:
        return len(self._where)

    def get(self, key: str) -> dict[str, Tensor] | None:
        """A key's tensors by name, memory-mapped, or ``None`` where there are none."""
        number = self._where.get(bytes.fromhex(key))
        if number is None:
            return None
        opened = self._open[number]
        return {name: opened.get_tensor(f"{key}/{name}") for name in self._names[number]}

    def any(self) -> dict[str, Tensor] | None:
        """Some key's tensors, or ``None`` where the store is empty."""
        return self.get(next(iter(self._where)).hex()) if self._where else None

    def __reduce__(self) -> tuple[Any, ...]:
        return Shards, (self.folder,)  # a data worker opens the files for itself


def _opened(path: Path) -> Any:
    from safetensors import SafetensorError, safe_open

    try:
        return safe_open(path, framework="pt")
    except (OSError, SafetensorError) as error:
        raise DataError(f"{path} is damaged: run `heliograph data prepare` again.") from error


def _packed(key: str, path: Path) -> bytes:
    try:
        return bytes.fromhex(key)
    except ValueError:
        raise DataError(f"{path} holds {key!r}, which is no key of prepared data.") from None


class ShardWriter:
    """Adds tensors to a store; what was given is on the disk after ``flush``.

    Shards that can't be read are set aside, so that what they held can be added once more.

    Args:
        folder: of the store; made where it is missing.
        shard_bytes: a shard is written when so much has gathered,
        seconds: or when so much time has passed since the last.
    """

    def __init__(
        self, folder: Path, shard_bytes: int = 128 * 1024**2, seconds: float = 60.0
    ) -> None:
        self.damaged: list[Path] = []
        """Shards that could not be read, and were set aside under these names."""
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self.stored = Shards(folder, self._set_aside)
        except OSError as error:
            raise StoreError(f"{folder} can't be written: {error.strerror}.") from error
        self._shard_bytes, self._seconds = shard_bytes, seconds
        self._gathered: dict[str, Tensor] = {}
        self._keys: set[str] = set()
        self._bytes, self._since = 0, time.monotonic()

    def _set_aside(self, path: Path) -> None:
        aside = path.with_name(f"{path.name}.damaged")
        path.rename(aside)
        self.damaged.append(aside)

    def __contains__(self, key: str) -> bool:
        return key in self.stored or key in self._keys

    def add(self, key: str, tensors: Mapping[str, Tensor]) -> None:
        """Take a key's tensors.

        Raises:
            StoreError: there is no room for them.
        """
        for name, tensor in tensors.items():
            self._gathered[f"{key}/{name}"] = tensor.contiguous()
            self._bytes += tensor.nbytes
        self._keys.add(key)
        late = time.monotonic() - self._since > self._seconds
        if late or self._bytes >= self._shard_bytes:
            self.flush()

    def flush(self) -> None:
        """Write what has gathered as one shard.

        Raises:
            StoreError: there is no room for it.
        """
        from safetensors.torch import save

        if self._gathered:
            path = self.stored.folder / f"{uuid.uuid4().hex}{SUFFIX}"
            try:
                write_atomically(path, save(self._gathered, {"format": "pt"}))
            except OSError as error:
                raise StoreError(f"{path.parent} can't be written: {error.strerror}.") from error
            self.stored.include(path)
            self._gathered, self._keys, self._bytes = {}, set(), 0
        self._since = time.monotonic()


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Hold a folder of stores for one writer, and clear away what a killed one left.

    Raises:
        DataError: another process is writing to it.
        StoreError: it can't be written.
    """
    with ExitStack() as stack:
        try:
            stack.enter_context(held(folder / ".lock"))
        except BlockingIOError:
            raise DataError(
                f"Another process is preparing data in {folder}: wait for it."
            ) from None
        except OSError as error:
            raise StoreError(f"{folder} can't be written: {error.strerror}.") from error
        for left in folder.rglob(".*.tmp"):
            left.unlink(missing_ok=True)
        yield
