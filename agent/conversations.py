"""The SQLite file of conversations, by LangGraph's saver.

While a turn runs, each of its steps is a checkpoint, so that it can be resumed there; of
a finished turn only the last is kept, because every checkpoint holds the conversation
from its beginning.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

from heliograph.model.errors import HeliographError, StoreError

if TYPE_CHECKING:
    from langgraph.checkpoint.sqlite import SqliteSaver

FILE = "conversations.sqlite"
WAIT_SECONDS = 30
"""How long a write waits for another process's."""


class stored:
    """Turns what SQLite and the disk raise into one sentence."""

    def __init__(self, home: Path) -> None:
        self._home = home

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, sqlite3.Error):
            raise StoreError(
                f"The conversations in {self._home} can't be read or written: {error}."
            ) from error
        if isinstance(error, OSError) and not isinstance(error, HeliographError):
            raise StoreError(
                f"The data directory {self._home} can't be used: {error.strerror}."
            ) from error


def open_saver(home: Path) -> SqliteSaver:
    """The saver over the file in ``home``, which is made where it is missing.

    Raises:
        StoreError: it can't be read or written, or is not a file of conversations.
    """
    from langgraph.checkpoint.sqlite import SqliteSaver

    with stored(home):
        home.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(home / FILE, check_same_thread=False, timeout=WAIT_SECONDS)
        saver = SqliteSaver(connection)
        saver.setup()
        # With the write-ahead log this survives the death of the process, not of the machine.
        connection.execute("pragma synchronous = normal")
    return saver


def forget_steps(saver: object, thread: str, after: str) -> None:
    """Drop the checkpoints of a finished turn but its last.

    Args:
        saver: of ``open_saver``.
        thread: whose turn it was.
        after: id of the last checkpoint before the turn, empty for a new thread.
    """
    from langgraph.checkpoint.sqlite import SqliteSaver

    assert isinstance(saver, SqliteSaver)
    with saver.cursor() as cursor:
        for table in ("writes", "checkpoints"):
            cursor.execute(
                f"delete from {table} where thread_id = ? and checkpoint_ns = '' "
                "and checkpoint_id > ? and checkpoint_id < (select max(checkpoint_id) "
                "from checkpoints where thread_id = ? and checkpoint_ns = '')",
                (thread, after, thread),
            )
