"""Signals, and the splitter that turns a row's tokens into events.

What the tokens are called is in ``dialects.py``. A span is
``<|image|>a red dog[IMG0][IMG1][IMG2][IMG3]``: the run closes it. A run without an opener
is a span without words. What may come where is decided here too (``Splitter.allows``), so
a run can't be broken, run away, or be left open.

Nothing here needs torch until a signal is written to bytes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from heliograph.model.dialects import DEFAULT_SPECS, SignalSpec, SignalTable, added_tokens
from heliograph.model.errors import InputError
from heliograph.model.parts import MODALITIES, NAMES, Modality, ToolCall

if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "DEFAULT_SPECS",
    "CallReady",
    "End",
    "Event",
    "Signal",
    "SignalReady",
    "SignalSpec",
    "SignalStarted",
    "SignalTable",
    "Splitter",
    "TextDelta",
    "TextStream",
    "added_tokens",
    "parse_call",
    "render_call",
]


@dataclass(frozen=True, eq=False)
class Signal:
    """What a decoder is asked to make: a run's last hidden states and input embeddings."""

    modality: Modality
    caption: str
    hidden: Tensor
    """(n, W): the language model's last hidden states at the run's positions."""
    embeddings: Tensor
    """(n, W): the input embeddings of the run's tokens."""

    def to_safetensors(self) -> bytes:
        """The signal as one safetensors file; equal signals give equal bytes."""
        from safetensors.torch import save

        tensors = {"hidden": self.hidden.cpu(), "embeddings": self.embeddings.cpu()}
        tensors = {name: tensor.detach().clone() for name, tensor in tensors.items()}
        # One entry: safetensors writes several in no fixed order, and the hash would change.
        words = json.dumps({"modality": self.modality, "caption": self.caption})
        return save(tensors, {"signal": words})

    @staticmethod
    def from_safetensors(data: bytes) -> Signal:
        """Read what ``to_safetensors`` wrote.

        Raises:
            InputError: the bytes are no signal.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load

        try:
            tensors = load(data)
            size = int.from_bytes(data[:8], "little")  # a safetensors file starts with its header
            header = json.loads(json.loads(data[8 : 8 + size])["__metadata__"]["signal"])
            modality = next(m for m in MODALITIES if m == header["modality"])
            return Signal(modality, header["caption"], tensors["hidden"], tensors["embeddings"])
        except (SafetensorError, ValueError, KeyError, TypeError, StopIteration) as error:
            raise InputError("These bytes are not a signal in safetensors format.") from error


@dataclass(frozen=True)
class TextDelta:
    """Some more words."""

    row: int
    text: str


@dataclass(frozen=True)
class SignalStarted:
    """A span was opened: a medium is coming."""

    row: int
    modality: Modality


@dataclass(frozen=True, eq=False)
class SignalReady:
    """A span is complete."""

    row: int
    signal: Signal


@dataclass(frozen=True)
class CallReady:
    """A tool call is complete."""

    row: int
    call: ToolCall


@dataclass(frozen=True)
class End:
    """Nothing more will come from this row."""

    row: int
    reason: Literal["stop", "length", "cancelled"]


Event: TypeAlias = TextDelta | SignalStarted | SignalReady | CallReady | End


def render_call(call: ToolCall) -> str:
    """A call as the JSON between its markers."""
    return json.dumps({"name": call.name, "args": dict(call.args)}, ensure_ascii=False)


def parse_call(text: str) -> ToolCall | None:
    """The inverse of ``render_call``; ``None`` where the text is no call."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict) or not isinstance(value.get("name"), str):
        return None
    args = value.get("args", {})
    return ToolCall(value["name"], args) if isinstance(args, dict) else None


class TextStream:
    """Detokenises ids one by one, holding back characters that are still incomplete.

    Ids are decoded together with the ones before them, because many tokenizers drop a
    leading space; a trailing replacement character means that bytes are still missing.

    Args:
        decode: the tokenizer's, from ids to text.
        stops: strings that end the answer; neither they nor what follows is given out, and
            what may become one is held back.
    """

    def __init__(self, decode: Callable[[list[int]], str], stops: Sequence[str] = ()) -> None:
        self._decode, self._stops = decode, stops
        self._ids: list[int] = []
        self._context = 0  # where the ids begin that are decoded for context
        self._said = 0  # how many ids have been turned into text
        self._held = ""  # the beginning of a stop, perhaps
        self.stopped = False

    def push(self, token: int) -> str:
        """The text that this id completes, often empty."""
        self._ids.append(token)
        return self._before_stop(self._release(final=False), final=False)

    def flush(self) -> str:
        """What is left, with a replacement character for bytes that never came."""
        return self._before_stop(self._release(final=True), final=True)

    def _release(self, final: bool) -> str:
        before = self._decode(self._ids[self._context : self._said])
        now = self._decode(self._ids[self._context :])
        broken = now.endswith("\ufffd")
        if len(now) <= len(before) or (broken and not final):
            return ""
        # Bytes that were given up must not complete a character later.
        self._context = len(self._ids) if broken else self._said
        self._said = len(self._ids)
        return now[len(before) :]

    def _before_stop(self, text: str, final: bool) -> str:
        if self.stopped:
            return ""
        text, self._held = self._held + text, ""
        found = [at for at in map(text.find, self._stops) if at >= 0]
        if found:
            self.stopped = True
            return text[: min(found)]
        beginnings = (stop[:n] for stop in self._stops for n in range(1, len(stop)))
        held = max((len(b) for b in beginnings if text.endswith(b)), default=0)
        if held and not final:
            text, self._held = text[:-held], text[-held:]
        return text


class Splitter:
    """Turns one row's tokens into events, and knows which tokens may come next.

    ``feed`` takes each chosen token. When it returns with ``pending`` set, the caller
    runs the whole run of that modality through the model and hands the states to
    ``finish_run``; the first token of the run counts as the chosen one.
    """

    def __init__(
        self,
        table: SignalTable,
        decode: Callable[[list[int]], str],
        row: int,
        makes: Collection[Modality] = MODALITIES,
        captions: bool = True,
        stops: Sequence[str] = (),
        unmade: Mapping[int, Modality] | None = None,
    ) -> None:
        """Start a row.

        Args:
            table: the signal tokens as ids.
            decode: the tokenizer's, from ids to text.
            row: which row of the batch it is; all events carry it.
            makes: modalities whose spans may be opened.
            captions: False closes a span's caption as soon as it is opened.
            stops: strings that end the answer; see ``TextStream``.
            unmade: ids that would begin a medium which can't be made; where one is chosen, the
                answer says so and ends.
        """
        self._table, self._decode, self._row = table, decode, row
        self._makes, self._captions = frozenset(makes), captions
        self._text = TextStream(decode, stops)
        self._inner: list[int] = []  # ids of the caption or of the call that is open
        self._before: list[int] = []  # ids of the words since the last run
        self._span: Modality | None = None
        self._in_call = False
        self._unmade, self._refused = dict(unmade or {}), False
        self.pending: Modality | None = None

    @property
    def span(self) -> Modality | None:
        """The modality of the open span, ``None`` outside spans."""
        return self._span

    @property
    def in_call(self) -> bool:
        """Whether a tool call is open."""
        return self._in_call

    @property
    def stopped(self) -> bool:
        """Whether the words have come to their end, by a string that ends the answer or because
        what was to follow can't be made."""
        return self._text.stopped or self._refused

    @property
    def inner_length(self) -> int:
        """How many tokens the open caption or call has."""
        return len(self._inner)

    def allows(self, room: int) -> set[int]:
        """The added tokens that may come next; words are always allowed.

        Args:
            room: how many more tokens the row may have; no span is opened that would
                not fit.
        """
        table = self._table
        if self._span is not None:
            return {table.runs[self._span][0]}
        if self._in_call:
            return _only(table.call_close)
        sizes = {m: len(run) for m, run in table.runs.items() if m in self._makes}
        starts = {table.runs[m][0] for m, size in sizes.items() if size <= room}
        opens = {o for m, o in table.openers.items() if m in sizes and sizes[m] < room}
        return starts | opens | self._unmade.keys() | _only(table.call_open)

    def feed(self, token: int) -> list[Event]:
        """The events that this token brings."""
        table, row = self._table, self._row
        if self._in_call:
            return self._feed_call(token)
        if self._span is None and token in self._unmade:
            self._refused = True
            said = f"These weights can't make {NAMES[self._unmade[token]]}."
            return [*self._flush(), TextDelta(row, f" {said}" if self._before else said)]
        started = table.started_by(token)
        if started is not None:
            events: list[Event] = []
            if self._span is None:
                events = [*self._flush(), SignalStarted(row, started)]
            self._span = self.pending = started
            return events
        if self._span is not None:
            self._inner.append(token)
            return []
        opened = table.opened_by(token)
        if opened is not None:
            self._span = opened
            self.pending = None if self._captions else opened
            return [*self._flush(), SignalStarted(row, opened)]
        if token == table.call_open:
            self._in_call = True
            return self._flush()
        self._before.append(token)
        text = self._text.push(token)
        return [TextDelta(row, text)] if text else []

    def force_run(self) -> None:
        """Close the open span's caption: its run comes next."""
        self.pending = self._span

    def finish_run(self, hidden: Tensor, embeddings: Tensor) -> SignalReady:
        """The signal of the run that was pending; states are (n, W)."""
        assert self.pending is not None
        # Without openers there are no captions: what was said before a medium describes it.
        words = self._inner if self._table.openers else self._before
        signal = Signal(self.pending, self._decode(words).strip(), hidden, embeddings)
        self._inner, self._before, self._span, self.pending = [], [], None, None
        return SignalReady(self._row, signal)

    def end(self, reason: Literal["stop", "length", "cancelled"]) -> list[Event]:
        """The last events of the row; a call that was left open is given as text."""
        events = self._flush()
        if self._in_call:
            events.append(TextDelta(self._row, self._decode(self._inner)))
        return [*events, End(self._row, reason)]

    def _feed_call(self, token: int) -> list[Event]:
        if token != self._table.call_close:
            self._inner.append(token)
            return []
        text = self._decode(self._inner)
        self._inner, self._in_call = [], False
        call = parse_call(text)
        return [TextDelta(self._row, text) if call is None else CallReady(self._row, call)]

    def _flush(self) -> list[Event]:
        text = self._text.flush()
        return [TextDelta(self._row, text)] if text else []


def _only(token: int | None) -> set[int]:
    return set() if token is None else {token}
