"""The runner on a small core and sets of a few cases: answers, resuming, failures, reports."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from heliograph.model.checkpoint import fingerprint
from heliograph.model.core import AnyToAny
from heliograph.model.errors import Cancelled, InputError, WeightsError
from heliograph.model.evaluation.standard import report
from heliograph.model.evaluation.standard.items import Place
from heliograph.model.evaluation.standard.journal import Journal
from heliograph.model.evaluation.standard.making import Networks
from heliograph.model.evaluation.standard.run import Outcome, evaluate
from heliograph.model.evaluation.standard.selection import Settings, select
from heliograph.model.evaluation.standard.sets import SETS, Scoring, standard_set
from heliograph.model.media import write

from .conftest import picture, put_json


@pytest.fixture(scope="module")
def core(tiny_core_dir: Path) -> AnyToAny:
    return AnyToAny.from_pretrained(tiny_core_dir)


class Listener:
    """A core whose questions are counted."""

    def __init__(self, core: AnyToAny) -> None:
        self.core, self.asked = core, [""]
        self.asked.clear()

    def generate(self, conversations: Sequence[Any], *rest: Any) -> Iterator[Any]:
        self.asked += [conversation[-1].text for conversation in conversations]
        return self.core.generate(conversations, *rest)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.core, name)


def run(
    core: Any, name: str, settings: Settings, out: Path, networks: Networks | None = None
) -> Outcome:
    chosen = standard_set(name)
    scoring = Scoring(settings.place, out, networks or Networks())
    return evaluate(
        lambda: core, "fingerprint", chosen, select(chosen, settings), settings, scoring
    )


@pytest.fixture(autouse=True)
def without_java(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes seconds to start; ``test_scores.py`` has what needs it."""
    monkeypatch.setattr("heliograph.model.evaluation.standard.texts.shutil.which", lambda _: None)


@pytest.mark.parametrize(
    ("name", "root", "figures"),
    [
        ("coco", "coco", {"BLEU-4", "CIDEr"}),
        ("msrvtt", "msrvtt", {"BLEU-4", "CIDEr"}),
        ("librispeech", "librispeech", {"WER"}),
        ("vqav2", "vqav2", {"VQA accuracy", "VQA accuracy, number"}),
        ("scienceqa", "scienceqa", {"accuracy", "accuracy, IMG"}),
    ],
)
def test_a_core_is_asked_about_each_case(
    core: AnyToAny,
    name: str,
    root: str,
    figures: set[str],
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    place = Place(request.getfixturevalue(root))
    outcome = run(core, name, Settings(place, batch=2, longest=8), tmp_path / "out")
    assert outcome.complete and not outcome.failed
    assert len(outcome.cases) == len(outcome.selection.items)
    assert figures <= {figure.name for figure in outcome.found.figures}
    lines = (tmp_path / "out" / "answers.jsonl").read_text().splitlines()
    assert [json.loads(line)["key"] for line in lines] == [
        item.key for item in outcome.selection.items
    ]


def test_media_that_are_gone_are_left_out_and_tried_again(
    core: AnyToAny, audiocaps: Path, tmp_path: Path
) -> None:
    place = Place(audiocaps, audiocaps / "wav")
    settings, out = Settings(place, longest=8), tmp_path / "out"
    outcome = run(core, "audiocaps", settings, out)
    assert list(outcome.failed) == ["-BxfsWlPUPY_40"]
    assert "-BxfsWlPUPY.wav is missing" in outcome.failed["-BxfsWlPUPY_40"]
    assert [figure.count for figure in outcome.found.figures] == [1]
    sound = audiocaps / "wav" / "Y7fmOlUlwoNg.wav"
    (audiocaps / "wav" / "-BxfsWlPUPY.wav").write_bytes(sound.read_bytes()[:60])
    assert "cut short" in run(core, "audiocaps", settings, out).failed["-BxfsWlPUPY_40"]
    (audiocaps / "wav" / "-BxfsWlPUPY.wav").write_bytes(sound.read_bytes())
    assert not run(core, "audiocaps", settings, out).failed


def test_a_picture_that_cannot_be_decoded_touches_no_other(
    core: AnyToAny, coco: Path, tmp_path: Path
) -> None:
    """Its file is whole, so that only the decoder sees the damage."""
    damaged = bytearray(write(picture(0)).data)
    damaged[len(damaged) // 2] ^= 0xFF
    (coco / "val2014" / "COCO_val2014_000000000002.jpg").write_bytes(damaged)
    outcome = run(core, "coco", Settings(Place(coco), longest=4), tmp_path)
    assert list(outcome.failed) == ["2"] and "damaged" in outcome.failed["2"]
    assert len(outcome.cases) == 3


def test_a_second_run_goes_on(core: AnyToAny, coco: Path, tmp_path: Path) -> None:
    listener, out = Listener(core), tmp_path / "out"
    settings = Settings(Place(coco), limit=2, batch=1, longest=4)
    first = run(listener, "coco", settings, out)
    assert len(listener.asked) == 2
    # A process that was killed in the middle of a line:
    with (out / "answers.jsonl").open("a") as file:
        file.write('{"key": "half')
    second = run(listener, "coco", replace(settings, limit=None), out)
    assert len(listener.asked) == 4 and len(second.cases) == 4
    texts = {case.item.key: case.answer.text for case in second.cases}
    assert all(texts[case.item.key] == case.answer.text for case in first.cases)

    def unused() -> AnyToAny:
        raise AssertionError("all is answered: no core is needed")

    chosen = standard_set("coco")
    scoring = Scoring(settings.place, out)
    again = evaluate(unused, "fingerprint", chosen, select(chosen, settings), settings, scoring)
    assert again.found.figures == first.found.figures


def test_other_settings_need_another_folder(core: AnyToAny, coco: Path, tmp_path: Path) -> None:
    settings = Settings(Place(coco), limit=1, longest=4)
    run(core, "coco", settings, tmp_path / "out")
    for other in (replace(settings, prompt="What?"), replace(settings, longest=5)):
        with pytest.raises(InputError, match=r"other settings \((prompt|longest).*another --out"):
            run(core, "coco", other, tmp_path / "out")


def test_stopped_early_it_scores_what_there_is(core: AnyToAny, coco: Path, tmp_path: Path) -> None:
    chosen, settings = standard_set("coco"), Settings(Place(coco), batch=2, longest=4)

    def tell(what: str, done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    outcome = evaluate(
        lambda: core,
        "fingerprint",
        chosen,
        select(chosen, settings),
        settings,
        Scoring(settings.place, tmp_path),
        tell,
    )
    assert not outcome.complete and len(outcome.cases) == 2
    assert run(core, "coco", settings, tmp_path).complete


def test_stopped_before_the_first_answer(coco: Path, tmp_path: Path) -> None:
    def load() -> AnyToAny:
        raise KeyboardInterrupt

    chosen, settings = standard_set("coco"), Settings(Place(coco))
    selection, scoring = select(chosen, settings), Scoring(settings.place, tmp_path)
    with pytest.raises(Cancelled, match="before the first answer"):
        evaluate(load, "fingerprint", chosen, selection, settings, scoring)


def test_too_long_a_question_touches_no_other(
    core: AnyToAny, scienceqa: Path, tmp_path: Path
) -> None:
    problems = json.loads((scienceqa / "problems.json").read_text())
    problems["5"]["hint"] = "It rings and rings. " * 400
    put_json(scienceqa / "problems.json", problems)
    outcome = run(core, "scienceqa", Settings(Place(scienceqa), longest=4), tmp_path)
    assert list(outcome.failed) == ["5"] and "too long" in outcome.failed["5"]
    assert len(outcome.cases) == 2


def test_braces_in_questions_are_only_braces(core: AnyToAny, vqav2: Path, tmp_path: Path) -> None:
    listener = Listener(core)
    settings = Settings(Place(vqav2), limit=1, longest=4, prompt="{what} {question} {0}")
    run(listener, "vqav2", settings, tmp_path)
    assert listener.asked[0].startswith("{what} ") and listener.asked[0].endswith("? {0}")


@pytest.mark.parametrize(
    ("name", "root", "suffix"),
    [
        ("coco-generation", "coco", ".png"),
        ("audiocaps-generation", "audiocaps", ".wav"),
        ("msrvtt-generation", "msrvtt", ".mp4"),
    ],
)
def test_what_is_asked_for_is_made(
    core: AnyToAny,
    name: str,
    root: str,
    suffix: str,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    clip_dir: Path,
) -> None:
    """The core knows "draw a dog", "film a cat" and "play a bell" by heart."""
    folder = request.getfixturevalue(root)
    place = Place(folder, folder / "wav") if root == "audiocaps" else Place(folder)
    settings = Settings(place, limit=2, prompt="{question}", steps=1, longest=60)
    networks = Networks() if root == "audiocaps" else Networks.load(clip_dir, None, clip_dir)
    if root == "audiocaps":
        settings = replace(settings, prompt="play a bell")
    outcome = run(core, name, settings, tmp_path / "out", networks)
    made = [case.answer.made for case in outcome.cases]
    assert len(made) == 2 and all(str(file).endswith(suffix) for file in made)
    assert all((tmp_path / "out" / str(file)).is_file() for file in made)
    names = {figure.name for figure in outcome.found.figures}
    assert names == ({"FID", "CLIPSIM"} if root != "audiocaps" else set())
    assert "IS" in outcome.found.missing
    before = (tmp_path / "out" / str(made[0])).read_bytes()
    run(core, name, settings, tmp_path / "again", networks)
    assert (tmp_path / "again" / str(made[0])).read_bytes() == before


def test_a_core_that_answers_in_words_made_nothing(
    core: AnyToAny, coco: Path, tmp_path: Path
) -> None:
    settings = Settings(Place(coco), limit=1, prompt="and 12 + 30?", longest=40)
    outcome = run(core, "coco-generation", settings, tmp_path)
    assert outcome.cases[0].answer.made is None
    assert outcome.found.missing == {"all": "The core made nothing: it answered in words."}


def test_the_report_tells_settings_versions_and_what_is_missing(
    core: AnyToAny, coco: Path, tmp_path: Path
) -> None:
    outcome = run(core, "coco", Settings(Place(coco), longest=8), tmp_path)
    told = report.write(tmp_path, outcome.found, {"set": "coco"}, outcome.cases)
    assert told == json.loads((tmp_path / "results.json").read_text())
    assert {"python", "heliograph", "torch", "transformers", "sacrebleu"} <= set(told["versions"])
    assert "Java runtime" in told["missing"]["METEOR"]
    table = (tmp_path / "table.md").read_text()
    assert table.startswith("| figure | value | 95 % interval | cases |")
    assert "\n- METEOR is computed by a Java program" in table and "| CIDEr |" in table
    cases = [json.loads(line) for line in (tmp_path / "cases.jsonl").read_text().splitlines()]
    assert cases[0]["references"] == ["draw a dog", "draw a dog"] and "CIDEr" in cases[0]["scores"]
    assert (tmp_path / "figures.png").read_bytes().startswith(b"\x89PNG")


def test_a_journal_keeps_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"key": "1", "n": 1}\nnonsense\n{"key": "2", "n": 1}\n{"key": "3"')
    with Journal.open(path) as journal:
        assert set(journal.rows) == {"1", "2"}
        journal.add({"key": "1", "n": 2})
    with Journal.open(path) as journal:
        assert journal.rows["1"]["n"] == 2 and set(journal.rows) == {"1", "2"}
        with pytest.raises(InputError, match="Another process is writing to"):
            with Journal.open(path):
                pass
    with pytest.raises(InputError, match="can't be written"), Journal.open(tmp_path):
        pass


def test_a_fingerprint_is_of_the_content(tmp_path: Path) -> None:
    for name, content in (("a", b"1"), ("b", b"1"), ("c", b"2")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "w.bin").write_bytes(content)
    a, b, c = (fingerprint(tmp_path / name) for name in "abc")
    assert a == b != c
    with pytest.raises(WeightsError, match="empty or missing"):
        fingerprint(tmp_path / "nowhere")


def test_each_set_asks_and_scores() -> None:
    for name, chosen in SETS.items():
        assert name == chosen.name and (chosen.shows is None) != (chosen.makes is None)
        assert chosen.source.startswith("https://")
        assert "{question}" in chosen.prompt or name in (
            "coco",
            "audiocaps",
            "msrvtt",
            "librispeech",
        )
