"""LLaVA-Bench's relative score with a scripted judge."""

from __future__ import annotations

from pathlib import Path

import pytest

from heliograph.model.evaluation.standard.items import Answered, Case, Place
from heliograph.model.evaluation.standard.judge import points, prompt, review
from heliograph.model.evaluation.standard.questions import llava_bench as read


@pytest.fixture
def cases(llava_bench: Path) -> list[Case]:
    items = read(Place(llava_bench))
    return [Case(item, Answered(item.key, f"Ours {item.key}.")) for item in items]


@pytest.mark.parametrize(
    ("verdict", "expected"),
    [
        ("8 6\nBecause.", (8, 6)),
        ("\n 8.5, 7", (8.5, 7)),
        ("8/10 6/10", (8, 6)),
        ("First: 10, second: 3.", (10, 3)),
        ("8", None),
        ("8 6 7", None),
        ("80 60", None),
        ("both are fine\n8 6", None),
        ("", None),
    ],
)
def test_points_are_two_numbers(verdict: str, expected: tuple[float, float] | None) -> None:
    assert points(verdict) == expected


def test_the_judge_sees_what_it_needs(cases: list[Case]) -> None:
    asked = prompt(cases[2])
    for words in ("A green square.\nIt is flat.", "What of 2?", "Reference 2.", "Ours 2."):
        assert words in asked
    assert asked.index("Reference 2.") < asked.index("Ours 2.")


def test_the_relative_score_by_hand(cases: list[Case], tmp_path: Path) -> None:
    """(6 + 9 + 4) of (8 + 10 + 8): 73.1 %."""
    verdicts = iter(["8 6", "what?", "10 9", "8 4"])
    found = review(cases, lambda _: next(verdicts), "scripted", tmp_path / "reviews.jsonl")
    values = {figure.name: figure.value for figure in found.figures}
    assert values["relative score"] == pytest.approx(100 * 19 / 26)
    assert values["relative score, conv"] == pytest.approx(75)
    assert values["relative score, complex"] == pytest.approx(50)
    assert found.scores["points"] == {"0": 6, "1": 9, "2": 4}


def test_verdicts_are_kept_for_the_same_judge_and_answer(cases: list[Case], tmp_path: Path) -> None:
    asked: list[str] = []

    def judge(question: str) -> str:
        asked.append(question)
        if len(asked) == 3:
            raise ConnectionError
        return "8 6"

    path = tmp_path / "reviews.jsonl"
    with pytest.raises(ConnectionError):
        review(cases, judge, "a", path)
    review(cases, judge, "a", path)
    assert len(asked) == 4  # two, the one that failed, and that again
    review(cases, judge, "b", path)
    assert len(asked) == 7
    changed = [Case(cases[0].item, Answered("0", "Another answer.")), *cases[1:]]
    review(changed, judge, "a", path)
    assert len(asked) == 8


def test_a_judge_without_numbers_is_said(cases: list[Case], tmp_path: Path) -> None:
    found = review(cases, lambda _: "Both are fine.", "kind", tmp_path / "reviews.jsonl")
    assert not found.figures and "kind gave no two numbers" in found.missing["relative score"]
