"""One turn of a conversation as a LangGraph state machine.

    perceive ── think ─┬─ decode* ──┬─ compose
                 ▲     ├────────────┘
                 └─ act*

``perceive`` puts the question's media into the artifact store and encodes what is new;
``think`` lets the core read the conversation and say text, signals and tool calls;
``decode`` makes one medium of one signal, ``act`` runs one tool call, all of them side by
side (``Send``); results of tools go back to ``think``, a bounded number of times; and
``compose`` adds the question and the answer to the conversation, its parts in the order
in which the core said them. What the nodes do lies in ``steps.py``; here is only the
order, and what is kept.

The state holds references to media and hidden states, never bytes. The conversation
(``messages``) changes in ``compose`` alone: a turn that breaks leaves it as it was, and a
turn that was cut off while decoding goes on there, because what was said is checkpointed.

An app that has a LangGraph of its own adds the compiled graph as a node: without a
``question``, the last human message of ``messages`` is the question. A custom stream
(``stream_mode="custom"``) carries the events of ``events.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, TypeAlias, TypedDict

from langchain_core.messages import AnyMessage
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.graph.state import CompiledStateGraph
from langgraph.runtime import Runtime
from langgraph.types import Send

from heliograph.graphs.messages import Block, is_call, is_signal
from heliograph.graphs.steps import Steps


def _merge(old: dict[str, Any] | None, new: dict[str, Any] | None) -> dict[str, Any]:
    """Add what came; ``None`` empties the dictionary for a new turn."""
    return {} if new is None else {**(old or {}), **new}


class TurnState(TypedDict, total=False):
    """What a checkpoint keeps."""

    messages: Annotated[list[AnyMessage], add_messages]
    """The conversation up to and including the last finished turn."""
    question: list[Block] | None
    """The content blocks of this turn's question, until the turn is finished."""
    question_id: str
    """Message id of the question."""
    options: dict[str, Any]
    """Fields of ``TurnOptions`` that this turn sets."""
    said: list[Block]
    """What the core has said in this turn, in order (see ``messages.py``)."""
    rounds: int
    """How often the core has been asked in this turn."""
    made: Annotated[dict[str, Block], _merge]
    """Media blocks, or failures, by call id."""
    results: Annotated[dict[str, str], _merge]
    """Results of tools by call id."""


@dataclass(frozen=True)
class TurnContext:
    """What a caller hands to one run, never checkpointed."""

    cancelled: Callable[[], bool] = lambda: False
    """Asked often; once it is true, the turn raises ``Cancelled``."""


Turn: TypeAlias = CompiledStateGraph[TurnState, TurnContext, TurnState, TurnState]


def build(steps: Steps, checkpointer: BaseCheckpointSaver[Any] | None = None) -> Turn:
    """Compile the turn for a core.

    Args:
        steps: what the nodes do; it holds the core, the artifact store and the tools.
        checkpointer: keeps conversations by thread; ``None`` inherits a parent graph's.
    """

    def perceive(state: TurnState) -> TurnState:
        return steps.perceive(state)

    def think(state: TurnState, runtime: Runtime[TurnContext]) -> TurnState:
        cancelled = _cancelled(runtime)
        return steps.think([state], lambda _, event: runtime.stream_writer(event), cancelled)[0]

    def decode(call: Block, runtime: Runtime[TurnContext]) -> TurnState:
        block = steps.decode(call, runtime.stream_writer, _cancelled(runtime))
        return {"made": {call["id"]: block}}

    def act(call: Block, runtime: Runtime[TurnContext]) -> TurnState:
        return {"results": {call["id"]: steps.act(call, runtime.stream_writer)}}

    def after_think(state: TurnState) -> list[Send] | str:
        said = state["said"]
        options = state.get("options", {})
        sends = [
            Send("decode", {**item, "options": options})
            for item in said
            if is_signal(item) and item["id"] not in state["made"]
        ]
        sends += [
            Send("act", item)
            for item in said
            if is_call(item) and item["id"] not in state["results"]
        ]
        return sends or "compose"

    def after_decode(state: TurnState) -> list[str]:
        # Tools that run beside the decoders have no result yet here: they lead to think.
        answered = state["results"]
        open_calls = [i for i in state["said"] if is_call(i) and i["id"] not in answered]
        return [] if open_calls else ["compose"]

    graph = StateGraph(TurnState, context_schema=TurnContext)
    graph.add_node("perceive", perceive)
    graph.add_node("think", think)
    graph.add_node("decode", decode)  # type: ignore[arg-type]
    graph.add_node("act", act)  # type: ignore[arg-type]
    graph.add_node("compose", steps.compose)
    graph.add_edge(START, "perceive")
    graph.add_edge("perceive", "think")
    graph.add_conditional_edges("think", after_think, ["decode", "act", "compose"])
    graph.add_edge("act", "think")
    graph.add_conditional_edges("decode", after_decode, ["compose"])
    graph.add_edge("compose", END)
    return graph.compile(checkpointer=checkpointer, name="turn")


def _cancelled(runtime: Runtime[TurnContext]) -> Callable[[], bool]:
    context: TurnContext | None = runtime.context  # absent where a caller gives none
    return context.cancelled if context is not None else lambda: False
