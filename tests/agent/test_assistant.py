"""The assistant, with a scripted core and real files, SQLite and locks."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from heliograph.agent import Assistant, Settings
from heliograph.agent.resuming import INTERRUPTED
from heliograph.agent.testing import Say, ScriptedCore, said
from heliograph.agent.threads import held
from heliograph.graphs import events
from heliograph.memory import artifacts
from heliograph.model.errors import (
    Cancelled,
    HeliographError,
    InputError,
    MediaError,
    StoreError,
    ThreadBusy,
    WeightsError,
)
from heliograph.model.media import Image, write
from heliograph.model.parts import Media, Text, ToolCall


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Assistant]:
    def assistant(*replies: Any, **kw: Any) -> Assistant:
        return Assistant(Settings.of(home=tmp_path / "home"), core=ScriptedCore(*replies, **kw))

    return assistant


@pytest.fixture
def dog(tmp_path: Path) -> Path:
    path = tmp_path / "dog.png"
    path.write_bytes(picture().data)
    return path


def picture(value: int = 7) -> Media:
    return write(Image(np.full((16, 16, 3), value, dtype=np.uint8)))


def core(assistant: Assistant) -> ScriptedCore:
    found = assistant.steps.core
    assert isinstance(found, ScriptedCore)
    return found


def test_an_answer_has_its_parts_in_the_order_said(make: Any) -> None:
    call = ToolCall("calculate", {"expression": "2 * 3"})
    assistant = make(["A ", Say("image", "dog"), " B ", call], ["is 6 ", Say("audio", "bell")])
    answer = assistant.invoke("Go")
    image, audio = answer.media
    assert answer.parts == (
        Text("A "),
        image,
        Text(" B "),
        ToolCall("calculate", {"expression": "2 * 3"}, "6"),
        Text("is 6 "),
        audio,
    )
    assert (image.mime_type, image.caption) == ("image/png", "dog")
    assert (audio.mime_type, audio.caption) == ("audio/wav", "bell")
    assert answer.text == "A  B is 6 "
    assert answer.timing.total_s > 0


def test_a_stream_ends_with_the_answer(make: Any) -> None:
    heard = list(make(["Hello ", Say("video", "cat")]).stream("Hi"))
    assert heard[0] == events.TextDelta("Hello ")
    assert isinstance(heard[-1], events.TurnEnd)
    assert heard[-1].answer.media[0].modality == "video"


def test_the_async_twins_do_the_same(make: Any) -> None:
    assistant = make(["Hello ", Say("image", "cat")])

    async def both() -> tuple[events.Answer, list[events.TurnEvent]]:
        answer = await assistant.ainvoke("Hi")
        return answer, [event async for event in assistant.astream("Hi")]

    answer, heard = asyncio.run(both())
    assert isinstance(heard[-1], events.TurnEnd)
    assert heard[-1].answer.parts == answer.parts == assistant.invoke("Hi").parts


def test_a_conversation_outlives_its_process(make: Any, dog: Path) -> None:
    make(["A dog."]).invoke("What is this?", files=[dog], thread="t")
    later = make(["Brown."])
    later.invoke("Which colour?", thread="t")
    (conversation,) = core(later).asked
    assert [message.role for message in conversation] == ["user", "assistant", "user"]
    assert conversation[0].parts == (picture(), Text("What is this?"))
    entries = later.history("t")
    assert [entry.role for entry in entries] == ["user", "assistant", "user", "assistant"]
    assert entries[0].parts[0] == picture()


def test_threads_are_apart_and_a_turn_without_one_is_alone(make: Any) -> None:
    assistant = make(["Yes."])
    assistant.invoke("One", thread="a")
    assistant.invoke("Two", thread="b")
    assert assistant.invoke("Three").thread not in ("a", "b")
    assert [len(conversation) for conversation in core(assistant).asked] == [1, 1, 1]


def test_text_and_files_keep_their_order(make: Any, dog: Path) -> None:
    assistant = make(["Two dogs."])
    assistant.invoke(["Is ", dog, " like ", picture(8), "?"])
    (message,) = core(assistant).asked[0]
    assert message.parts == (Text("Is "), picture(), Text(" like "), picture(8), Text("?"))


def test_a_seed_reproduces(make: Any) -> None:
    assistant = make([Say("image", "dog")])
    first, same, other = (assistant.invoke("Draw", seed=seed).media for seed in (3, 3, 4))
    assert first == same != other


@pytest.mark.parametrize(
    ("text", "options", "error"),
    [
        ("", {}, InputError),
        ("a\0b", {}, InputError),
        ("\ud800", {}, InputError),
        ("x" * 100_000, {}, InputError),
        ("Hi", {"sead": 1}, InputError),
        ("Hi", {"steps": 0}, InputError),
        ("Hi", {"files": ["nowhere.png"]}, MediaError),
        ("Hi", {"files": [picture()] * 17}, InputError),
    ],
)
def test_bad_input_is_refused_and_loses_nothing(
    make: Any, text: str, options: dict[str, Any], error: type[HeliographError]
) -> None:
    assistant = make(["Hello."])
    assistant.invoke("Hi", thread="t")
    with pytest.raises(error):
        assistant.invoke(text, thread="t", **options)
    assert len(assistant.history("t")) == 2
    assistant.invoke("Hi", thread="t")
    assert len(assistant.history("t")) == 4


@pytest.mark.parametrize("name", ["", "x" * 300, "a\nb", "a\0b", "\ud800"])
def test_a_thread_has_a_printable_name(make: Any, name: str) -> None:
    with pytest.raises(InputError, match="name"):
        make(["Hello."]).invoke("Hi", thread=name)


def test_one_thread_has_one_turn_at_a_time(make: Any, tmp_path: Path) -> None:
    assistant = make(["Hello."])
    with held(tmp_path / "home", "t"):
        with pytest.raises(ThreadBusy):
            assistant.invoke("Hi", thread="t")
        assistant.invoke("Hi", thread="other")
    assistant.invoke("Hi", thread="t")


def test_a_turn_that_broke_in_decoding_resumes_without_the_core(make: Any) -> None:
    broken = make(["See: ", Say("image", "a"), Say("audio", "b")], decode_errors=[_Killed()] * 2)
    with pytest.raises(_Killed):
        broken.invoke("Draw", thread="t")
    again = make(["Something else."])
    heard = list(again.stream("Draw", thread="t"))
    assert core(again).asked == []
    assert heard[0] == events.TextDelta("See: ")
    assert isinstance(heard[-1], events.TurnEnd)
    assert [type(part) for part in heard[-1].answer.parts] == [Text, Media, Media]
    assert len(again.history("t")) == 2


def test_another_question_closes_the_interrupted_turn_and_keeps_what_was_said(make: Any) -> None:
    broken = make(["See: ", Say("image", "a")], decode_errors=[_Killed()])
    with pytest.raises(_Killed):
        broken.invoke("Draw", thread="t")
    again = make(["Fine."])
    assert again.invoke("Never mind", thread="t").text == "Fine."
    asked, drawn, _, _ = again.history("t")
    assert asked.parts == (Text("Draw"),)
    assert drawn.parts == (Text("See: "), events.Failure("image", "a", INTERRUPTED))
    assert core(again).asked[0][1].parts[1].caption == "a"


def test_a_failed_decoder_is_a_part_of_the_answer(make: Any) -> None:
    assistant = make(["See: ", Say("image", "a")], decode_errors=[RuntimeError("no luck")] * 2)
    answer = assistant.invoke("Draw", thread="t")
    (failure,) = answer.failures
    assert failure == events.Failure("image", "a", "The image could not be made: no luck.")
    assert assistant.history("t")[1].parts == answer.parts


KILLED = """
import os, sys, time
from pathlib import Path
from heliograph.agent import Assistant, Settings
from heliograph.agent.testing import Say, ScriptedCore, ScriptedDecoder

class Slow(ScriptedDecoder):
    def decode(self, condition, **options):
        if self.modality == "video":
            print("decoding", flush=True)
            time.sleep(60)
        return super().decode(condition, **options)

class Core(ScriptedCore):
    def decoder(self, modality):
        return Slow(self, modality)

core = Core(["See: ", Say("image", "a"), Say("video", "b"), " done"])
Assistant(Settings.of(home=Path(sys.argv[1])), core=core).invoke("Draw", thread="t")
"""


def test_a_process_killed_while_decoding_is_resumed_there(make: Any, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / ".links")}
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path / "home")],
        stdout=subprocess.PIPE,
        env=environment,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"decoding\n"
        with pytest.raises(ThreadBusy):
            make(["Hm."]).invoke("Draw", thread="t")
        process.send_signal(signal.SIGKILL)
    again = make(["Something else."])
    answer = again.invoke("Draw", thread="t")
    assert core(again).asked == []
    assert [type(part) for part in answer.parts] == [Text, Media, Media, Text]


def test_a_stream_that_is_closed_stops_the_turn(make: Any) -> None:
    assistant = make(["Hello ", Say("image", "a")], steps=10**9)
    stream = assistant.stream("Draw", thread="t")
    while not isinstance(next(stream), events.DecoderProgress):
        pass
    began = time.monotonic()
    stream.close()
    assert time.monotonic() - began < 10
    assert threading.active_count() < 10
    assert assistant.history("t") == []


def test_cancelling_raises_and_the_thread_is_free_again(make: Any) -> None:
    assistant = make(["Hello."])
    with pytest.raises(Cancelled):
        assistant.invoke("Hi", thread="t", cancelled=lambda: True)
    assert assistant.invoke("Hi", thread="t").text == "Hello."


def test_many_threads_share_an_assistant(make: Any) -> None:
    assistant = make(lambda conversation: [said(conversation), Say("image", said(conversation))])
    answers: dict[str, events.Answer] = {}

    def ask(name: str) -> None:
        answers[name] = assistant.invoke(name, thread=name)

    threads = [threading.Thread(target=ask, args=(f"t{i}",)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {name: answer.text for name, answer in answers.items()} == {n: n for n in answers}
    assert {answer.media[0].caption for answer in answers.values()} == set(answers)
    assert len(answers) == 4


def test_missing_weights_are_one_sentence(tmp_path: Path) -> None:
    settings = Settings.of(home=tmp_path / "home", weights=tmp_path / "nowhere")
    with pytest.raises(WeightsError):
        Assistant(settings).invoke("Hi")


def test_a_damaged_conversation_file_is_one_sentence(make: Any, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "conversations.sqlite").write_bytes(b"nonsense" * 1000)
    with pytest.raises(StoreError, match="conversations"):
        make(["Hello."]).invoke("Hi")


def test_a_home_that_is_a_file_is_one_sentence(make: Any, tmp_path: Path) -> None:
    (tmp_path / "home").write_text("")
    with pytest.raises(StoreError):
        make(["Hello."]).invoke("Hi")


def test_a_picture_is_not_copied_into_the_conversation(make: Any, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (600, 600, 3), dtype=np.uint8)
    big = write(Image(noise))
    assistant = make(["Noise.", Say("image", "noise")])
    for _ in range(5):
        assistant.invoke("What is it?", files=[big], thread="t")
    with sqlite3.connect(tmp_path / "home" / "conversations.sqlite") as connection:
        (largest,) = connection.execute(
            "select max(length(checkpoint)) from checkpoints"
        ).fetchone()
    connection.close()
    assert largest < 20_000 < 1_000_000 < len(big.data)


@pytest.mark.parametrize(
    "wrong", [{"seed": -1}, {"steps": 0}, {"top_p": 2}, {"colour": "red"}, {"dtype": "int8"}]
)
def test_wrong_settings_are_named(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(wrong))):
        Settings.of(**wrong)


def test_the_home_comes_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HELIOGRAPH_HOME", str(tmp_path / "a"))
    assert Settings.of().home == tmp_path / "a"
    monkeypatch.delenv("HELIOGRAPH_HOME")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "b"))
    assert Settings.of().home == tmp_path / "b" / "heliograph"


class _Killed(WeightsError):
    """Ends a turn in the middle of decoding."""


def test_a_full_disk_is_one_sentence_and_the_turn_can_be_resumed(
    make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assistant = make(["See: ", Say("image", "a")])
    write_file = artifacts.write_atomically

    def full(path: Path, data: bytes) -> None:
        if path.suffix == ".png":
            raise OSError(errno.ENOSPC, "No space left on device")
        write_file(path, data)

    monkeypatch.setattr(artifacts, "write_atomically", full)
    with pytest.raises(StoreError, match="No space left"):
        assistant.invoke("Draw", thread="t")
    monkeypatch.undo()
    assert [type(p) for p in assistant.invoke("Draw", thread="t").parts] == [Text, Media]
    assert len(core(assistant).asked) == 1


def test_a_full_database_is_one_sentence_and_loses_nothing(make: Any) -> None:
    assistant = make(["Hello. " * 50])
    assistant.invoke("Hi", thread="t")
    connection = assistant.graph.checkpointer.conn
    (pages,) = connection.execute("pragma page_count").fetchone()
    connection.execute(f"pragma max_page_count = {pages}")
    with pytest.raises(StoreError, match="full"):
        for _ in range(20):
            assistant.invoke("And? " * 500, thread="t")
    connection.execute("pragma max_page_count = 1000000")
    kept = assistant.history("t")
    assert len(kept) >= 2
    assistant.invoke("Hi again", thread="t")
    assert assistant.history("t")[: len(kept)] == kept


def test_of_a_finished_turn_one_checkpoint_is_kept(make: Any) -> None:
    assistant = make(["Hello.", Say("image", "a")])
    for _ in range(3):
        assistant.invoke("Hi", thread="t")
    assistant.invoke("Hi", thread="other")
    config: Any = {"configurable": {"thread_id": "t"}}
    lengths = [len(s.values["messages"]) for s in assistant.graph.get_state_history(config)]
    assert lengths == [6, 4, 2]
    (writes,) = assistant.graph.checkpointer.conn.execute(
        "select count(distinct checkpoint_id) from writes"
    ).fetchone()
    assert writes <= 4
