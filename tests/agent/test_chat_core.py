"""A LangChain chat model in the core's place, with the bundled decoders."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    HumanMessage,
    ToolMessage,
)
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable
from pydantic import Field

from heliograph.agent import chat_models, loading
from heliograph.agent.assistant import Assistant
from heliograph.agent.chat_core import ChatModelCore, to_langchain
from heliograph.agent.cli import main
from heliograph.agent.settings import Settings
from heliograph.agent.testing import ScriptedCore
from heliograph.model import machine
from heliograph.model.errors import InputError, ToolFailed, TooLittleMemory, WeightsError
from heliograph.model.media import Image, read, write
from heliograph.model.needs import needs
from heliograph.model.parts import Media, Message, Text, ToolCall
from heliograph.model.plan import PROCESS
from heliograph.tools.calculate import calculate

Call = tuple[str, str]
"""A tool's name and its arguments as JSON."""


class Scripted(BaseChatModel):
    """Says its replies in turn: words, then calls; keeps what it was asked."""

    replies: list[tuple[str, list[Call]]]
    asked: list[list[BaseMessage]] = Field(default_factory=list)
    offered: list[Any] = Field(default_factory=list)

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, tools: Sequence[Any], **options: Any) -> Runnable[Any, AIMessage]:
        self.offered = list(tools)
        return self

    def _generate(self, messages: list[BaseMessage], *args: Any, **options: Any) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=AIMessage("unused"))])

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **options: Any,
    ) -> Iterator[ChatGenerationChunk]:
        words, calls = self.replies[min(len(self.asked), len(self.replies) - 1)]
        self.asked.append(messages)
        if words == "break":
            raise ConnectionError("the line\nis dead")
        for word in words.split(" "):
            yield ChatGenerationChunk(message=AIMessageChunk(content=word + " "))
        for index, (name, args) in enumerate(calls):
            pieces = ((name, args[:5]), (None, args[5:]))  # providers stream them in pieces
            for named, piece in pieces:
                chunk = tool_call_chunk(name=named, args=piece, id=f"c{index}", index=index)
                yield ChatGenerationChunk(message=AIMessageChunk("", tool_call_chunks=[chunk]))


def assistant(path: Path, *replies: tuple[str, list[Call]]) -> tuple[Assistant, Scripted]:
    model = Scripted(replies=list(replies))
    core = ChatModelCore(model, ScriptedCore().decoder, tools=[calculate])
    return Assistant(Settings.of(home=path, condition="caption"), core=core), model


def test_a_call_named_for_a_modality_is_a_medium(tmp_path: Path) -> None:
    calls = [("image", '{"caption": "a dog"}'), ("video", '{"caption": "a dog moves left"}')]
    helper, model = assistant(tmp_path, ("Here you are:", calls))
    answer = helper.invoke("Show me a dog, then film it.", thread="t")
    assert [type(part).__name__ for part in answer.parts] == ["Text", "Media", "Media"]
    assert [(m.modality, m.caption) for m in answer.media] == [
        ("image", "a dog"),
        ("video", "a dog moves left"),
    ]
    assert len(model.asked) == 1, "a medium needs no second round"
    assert [o["title"] for o in model.offered[:3]] == ["image", "audio", "video"]


def test_results_of_tools_and_made_media_are_told_to_the_model(tmp_path: Path) -> None:
    calls = [("image", '{"caption": "a dog"}'), ("calculate", '{"expression": "6 * 7"}')]
    helper, model = assistant(tmp_path, ("Let me see:", calls), ("It is 42.", []))
    answer = helper.invoke("Draw a dog and work out 6 * 7.", thread="t")
    assert answer.text.split() == ["Let", "me", "see:", "It", "is", "42."]
    said = model.asked[1][-3:]
    assert isinstance(said[0], AIMessage)
    assert [call["name"] for call in said[0].tool_calls] == ["image", "calculate"]
    assert [m.content for m in said[1:] if isinstance(m, ToolMessage)][1] == "42"
    ids = [call["id"] for call in said[0].tool_calls]
    assert ids == [m.tool_call_id for m in said[1:] if isinstance(m, ToolMessage)]


def test_what_a_user_shows_goes_to_the_model_as_it_is(tmp_path: Path) -> None:
    import numpy as np

    picture = write(Image(np.zeros((8, 8, 3), dtype=np.uint8)))
    helper, model = assistant(tmp_path, ("Black.", []))
    helper.invoke(["What is this?", picture], thread="t")
    asked = model.asked[0][-1]
    assert isinstance(asked, HumanMessage)
    kinds = [block["type"] for block in asked.content if isinstance(block, dict)]
    assert kinds == ["text", "image"]


def test_arguments_that_make_no_sense_come_back_as_an_error(tmp_path: Path) -> None:
    calls = [("image", '{"what": 3}'), ("audio", '{"caption": ')]
    helper, model = assistant(tmp_path, ("Here:", calls), ("I can't.", []))
    answer = helper.invoke("Draw.", thread="t")
    assert not answer.media
    results = [str(m.content) for m in model.asked[1] if isinstance(m, ToolMessage)]
    assert len(results) == 2 and all(r.startswith("Error: there is no tool") for r in results)


def test_a_broken_line_is_one_sentence_and_the_conversation_stays(tmp_path: Path) -> None:
    helper, _ = assistant(tmp_path, ("Fine.", []), ("break", []))
    helper.invoke("Hello.", thread="t")
    with pytest.raises(ToolFailed, match=r"broke off: ConnectionError: the line is dead\."):
        helper.invoke("And now?", thread="t")
    assert len(helper.history("t")) == 2


def test_a_model_without_tools_is_refused() -> None:
    with pytest.raises(InputError, match="can't call tools"):
        ChatModelCore(FakeListChatModel(responses=["a"]), ScriptedCore().decoder)


def test_the_signal_path_is_refused(tmp_path: Path) -> None:
    helper, _ = assistant(tmp_path, ("Here:", [("image", '{"caption": "a dog"}')]))
    with pytest.raises(WeightsError, match="leave `condition` at 'caption'"):
        helper.invoke("Draw a dog.", condition="signal")


def test_earlier_turns_are_told_in_order() -> None:
    conversation = [
        Message("user", (Text("Draw a dog, then add."),)),
        Message(
            "assistant",
            (
                Text("Here: "),
                Media("image", "", b"", caption="a dog"),
                ToolCall("calculate", {"expression": "1+1"}, "2"),
                Text("It is 2."),
            ),
        ),
    ]
    kinds = [type(m).__name__ for m in to_langchain(conversation)]
    assert kinds == [
        "SystemMessage",
        "HumanMessage",
        "AIMessage",
        "ToolMessage",
        "ToolMessage",
        "AIMessage",
    ]


@pytest.mark.parametrize("device", ["cpu", "auto"])
def test_llm_on_the_command_line_draws_with_the_bundled_decoder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, device: str
) -> None:
    model = Scripted(replies=[("Here:", [("image", '{"caption": "two dogs, blue background"}')])])
    monkeypatch.setattr(chat_models, "named", lambda name: model)
    monkeypatch.setenv("HELIOGRAPH_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("HELIOGRAPH_WEIGHTS", raising=False)
    options = ["--device", device, "--steps", "1", "--out", str(tmp_path)]
    with pytest.raises(SystemExit) as ended:
        main(["ask", "Two dogs, please.", "--llm", "a:b", *options])
    assert ended.value.code == 0
    drawn = next(tmp_path.glob("*.png"))
    clip = read(Media("image", "image/png", drawn.read_bytes()))
    assert isinstance(clip, Image) and clip.pixels.shape == (64, 64, 3)


@pytest.mark.parametrize("device", ["cpu", "auto"])
def test_beside_a_chat_model_there_has_to_be_memory_for_the_decoders_only(
    tiny_core_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, device: str
) -> None:
    shutil.copytree(tiny_core_dir, tmp_path / "core")
    for gone in ("language", "encoders"):
        shutil.rmtree(tmp_path / "core" / gone)
    monkeypatch.setattr(chat_models, "named", lambda name: Scripted(replies=[]))
    monkeypatch.setattr(loading, "LARGE", 1)
    settings = Settings.of(weights=tmp_path / "core", home=tmp_path, llm="a:b", device=device)
    settings = settings.model_copy(update={"dtype": "bfloat16"})
    needed = [need for need in needs(tiny_core_dir) if need.role == "decoder"]
    smallest = PROCESS + sum(need.weights("bfloat16") for need in needed)
    smallest += max(need.working("bfloat16", 0) for need in needed)
    monkeypatch.setattr(machine, "cpu_memory", lambda: smallest)
    core = loading.chat_core(settings, [])
    assert next(core.decoder("image").pipeline.unet.parameters()).dtype == torch.bfloat16
    monkeypatch.setattr(machine, "cpu_memory", lambda: smallest - 1)
    with pytest.raises(TooLittleMemory, match=r"takes 1\.0 GB of memory where"):
        loading.chat_core(settings, [])
