"""The command line, in this process and over a scripted core."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from heliograph.agent import Assistant, Settings, loading
from heliograph.agent.cli import main
from heliograph.agent.cli.chat import Chat
from heliograph.agent.testing import Reply, Say, ScriptedCore, said
from heliograph.agent.threads import held
from heliograph.model.errors import HeliographError, StoreError, WeightsError
from heliograph.model.media import Image, save, write
from heliograph.model.parts import Media, Message, ToolCall

CommandLine = Callable[..., tuple[int, str, str]]
ROOT = Path(__file__).parents[2]


def echo(conversation: Sequence[Message]) -> Reply:
    """Say what was said, and make what it asks for."""
    text = said(conversation)
    count = sum(isinstance(part, Media) for part in conversation[-1].parts)
    wanted = {"draw": "image", "play": "audio", "film": "video"}
    made = [Say(m, text) for word, m in wanted.items() if word in text]  # type: ignore[arg-type]
    return [f"{len(conversation)} {count} {text}", *made]


@pytest.fixture
def core(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ScriptedCore:
    """What every assistant of the test has for a core."""
    scripted = ScriptedCore(echo)
    monkeypatch.setattr(loading, "load_core", lambda settings: scripted)
    monkeypatch.setenv("HELIOGRAPH_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HELIOGRAPH_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.chdir(tmp_path)
    return scripted


@pytest.fixture
def run(core: ScriptedCore, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    def command(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        captured = capsys.readouterr()
        return int(ended.value.code or 0), captured.out, captured.err

    return command


@pytest.fixture
def dog(tmp_path: Path) -> Path:
    return save(write(Image(np.full((9, 9, 3), 5, dtype=np.uint8))), tmp_path, "dog")


# --- ask


def test_json_is_the_one_object_that_is_promised(run: CommandLine, tmp_path: Path) -> None:
    code, out, err = run("ask", "draw and play", "--thread", "t", "--out", "media", "--json")
    assert (code, err) == (0, "")
    answer = json.loads(out)
    assert list(answer) == ["thread", "text", "parts", "tool_calls", "timing"]
    assert answer["thread"] == "t"
    assert answer["text"] == "1 0 draw and play"
    words, image, audio = answer["parts"]
    assert words == {"type": "text", "text": "1 0 draw and play"}
    assert list(image) == ["type", "path", "mime_type", "sha256", "caption"]
    assert (image["type"], image["mime_type"]) == ("image", "image/png")
    assert (audio["type"], audio["caption"]) == ("audio", "draw and play")
    assert (tmp_path / image["path"]).parent == tmp_path / "media"
    assert set(answer["timing"]) == {"load_s", "first_token_s", "total_s"}


def test_json_has_the_tool_calls(run: CommandLine, core: ScriptedCore) -> None:
    core._replies = ([ToolCall("calculate", {"expression": "6*7"})], ["It is 42."])
    answer = json.loads(run("ask", "How much?", "--json")[1])
    assert answer["tool_calls"] == [
        {"name": "calculate", "args": {"expression": "6*7"}, "result": "42"}
    ]
    assert answer["parts"] == [{"type": "text", "text": "It is 42."}]


def test_without_a_folder_media_stay_in_the_data_directory(run: CommandLine) -> None:
    answer = json.loads(run("ask", "draw", "--json")[1])
    path = Path(answer["parts"][1]["path"])
    assert path.is_absolute() and path.is_file() and path.suffix == ".png"


def test_for_people_the_answer_is_words_and_files(run: CommandLine, tmp_path: Path) -> None:
    code, out, err = run("ask", "film it", "--out", str(tmp_path / "o"))
    assert (code, err) == (0, "")
    assert out.startswith("1 0 film it")
    (path,) = (tmp_path / "o").iterdir()
    assert f"[film 1] film it: {path}" in out


def test_a_thread_goes_on(run: CommandLine, dog: Path) -> None:
    run("ask", "look", "--file", str(dog), "--file", str(dog), "--thread", "t")
    assert run("ask", "and now", "--thread", "t")[1] == "3 0 and now\n"
    assert run("ask", "and now")[1] == "1 0 and now\n"


def test_the_question_can_come_from_standard_input(
    run: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("سؤال".encode())))
    assert run("ask", "-")[1] == "1 0 سؤال\n"


def test_a_seed_makes_other_media(run: CommandLine) -> None:
    hashes = [
        json.loads(run("ask", "draw", "--seed", seed, "--json")[1])["parts"][1]["sha256"]
        for seed in ("1", "1", "2")
    ]
    assert hashes[0] == hashes[1] != hashes[2]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["ask", ""], 2),
        (["ask", "a\0b"], 2),
        (["ask", "a\udcffb"], 2),
        (["ask", "x" * 100_000], 2),
        (["ask", "Hi", "--thread", ""], 2),
        (["ask", "Hi", "--file", "nowhere.png"], 3),
        (["ask", "Hi", "--file", "."], 3),
        (["batch", "nowhere.jsonl", "--out", "o"], 2),
    ],
)
def test_bad_input_is_one_sentence(run: CommandLine, arguments: list[str], code: int) -> None:
    got, out, err = run(*arguments)
    assert (got, out) == (code, "")
    assert err.startswith("heliograph: ") and err.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [["ask"], ["ask", "Hi", "--seed", "x"], ["ask", "Hi", "--steps", "0"], ["fly"], ["--fly"]],
)
def test_wrong_use_is_exit_code_2(run: CommandLine, arguments: list[str]) -> None:
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert "Usage" in err


def test_a_broken_decoder_is_told_and_the_answer_kept(run: CommandLine, core: ScriptedCore) -> None:
    core.decode_errors = [RuntimeError("no luck")] * 2
    code, out, err = run("ask", "draw", "--json")
    assert code == 7
    assert err == "heliograph: The image could not be made: no luck.\n"
    assert json.loads(out)["parts"][1] == {
        "type": "error",
        "modality": "image",
        "caption": "draw",
        "message": "The image could not be made: no luck.",
    }


def test_a_bug_is_one_sentence_too(run: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: Assistant) -> Any:
        raise RuntimeError("a\nb")

    monkeypatch.setattr(Assistant, "load", broken)
    code, out, err = run("ask", "Hi")
    assert (code, out) == (1, "")
    assert "RuntimeError: a b" in err and err.count("\n") == 1


def test_ctrl_c_is_exit_code_130(run: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(self: Assistant) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(Assistant, "load", interrupted)
    assert run("ask", "Hi")[0] == 130


def test_a_busy_thread_is_exit_code_5(run: CommandLine, tmp_path: Path) -> None:
    with held(tmp_path / "home", "t"):
        code, _, err = run("ask", "Hi", "--thread", "t")
    assert code == 5
    assert "already running" in err


def test_an_unwritable_folder_is_one_sentence(run: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    code, _, err = run("ask", "draw", "--out", "file", "--json")
    assert code in (3, 5)
    assert err.count("\n") == 1


# --- batch


def cases(tmp_path: Path, *lines: object) -> str:
    path = tmp_path / "cases.jsonl"
    path.write_text("\n".join(x if isinstance(x, str) else json.dumps(x) for x in lines))
    return str(path)


def results(tmp_path: Path) -> list[dict[str, Any]]:
    text = (tmp_path / "out" / "results.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def test_batch_answers_in_order(run: CommandLine, tmp_path: Path, dog: Path) -> None:
    path = cases(
        tmp_path,
        {"id": "a", "text": "draw a cat"},
        {"id": 2, "text": "look", "files": ["dog.png"]},
        {"id": "c", "turns": [{"text": "play"}, {"text": "again"}, {"text": "film it"}]},
    )
    code, out, _ = run("batch", path, "--out", "out")
    assert (code, out) == (0, "")
    a, b, c = results(tmp_path)
    assert (a["id"], b["id"], c["id"]) == ("a", 2, "c")
    assert Path(a["parts"][1]["path"]).is_file()
    assert b["text"] == "1 1 look"
    assert [turn["text"] for turn in c["turns"]] == ["1 0 play", "3 0 again", "5 0 film it"]
    assert c["parts"][1]["type"] == "video"
    assert {"thread", "text", "parts", "tool_calls", "timing"} < set(c)


def test_commands_compute_where_they_are_told(
    run: CommandLine, core: ScriptedCore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Settings] = []

    def load(settings: Settings) -> ScriptedCore:
        told.append(settings)
        return core

    monkeypatch.setattr(loading, "load_core", load)
    monkeypatch.setattr(sys, "stdin", io.StringIO("hello\n"))
    batch = ("batch", cases(tmp_path, {"id": 1, "text": "hello"}), "--out", "o")
    for asked in (batch, ("ask", "hello"), ("chat",)):
        code, _, err = run(*asked, "--gpu-memory", "6")
        assert code == 2 and "--gpu-memory is for --device auto" in err
        assert run(*asked, "--device", "auto", "--gpu-memory", "6")[0] == 0
        assert (told[-1].device, told[-1].gpu_memory) == ("auto", 6)
    assert len(told) == 3
    assert run("ask", "hello", "--device", "auto", "--gpu-memory", "0")[0] == 2


def test_batch_is_the_same_as_asking(run: CommandLine, tmp_path: Path) -> None:
    path = cases(tmp_path, *({"id": i, "text": f"draw {i}"} for i in range(3)))
    run("batch", path, "--out", "out", "--seed", "5")
    for record in results(tmp_path):
        asked = json.loads(run("ask", f"draw {record['id']}", "--seed", "5", "--json")[1])
        assert [part.get("sha256") for part in asked["parts"]] == [
            part.get("sha256") for part in record["parts"]
        ]


def test_batch_thinks_and_decodes_together(
    run: CommandLine, core: ScriptedCore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows: list[int] = []
    generate = core.generate

    def counted(conversations: Any, *given: Any, **named: Any) -> Any:
        rows.append(len(conversations))
        return generate(conversations, *given, **named)

    monkeypatch.setattr(core, "generate", counted)
    path = cases(
        tmp_path,
        *({"id": i, "turns": [{"text": "draw"}, {"text": "draw more"}]} for i in range(4)),
        {"id": "last", "text": "draw"},
    )
    run("batch", path, "--out", "out", "--together", "4")
    assert rows == [4, 4, 1]
    assert core.decoded == [("image", (0,) * 4), ("image", (0,) * 4), ("image", (0,))]


def test_what_is_wrong_with_a_case_is_told_in_its_line(run: CommandLine, tmp_path: Path) -> None:
    path = cases(
        tmp_path,
        {"id": "good", "text": "Hi"},
        "{nonsense",
        {"id": "both", "text": "Hi", "turns": []},
        {"id": "file", "text": "Hi", "files": ["nowhere.png"]},
        {"id": "nul", "text": "a\0b"},
        {"id": "good", "text": "Hi again"},
        {"id": "later", "turns": [{"text": "Hi"}, {"text": ""}]},
        [1, 2],
        {"id": "files", "text": "Hi", "files": "dog.png"},
        {"id": "fine", "text": "Hi"},
    )
    code, _, err = run("batch", path, "--out", "out")
    assert code == 0
    assert "8 with an error" in err
    found = results(tmp_path)
    assert [r["id"] for r in found if "error" not in r] == ["good", "fine"]
    assert all(list(r)[:2] == ["id", "error"] for r in found if "error" in r)
    (later,) = (r for r in found if r["id"] == "later")
    assert len(later["turns"]) == 1


def test_a_question_that_breaks_the_core_breaks_its_case_alone(
    run: CommandLine, core: ScriptedCore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    generate = core.generate

    def choosy(conversations: Any, *given: Any, **named: Any) -> Any:
        if any("long" in said(conversation) for conversation in conversations):
            raise HeliographError("Too long.")
        return generate(conversations, *given, **named)

    monkeypatch.setattr(core, "generate", choosy)
    lines = [{"id": text, "text": text} for text in ("one", "a long one", "draw")]
    run("batch", cases(tmp_path, *lines), "--out", "out")
    one, long, two = results(tmp_path)
    assert long == {"id": "a long one", "error": "Too long."}
    assert (one["text"], two["parts"][1]["type"]) == ("1 0 one", "image")


def test_batch_goes_on_where_it_stopped(
    run: CommandLine, core: ScriptedCore, tmp_path: Path
) -> None:
    path = cases(tmp_path, *({"id": i, "text": f"draw {i}"} for i in range(4)))
    core.decode_errors = [WeightsError("Broken.")]
    code, _, _ = run("batch", path, "--out", "out", "--together", "2")
    assert code == 4
    run("batch", path, "--out", "out", "--together", "2")
    whole = (tmp_path / "out" / "results.jsonl").read_bytes()
    # Killed in the middle of the third line:
    lines = whole.splitlines(keepends=True)
    (tmp_path / "out" / "results.jsonl").write_bytes(lines[0] + lines[1] + lines[2][:20])
    before = len(core.asked)
    run("batch", path, "--out", "out")
    assert len(core.asked) - before == 2
    assert [r["id"] for r in results(tmp_path)] == [0, 1, 2, 3]
    run("batch", path, "--out", "out")
    assert len(core.asked) - before == 2


def test_batch_asks_errors_again_when_told_to(run: CommandLine, tmp_path: Path, dog: Path) -> None:
    path = cases(tmp_path, {"id": 1, "text": "Hi", "files": ["cat.png"]}, {"id": 2, "text": "Hi"})
    run("batch", path, "--out", "out")
    dog.rename(tmp_path / "cat.png")
    run("batch", path, "--out", "out")
    assert ["error" in r for r in results(tmp_path)] == [True, False]
    run("batch", path, "--out", "out", "--retry-errors")
    assert ["error" in r for r in results(tmp_path)] == [False, False]


def test_batch_leaves_a_file_that_is_not_its_own(run: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "results.jsonl").write_text("my notes\n")
    assert run("batch", cases(tmp_path, {"id": 1, "text": "Hi"}), "--out", "out")[0] == 2
    assert (tmp_path / "out" / "results.jsonl").read_text() == "my notes\n"


# --- chat


@pytest.fixture
def chat(core: ScriptedCore) -> Chat:
    from rich.console import Console

    return Chat(Assistant(Settings.of()), Console(file=io.StringIO(), width=200), "t")


def written(chat: Chat) -> str:
    assert isinstance(chat.console.file, io.StringIO)
    return chat.console.file.getvalue()


def test_chat_talks_shows_files_and_saves(chat: Chat, dog: Path, tmp_path: Path) -> None:
    assert chat.take(f"/file {dog}") and chat.take("draw this") and chat.take("and so on")
    assert "1 1 draw this" in written(chat) and "3 0 and so on" in written(chat)
    chat.take("/save saved")
    assert len(list((tmp_path / "saved").glob("image-*.png"))) == 2
    assert "draw this" in (tmp_path / "saved" / "index.html").read_text()
    chat.take("/history")
    assert "[image: draw this]" in written(chat)
    chat.take("/new other")
    chat.take("Hi")
    assert "1 0 Hi" in written(chat)
    assert not chat.take("/quit")


@pytest.mark.parametrize("line", ["/fly", "/seed x", "/file nowhere.png"])
def test_a_wrong_command_is_a_sentence(chat: Chat, line: str) -> None:
    with pytest.raises(HeliographError):
        chat.take(line)


def test_a_file_stays_for_the_next_try(chat: Chat, dog: Path) -> None:
    chat.take(f"/file {dog}")
    with held(chat.assistant.settings.home, "t"), pytest.raises(StoreError):
        chat.take("What is this?")
    chat.take("What is this?")
    assert "1 1 What is this?" in written(chat)


def test_chat_reads_a_pipe(run: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("Hi\n/nonsense\nBye\n"))
    code, out, _ = run("chat", "--thread", "t")
    assert code == 0
    assert "1 0 Hi" in out and "no command /nonsense" in out and "3 0 Bye" in out


# --- demo, doctor, and the command itself


def test_demo_shows_every_kind_of_turn_and_writes_the_page(
    run: CommandLine, core: ScriptedCore, tmp_path: Path
) -> None:
    code, out, err = run("demo", "--out", "out")
    assert (code, err) == (0, "")
    shown = {
        part.modality
        for conversation in core.asked
        for message in conversation
        if message.role == "user"
        for part in message.parts
        if isinstance(part, Media)
    }
    assert shown == {"image", "audio", "video"}
    page = (tmp_path / "out" / "index.html").read_text()
    assert "l&#x27;image" in page and 'dir="rtl"' in page
    assert len(list((tmp_path / "out" / "examples").iterdir())) == 4
    assert "The page is" in out


def test_doctor_says_what_is_missing_and_what_brings_it(
    run: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    from heliograph.agent.cli import doctor

    monkeypatch.setitem(doctor.EXTRAS, "train", ["no-such-package"])
    code, out, _ = run("doctor", "--json")
    assert code == 1  # the weights of this test are nowhere
    found = {finding["name"]: finding for finding in json.loads(out)["findings"]}
    assert found["torch"]["good"] and found["data directory"]["good"]
    assert found["no-such-package"]["remedy"] == "pip install 'heliograph[train]'"
    assert not found["no-such-package"]["needed"]
    assert not found["weights"]["good"]
    assert "heliograph train" in found["weights"]["remedy"]
    assert "no-such-package" in run("doctor")[1]


@pytest.mark.parametrize("arguments", [["--help"], ["ask", "--help"], ["train", "--help"]])
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import atexit, sys; from heliograph.agent.cli import main; "
        "atexit.register(lambda: print(*(m for m in ('torch', 'transformers', 'langgraph', 'numpy')"
        " if m in sys.modules), file=sys.stderr)); main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT / ".links")},
    )
    assert done.returncode == 0
    assert "Usage" in done.stdout
    assert done.stderr.strip() == ""
