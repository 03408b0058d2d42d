"""Files that several processes use: written whole or not at all, held by one at a time."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from heliograph.model.errors import InputError


def write_atomically(path: Path, data: bytes) -> None:
    """Put ``data`` at ``path``, replacing what was there, or leave everything as it was.

    The bytes go to a hidden file beside ``path`` first, because a rename is atomic only within
    one file system, and reach the disk before the rename. Any number of processes may write the
    same path; one of them wins, whole.

    Raises:
        OSError: the disk is full, the folder is missing or may not be written, and the like.
    """
    # The name doesn't grow with path.name, which may already be as long as a name can be.
    temporary = path.with_name(f".{uuid.uuid4().hex}.tmp")
    try:
        with open(temporary, "xb") as file:  # not tempfile: its files are unreadable to others
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if hasattr(os, "O_DIRECTORY"):  # the rename itself survives a power cut
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def as_readable(path: Path) -> None:
    """Let whoever may read a folder read the safetensors in it: their library keeps them private.

    Args:
        path: of the folder, with those in it, or of one file.
    """
    for file in path.rglob("*.safetensors") if path.is_dir() else [path]:
        if not file.is_symlink():
            file.chmod(file.parent.stat().st_mode & 0o666)


def check_free(folder: Path) -> None:
    """Check that nothing would be lost if a folder were put there.

    Raises:
        InputError: there is a file, or a folder with something in it.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder} exists already and isn't empty; name a new directory.")


@contextmanager
def appearing(folder: Path) -> Iterator[Path]:
    """A folder to fill, which is put in the place of ``folder`` when all is in it, or not at all.

    Raises:
        InputError: it can't be written.
    """
    from safetensors import SafetensorError

    partial = folder.absolute().with_name(f".{folder.absolute().name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
        yield partial
        partial.rename(folder)
    except OSError as error:
        raise InputError(f"{folder} can't be written: {error.strerror or error}.") from error
    except SafetensorError as error:  # of a full disk, too
        raise InputError(f"{folder} can't be written: {error}.") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@contextmanager
def held(path: Path) -> Iterator[BinaryIO]:
    """Hold a file, made where it is missing, open for appending, for this process alone.

    The lock is the operating system's, so it is let go when its process dies, however it dies.

    Raises:
        BlockingIOError: another process holds it.
        OSError: its folder can't be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab+") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield file


def mend_lines(file: BinaryIO) -> None:
    """End a file of JSON lines with a line break: half a line that a kill left is cut off.

    Args:
        file: open for reading and appending.

    Raises:
        OSError: it can't be read or written.
    """
    end = start = file.seek(0, os.SEEK_END)
    tail = b""
    while start and b"\n" not in tail:
        start = max(0, start - 65536)
        file.seek(start)
        tail = file.read(end - start)
    tail = tail[tail.rfind(b"\n") + 1 :]
    if tail:
        try:
            json.loads(tail)
        except ValueError:
            file.truncate(end - len(tail))
        else:
            file.write(b"\n")


def append_line(file: BinaryIO, line: bytes) -> None:
    """Add a line that is on the disk when this returns.

    Raises:
        OSError: the disk is full, and the like.
    """
    file.write(line + b"\n")
    file.flush()
    os.fsync(file.fileno())
