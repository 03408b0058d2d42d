"""Each metric against values that can be worked out by hand; the comments say how."""

from __future__ import annotations

import json
import math
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from heliograph.model.evaluation.standard import speech, texts
from heliograph.model.evaluation.standard.accuracy import (
    choice,
    normalised,
    scienceqa,
    vqa,
    vqa_accuracy,
)
from heliograph.model.evaluation.standard.cepstral import (
    distortion,
    mel_cepstra,
    mel_cepstral_distortion,
    path,
)
from heliograph.model.evaluation.standard.fidelity import frechet, inception_score
from heliograph.model.evaluation.standard.intervals import interval
from heliograph.model.evaluation.standard.items import Answered, Case, Figure, Item, Place
from heliograph.model.evaluation.standard.questions import scienceqa as read_scienceqa
from heliograph.model.evaluation.standard.questions import vqav2 as read_vqav2
from heliograph.model.media import Sound, resampled

from .conftest import sound

needs_java = pytest.mark.skipif(shutil.which("java") is None, reason="java is not installed")


def case(key: str, answer: str, *references: str) -> Case:
    return Case(Item(key, references=references), Answered(key, answer))


# --- captions


def test_bleu_by_hand() -> None:
    """1- to 4-grams: 4/5, 3/4, 2/3 and 1/2 are right; their product is 1/5."""
    figure = texts.bleu({"1": ["a b c d e"]}, {"1": ["a b c d f"]})
    assert figure.value == pytest.approx(100 * 0.2**0.25)
    # Brevity: five words of the closest reference's six, all four precisions 1.
    figure = texts.bleu({"1": ["a b c d e"]}, {"1": ["a b c d e f", "x " * 9]})
    assert figure.value == pytest.approx(100 * math.exp(1 - 6 / 5))


def test_bleu_is_that_of_the_coco_server() -> None:
    from pycocoevalcap.bleu.bleu import Bleu

    said = {"1": ["the cat sat on the mat today"], "2": ["a dog runs"], "3": ["one two three four"]}
    people = {
        "1": ["the cat sat on the mat", "the cat was on the mat"],
        "2": ["a dog runs fast"],
        "3": ["one two three four five", "one two three four", "one"],
    }
    theirs = Bleu(4).compute_score(people, said, verbose=0)[0][3]
    figure = texts.bleu(said, people)
    assert figure.value == pytest.approx(100 * theirs, rel=1e-6)
    assert figure.low is not None and figure.high is not None
    assert 0 <= figure.low < figure.high <= 100 and "tok:none" in figure.note


def test_cider_by_hand() -> None:
    """Of two cases, a word of one has the weight log 2.

    The same caption has similarity 1 for all n up to 4, times 10. Of "a b" said as "a c", the
    1-grams have the cosine 1/2, the 2-grams 0 and longer ones 0: 10 * (1/2) / 4.
    """
    people = {"1": ["p q r s t"], "2": ["a b"]}
    found = texts.cider({"1": ["p q r s t"], "2": ["a c"]}, people)
    assert found == pytest.approx({"1": 1000.0, "2": 125.0})


@needs_java
def test_words_are_split_as_the_penn_treebank_does() -> None:
    found = texts.penn({"1": ["A dog's bone, isn't it?", ""], "2": ["Über\nalles; -- (50 %)"]})
    assert found["1"] == ["a dog 's bone is n't it", ""]
    assert found["2"][0].startswith("über alles")


@needs_java
def test_meteor_and_the_sentence_for_spider() -> None:
    """Words all matched, in one chunk: 1, without a penalty; none matched: 0."""
    cases = [
        case("1", "The cat sat on the mat.", "The cat sat on the mat!"),
        case("2", "", "A dog runs fast"),
    ]
    found = texts.captions(cases, ("METEOR", "SPIDEr"))
    assert found.scores["METEOR"] == pytest.approx({"1": 100.0, "2": 0.0})
    assert [figure.name for figure in found.figures] == ["METEOR"]
    assert "stanford-corenlp-3.6.0.jar" in found.missing["SPIDEr"]
    assert "http://nlp.stanford.edu" in found.missing["SPIDEr"]


@needs_java
def test_meteor_by_hand() -> None:
    """(1 - penalty) * F of exact matches and a stem (Denkowski & Lavie 2014, section 2), with
    the parameters that the program prints for English.

    A word of content counts 3/4 and a function word 1/4; a stem is 0.6 of an exact match.
    F = PR / (0.85 P + 0.15 R). Of m matches in c runs the penalty is 0.6 * (c / m)^0.2, and 0
    where both captions match whole in one run.

    turned: P = R = 1, three matches in two runs.
    less: P = (2 * 3/4) / (2 * 3/4 + 3 * 1/4) = 2/3, R = 1, F = 40/43; two matches in two runs.
    more: P = R = (2 * 3/4) / (3 * 3/4 + 1/4) = 3/5; two matches in one run.
    stem: P = R = (1 + 0.6) / 2, whole.
    """
    said = {
        "turned": ["zebra tractor violin"],
        "less": ["the zebra in the violin"],
        "more": ["the zebra plays violin"],
        "stem": ["zebra plays"],
    }
    people = {
        "turned": ["violin zebra tractor"],
        "less": ["zebra violin"],
        "more": ["a zebra plays tractor"],
        "stem": ["zebra played"],
    }
    _, scores = texts.meteor(said, people)
    assert scores == pytest.approx(
        {
            "turned": 100 * (1 - 0.6 * (2 / 3) ** 0.2),
            "less": 100 * (1 - 0.6) * 40 / 43,
            "more": 100 * (1 - 0.6 * (1 / 2) ** 0.2) * 0.6,
            "stem": 80.0,
        }
    )


def test_without_java_the_other_metrics_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(texts.shutil, "which", lambda name: None)
    cases = [case("1", "A red dog, left.", "a red dog left"), case("2", "it's", "It's a bell")]
    found = texts.captions(cases, ("BLEU-4", "METEOR", "CIDEr", "SPIDEr"))
    assert {figure.name for figure in found.figures} == {"BLEU-4", "CIDEr"}
    assert all("plain rule" in figure.note for figure in found.figures)
    assert all("install a Java runtime" in found.missing[name] for name in ("METEOR", "SPIDEr"))
    assert found.scores["CIDEr"]["1"] == pytest.approx(1000)


def java_that(says: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A shell script in Java's place."""
    java = folder / "java"
    java.write_text(f"#!/bin/sh\n{says}\n")
    java.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return java


def test_a_java_that_fails_is_as_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    java_that("echo 'NOTE: a note' >&2; echo 'No runtime.' >&2; exit 1", tmp_path, monkeypatch)
    cases = [case("1", "a red dog", "a red dog"), case("2", "a bell", "it is a bell")]
    found = texts.captions(cases, ("METEOR", "CIDEr"))
    assert [figure.name for figure in found.figures] == ["CIDEr"]
    assert "the `java` on the path fails (No runtime.): install" in found.missing["METEOR"]
    # One that splits words, but has too little memory for METEOR:
    monkeypatch.setattr(texts, "penn", texts.plain)
    found = texts.captions(cases, ("METEOR",))
    assert "METEOR's Java program failed" in found.missing["METEOR"]


def test_meteor_is_asked_as_it_wants(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Java stands as a script that keeps what it is asked, and gives known scores."""
    asked = tmp_path / "asked"
    says = (
        f"read line; echo $line >{asked}; echo 1 2; read line; echo $line >>{asked}; echo 3 4\n"
        f"read line; echo $line >>{asked}; echo 0.5; echo 0.25; echo 0.375"
    )
    java_that(says, tmp_path, monkeypatch)
    people = {"1": ["p q", "p ||| r"], "2": ["s"]}
    assert texts.meteor({"1": ["p"], "2": [""]}, people) == (37.5, {"1": 50, "2": 25})
    lines = [line.rstrip() for line in asked.read_text().splitlines()]
    assert lines[0].replace("   ", " ") == "SCORE ||| p q ||| p r ||| p"
    assert lines[1:] == ["SCORE ||| s |||", "EVAL ||| 1 2 ||| 3 4"]


def test_spider_is_the_mean_of_spice_and_cider(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The Java program stands as a script that gives a half for each case it is given."""
    library = tmp_path / "spice" / "lib"
    library.mkdir(parents=True)
    for part in ("", "-models"):
        (library / f"stanford-corenlp-3.6.0{part}.jar").touch()
    java = java_that(
        'for given in "$@"; do case $given in */in.json) break;; esac; done\n'
        f"cp $given {tmp_path}/asked.json\n"
        'while [ "$1" != -out ]; do shift; done\n'
        'printf \'[{"image_id": "1", "scores": {"All": {"f": 0.5}}}, '
        '{"image_id": "2", "scores": {"All": {"f": 0.25}}}]\' > "$2"',
        tmp_path,
        monkeypatch,
    )
    monkeypatch.setattr(texts, "_folder", lambda part: tmp_path / part)
    monkeypatch.setattr(texts, "penn", texts.plain)
    cases = [case("1", "p q r s t", "P q r s t."), case("2", "a c", "a b")]
    found = texts.captions(cases, ("SPIDEr",))
    assert found.scores["SPIDEr"] == pytest.approx({"1": (50 + 1000) / 2, "2": (25 + 125) / 2})
    asked = json.loads((tmp_path / "asked.json").read_text())
    assert asked[0] == {"image_id": "1", "test": "p q r s t", "refs": ["p q r s t"]}
    java.write_text("#!/bin/sh\necho 'no memory' >&2; exit 1\n")
    assert "no memory" in texts.captions(cases, ("SPIDEr",)).missing["SPIDEr"]


# --- speech


def test_word_error_rate_by_hand() -> None:
    """Of "the cat sat on the mat" one word is another, one lacks, and one is too many: 3 of 6. Of
    "he sings" neither word was heard: 2 of 2. "Don't stop" is right however it is written."""

    def spoken(key: str, speaker: str, answer: str, reference: str) -> Case:
        item = Item(key, references=(reference,), facts={"speaker": speaker})
        return Case(item, Answered(key, answer))

    cases = [
        spoken("1", "a", "The, er, hat sat on mat.", "THE CAT SAT ON THE MAT"),
        spoken("2", "b", "", "HE SINGS"),
        spoken("3", "b", "Don’t… stop!", "DON'T STOP"),
    ]
    found = speech.word_error_rate(cases)
    (figure,) = found.figures
    assert (figure.value, figure.unit, figure.better) == (50, "%", "lower")
    assert figure.note == "1 words substituted, 3 deleted, 1 inserted, of 10"
    assert found.scores["WER"] == {"1": 50, "2": 100, "3": 0}
    # Both speakers have a half of their words wrong, whoever of them is drawn.
    assert (figure.low, figure.high) == (50, 50)


# --- VQA


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("The  Dog.", "dog"),
        ("two", "2"),
        ("None", "0"),
        ("dont know", "don't know"),
        ("1,000", "1000"),
        ("3.5", "3.5"),
        ("U.S.A.", "usa"),
        ("yes, it is", "yes it is"),
        ("black/white", "black white"),
        ("t-shirt", "t shirt"),
        ("Yes!\n", "yes"),
        ("it's", "it's"),
        ("youre an ape", "you're ape"),
    ],
)
def test_answers_are_normalised_as_vqa_does(given: str, expected: str) -> None:
    assert normalised(given) == expected


@given(st.text())
def test_no_answer_is_too_wild(answer: str) -> None:
    found = normalised(answer)
    assert found == " ".join(found.split())
    assert 0 <= vqa_accuracy(answer, [answer] * 10) <= 1
    choice(answer, ["a dog", "a cat", ""])


@pytest.mark.parametrize(("same", "expected"), [(0, 0), (1, 0.3), (2, 0.6), (3, 0.9), (4, 1)])
def test_vqa_accuracy_by_hand(same: int, expected: float) -> None:
    """Three of ten: leaving one of the three out leaves 2/3, thrice; else 1: (3 * 2/3 + 7) / 10."""
    people = ["dog"] * same + [f"other {i}" for i in range(10 - same)]
    assert vqa_accuracy("A dog.", people) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("answer", "people", "expected"),
    [
        ("none", ["none"] * 10, 1),
        ("none\n", [" none"] * 10, 1),
        ("0", ["none"] * 10, 0),
        ("None", ["none"] * 10, 0),
        ("0", ["none"] * 9 + ["None"], 1),
        ("The dog!", ["dog"] * 10, 0),
        ("The dog!", ["dog"] * 9 + ["a dog"], 1),
    ],
)
def test_answers_are_normalised_where_people_differ(
    answer: str, people: list[str], expected: float
) -> None:
    assert vqa_accuracy(answer, people) == expected


def test_vqa_by_type_of_answer(vqav2: Path) -> None:
    said = {"1001": "yes", "1002": "two", "2001": "a cat"}

    def figures_of(said: dict[str, str]) -> dict[str, Figure]:
        items = read_vqav2(Place(vqav2))
        found = vqa([Case(item, Answered(item.key, said[item.key])) for item in items])
        return {figure.name: figure for figure in found.figures}

    figures = figures_of(said)
    # "2" and "two" are the same answer; one of ten said "cat".
    assert figures["VQA accuracy, number"].value == 100
    assert figures["VQA accuracy, other"].value == pytest.approx(30)
    whole = figures["VQA accuracy"]
    assert whole.value == pytest.approx(100 * (1 + 1 + 0.3) / 3) and whole.count == 3
    assert whole.low is not None and whole.low <= whole.value and whole.note == ""
    # All ten said "yes", which "Yes." is not.
    whole = figures_of({**said, "1001": "Yes."})["VQA accuracy"]
    assert whole.value == pytest.approx(100 * (1 + 0.3) / 3)
    assert whole.note.startswith("1 answers ")


# --- choices


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("B", 1),
        ("(B)", 1),
        ("B. because it rings", 1),
        ("The answer is (C).", 2),
        ("Answer: A", 0),
        ("the bell", 2),
        ("It is the bell.", 2),
        ("I would say (B) here", 1),
        ("A dog", 0),
        ("D", None),
        ("(A) or (B)", None),
        ("A, B", None),
        ("A, B and C", None),
        ("The answer is (A) or (B).", None),
        ("Answer: A, C", None),
        ("A. A dog barks", 0),
        ("a dog or a cat", None),
        ("", None),
    ],
)
def test_the_choice_is_read_from_words(answer: str, expected: int | None) -> None:
    assert choice(answer, ["a dog", "a cat", "the bell"]) == expected


def test_scienceqa_by_category(scienceqa_cases: list[Case]) -> None:
    found = scienceqa(scienceqa_cases)
    figures = {figure.name.removeprefix("accuracy, "): figure for figure in found.figures}
    values = {name: figure.value for name, figure in figures.items()}
    assert values.pop("accuracy") == pytest.approx(200 / 3)
    assert values == {
        "NAT": 100, "SOC": 0, "LAN": 100, "TXT": 100, "IMG": 100, "NO": 0, "G1-6": 100, "G7-12": 50,
    }  # fmt: skip
    # Wilson's interval of one of one begins at 1 / (1 + 1.96²).
    assert figures["NAT"].low == pytest.approx(100 / (1 + 1.959964**2), abs=1e-6)
    assert "1 answers name no choice" in figures["accuracy"].note


@pytest.fixture
def scienceqa_cases(scienceqa: Path) -> list[Case]:
    said = {"4": "A", "5": "(C) bell", "6": "no idea"}
    return [
        Case(item, Answered(item.key, said[item.key])) for item in read_scienceqa(Place(scienceqa))
    ]


# --- media


def test_frechet_distance_by_hand() -> None:
    """In one dimension it is (m - m')² + (s - s')²: (1 - 2)² + (√2 - √8)² = 3."""
    made, real = torch.tensor([[0.0], [2.0]]), torch.tensor([[0.0], [4.0]])
    assert frechet(made, real) == pytest.approx(3)
    # The same spread, moved by 3 in each of two dimensions: 9 + 9.
    square = torch.tensor([[0.0, 0], [2, 0], [0, 2], [2, 2]])
    assert frechet(square + 3, square) == pytest.approx(18)
    assert frechet(square, square) == pytest.approx(0, abs=1e-9)


def test_inception_score_by_hand() -> None:
    """Sure of each of four classes once: 4; undecided: 1; sure of one class: 1."""
    sure = 100 * torch.eye(4)
    assert inception_score(sure, 1) == (pytest.approx(4), 0)
    assert inception_score(torch.zeros(4, 4), 1)[0] == pytest.approx(1)
    assert inception_score(sure[[0, 0, 0]], 1)[0] == pytest.approx(1)
    mean, deviation = inception_score(sure.repeat(50, 1), 2)
    assert 3 < mean <= 4 and deviation >= 0


def test_mel_cepstral_distortion_by_hand() -> None:
    """One coefficient that differs by 1 makes 10 √2 / ln 10 = 6.1419 dB (Kubichek 1993)."""
    cepstra = np.random.default_rng(0).normal(size=(5, 13))
    other = cepstra.copy()
    other[:, 3] += 1
    assert distortion(cepstra[:1], other[:1]) == pytest.approx(6.141851, abs=1e-6)
    # Said more slowly, frame by frame twice, it is the same.
    assert distortion(np.repeat(cepstra, 2, axis=0), cepstra) == pytest.approx(0)


def test_the_path_is_the_cheapest() -> None:
    costs = np.array([[0.0, 9, 9, 9], [9, 0, 0, 9], [9, 9, 9, 0]])
    assert path(costs) == [(0, 0), (1, 1), (1, 2), (2, 3)]


def test_cepstra_are_those_of_the_log_power_spectrum() -> None:
    """Filtered by ``1 + a z^-1``, noise changes by a known spectrum, whose root mean square in dB
    the distortion is: loudness is left out, and so is what 13 coefficients can't tell."""
    noise = sound(3, seconds=4)
    louder = Sound(noise.samples * 3, noise.rate)
    assert mel_cepstral_distortion(louder, noise) == pytest.approx(0, abs=1e-3)
    filtered = Sound(np.convolve(noise.samples, [1, 0.6]).astype(np.float32), noise.rate)
    difference = mel_cepstra(filtered)[:-1] - mel_cepstra(noise)[: len(mel_cepstra(filtered)) - 1]
    found = 10 / math.log(10) * math.sqrt(2 * (difference.mean(0) ** 2).sum())
    from heliograph.model.evaluation.standard.cepstral import _filters

    angles = np.linspace(0, np.pi, 257)
    gain = np.abs(1 + 0.6 * np.exp(-1j * angles)) ** 2  # (257,)
    filters = _filters()
    bands = 10 * np.log10(gain @ filters / filters.sum(0))  # (40,)
    expected = float(np.sqrt(np.mean((bands - bands.mean()) ** 2)))
    assert found == pytest.approx(expected, rel=0.1)
    assert mel_cepstral_distortion(resampled(noise, 48_000), noise) < 1
    assert mel_cepstra(Sound(np.zeros(3, np.float32), 16_000)).shape == (1, 13)


# --- intervals


def test_the_interval_of_a_mean_is_that_of_the_normal_distribution() -> None:
    """Of 400 throws of a coin: 1/2 ± 1.96 * 1/2 / √400."""
    low, high = interval([0.0, 1.0] * 200)
    assert (low, high) == (pytest.approx(0.451, abs=0.01), pytest.approx(0.549, abs=0.01))
    # Pairs that always agree are half as many throws.
    low, high = interval([0.0, 0, 1, 1] * 100, None, [i // 2 for i in range(400)])
    assert high - low == pytest.approx(2 * 1.96 * 0.5 / math.sqrt(200), abs=0.02)


@settings(max_examples=25)
@given(st.lists(st.floats(0, 10), min_size=1, max_size=20))
def test_an_interval_lies_within_its_values(values: list[float]) -> None:
    low, high = interval(values)
    assert min(values) - 1e-9 <= low <= high <= max(values) + 1e-9
