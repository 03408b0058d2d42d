"""``heliograph eval SET`` on the command line, with a scripted judge where one is asked."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from huggingface_hub import constants

from heliograph.agent import Settings, chat_models, loading
from heliograph.agent.cli import main, standard
from heliograph.model import machine
from heliograph.model.core import AnyToAny
from heliograph.model.media import Image, save, write
from heliograph.model.needs import needs
from heliograph.model.plan import GB, Memory, plan

CommandLine = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> CommandLine:
    def command(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(list(map(str, arguments)))
        captured = capsys.readouterr()
        return int(ended.value.code or 0), captured.out, captured.err

    return command


def picture(folder: Path, name: str, shade: int) -> Path:
    pixels = np.random.default_rng(shade).integers(0, 255, (16, 16, 3), dtype=np.uint8)
    return save(write(Image(pixels)), folder, name)


@pytest.fixture
def bench(tmp_path: Path) -> Path:
    """Two questions of LLaVA-Bench about one picture."""
    root = tmp_path / "bench"
    rows = [
        {"question_id": i, "image": "001.png", "category": "conv", "text": "What is it?"}
        for i in range(2)
    ]
    answers = [{"question_id": i, "answer_id": "a", "text": "A square."} for i in range(2)]
    files = {
        "questions.jsonl": rows,
        "context.jsonl": [{"id": "001", "image": "001.png", "caption": "A square."}],
        "answers_gpt4.jsonl": answers,
    }
    root.mkdir()
    for name, values in files.items():
        (root / name).write_text("".join(json.dumps(value) + "\n" for value in values))
    picture(root / "images", "001", 1)
    return root


def test_a_chat_model_judges(
    run: CommandLine,
    bench: Path,
    tiny_core_dir: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from langchain_core.language_models import FakeListChatModel

    class Broken(FakeListChatModel):
        def _call(self, *args: object, **kwargs: object) -> str:
            raise ConnectionError("no\nnetwork")

    named: list[str] = []
    models = [
        Broken(responses=[]),
        FakeListChatModel(responses=["8 4\nThe second is short.", "8 6"]),
    ]

    def scripted(name: str) -> FakeListChatModel:
        named.append(name)
        return models[len(named) - 1]

    monkeypatch.setattr(chat_models, "named", scripted)
    asked = ["--data", bench, "--out", tmp_path / "out", "--weights", tiny_core_dir]
    asked += ["--judge", "openai:some-model", "--longest", 8]
    code, _, err = run("eval", "llava-bench", *asked)
    assert code == 8 and "broke off (ConnectionError: no network)" in err and "goes on" in err
    code, out, err = run("eval", "llava-bench", *asked, "--json")
    assert (code, named) == (0, ["openai:some-model"] * 2), err
    found = json.loads(out)
    assert found == json.loads((tmp_path / "out" / "results.json").read_text())
    (figure,) = found["figures"]
    assert (figure["name"], figure["value"], figure["count"]) == ("relative score", 62.5, 2)
    assert "openai:some-model" in figure["note"]
    assert found["cases"] == {"in the set": 2, "chosen": 2, "answered": 2, "failed": 0}
    assert found["complete"] and len(found["weights"]["fingerprint"]) == 16
    assert found["settings"]["longest"] == 8 and found["versions"]["torch"]
    assert "judging: 2 cases" in err and "answering" not in err
    # Without a judge the answers are there, and a sentence says what is missing.
    code, out, _ = run("eval", "llava-bench", *asked[:6], "--longest", 8)
    assert code == 0 and "name a chat model with --judge" in out


def test_weights_may_be_an_id_of_the_hub(
    run: CommandLine,
    bench: Path,
    tiny_core_dir: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    home, commit = tmp_path / "hub" / "models--owner--core", "1" * 40
    snapshot = shutil.copytree(tiny_core_dir, home / "snapshots" / commit)
    (home / "refs").mkdir()
    (home / "refs" / "main").write_text(commit)
    asked = ["--data", bench, "--out", tmp_path / "out", "--longest", 2, "--limit", 1]
    code, _, err = run("eval", "llava-bench", *asked, "--weights", "owner/core")
    assert code == 0, err
    found = json.loads((tmp_path / "out" / "results.json").read_text())
    assert found["weights"]["path"] == str(snapshot)
    code, _, err = run("eval", "llava-bench", *asked, "--weights", "owner/other")
    assert code == 4 and "no model of that id in the cache" in err and err.count("\n") == 1


def test_auto_evaluates_by_a_plan_and_loads_no_decoder_that_is_not_needed(
    run: CommandLine,
    bench: Path,
    tiny_core_dir: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loaded: list[AnyToAny] = []
    whole = loading.whole_core

    def kept(settings: Settings) -> AnyToAny:
        loaded.append(whole(settings))
        return loaded[-1]

    monkeypatch.setattr(loading, "whole_core", kept)
    monkeypatch.setattr(machine, "memory_here", lambda limit: Memory(peak))
    peak = plan(needs(tiny_core_dir), Memory(2 * GB)).cpu_peak - 1  # too little for float32
    asked = ["--data", bench, "--out", tmp_path / "out", "--weights", tiny_core_dir]
    asked += ["--longest", 8, "--device", "auto"]
    code, _, err = run("eval", "llava-bench", *asked)
    assert code == 0, err
    (core,) = loaded
    assert core.shelf.plan is not None and core.shelf.loaded_decoders == {}
    (encoder,) = core.shelf.loaded_encoders.values()
    assert isinstance(encoder, torch.nn.Module)
    assert next(encoder.parameters()).dtype == torch.bfloat16
    monkeypatch.setattr(machine, "memory_here", lambda limit: Memory(GB // 2))
    assert run("eval", "llava-bench", *asked, "--out", tmp_path / "other")[0] == 10


def test_media_of_anyone_are_measured(run: CommandLine, tmp_path: Path) -> None:
    for i in range(2):
        picture(tmp_path / "made", str(i), i)
    code, out, _ = run("eval", "media", tmp_path / "made", "--out", tmp_path / "out")
    assert code == 0 and "IS needs a classifier" in out
    assert "--classifier" in (tmp_path / "out" / "table.md").read_text()


def test_wrong_uses_are_one_sentence(run: CommandLine, bench: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    code, _, err = run("eval", "coco", "--data", tmp_path, "--out", out)
    assert code == 8 and "https://cocodataset.org" in err and err.count("\n") == 1
    cases = {
        ("eval", "coco", "--data", tmp_path / "no", "--out", out): "no folder",
        ("eval", "--seed", "1", "coco", "--data", tmp_path, "--out", out): "come after its name",
        ("eval", "llava-bench", "--data", bench, "--out", out, "--preset", "x"): "no bundled",
        ("eval",): "--out",
    }
    for arguments, words in cases.items():
        code, _, err = run(*arguments)
        assert code == 2 and words in err and err.count("\n") == 1, (arguments, err)


def test_each_set_has_a_command() -> None:
    from heliograph.model.evaluation.standard.sets import SETS

    assert {*standard.UNDERSTANDING, "llava-bench", *standard.GENERATION} == set(SETS)
