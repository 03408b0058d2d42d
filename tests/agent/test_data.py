"""``heliograph data`` in this process, over small data sets and a scripted LangChain model."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage

from heliograph.agent import chat_models
from heliograph.agent.cli import main
from heliograph.model.data.prepared import Prepared
from heliograph.model.media import Image, write
from heliograph.model.parts import Media

CommandLine = Callable[..., tuple[int, str, str]]
PNG = write(Image(np.full((8, 8, 3), 90, dtype=np.uint8))).data
EVIL = "<script>alert(1)</script>"


@pytest.fixture
def run(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, data: Path
) -> CommandLine:
    monkeypatch.chdir(data)

    def command(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(["data", *arguments])
        captured = capsys.readouterr()
        return int(ended.value.code or 0), captured.out, captured.err

    return command


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder with a file of two good rows and one of a good and two bad ones."""
    (tmp_path / "a.png").write_bytes(PNG)
    turns = [{"from": "human", "value": "Draw."}, {"from": "gpt", "value": "So: <image>"}]
    good = [
        {"image_name": "a.png", "caption": EVIL},
        {"conversations": turns, "image_captions": "a red dog"},
    ]
    (tmp_path / "good.json").write_text(json.dumps(good))
    bad = [good[0], {"image_name": "\x1b[2Jb.png", "caption": "gone"}, {"caption": "none"}]
    (tmp_path / "bad.jsonl").write_text("\n".join(map(json.dumps, bad)))
    (tmp_path / "mix.json").write_text(
        json.dumps({"sources": [{"path": "good.json"}, {"path": "bad.jsonl", "weight": 3}]})
    )
    return tmp_path


# --- check


def test_check_counts_good_rows(run: CommandLine) -> None:
    code, out, err = run("check", "good.json")
    assert code == 0
    assert "0 of 2 rows can't be used." in out.splitlines()
    assert "1  text + image → text" in out and "1  text → text + image" in out
    assert "1 media that are to be made have only a caption." in err


@pytest.mark.parametrize("text", ["", "\n", "[]"])
def test_a_data_set_without_rows_is_told(text: str, run: CommandLine, data: Path) -> None:
    (data / "empty.json").write_text(text)
    (data / "both.json").write_text(
        json.dumps({"sources": [{"path": "good.json"}, {"path": "empty.json"}]})
    )
    for command in (
        ("check", "empty.json"),
        ("check", "good.json", "empty.json"),
        ("prepare", "--out", "prepared", "empty.json"),
        ("mix", "both.json"),
    ):
        code, _, err = run(*command)
        assert (code, err) == (8, "heliograph: empty.json has no rows.\n"), command


def test_a_source_of_bad_rows_alone_never_comes_round(run: CommandLine, data: Path) -> None:
    (data / "bad.jsonl").write_text(json.dumps({"caption": "none"}))
    code, out, _ = run("mix", "mix.json")
    assert code == 0 and "no good row" in " ".join(out.split()) and "inf" not in out


def test_check_names_bad_rows_in_plain_signs_and_fails(run: CommandLine) -> None:
    code, out, _ = run("check", "good.json", "bad.jsonl")
    assert code == 1
    named = [line for line in out.splitlines() if line.startswith("bad.jsonl, line")]
    assert [line.split(":")[0] for line in named] == ["bad.jsonl, line 2", "bad.jsonl, line 3"]
    assert "\x1b" not in out and "\\x1b[2Jb.png" in named[0]
    assert out.splitlines()[-1] == "2 of 5 rows can't be used."


def test_rows_of_one_line_are_told_apart(run: CommandLine, data: Path) -> None:
    (data / "one.json").write_text(json.dumps([{"caption": "none"}] * 2))
    _, out, _ = run("check", "one.json")
    named = [line.split(":")[0] for line in out.splitlines() if ":" in line]
    assert named == ["one.json, line 1", "one.json, line 1, row 1"]


def test_a_mixture_is_checked_by_its_sources(run: CommandLine, data: Path) -> None:
    both = run("check", "good.json", "bad.jsonl")
    sources = [{"path": "good.json"}, {"path": "bad.jsonl"}]
    (data / "both.json").write_text(json.dumps({"sources": sources}))
    assert run("check", "both.json") == both
    code, _, err = run("check", "both.json", "--pairs", "make")
    assert code == 2 and "both.json is a mixture" in err


def test_check_bounds_what_it_names(run: CommandLine) -> None:
    code, out, _ = run("check", "bad.jsonl", "--show", "1")
    assert code == 1 and "… and 1 more." in out and "line 3" not in out


def test_check_gives_json(run: CommandLine) -> None:
    code, out, err = run("check", "bad.jsonl", "--json", "--quick")
    assert code == 1 and "2 of 3 rows" in err
    first, second = map(json.loads, out.splitlines())
    assert (first["file"], first["index"], first["line"]) == ("bad.jsonl", 1, 2)
    assert "neither conversations" in second["reason"]


def test_a_wrong_use_is_one_sentence(run: CommandLine) -> None:
    assert run("check", "nothing.json")[::2] == (
        8,
        "heliograph: There is no data set nothing.json.\n",
    )
    assert "--roots takes image=DIR" in run("check", "good.json", "--roots", "here")[2]
    assert "roots" in run("check", "good.json", "--roots", "smell=.")[2]
    assert run("prepare", "--out", "o")[0] == 2


# --- prepare


def test_prepare_writes_what_training_reads(
    run: CommandLine, data: Path, tiny_core_dir: Path
) -> None:
    options = ("--out", "o", "--weights", str(tiny_core_dir))
    code, out, err = run("prepare", "good.json", *options)
    assert (code, err) == (0, "")
    assert out == "1 media and 1 captions computed, 0 there already; 0 of 2 rows can't be used.\n"
    code, out, _ = run("prepare", "--mixture", "mix.json", *options)
    assert code == 1 and "0 media and 0 captions computed, 3 there already; 2 of 5" in out
    prepared = Prepared.open(data / "o", tiny_core_dir)
    assert prepared.features(Media("image", "", PNG).sha256).dim() == 2


# --- mix


def test_mix_shows_shares(run: CommandLine, tiny_core_dir: Path) -> None:
    code, out, _ = run("mix", "mix.json", "--json", "--tokenizer", str(tiny_core_dir))
    found = json.loads(out)
    assert code == 0
    assert found["sources"]["bad.jsonl"] | {"tasks": {}} == {
        "rows": 1,
        "bad": 2,
        "share": 0.75,
        "tasks": {},
    }
    assert found["tasks"]["text + image → text"] == pytest.approx(0.875)
    assert found["tokens"]["max"] >= found["tokens"]["median"] > 0
    code, out, _ = run("mix", "mix.json")
    assert code == 0 and "87.5%" in out and "image made" in out


def test_samples_are_shown_on_a_page_and_not_run(run: CommandLine, data: Path) -> None:
    code, out, _ = run("mix", "mix.json", "--page", "o/page.html", "--samples", "60")
    page = (data / "o" / "page.html").read_text()
    assert code == 0 and "o/page.html" in out
    assert "<script" not in page and "&lt;script&gt;" in page
    assert "data:image/png;base64," in page and "http" not in page.replace("http-equiv", "")
    assert "[image] a red dog" in page  # there is only a caption


# --- make


@pytest.fixture
def replies(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What a fake chat model of LangChain answers, in order; exceptions are raised."""
    given: list[Any] = []

    def messages() -> Iterator[AIMessage]:
        for reply in given:
            if isinstance(reply, Exception):
                raise reply
            used = {"input_tokens": 200, "output_tokens": 30, "total_tokens": 230}
            yield AIMessage(reply, usage_metadata=used)

    def named(name: str) -> GenericFakeChatModel:
        assert name == "fake:model"
        return GenericFakeChatModel(messages=messages())

    monkeypatch.setattr(chat_models, "named", named)
    return given


MAKE = ("make", "seeds.jsonl", "--out", "made.jsonl", "--kind", "t2m", "--llm", "fake:model")
PRICES = ("--price-in", "3", "--price-out", "15")


@pytest.fixture
def asked(data: Path) -> Path:
    seeds = [{"image": f"{i}.png", "caption": f"dog number {i}"} for i in range(2)]
    (data / "seeds.jsonl").write_text("\n".join(map(json.dumps, seeds)))
    return data / "made.jsonl"


def wish(words: str) -> str:
    return json.dumps({"turns": [{"user": words, "assistant": "Here it comes."}]})


def test_make_says_what_it_costs_before_it_asks(
    run: CommandLine, asked: Path, replies: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdin, "isatty", lambda: False)
    code, _, err = run(*MAKE, *PRICES)
    assert code == 2 and "2 calls will read about" in err and "for about 0.0" in err
    assert "Give --yes" in err and not asked.exists()


def test_make_writes_rows_and_what_they_cost(
    run: CommandLine, asked: Path, replies: list[Any]
) -> None:
    replies += [wish("I need the first dog."), "no", wish("And the second one.")]
    code, out, err = run(*MAKE, *PRICES, "--yes", "--together", "1")
    assert (code, out) == (0, "made.jsonl\n")
    assert "2 rows made, 0 rejected; 600 tokens read, 90 written, 0.00 paid." in err
    rows = [json.loads(line) for line in asked.read_text().splitlines()]
    assert [row["image_captions"] for row in rows] == ["dog number 0", "dog number 1"]
    assert "Nothing is left to do" in run(*MAKE, "--yes")[1]
    assert run("check", "made.jsonl")[0] == 0


def test_seeds_of_one_id_are_told(
    run: CommandLine, asked: Path, data: Path, replies: list[Any]
) -> None:
    captions = ("a dog", "a cat", "a bird")
    seeds = [
        {"id": i, "image": "a.png", "caption": c} for i, c in zip("aba", captions, strict=True)
    ]
    (data / "seeds.jsonl").write_text("\n".join(map(json.dumps, seeds)))
    replies += [wish("I need a dog."), wish("And a cat.")]
    code, _, err = run(*MAKE, "--yes", "--together", "1")
    assert code == 0 and "2 rows made, 0 rejected" in err
    said = "Left out because an earlier seed has the same id: 1, the first of them in seeds.jsonl, "
    assert f"{said}line 3." in " ".join(err.split())


def test_a_model_that_breaks_off_is_one_sentence(
    run: CommandLine, asked: Path, replies: list[Any]
) -> None:
    replies += [wish("I need the first dog."), RuntimeError("rate\nlimit")]
    code, _, err = run(*MAKE, "--yes", "--together", "1")
    assert code == 8 and "broke off (RuntimeError: rate limit); the same command goes on." in err
    assert len(asked.read_text().splitlines()) == 1


def test_a_model_that_is_not_known_is_one_sentence(run: CommandLine, asked: Path) -> None:
    pytest.importorskip("langchain")
    code, _, err = run(*MAKE, "--yes")
    assert code == 2 and "The chat model 'fake:model' can't be used" in err
    assert "\n" not in err.split("heliograph: ")[1].strip()
    assert "There is no kind 'song'" in run(*MAKE, "--kind", "song")[2]


def test_without_langchain_the_extra_is_named(
    run: CommandLine, asked: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "langchain.chat_models", None)
    code, _, err = run(*MAKE, "--yes")
    assert code == 6 and "heliograph[llm]" in err


def test_a_seed_that_cannot_be_used_is_named(run: CommandLine, asked: Path, data: Path) -> None:
    (data / "seeds.jsonl").write_text('{"image": "x.png"}')
    assert "seeds.jsonl, line 1: " in run(*MAKE, "--yes")[2]
