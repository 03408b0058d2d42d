"""The turn's state machine, with a scripted core."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, ToolMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import Durability

from heliograph.agent.testing import Say, ScriptedCore, said
from heliograph.graphs import events
from heliograph.graphs.features import Features
from heliograph.graphs.options import TurnOptions
from heliograph.graphs.steps import Steps
from heliograph.graphs.turn import Turn, TurnContext, build
from heliograph.memory.artifacts import ArtifactStore
from heliograph.model.errors import Cancelled, InputError, MediaError, WeightsError
from heliograph.model.media import Image, write
from heliograph.model.parts import Media, Message, Text, ToolCall
from heliograph.tools.calculate import calculate

SYNC: Durability = "sync"


class Bench:
    """A graph over a scripted core, with an in-memory saver."""

    def __init__(self, path: Path, core: ScriptedCore) -> None:
        self.core, self.store = core, ArtifactStore(path / "artifacts")
        self.steps = Steps(core, self.store, Features(path / "features"), {"calculate": calculate})
        self.graph: Turn = build(self.steps, InMemorySaver())

    def config(self, thread: str = "t") -> Any:
        return {"configurable": {"thread_id": thread}}

    def ask(self, text: str, *media: Media, **options: Any) -> list[events.TurnEvent]:
        blocks = [self.store.put_media(m) for m in media]
        question = {"question": [*blocks, {"type": "text", "text": text}], "options": options}
        return list(self.stream(question))

    def stream(self, question: Any) -> Iterator[Any]:
        return self.graph.stream(
            question,
            self.config(),
            stream_mode="custom",
            durability=SYNC,
            context=TurnContext(),
        )

    def values(self) -> Any:
        return self.graph.get_state(self.config()).values

    def last(self) -> AnyMessage:
        message: AnyMessage = self.values()["messages"][-1]
        return message


@pytest.fixture
def bench(tmp_path: Path) -> Any:
    return lambda *replies, **kw: Bench(tmp_path, ScriptedCore(*replies, **kw))


def picture(value: int = 7) -> Media:
    return write(Image(np.full((16, 16, 3), value, dtype=np.uint8)))


def kinds(said: list[Any]) -> list[str]:
    return [type(event).__name__ for event in said]


def test_words_that_come_fast_are_passed_on_together_and_whole(bench: Any) -> None:
    text = "word " * 200
    b = bench([text, Say("image", "a dog"), text])
    heard = b.ask("Hi")
    deltas = [e.text for e in heard if isinstance(e, events.TextDelta)]
    assert "".join(deltas) == text * 2
    assert len(deltas) < 200
    started = next(i for i, e in enumerate(heard) if isinstance(e, events.SignalStarted))
    before = [e.text for e in heard[:started] if isinstance(e, events.TextDelta)]
    assert "".join(before) == text


def test_words_alone(bench: Any) -> None:
    b = bench(["Hello there."])
    assert b.ask("Hi") == [events.TextDelta("Hello "), events.TextDelta("there.")]
    human, ai = b.values()["messages"]
    assert human.content == [{"type": "text", "text": "Hi"}]
    assert ai.content == [{"type": "text", "text": "Hello there."}]


def test_the_answers_order_is_the_order_said(bench: Any) -> None:
    b = bench(["A ", Say("video", "film"), " B ", Say("image", "dog"), Say("audio", "bell"), " C"])
    b.ask("Mix")
    types = [block["type"] for block in b.last().content]
    assert types == ["text", "video", "text", "image", "audio", "text"]
    captions = [block["extras"]["caption"] for block in b.last().content if "extras" in block]
    assert captions == ["film", "dog", "bell"]


def test_a_signal_tells_its_start_its_progress_and_its_end(bench: Any) -> None:
    heard = bench(["See: ", Say("image", "dog")]).ask("Draw")
    assert kinds(heard) == [
        "TextDelta",
        "SignalStarted",
        "DecoderProgress",
        "DecoderProgress",
        "MediumDone",
    ]
    assert heard[1] == events.SignalStarted(0, "image")
    assert heard[3] == events.DecoderProgress(0, 2, 2)
    assert heard[4].media.caption == "dog"


def test_the_state_holds_references_and_no_bytes(bench: Any, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    big = write(Image(rng.integers(0, 255, (600, 600, 3), dtype=np.uint8)))
    assert len(big.data) > 1_000_000
    b = bench(["It is ", Say("image", "noise")])
    b.ask("What is it?", big)
    for _ in range(5):
        b.ask("And now?")
    serde = b.graph.checkpointer.serde
    sizes = [
        len(serde.dumps_typed(saved.checkpoint)[1]) for saved in b.graph.checkpointer.list(None)
    ]
    assert max(sizes) < 20_000


def test_a_signal_is_a_call_whose_hidden_states_lie_in_the_store(bench: Any) -> None:
    b = bench([Say("image", "dog")])
    b.ask("Draw", seed=5)
    (item,) = b.values()["said"]
    assert (item["type"], item["name"]) == ("tool_call", "image")
    assert item["args"]["caption"] == "dog"
    assert item["args"]["seed"] == 5
    assert b.store.has(item["args"]["signal"])


def test_each_signal_is_decoded_alone_with_a_seed_of_its_own(bench: Any) -> None:
    """A batch differs in the last bits: a seed's bytes must not depend on its company."""
    b = bench([Say("image", "a"), Say("image", "b"), Say("audio", "c")])
    b.ask("Draw", seed=10)
    assert sorted(b.core.decoded) == [("audio", (12,)), ("image", (10,)), ("image", (11,))]


def test_what_is_handed_over_together_is_decoded_together(bench: Any) -> None:
    b = bench([Say("image", "a"), Say("image", "b"), Say("audio", "c")])
    b.ask("Draw", seed=10)
    calls = b.values()["said"]
    b.core.decoded.clear()
    b.core.decode_errors = [RuntimeError("too many at once")]
    blocks = b.steps.decode_all(calls, lambda _: None, lambda: False)
    assert b.core.decoded == [("image", (10,)), ("image", (11,)), ("audio", (12,))]
    assert blocks == list(b.values()["made"].values())
    b.core.decoded.clear()
    b.steps.decode_all(calls, lambda _: None, lambda: False)
    assert b.core.decoded == [("image", (10, 11)), ("audio", (12,))]


def test_a_medium_is_encoded_once_for_all_turns_and_processes(bench: Any, tmp_path: Path) -> None:
    b = bench(["A dog."])
    b.ask("What is this?", picture())
    b.ask("Sure?")
    assert b.core.encoded == [picture().sha256]
    other = Bench(tmp_path, ScriptedCore(["A dog."]))
    other.ask("What is this?", picture(), picture(8))
    assert other.core.encoded == [picture(8).sha256]


def test_damaged_features_are_made_again(bench: Any, tmp_path: Path) -> None:
    b = bench(["A dog."])
    b.ask("What is this?", picture())
    (path,) = (tmp_path / "features").iterdir()
    path.write_bytes(b"nonsense")
    other = Bench(tmp_path, ScriptedCore(["A dog."]))
    other.ask("What is this?", picture())
    assert len(other.core.encoded) == 1


def test_a_tools_result_goes_back_to_the_core(bench: Any) -> None:
    call = ToolCall("calculate", {"expression": "6 * 7"})
    b = bench(["Let me see. ", call], ["It is 42."])
    heard = b.ask("How much?")
    assert events.ToolCalled(0, "calculate", {"expression": "6 * 7"}) in heard
    assert events.ToolResult(0, "calculate", "42") in heard
    again = b.core.asked[1][-1]
    assert again == Message(
        "assistant", (Text("Let me see. "), ToolCall("calculate", call.args, "42"))
    )
    _, first, result, second = b.values()["messages"]
    assert isinstance(first, AIMessage) and first.tool_calls[0]["name"] == "calculate"
    assert isinstance(result, ToolMessage) and result.content == "42"
    assert second.content == [{"type": "text", "text": "It is 42."}]


def test_a_later_turn_reads_what_was_made_and_called(bench: Any) -> None:
    call = ToolCall("calculate", {"expression": "1 + 1"})
    b = bench([Say("image", "dog"), call], ["2."], ["Fine."])
    b.ask("Draw and add", picture())
    b.ask("And now?")
    user, assistant, _ = b.core.asked[2]
    assert user.parts[0].sha256 == picture().sha256
    made, done, text = assistant.parts
    assert (made.modality, made.caption) == ("image", "dog")
    assert done == ToolCall("calculate", {"expression": "1 + 1"}, "2")
    assert text == Text("2.")


def test_what_goes_wrong_in_a_tool_is_told_to_the_core(bench: Any) -> None:
    b = bench(
        [ToolCall("calculate", {"expression": "1 / 0"}), ToolCall("fly", {})],
        [ToolCall("calculate", {"wrong": 1})],
        ["I can't."],
    )
    heard = b.ask("Go")
    results = [event.result for event in heard if isinstance(event, events.ToolResult)]
    assert len(results) == 3
    assert all(result.startswith("Error: ") for result in results)
    assert b.last().content == [{"type": "text", "text": "I can't."}]


def test_tool_calls_are_bounded(bench: Any) -> None:
    b = bench([ToolCall("calculate", {"expression": "1 + 1"})])
    b.ask("Loop")
    assert len(b.core.asked) == b.steps.max_rounds
    assert "no more tool calls" in b.last().content


def test_a_decoder_that_fails_once_is_tried_again(bench: Any) -> None:
    b = bench([Say("image", "dog")], decode_errors=[RuntimeError("out of luck")])
    assert "MediumDone" in kinds(b.ask("Draw"))


def test_a_decoder_that_fails_twice_leaves_a_failure_in_its_place(bench: Any) -> None:
    errors = [RuntimeError("out of luck"), RuntimeError("again")]
    b = bench(["One: ", Say("image", "dog"), " end"], ["Next."], decode_errors=errors)
    heard = b.ask("Draw")
    assert heard[-1] == events.MediumFailed(0, "image", "The image could not be made: again.")
    assert [block["type"] for block in b.last().content] == ["text", "non_standard", "text"]
    b.ask("Go on")  # what was said stays readable for the core
    assert b.core.asked[1][1].parts[1].caption == "dog"


def test_broken_weights_end_the_turn_and_it_can_be_resumed(bench: Any) -> None:
    b = bench([Say("image", "dog"), Say("audio", "bell")], decode_errors=[WeightsError("Bad.")])
    with pytest.raises(WeightsError, match="Bad."):
        b.ask("Draw")
    assert "messages" not in b.values() or b.values()["messages"] == []
    list(b.stream(None))
    assert len(b.core.asked) == 1
    assert [block["type"] for block in b.last().content] == ["image", "audio"]


def test_cancelling_leaves_the_conversation_as_it_was(bench: Any) -> None:
    b = bench(["Hello."], ["And a very long answer."])
    b.ask("Hi")
    before = b.values()["messages"]
    with pytest.raises(Cancelled):
        b.graph.invoke(
            {"question": [{"type": "text", "text": "Go on"}]},
            b.config(),
            context=TurnContext(cancelled=lambda: True),
        )
    assert b.values()["messages"] == before


@pytest.mark.parametrize(
    ("block", "error"),
    [
        ({"type": "text", "text": "a\0b"}, InputError),
        ({"type": "text", "text": "\ud800"}, InputError),
        ({"type": "text", "text": "x" * 100_000}, InputError),
        ({"type": "text", "text": "  "}, InputError),
        ({"type": "image", "base64": "!!!"}, MediaError),
        ({"type": "image", "url": "https://example.org/a.png"}, MediaError),
        ({"type": "image", "url": "file:///nowhere.png"}, MediaError),
        ({"type": "video_plain", "url": ""}, InputError),
    ],
)
def test_bad_questions_lose_nothing(bench: Any, block: Any, error: type[Exception]) -> None:
    b = bench(["Hello."])
    b.ask("Hi")
    with pytest.raises(error):
        list(b.stream({"question": [block]}))
    assert len(b.values()["messages"]) == 2
    b.ask("Hi again")
    assert len(b.values()["messages"]) == 4
    assert len(b.core.asked) == 2


def test_the_graph_is_a_node_of_another(bench: Any) -> None:
    b = bench(lambda conversation: [f"You said {said(conversation)}. ", Say("image", "dog")])
    outer = StateGraph(MessagesState)
    outer.add_node("heliograph", build(b.steps))
    outer.add_edge(START, "heliograph")
    outer.add_edge("heliograph", END)
    data = base64.b64encode(picture().data).decode()
    content: Any = [
        {"type": "text", "text": "hi"},
        {"type": "image", "base64": data, "mime_type": "image/png"},
    ]
    result = outer.compile().invoke({"messages": [HumanMessage(content=content, id="q")]})
    question, answer = result["messages"]
    assert question.id == "q"
    assert question.content[1]["url"] == f"heliograph://sha256/{picture().sha256}"
    assert [block["type"] for block in answer.content] == ["text", "image"]


def test_seeds_reproduce(tmp_path: Path) -> None:
    def made(seed: int, name: str) -> list[str]:
        b = Bench(tmp_path / name, ScriptedCore([Say("image", "a"), Say("image", "b")]))
        done = [e for e in b.ask("Draw", seed=seed) if isinstance(e, events.MediumDone)]
        return [e.media.sha256 for e in sorted(done, key=lambda e: e.index)]

    assert made(1, "x") == made(1, "y") != made(2, "z")


def test_an_unknown_option_is_refused() -> None:
    with pytest.raises(InputError, match="sead"):
        TurnOptions().with_changes({"sead": 1})
