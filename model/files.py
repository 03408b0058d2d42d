"""Writing a file so that a reader sees all of it or none of it."""

from __future__ import annotations

import os
import uuid
from pathlib import Path


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
