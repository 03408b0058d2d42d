"""What the nodes of a turn do: each step as a plain method, for one conversation or many.

The state machine (``turn.py``) and batch mode call the same steps; nothing here knows of
LangGraph's runtime. Every step takes a state and returns the fields that change.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol
from uuid import uuid4

from langchain_core.messages import HumanMessage
from langchain_core.tools import BaseTool

from heliograph.graphs import events, messages
from heliograph.graphs.computing import computed
from heliograph.graphs.decoding import Decoding, Job
from heliograph.graphs.features import Features
from heliograph.graphs.messages import Block
from heliograph.graphs.options import TurnOptions
from heliograph.memory.artifacts import ArtifactStore
from heliograph.model import signals
from heliograph.model.errors import Cancelled, HeliographError, InputError
from heliograph.model.media import MediaLimits
from heliograph.model.parts import Media, Message, Modality

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from heliograph.graphs.turn import TurnState
    from heliograph.model.conditions import Condition
    from heliograph.model.generation import GenerationOptions

Emit = Callable[[events.TurnEvent], None]
TOLD_EVERY_S = 0.03
"""Words that come faster are passed on together: each event wakes the threads that stream,
which a small model on the same cores would feel."""
LIMIT_REACHED = "Error: no more tool calls are allowed in this turn."


class Core(Protocol):
    """What a turn needs of a model; ``heliograph.model.core.AnyToAny`` is one."""

    @property
    def remote(self) -> bool:
        """Whether it says messages by waiting for another machine, not by computing here."""

    def generate(
        self,
        conversations: Sequence[Sequence[Message]],
        options: GenerationOptions,
        features: Mapping[str, Tensor] | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> Iterator[signals.Event]:
        """Say the next message of each conversation, as events."""

    def encode(self, media: Media) -> Tensor:
        """Patch tokens (n, width) of one medium."""

    def condition(self, signal: signals.Signal) -> Condition:
        """The decoder's condition for a signal, of one row."""

    def decoder(self, modality: Modality) -> Any:
        """The decoder of a modality (``heliograph.model.decoders.DiffusionDecoder``)."""


@dataclass
class Steps:
    """The steps of a turn, bound to a core and a store."""

    core: Core
    store: ArtifactStore
    features: Features
    tools: Mapping[str, BaseTool] = field(default_factory=dict)
    options: TurnOptions = field(default_factory=TurnOptions)
    limits: MediaLimits = field(default_factory=MediaLimits)
    max_characters: int = 10_000
    max_rounds: int = 4
    """How often the core is asked in one turn, tool calls in between."""

    def __post_init__(self) -> None:
        self.decoding = Decoding(self.core)

    def perceive(self, state: TurnState) -> TurnState:
        """Check the question and put its media into the store.

        Raises:
            InputError: there is no question, its text can't be used, or the core can't read
                a modality.
            MediaError: a medium can't be read.
        """
        blocks, question_id = state.get("question"), str(uuid4())
        if blocks is None:
            asked = next(
                (m for m in reversed(state.get("messages", [])) if isinstance(m, HumanMessage)),
                None,
            )
            if asked is None:
                raise InputError("There is no question to answer.")
            blocks, question_id = messages.blocks_of(asked.content), asked.id or question_id
        question = [self._kept(block) for block in blocks]
        for block in question:
            if block["type"] != "text":  # encoded now, so that what can't be read fails here
                computed(self.features.one, self.core, self.store.get_media(block))
        if not any(block["type"] != "text" or block["text"].strip() for block in question):
            raise InputError("The question is empty.")
        return {
            "question": question,
            "question_id": question_id,
            "said": [],
            "rounds": 0,
            "made": None,  # type: ignore[typeddict-item]  # empties it, see turn.py
            "results": None,  # type: ignore[typeddict-item]
        }

    def think(
        self,
        states: Sequence[TurnState],
        emit: Callable[[int, events.TurnEvent], None],
        cancelled: Callable[[], bool],
    ) -> list[TurnState]:
        """Let the core go on with each conversation, all of them in one batch.

        All states must have the same options.

        Args:
            emit: is given the row and each event as it comes.

        Raises:
            Cancelled: ``cancelled`` became true; nothing of this round is kept.
        """
        conversations = [self._conversation(state) for state in states]
        options = self.turn_options(states[0])
        turns = [
            _Said(state, options.seed, self.store, row, emit) for row, state in enumerate(states)
        ]

        features = computed(self.features.of, self.core, conversations)

        def listen() -> None:
            stream = self.core.generate(
                conversations, options.generation(), features=features, cancelled=cancelled
            )
            for event in stream:
                turns[event.row].take(event)
                if isinstance(event, signals.End) and event.reason == "cancelled":
                    raise Cancelled("The answer was cancelled.")

        if self.core.remote:
            listen()  # others may compute meanwhile
        else:
            computed(listen)
        updates: list[TurnState] = []
        for state, turn in zip(states, turns, strict=True):
            rounds = state["rounds"] + 1
            update: TurnState = {"said": turn.said, "rounds": rounds}
            if rounds >= self.max_rounds:
                update["results"] = {
                    item["id"]: LIMIT_REACHED
                    for item in turn.said
                    if messages.is_call(item) and item["id"] not in state["results"]
                }
            updates.append(update)
        return updates

    def decode(self, call: Block, emit: Emit, cancelled: Callable[[], bool]) -> Block:
        """Make one medium; the block that stands for it, a failure after two tries."""
        return self.decode_all([call], emit, cancelled)[0]

    def decode_all(
        self, calls: Sequence[Block], emit: Emit, cancelled: Callable[[], bool]
    ) -> list[Block]:
        """Make the media of several signals, those of one modality together.

        Each call is a said item with the turn's ``options`` added.
        """
        jobs = [self._job(call, emit, cancelled) for call in calls]
        self.decoding.run(jobs)
        blocks = []
        for call, job in zip(calls, jobs, strict=True):
            if job.media is not None:
                blocks.append(messages.made_block(call, job.media, self.store))
                emit(events.MediumDone(call["index"], job.media))
            else:
                message = f"The {call['name']} could not be made: {str(job.error).rstrip('.')}."
                blocks.append(messages.failure_block(call, message))
                emit(events.MediumFailed(call["index"], call["name"], message))
        return blocks

    def act(self, call: Block, emit: Emit) -> str:
        """Run one tool; what went wrong is a result too, for the core to read."""
        name = call["name"]
        emit(events.ToolCalled(call["index"], name, call["args"]))
        if name not in self.tools:
            result = f"Error: there is no tool {name!r}."
        else:
            try:
                result = str(self.tools[name].invoke(call["args"]))
            except HeliographError as error:
                result = f"Error: {error}"
            except Exception as error:  # a tool is somebody else's code: it must not end a turn
                result = f"Error: {name} failed ({type(error).__name__}: {error})."
        emit(events.ToolResult(call["index"], name, result))
        return result

    def compose(self, state: TurnState) -> TurnState:
        """Add the question and the answer to the conversation."""
        question = HumanMessage(content=state["question"] or [], id=state["question_id"])  # type: ignore[arg-type]
        answer = messages.to_messages(state["said"], state["made"], state["results"])
        return {"messages": [question, *answer], "question": None}

    def turn_options(self, state: TurnState) -> TurnOptions:
        """The options of this turn."""
        return self.options.with_changes(state.get("options") or {})

    def _conversation(self, state: TurnState) -> list[Message]:
        earlier = [m for m in state.get("messages", []) if m.id != state["question_id"]]
        question = HumanMessage(content=state["question"] or [])  # type: ignore[arg-type]
        conversation = messages.to_conversation([*earlier, question], self.store, self.limits)
        if state["said"]:
            parts = messages.said_parts(state["said"], state["results"])
            conversation.append(Message("assistant", parts))
        return conversation

    def _kept(self, block: Block) -> Block:
        if block["type"] == "text":
            return {"type": "text", "text": messages.check_text(block["text"], self.max_characters)}
        if block["type"] not in messages.MEDIA_BLOCKS:
            raise InputError(f"A content block of type {block['type']!r} can't be read.")
        if block.get("url", "").startswith("heliograph:"):
            return block
        return self.store.put_media(messages.media_of(block, self.store, self.limits))

    def _job(self, call: Block, emit: Emit, cancelled: Callable[[], bool]) -> Job:
        options = self.options.with_changes(call.get("options") or {})
        index = call["index"]
        return Job(
            signal=signals.Signal.from_safetensors(self.store.get(call["args"]["signal"])),
            seed=call["args"]["seed"],
            steps=options.steps,
            guidance=options.guidance,
            condition=options.condition,
            progress=lambda step, total: emit(events.DecoderProgress(index, step, total)),
            cancelled=cancelled,
        )


class _Said:
    """Collects one row's events into said items, and passes them on as turn events."""

    def __init__(
        self,
        state: TurnState,
        seed: int,
        store: ArtifactStore,
        row: int,
        emit: Callable[[int, events.TurnEvent], None],
    ) -> None:
        self.said = list(state["said"])
        self._held, self._told = "", 0.0
        self._turn, self._seed, self._store, self._row, self._emit = (
            state["question_id"],
            seed,
            store,
            row,
            emit,
        )

    @property
    def _index(self) -> int:
        return sum(item["type"] == "tool_call" for item in self.said)

    def take(self, event: signals.Event) -> None:
        if not isinstance(event, signals.TextDelta):
            self._pass_on()
        match event:
            case signals.TextDelta(text=text):
                if self.said and self.said[-1]["type"] == "text":
                    self.said[-1] = {"type": "text", "text": self.said[-1]["text"] + text}
                else:
                    self.said.append({"type": "text", "text": text})
                self._held += text
                if time.monotonic() - self._told >= TOLD_EVERY_S:
                    self._pass_on()
            case signals.SignalStarted(modality=modality):
                self._emit(self._row, events.SignalStarted(self._index, modality))
            case signals.SignalReady(signal=signal):
                ref = self._store.put(signal.to_safetensors(), ".safetensors")
                args = {"caption": signal.caption, "signal": ref, "seed": self._seed + self._index}
                self._call(signal.modality, args)
            case signals.CallReady(call=call):
                self._call(call.name, dict(call.args))

    def _pass_on(self) -> None:
        if self._held:
            self._emit(self._row, events.TextDelta(self._held))
            self._held, self._told = "", time.monotonic()

    def _call(self, name: str, args: dict[str, Any]) -> None:
        index = self._index
        call_id = f"{self._turn}-{index}"
        item = {"type": "tool_call", "index": index, "id": call_id, "name": name, "args": args}
        self.said.append(item)
