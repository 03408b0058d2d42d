"""The assistant: one object that takes questions and gives answers, turn by turn.

    assistant = Assistant()
    answer = assistant.invoke("Draw a small dog.", thread="tour")
    for event in assistant.stream("What does it sound like?", thread="tour"): ...

A turn runs in a thread of its own, so that a caller who stops reading, or presses
Ctrl-C, stops it at its next step. Conversations lie in one SQLite file under the data
directory, and media beside it; a turn that was cut off while media were being made goes
on there when the same question is asked again on its thread.

Not covered: several machines on one data directory.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, TypeAlias
from uuid import uuid4

from heliograph.agent import loading
from heliograph.agent.conversations import forget_steps, stored
from heliograph.agent.running import Over, Run
from heliograph.agent.settings import Settings
from heliograph.agent.threads import check_name, held
from heliograph.graphs.events import Answer, Entry, Timing, TurnEnd, TurnEvent
from heliograph.model.errors import InputError
from heliograph.model.parts import Media

if TYPE_CHECKING:
    from langchain_core.tools import BaseTool
    from langgraph.types import StateSnapshot

    from heliograph.graphs.messages import Block
    from heliograph.graphs.steps import Core, Steps
    from heliograph.graphs.turn import Turn

File: TypeAlias = str | Path | Media
Question: TypeAlias = str | Sequence[str | Path | Media]
"""Text, or text and files (paths as ``Path``) in the order in which they are to be read."""


class Assistant:
    """An any-to-any model with a memory for conversations.

    It is cheap to make: weights are loaded by the first turn. It may be used from several
    threads and by several processes at once; a turn on a thread of conversation that is
    in the middle of another raises ``ThreadBusy``.

    Args:
        settings: where weights and data lie, and the limits.
        core: used in place of the weights (see ``heliograph.agent.testing``).
        tools: LangChain tools that the core may call, ``calculate`` unless given.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        core: Core | None = None,
        tools: Sequence[BaseTool] | None = None,
    ) -> None:
        self.settings = settings or Settings.of()
        self._core = core
        self._tools = tools
        self._loading = threading.Lock()
        self._steps: Steps | None = None
        self._graph: Turn | None = None

    def invoke(
        self,
        question: Question = "",
        *,
        files: Sequence[File] = (),
        thread: str | None = None,
        cancelled: Callable[[], bool] | None = None,
        **options: Any,
    ) -> Answer:
        """Ask, and wait for the whole answer.

        Args:
            question: text, or text and files in order.
            files: read before the question.
            thread: name of the conversation to go on with; ``None`` begins one of its own.
            cancelled: asked often; once it is true the turn is given up.
            options: fields of ``TurnOptions`` for this turn (``seed``, ``steps`` …).

        Raises:
            InputError: the question or an option can't be used.
            MediaError: a file can't be read.
            WeightsError: the weights are missing or damaged.
            ThreadBusy: another turn is running on the thread.
            StoreError: the data directory can't be read or written.
            Cancelled: ``cancelled`` said so.
        """
        events = self.stream(question, files=files, thread=thread, cancelled=cancelled, **options)
        return _end(list(events))

    def stream(
        self,
        question: Question = "",
        *,
        files: Sequence[File] = (),
        thread: str | None = None,
        cancelled: Callable[[], bool] | None = None,
        **options: Any,
    ) -> Iterator[TurnEvent]:
        """Ask, and hear what happens as it happens; the last event is ``TurnEnd``.

        Takes and raises what ``invoke`` does; a caller that closes the iterator cancels.
        """
        queue: SimpleQueue[TurnEvent | Over] = SimpleQueue()
        run = Run(cancelled, queue.put)
        run.start(lambda stop: self._turn(question, files, thread, options, stop))
        try:
            while not isinstance(item := queue.get(), Over):
                yield item
            item.check()
        finally:
            run.stop()
            run.wait()

    async def ainvoke(
        self,
        question: Question = "",
        *,
        files: Sequence[File] = (),
        thread: str | None = None,
        cancelled: Callable[[], bool] | None = None,
        **options: Any,
    ) -> Answer:
        """``invoke`` for asyncio."""
        events = self.astream(question, files=files, thread=thread, cancelled=cancelled, **options)
        return _end([event async for event in events])

    async def astream(
        self,
        question: Question = "",
        *,
        files: Sequence[File] = (),
        thread: str | None = None,
        cancelled: Callable[[], bool] | None = None,
        **options: Any,
    ) -> AsyncIterator[TurnEvent]:
        """``stream`` for asyncio; a task that is cancelled cancels the turn."""
        loop = asyncio.get_running_loop()
        queue: asyncio.Queue[TurnEvent | Over] = asyncio.Queue()
        run = Run(cancelled, lambda item: loop.call_soon_threadsafe(queue.put_nowait, item))
        run.start(lambda stop: self._turn(question, files, thread, options, stop))
        try:
            while not isinstance(item := await queue.get(), Over):
                yield item
            item.check()
        finally:
            run.stop()
            await asyncio.to_thread(run.wait)

    @property
    def graph(self) -> Turn:
        """The compiled LangGraph graph, with its saver; see ``heliograph.graphs.turn``."""
        self.load()
        assert self._graph is not None
        return self._graph

    @property
    def steps(self) -> Steps:
        """What the graph's nodes do, for many conversations at once."""
        self.load()
        assert self._steps is not None
        return self._steps

    def history(self, thread: str) -> list[Entry]:
        """A conversation up to its last finished turn; empty for a new one."""
        from heliograph.graphs.messages import transcript

        with stored(self.settings.home):
            values = self.graph.get_state(_config(thread)).values
        return transcript(values.get("messages", []), self.steps.store)

    def load(self) -> None:
        """Load the weights and open the data directory, once; turns do it by themselves.

        Raises:
            WeightsError: the weights are missing or damaged.
            StoreError: the data directory can't be written.
        """
        with self._loading:
            if self._graph is None:
                from heliograph.agent.conversations import open_saver
                from heliograph.graphs.turn import build

                saver = open_saver(self.settings.home)
                self._steps = loading.steps(self.settings, self._core, self._tools)
                self._graph = build(self._steps, saver)

    def prepare(self, question: Question, files: Sequence[File] = ()) -> list[Block]:
        """A question as content blocks, its files in the store.

        Raises:
            InputError: there are too many files, or the text can't be used.
            MediaError: a file can't be read.
        """
        from heliograph.graphs.messages import check_text
        from heliograph.model.media import load

        asked = [question] if isinstance(question, str) else question
        items = [Path(file) if isinstance(file, str) else file for file in files] + list(asked)
        count = sum(not isinstance(item, str) for item in items)
        if count > self.settings.max_files:
            raise InputError(
                f"{count} files were given; one question can have at most "
                f"{self.settings.max_files}."
            )
        # Everything is read before anything is stored.
        parts = [
            check_text(item, self.settings.max_characters)
            if isinstance(item, str)
            else load(item, self.settings.limits)
            if isinstance(item, Path)
            else item
            for item in items
        ]
        return [
            {"type": "text", "text": part}
            if isinstance(part, str)
            else self.steps.store.put_media(part)
            for part in parts
            if part != ""
        ]

    def _turn(
        self,
        question: Question,
        files: Sequence[File],
        thread: str | None,
        options: dict[str, Any],
        cancelled: Callable[[], bool],
    ) -> Iterator[TurnEvent]:
        started = time.perf_counter()
        thread = check_name(thread) if thread is not None else f"turn-{uuid4().hex[:12]}"
        with held(self.settings.home, thread), stored(self.settings.home):
            self.load()
            loaded = time.perf_counter()
            self.steps.options.with_changes(options)  # refused here, before anything is kept
            blocks = self.prepare(question, files)
            before = self.graph.get_state(_config(thread))
            first: float | None = None
            for event in self._events(before, blocks, options, cancelled):
                first = first or time.perf_counter()
                yield event
            last_id = before.config["configurable"].get("checkpoint_id", "")
            forget_steps(self.graph.checkpointer, thread, last_id)
            ended = time.perf_counter()
            timing = Timing(
                load_s=loaded - started,
                first_token_s=None if first is None else first - loaded,
                total_s=ended - started,
            )
            yield TurnEnd(self._answer(thread, timing))

    def _events(
        self,
        snapshot: StateSnapshot,
        blocks: list[Block],
        options: dict[str, Any],
        cancelled: Callable[[], bool],
    ) -> Iterator[TurnEvent]:
        from heliograph.agent.resuming import replay, settle
        from heliograph.graphs.turn import TurnContext, TurnState

        config = _config(snapshot.config["configurable"]["thread_id"])
        question: TurnState | None = {"question": blocks, "options": options}
        if snapshot.next and snapshot.values.get("said"):
            values = snapshot.values
            if values["question"] == blocks and values["options"] == options:
                question = None
                yield from replay(snapshot, self.steps.store)
            else:
                self.graph.update_state(config, settle(snapshot, self.steps), as_node="compose")
        stream: Iterator[Any] = self.graph.stream(
            question,
            config,
            stream_mode="custom",
            durability="sync",  # what was said must outlive a kill while it is decoded
            context=TurnContext(cancelled),
        )
        yield from stream

    def _answer(self, thread: str, timing: Timing) -> Answer:
        from heliograph.graphs.messages import answer_parts

        values = self.graph.get_state(_config(thread)).values
        parts = answer_parts(values["said"], values["made"], values["results"], self.steps.store)
        return Answer(thread, parts, timing)


def _config(thread: str) -> Any:
    return {"configurable": {"thread_id": thread}}


def _end(events: Sequence[TurnEvent]) -> Answer:
    last = events[-1]
    assert isinstance(last, TurnEnd)
    return last.answer
