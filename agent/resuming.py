"""Turns that were cut off after the core had spoken: told again, or closed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from langgraph.types import StateSnapshot

from heliograph.graphs.events import (
    MediumDone,
    MediumFailed,
    SignalStarted,
    TextDelta,
    ToolCalled,
    ToolResult,
    TurnEvent,
)
from heliograph.graphs.messages import Block, failure_block, is_call, is_signal
from heliograph.graphs.steps import Steps
from heliograph.graphs.turn import TurnState
from heliograph.memory.artifacts import ArtifactStore

INTERRUPTED = "The turn was interrupted before this was made."


def replay(snapshot: StateSnapshot, store: ArtifactStore) -> Iterator[TurnEvent]:
    """The events of what the turn had done, for those who hear it go on."""
    said, made, results = _progress(snapshot)
    for item in said:
        if item["type"] == "text":
            yield TextDelta(item["text"])
            continue
        index, name, call_id = item["index"], item["name"], item["id"]
        if is_call(item):
            if call_id in results:
                yield ToolCalled(index, name, item["args"])
                yield ToolResult(index, name, results[call_id])
            continue
        yield SignalStarted(index, name)
        block = made.get(call_id)
        if block is not None and block["type"] == "non_standard":
            yield MediumFailed(index, name, block["value"]["message"])
        elif block is not None:
            yield MediumDone(index, store.get_media(block))


def settle(snapshot: StateSnapshot, steps: Steps) -> TurnState:
    """The update that closes a turn nobody came back for, and keeps what it had said."""
    said, made, results = _progress(snapshot)
    for item in said:
        if is_signal(item):
            made.setdefault(item["id"], failure_block(item, INTERRUPTED))
        elif is_call(item):
            results.setdefault(item["id"], f"Error: {INTERRUPTED}")
    state: Any = {**snapshot.values, "said": said, "made": made, "results": results}
    return steps.compose(state)


def _progress(snapshot: StateSnapshot) -> tuple[list[Block], dict[str, Block], dict[str, str]]:
    """What the turn has said, made and been told, with the nodes that had finished beside
    those that had not."""
    values = snapshot.values
    made, results = dict(values["made"]), dict(values["results"])
    for task in snapshot.tasks:
        finished: Any = task.result or {}
        made.update(finished.get("made") or {})
        results.update(finished.get("results") or {})
    return values["said"], made, results
