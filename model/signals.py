"""The signal tokens, and the splitter that turns a row's tokens into events.

What the core adds to a language model's vocabulary, in the order in which the rows are
added (the first 38 are those of NExT-GPT, arXiv 2309.05519, section 3):

    token                what it is
    <Img>  </Img>        wrap the embeddings of a medium that the core is shown
    [IMG0] … [IMG3]      a run of 4: make a picture
    [VID0] … [VID23]     a run of 24: make a film
    [AUD0] … [AUD7]      a run of 8: make a sound
    <|image|> <|video|> <|audio|>   open a span: a caption in words follows, then the run
    <|call|>  <|/call|>  wrap a tool call as JSON: {"name": …, "args": {…}}

A span is ``<|image|>a red dog[IMG0][IMG1][IMG2][IMG3]``: the run closes it. A run without
an opener is a span without words. What may come where is decided here too
(``Splitter.allows``), so a run can't be broken, run away, or be left open.

Nothing here needs torch until a signal is written to bytes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from heliograph.model.errors import InputError
from heliograph.model.parts import MODALITIES, Modality, ToolCall

if TYPE_CHECKING:
    from torch import Tensor

MEDIA_OPEN, MEDIA_CLOSE = "<Img>", "</Img>"
CALL_OPEN, CALL_CLOSE = "<|call|>", "<|/call|>"
PREFIXES: dict[Modality, str] = {"image": "IMG", "video": "VID", "audio": "AUD"}


@dataclass(frozen=True)
class SignalSpec:
    """One modality's row of the table."""

    modality: Modality
    count: int
    """How many tokens a run has."""

    @property
    def opener(self) -> str:
        """The token that opens a span with a caption."""
        return f"<|{self.modality}|>"

    @property
    def run(self) -> tuple[str, ...]:
        """The run's tokens in order."""
        return tuple(f"[{PREFIXES[self.modality]}{i}]" for i in range(self.count))


DEFAULT_SPECS = (SignalSpec("image", 4), SignalSpec("video", 24), SignalSpec("audio", 8))


def added_tokens(specs: Sequence[SignalSpec] = DEFAULT_SPECS) -> list[str]:
    """All tokens of the table, in the order in which their rows are added."""
    runs = [token for spec in specs for token in spec.run]
    openers = [spec.opener for spec in specs]
    return [MEDIA_OPEN, MEDIA_CLOSE, *runs, *openers, CALL_OPEN, CALL_CLOSE]


@dataclass(frozen=True)
class SignalTable:
    """The table bound to one tokenizer: the same rows as token ids."""

    specs: tuple[SignalSpec, ...]
    media_open: int
    media_close: int
    call_open: int
    call_close: int
    openers: dict[Modality, int]
    runs: dict[Modality, tuple[int, ...]]

    @classmethod
    def bind(cls, specs: Sequence[SignalSpec], to_id: Callable[[str], int]) -> SignalTable:
        """Look every token up with ``to_id``."""
        return cls(
            specs=tuple(specs),
            media_open=to_id(MEDIA_OPEN),
            media_close=to_id(MEDIA_CLOSE),
            call_open=to_id(CALL_OPEN),
            call_close=to_id(CALL_CLOSE),
            openers={spec.modality: to_id(spec.opener) for spec in specs},
            runs={spec.modality: tuple(map(to_id, spec.run)) for spec in specs},
        )

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """The modalities that can be signalled."""
        return tuple(m for m in MODALITIES if m in self.runs)

    def opened_by(self, token: int) -> Modality | None:
        """The modality whose span this token opens."""
        return next((m for m, opener in self.openers.items() if opener == token), None)

    def started_by(self, token: int) -> Modality | None:
        """The modality whose run this token is the first of."""
        return next((m for m, run in self.runs.items() if run[0] == token), None)


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
    """

    def __init__(self, decode: Callable[[list[int]], str]) -> None:
        self._decode = decode
        self._ids: list[int] = []
        self._context = 0  # where the ids begin that are decoded for context
        self._said = 0  # how many ids have been turned into text

    def push(self, token: int) -> str:
        """The text that this id completes, often empty."""
        self._ids.append(token)
        return self._release(final=False)

    def flush(self) -> str:
        """What is left, with a replacement character for bytes that never came."""
        return self._release(final=True)

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
    ) -> None:
        """Start a row.

        Args:
            table: the signal tokens as ids.
            decode: the tokenizer's, from ids to text.
            row: which row of the batch it is; all events carry it.
            makes: modalities whose spans may be opened.
            captions: False closes a span's caption as soon as it is opened.
        """
        self._table, self._decode, self._row = table, decode, row
        self._makes, self._captions = frozenset(makes), captions
        self._text = TextStream(decode)
        self._inner: list[int] = []  # ids of the caption or of the call that is open
        self._span: Modality | None = None
        self._in_call = False
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
            return {table.call_close}
        sizes = {m: len(run) for m, run in table.runs.items() if m in self._makes}
        starts = {table.runs[m][0] for m, size in sizes.items() if size <= room}
        opens = {table.openers[m] for m, size in sizes.items() if size < room}
        return starts | opens | {table.call_open}

    def feed(self, token: int) -> list[Event]:
        """The events that this token brings."""
        table, row = self._table, self._row
        if self._in_call:
            return self._feed_call(token)
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
        text = self._text.push(token)
        return [TextDelta(row, text)] if text else []

    def force_run(self) -> None:
        """Close the open span's caption: its run comes next."""
        self.pending = self._span

    def finish_run(self, hidden: Tensor, embeddings: Tensor) -> SignalReady:
        """The signal of the run that was pending; states are (n, W)."""
        assert self.pending is not None
        signal = Signal(self.pending, self._decode(self._inner).strip(), hidden, embeddings)
        self._inner, self._span, self.pending = [], None, None
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
