"""Many cases at once: the steps of the turn, for several conversations side by side.

Cases are taken a group at a time. The conversations of a group go on in step: their n-th
questions are thought about in one batch of the core, and all media said are decoded
together by modality. What is wrong with one case is told in its result and never touches
another; nothing of these conversations is kept.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heliograph.graphs.events import Answer, Timing, TurnEvent
from heliograph.model.errors import HeliographError, InputError, StoreError, WeightsError

if TYPE_CHECKING:
    from heliograph.agent.assistant import Assistant
    from heliograph.graphs.messages import Block
    from heliograph.graphs.steps import Steps
    from heliograph.graphs.turn import TurnState

ENDS_ALL = (WeightsError, StoreError)
"""Errors that every further case would have too."""


@dataclass(frozen=True)
class Question:
    """One turn of a case."""

    text: str
    files: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Case:
    """A conversation to be had."""

    id: Any
    turns: tuple[Question, ...] = ()
    error: str | None = None
    """Why the case can't be read, instead of turns."""
    alone: bool = True
    """Whether it was written as one question and not as a list of turns."""


@dataclass
class Result:
    """The answers of a case up to where it broke."""

    case: Case
    answers: list[Answer] = field(default_factory=list)
    error: str | None = None


def read_cases(path: Path) -> list[Case]:
    """The cases of a file of JSON lines; empty lines are left out.

    Files are looked for beside the cases file first, then in the working directory.

    Raises:
        InputError: the file can't be read.
    """
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except OSError as error:
        raise InputError(f"{path} can't be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 text.") from error
    cases: list[Case] = []
    seen: set[str] = set()
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        case = _case(line, number, path.parent)
        if key(case.id) in seen:
            case = Case(f"line {number}", error=f"The id {case.id!r} was used before.")
        seen.add(key(case.id))
        cases.append(case)
    return cases


def key(identity: Any) -> str:
    """An id as text, so that 1 and "1" are two."""
    return json.dumps(identity, sort_keys=True)


def _case(line: str, number: int, folder: Path) -> Case:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return Case(f"line {number}", error="The line is not JSON.")
    if not isinstance(value, dict):
        return Case(f"line {number}", error="The line is not a JSON object.")
    identity = value.get("id", f"line {number}")
    if ("text" in value) == ("turns" in value):
        return Case(identity, error='A case has either "text" or "turns".')
    alone = "text" in value
    turns = [value] if alone else value["turns"]
    if not isinstance(turns, list) or not turns:
        return Case(identity, error='"turns" is a list of at least one turn.')
    questions = []
    for turn in turns:
        files = turn.get("files", []) if isinstance(turn, dict) else None
        if (
            not isinstance(turn, dict)
            or not isinstance(turn.get("text"), str)
            or not isinstance(files, list)
            or not all(isinstance(name, str) for name in files)
        ):
            return Case(identity, error='A turn has a "text" and may have a list of "files".')
        found = (folder / name if (folder / name).exists() else Path(name) for name in files)
        questions.append(Question(turn["text"], tuple(found)))
    return Case(identity, tuple(questions), alone=alone)


def answer_cases(
    assistant: Assistant,
    cases: Sequence[Case],
    options: dict[str, Any],
    together: int,
    tell: Callable[[str], None] = lambda _: None,
) -> Iterator[Result]:
    """Answer cases in their order, ``together`` of them at a time.

    Raises:
        WeightsError: the weights are missing or damaged.
        StoreError: the data directory can't be read or written.
    """
    began = time.perf_counter()
    assistant.load()
    load_s = time.perf_counter() - began
    for start in range(0, len(cases), together):
        group = _Group(assistant, cases[start : start + together], options, load_s, tell)
        yield from group.run()
        load_s = 0.0


class _Group:
    """Conversations that go on in step."""

    def __init__(
        self,
        assistant: Assistant,
        cases: Sequence[Case],
        options: dict[str, Any],
        load_s: float,
        tell: Callable[[str], None],
    ) -> None:
        self._assistant, self._options, self._tell = assistant, options, tell
        self._steps: Steps = assistant.steps
        self._load_s = load_s
        self._results = [Result(case, error=case.error) for case in cases]
        self._states: list[TurnState] = [{"messages": [], "options": options} for _ in cases]
        self._first: dict[int, float] = {}

    def run(self) -> list[Result]:
        longest = max(len(result.case.turns) for result in self._results)
        for number in range(longest):
            rows = [
                row
                for row, result in enumerate(self._results)
                if result.error is None and number < len(result.case.turns)
            ]
            self._turn(rows, number)
        return self._results

    def _turn(self, rows: list[int], number: int) -> None:
        self._began = time.perf_counter()
        self._first = {}
        for row in rows:
            question = self._results[row].case.turns[number]
            self._each(row, lambda row=row, q=question: self._perceive(row, q))  # type: ignore[misc]
        open_rows = self._well(rows)
        while open_rows:
            self._think(open_rows)
            open_rows = [row for row in self._well(open_rows) if self._act(row)]
        self._decode(self._well(rows))
        for row in self._well(rows):
            self._compose(row)

    def _well(self, rows: list[int]) -> list[int]:
        return [row for row in rows if self._results[row].error is None]

    def _each(self, row: int, step: Callable[[], None]) -> None:
        try:
            step()
        except ENDS_ALL:
            raise
        except HeliographError as error:
            self._results[row].error = str(error)

    def _update(self, row: int, update: TurnState) -> None:
        state = self._states[row]
        kept = {"made": state.get("made"), "results": state.get("results")}
        state.update(update)
        for name, old in kept.items():
            if name in update:
                new: Any = update[name]  # type: ignore[literal-required]
                state[name] = {} if new is None else {**(old or {}), **new}  # type: ignore[literal-required]

    def _perceive(self, row: int, question: Question) -> None:
        blocks = self._assistant.prepare(question.text, question.files)
        self._states[row]["question"] = blocks
        self._update(row, self._steps.perceive(self._states[row]))

    def _think(self, rows: list[int]) -> None:
        def emit(row: int, event: TurnEvent) -> None:
            self._first.setdefault(rows[row], time.perf_counter())

        states = [self._states[row] for row in rows]
        try:
            updates = self._steps.think(states, emit, lambda: False)
        except ENDS_ALL:
            raise
        except HeliographError as error:
            if len(rows) == 1:
                self._results[rows[0]].error = str(error)
            else:  # one of them can't be thought about: find out which
                for row in rows:
                    self._think([row])
            return
        for row, update in zip(rows, updates, strict=True):
            self._update(row, update)

    def _act(self, row: int) -> bool:
        """Run the tools that were called; whether the core is to go on."""
        from heliograph.graphs.messages import is_call

        state = self._states[row]
        calls = [i for i in state["said"] if is_call(i) and i["id"] not in state["results"]]
        for call in calls:
            self._update(row, {"results": {call["id"]: self._steps.act(call, lambda _: None)}})
        return bool(calls)

    def _decode(self, rows: list[int]) -> None:
        from heliograph.graphs.messages import is_signal

        calls: list[tuple[int, Block]] = [
            (row, {**item, "options": self._options})
            for row in rows
            for item in self._states[row]["said"]
            if is_signal(item)
        ]
        if calls:
            self._tell(f"making {len(calls)} media")
        blocks = self._steps.decode_all([call for _, call in calls], lambda _: None, lambda: False)
        for (row, call), block in zip(calls, blocks, strict=True):
            self._update(row, {"made": {call["id"]: block}})

    def _compose(self, row: int) -> None:
        from heliograph.graphs.messages import answer_parts

        state = self._states[row]
        parts = answer_parts(state["said"], state["made"], state["results"], self._steps.store)
        first = self._first.get(row)
        timing = Timing(
            load_s=self._load_s,
            first_token_s=None if first is None else first - self._began,
            total_s=time.perf_counter() - self._began + self._load_s,
        )
        result = self._results[row]
        result.answers.append(Answer(f"case {result.case.id}", parts, timing))
        earlier = state["messages"]
        update = self._steps.compose(state)
        self._update(row, {**update, "messages": [*earlier, *update["messages"]]})
