from __future__ import annotations

import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from heliograph.model.errors import InputError
from heliograph.model.parts import ToolCall
from heliograph.model.signals import (
    DEFAULT_SPECS,
    CallReady,
    End,
    Event,
    Signal,
    SignalReady,
    SignalStarted,
    SignalTable,
    Splitter,
    TextDelta,
    TextStream,
    added_tokens,
    parse_call,
    render_call,
)

# A toy vocabulary: 256 bytes, then the added tokens.
TOKENS = added_tokens()
IDS = {token: 256 + index for index, token in enumerate(TOKENS)}
TABLE = SignalTable.bind(DEFAULT_SPECS, IDS.__getitem__)


def decode(ids: list[int]) -> str:
    return bytes(i for i in ids if i < 256).decode("utf-8", "replace")


def run(splitter: Splitter, *pieces: str) -> list[Event]:
    """Feed texts and tokens; runs are finished as the generator does."""
    events: list[Event] = []
    for piece in pieces:
        for token in [IDS[piece]] if piece in IDS else piece.encode():
            events += splitter.feed(token)
            if splitter.pending is not None:
                states = torch.zeros(len(TABLE.runs[splitter.pending]), 3)
                events.append(splitter.finish_run(states, states))
    return events


def said(events: list[Event]) -> list[object]:
    """Events with text deltas joined, signals as (modality, caption)."""
    out: list[object] = []
    for event in events:
        match event:
            case TextDelta():
                if out and isinstance(out[-1], str):
                    out[-1] += event.text
                else:
                    out.append(event.text)
            case SignalReady():
                out.append((event.signal.modality, event.signal.caption))
            case SignalStarted():
                out.append(("started", event.modality))
            case CallReady():
                out.append(event.call)
            case End():
                out.append(("end", event.reason))
    return out


def test_the_first_rows_are_those_of_nextgpt() -> None:
    assert TOKENS[:2] == ["<Img>", "</Img>"]
    assert TOKENS[2:38] == [
        *(f"[IMG{i}]" for i in range(4)),
        *(f"[VID{i}]" for i in range(24)),
        *(f"[AUD{i}]" for i in range(8)),
    ]
    assert len(set(TOKENS)) == len(TOKENS)


def test_text_and_signals_keep_their_order() -> None:
    splitter = Splitter(TABLE, decode, row=3)
    events = run(splitter, "see ", "<|image|>", " a dog", "[IMG0]", " hear ", "[AUD0]", " end")
    events += splitter.end("stop")
    assert said(events) == [
        "see ",
        ("started", "image"),
        ("image", "a dog"),
        " hear ",
        ("started", "audio"),
        ("audio", ""),
        " end",
        ("end", "stop"),
    ]
    assert {event.row for event in events} == {3}


def test_a_call_is_read() -> None:
    splitter = Splitter(TABLE, decode, row=0)
    call = ToolCall("calculate", {"expression": "é + 1"})
    assert said(run(splitter, "so ", "<|call|>", render_call(call), "<|/call|>", "!")) == [
        "so ",
        call,
        "!",
    ]


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"name": 3}', '{"name": "a", "args": []}'])
def test_what_is_no_call_is_text(text: str) -> None:
    assert parse_call(text) is None
    splitter = Splitter(TABLE, decode, row=0)
    events = run(splitter, "<|call|>", text, "<|/call|>")
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == text


def test_a_call_left_open_is_given_as_text() -> None:
    splitter = Splitter(TABLE, decode, row=0)
    run(splitter, "<|call|>", '{"na')
    assert said(splitter.end("length")) == ['{"na', ("end", "length")]


def test_without_captions_a_span_goes_straight_to_its_run() -> None:
    splitter = Splitter(TABLE, decode, row=0, captions=False)
    events = run(splitter, "<|video|>")
    assert said(events) == [("started", "video"), ("video", "")]


def test_what_may_come() -> None:
    splitter = Splitter(TABLE, decode, row=0)
    first = {run[0] for run in TABLE.runs.values()}
    assert splitter.allows(100) == first | set(TABLE.openers.values()) | {TABLE.call_open}
    # Room for a picture's run, but not for its opener too.
    assert splitter.allows(4) == {IDS["[IMG0]"], TABLE.call_open}
    assert splitter.allows(3) == {TABLE.call_open}
    splitter.feed(IDS["<|audio|>"])
    assert splitter.allows(100) == {IDS["[AUD0]"]}
    closed = Splitter(TABLE, decode, row=0, makes=["image"])
    assert IDS["[AUD0]"] not in closed.allows(100) and IDS["<|video|>"] not in closed.allows(100)
    closed.feed(TABLE.call_open)
    assert closed.allows(100) == {TABLE.call_close}


def test_what_can_not_be_made_is_said_and_ends_the_answer() -> None:
    unmade = {TABLE.openers["audio"]: "audio", TABLE.runs["audio"][0]: "audio"}
    for token in unmade:
        splitter = Splitter(TABLE, decode, row=0, makes=["image"], unmade=unmade)  # type: ignore[arg-type]
        assert set(unmade) <= splitter.allows(100)
        said_of = [event for event in splitter.feed(token) if isinstance(event, TextDelta)]
        assert [event.text for event in said_of] == ["These weights can't make sounds."]
        assert splitter.stopped and splitter.pending is None and splitter.span is None


@given(st.text())
def test_a_stream_gives_the_whole_text_and_no_broken_characters(text: str) -> None:
    stream = TextStream(decode)
    pieces = [stream.push(byte) for byte in text.encode()]
    assert "".join(pieces) + stream.flush() == text
    if "\ufffd" not in text:
        assert all("\ufffd" not in piece for piece in pieces)


@given(st.binary())
def test_a_stream_survives_any_bytes(data: bytes) -> None:
    stream = TextStream(decode)
    text = "".join([*(stream.push(byte) for byte in data), stream.flush()])
    assert text == data.decode("utf-8", "replace")


def test_a_stream_keeps_the_space_that_a_tokenizer_drops() -> None:
    words = ["one", "two", "three"]
    stream = TextStream(lambda ids: " ".join(words[i] for i in ids))
    assert [stream.push(0), stream.flush(), stream.push(1), stream.push(2)] == [
        "one",
        "",
        " two",
        " three",
    ]


def test_signals_go_through_bytes() -> None:
    signal = Signal("audio", 'a "bell" é', torch.randn(8, 5), torch.randn(8, 5))
    again = Signal.from_safetensors(signal.to_safetensors())
    assert (again.modality, again.caption) == (signal.modality, signal.caption)
    assert torch.equal(again.hidden, signal.hidden)
    assert torch.equal(again.embeddings, signal.embeddings)
    assert signal.to_safetensors() == again.to_safetensors()


@given(st.binary(max_size=64))
def test_bytes_that_are_no_signal_are_refused(data: bytes) -> None:
    with pytest.raises(InputError):
        Signal.from_safetensors(data)


def test_tensors_that_are_no_signal_are_refused() -> None:
    header = json.dumps({"x": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    with pytest.raises(InputError):
        Signal.from_safetensors(len(header).to_bytes(8, "little") + header + bytes(4))
