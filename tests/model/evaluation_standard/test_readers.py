"""The readers, on files in the published formats, and what they say of others."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from heliograph.model.errors import DataError, InputError, MissingExtra
from heliograph.model.evaluation.standard import captions, questions, reading, selection, speech
from heliograph.model.evaluation.standard.items import Place
from heliograph.model.evaluation.standard.selection import Settings, select
from heliograph.model.evaluation.standard.sets import SETS, standard_set

from .conftest import jpeg, picture, put_json


def test_cocos_own_captions(coco: Path) -> None:
    items = list(captions.coco(Place(coco)))
    assert [item.key for item in items] == ["1", "2", "3", "4"]
    assert items[0].references == ("draw a dog", "draw a dog") and items[0].question == "draw a dog"
    found = Place(coco).medium(items[2].media)
    assert found == coco / "val2014" / "COCO_val2014_000000000003.jpg"
    # The media may lie anywhere: their folder is a choice of its own.
    elsewhere = Place(coco, coco / "val2014").medium(items[2].media)
    assert elsewhere == found


def test_karpathys_split_is_taken_first(coco: Path) -> None:
    sentence = {"tokens": ["a"], "raw": "A red dog.", "imgid": 0, "sentid": 1}
    image = {"filepath": "val2014", "sentids": [1], "imgid": 0, "sentences": [sentence]}
    put_json(
        coco / "dataset_coco.json",
        {
            "images": [
                {**image, "filename": "COCO_val2014_000000000002.jpg", "split": s, "cocoid": i}
                for i, s in enumerate(("test", "val", "restval"), 2)
            ],
            "dataset": "coco",
        },
    )
    (item,) = captions.coco(Place(coco))
    assert (item.key, item.references) == ("2", ("A red dog.",))
    assert Place(coco).medium(item.media) is not None
    assert len(list(captions.coco(Place(coco, split="val")))) == 4  # COCO's own file
    with pytest.raises(InputError, match="no pictures of the split 'minival'"):
        list(captions.coco(Place(coco / "dataset_coco.json", split="minival")))


def test_audiocaps_groups_captions_of_a_clip(audiocaps: Path) -> None:
    place = Place(audiocaps, audiocaps / "wav")
    here, gone = captions.audiocaps(place)
    assert here.references == ("A bell rings, twice", "play a bell")
    assert place.medium(here.media) == audiocaps / "wav" / "Y7fmOlUlwoNg.wav"
    assert gone.key == "-BxfsWlPUPY_40" and place.medium(gone.media) is None


def test_msrvtt_keeps_to_its_split(msrvtt: Path) -> None:
    first, second = captions.msrvtt(Place(msrvtt))
    assert (first.key, len(first.references), len(second.references)) == ("video7010", 2, 1)
    assert Place(msrvtt).medium(first.media) == msrvtt / "TestVideo" / "video7010.mp4"


def test_librispeech_finds_each_utterance(librispeech: Path) -> None:
    place = Place(librispeech)
    first, second, third = speech.librispeech(place)
    assert (first.key, first.references) == ("61-70-0000", ("A DOG BARKS",))
    assert (second.facts["speaker"], third.facts["speaker"]) == ("61", "908")
    folder = librispeech / "test-clean" / "61" / "70"
    assert place.medium(second.media) == folder / "61-70-0001.flac"
    # One chapter alone:
    place = Place(folder / "61-70.trans.txt")
    assert [place.medium(item.media) for item in speech.librispeech(place)] == [
        folder / "61-70-0000.flac",
        folder / "61-70-0001.flac",
    ]
    with pytest.raises(DataError, match="no dev-clean/.*www.openslr.org/12[.]$"):
        list(speech.librispeech(Place(librispeech, split="dev-clean")))


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"61-70-0000\n", "line 1, has no name"), (b"\n", "line 1, has"), (b"\xff", "not UTF-8")],
)
def test_a_damaged_transcript_is_one_sentence(
    librispeech: Path, content: bytes, words: str
) -> None:
    path = librispeech / "test-clean" / "61" / "70" / "61-70.trans.txt"
    path.write_bytes(content)
    with pytest.raises(DataError, match=f"61-70.trans.txt.*{words}.*[.]$"):
        list(speech.librispeech(Place(librispeech)))


def test_vqav2_joins_questions_and_answers(vqav2: Path) -> None:
    first, second, third = questions.vqav2(Place(vqav2))
    assert (first.question, len(first.references)) == ("Is it red?", 10)
    assert second.facts["answer type"] == "number" and third.facts["image"] == "2"
    assert Place(vqav2).medium(third.media) is not None
    with pytest.raises(InputError, match="not published"):
        list(questions.vqav2(Place(vqav2, split="test")))
    # One of the two files stands for the folder that both are in.
    assert len(list(questions.vqav2(Place(vqav2 / "v2_mscoco_val2014_annotations.json")))) == 3


def test_scienceqa_lays_out_choices(scienceqa: Path) -> None:
    seen, read, bare = questions.scienceqa(Place(scienceqa))
    assert seen.question == "Which is red?\n(A) the left\n(B) the right"
    assert read.question.startswith("Context: It rings.\nWhich word?\n(A) dog")
    assert (seen.references, read.references, bare.references) == (("A",), ("C",), ("B",))
    assert Place(scienceqa).medium(seen.media) is not None and bare.media == ()


def test_splits_of_scienceqa_are_named(scienceqa: Path) -> None:
    with pytest.raises(InputError, match="no split 'val'; it has train, test[.]$"):
        list(questions.scienceqa(Place(scienceqa / "problems.json", split="val")))


def test_llava_bench_joins_its_files(llava_bench: Path) -> None:
    items = list(questions.llava_bench(Place(llava_bench)))
    assert [item.facts["category"] for item in items] == ["conv", "detail", "complex"]
    assert items[2].facts["context"] == "A green square.\nIt is flat."
    assert items[1].references == ("Reference 1.",)


@pytest.mark.parametrize("name", SETS)
def test_a_missing_file_says_what_to_put_where(name: str, tmp_path: Path) -> None:
    with pytest.raises(DataError) as raised:
        select(SETS[name], Settings(Place(tmp_path)))
    sentence = str(raised.value)
    assert str(tmp_path) in sentence and "https://" in sentence and "\n" not in sentence


@pytest.mark.parametrize("content", ["", "{", "[1]", '{"images": 3}', '{"images": [1]}', "\xff{"])
@pytest.mark.parametrize(
    ("reader", "name"),
    [
        (captions.coco, "captions_val2014.json"),
        (captions.coco, "dataset_coco.json"),
        (captions.msrvtt, "test_videodatainfo.json"),
        (captions.audiocaps, "test.csv"),
        (questions.scienceqa, "problems.json"),
    ],
)
def test_damaged_files_are_one_sentence(
    reader: Callable[[Place], object], name: str, content: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_text(content, encoding="latin-1")
    put_json(tmp_path / "pid_splits.json", {"test": ["1"]})
    with pytest.raises(DataError, match="[.]$"):
        list(reader(Place(tmp_path)))  # type: ignore[call-overload]


def test_rows_that_are_not_as_published_are_one_sentence(scienceqa: Path) -> None:
    problems = json.loads((scienceqa / "problems.json").read_text())
    problems["5"]["answer"] = "C"
    put_json(scienceqa / "problems.json", problems)
    with pytest.raises(DataError, match="not those of ScienceQA as they are published"):
        select(standard_set("scienceqa"), Settings(Place(scienceqa)))


def test_a_bad_line_is_named(llava_bench: Path) -> None:
    with (llava_bench / "context.jsonl").open("a") as file:
        file.write("\n[1]\n")
    with pytest.raises(DataError, match="context.jsonl, line 4: The row is not a JSON object[.]$"):
        list(questions.llava_bench(Place(llava_bench)))


def test_a_large_file_is_not_read_whole(tmp_path: Path) -> None:
    """The first row comes before the damage at the end is met."""
    path = tmp_path / "captions.json"
    path.write_text('{"images": [{"id": 1}, {"id": 2}, ' + '{"id": 3}, ' * 20_000 + "oops")
    rows = reading.objects(path, "images.item")
    assert next(rows) == {"id": 1}
    with pytest.raises(DataError, match="cut short after"):
        list(rows)


def test_a_limit_draws_the_same_cases_and_more(coco: Path) -> None:
    chosen, settings = standard_set("coco"), Settings(Place(coco))

    def keys(limit: int, seed: int = 0) -> set[str]:
        return {i.key for i in select(chosen, replace(settings, limit=limit, seed=seed)).items}

    assert len(keys(2)) == 2 and keys(1) < keys(2) < keys(3)
    assert keys(2) == keys(2) and len({frozenset(keys(2, seed)) for seed in range(8)}) > 1
    whole = select(chosen, settings)
    assert whole.total == len(whole.items) == 4
    assert whole.digest == select(chosen, replace(settings, limit=1)).digest


def test_media_that_are_nowhere_are_said_before_anything_is_loaded(coco: Path) -> None:
    settings = Settings(Place(coco, coco / "annotations"))
    with pytest.raises(DataError, match="COCO_val2014_000000000001.jpg.*--media"):
        select(standard_set("coco"), settings)
    jpeg(coco / "annotations", "COCO_val2014_000000000004.jpg", picture(0))
    assert len(select(standard_set("coco"), settings).items) == 4


def test_a_missing_package_names_the_extra(coco: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selection.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"sacrebleu is not installed.*heliograph\[eval\]"):
        select(standard_set("coco"), Settings(Place(coco)))
    # What draws the report is looked for as well, before anything is answered.
    with pytest.raises(MissingExtra, match="matplotlib is not installed"):
        select(standard_set("scienceqa"), Settings(Place(coco)))


def test_names_of_sets_are_known() -> None:
    with pytest.raises(InputError, match="no set 'cocoa'; there are coco, audiocaps"):
        standard_set("cocoa")
