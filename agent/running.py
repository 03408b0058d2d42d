"""Runs a turn in a thread of its own, that can be told to stop.

The caller's thread only waits for events, so a Ctrl-C or a closed iterator reaches the
turn at once, and a turn can be heard from asyncio.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

from heliograph.graphs.events import TurnEvent


class Over:
    """The last item of a run: it ended, or raised."""

    def __init__(self, error: BaseException | None = None) -> None:
        self._error = error

    def check(self) -> None:
        """Raise what the run raised."""
        if self._error is not None:
            raise self._error


class Run:
    """One turn.

    Args:
        cancelled: asked by the turn beside ``stop``.
        put: is given each event, and ``Over`` last, in the turn's thread.
    """

    def __init__(
        self, cancelled: Callable[[], bool] | None, put: Callable[[TurnEvent | Over], object]
    ) -> None:
        self._asked = cancelled or (lambda: False)
        self._put = put
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, turn: Callable[[Callable[[], bool]], Iterator[TurnEvent]]) -> None:
        """Begin; ``turn`` is given what to ask whether it is to stop."""

        def work() -> None:
            over = Over()
            try:
                for event in turn(self._stopped):
                    self._put(event)
            except BaseException as error:  # raised again where the events are read
                over = Over(error)
            try:
                self._put(over)
            except RuntimeError:
                pass  # the event loop that would have heard it is closed

        self._thread = threading.Thread(target=work, name="heliograph-turn", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Tell the turn to stop at its next step; nothing happens to one that is over."""
        self._stop.set()

    def wait(self) -> None:
        """Wait until the turn is over."""
        assert self._thread is not None
        self._thread.join()

    def _stopped(self) -> bool:
        return self._stop.is_set() or self._asked()
