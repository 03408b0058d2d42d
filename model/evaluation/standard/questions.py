"""Readers of questions about pictures: VQAv2, ScienceQA and LLaVA-Bench."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from heliograph.model.errors import DataError, InputError
from heliograph.model.evaluation.standard.items import Item, Place
from heliograph.model.evaluation.standard.reading import entry, find, lines, objects

VQA = "https://visualqa.org/download.html"
SCIENCEQA = "https://github.com/lupantech/ScienceQA"
LLAVA_BENCH = "https://huggingface.co/datasets/liuhaotian/llava-bench-in-the-wild"

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def vqav2(place: Place) -> Iterator[Item]:
    """VQA v2.0, open-ended (Goyal et al. 2017, arXiv 1612.00837), ``val`` unless told.

    Raises:
        DataError: a file is missing or damaged.
        InputError: the split has no published answers.
    """
    split = place.split or "val"
    if split.startswith("test"):
        raise InputError(
            f"The answers of VQAv2's {split} are not published (its server scores it): use val."
        )
    questions = find(place.folder, [f"v2_OpenEnded_mscoco_{split}*_questions.json"], VQA)
    answers = find(place.folder, [f"v2_mscoco_{split}*_annotations.json"], VQA)
    asked = {
        int(entry(row, "question_id", questions)): str(entry(row, "question", questions))
        for row in objects(questions, "questions.item")
    }
    folder = f"{split}2014"
    for row in objects(answers, "annotations.item"):
        number = int(entry(row, "question_id", answers))
        image = int(entry(row, "image_id", answers))
        if number not in asked:
            raise DataError(f"{questions} lacks question {number}, which {answers} answers.")
        name = f"COCO_{folder}_{image:012d}.jpg"
        yield Item(
            str(number),
            asked[number],
            (name, f"{folder}/{name}"),
            tuple(str(given["answer"]) for given in entry(row, "answers", answers)),
            {
                "image": str(image),
                "answer type": str(row.get("answer_type", "other")),
                "question type": str(row.get("question_type", "")),
            },
        )


def scienceqa(place: Place) -> Iterator[Item]:
    """ScienceQA (Lu et al. 2022, arXiv 2209.09513), ``test`` unless told.

    The question is laid out as context, question and lettered choices; its only reference
    is the right letter. Pictures lie as ``SPLIT/ID/image.png``.

    Raises:
        DataError: a file is missing or damaged.
        InputError: there is no such split.
    """
    split = place.split or "test"
    problems = find(place.folder, ["problems.json"], SCIENCEQA)
    ids = _split(place, split)
    for key, problem in _problems(problems, ids):
        choices = [str(choice) for choice in entry(problem, "choices", problems)]
        right = int(entry(problem, "answer", problems))
        if not 0 <= right < len(choices) <= len(LETTERS):
            raise DataError(f"{problems}: problem {key} has no choice number {right}.")
        hint, image = str(problem.get("hint") or "").strip(), problem.get("image")
        told = [f"({LETTERS[i]}) {choice}" for i, choice in enumerate(choices)]
        question = str(entry(problem, "question", problems)).strip()
        facts = {
            "subject": str(entry(problem, "subject", problems)),
            "grade": str(entry(problem, "grade", problems)),
            "text": "yes" if hint else "no",
            "image": "yes" if image else "no",
            "choices": json.dumps(choices, ensure_ascii=False),
        }
        of = str(problem.get("split", split))
        names = (f"{of}/{key}/{image}", f"images/{of}/{key}/{image}") if image else ()
        parts = [f"Context: {hint}"] * bool(hint) + [question, *told]
        yield Item(key, "\n".join(parts), names, (LETTERS[right],), facts)


def llava_bench(place: Place) -> Iterator[Item]:
    """LLaVA-Bench (In-the-Wild) (Liu et al. 2023, arXiv 2304.08485): 60 questions, 24 pictures.

    Its only reference is the answer of text-only GPT-4 that comes with the set.

    Raises:
        DataError: a file is missing or damaged.
    """
    questions = find(place.folder, ["questions.jsonl"], LLAVA_BENCH)
    contexts = find(place.folder, ["context.jsonl"], LLAVA_BENCH)
    answers = find(place.folder, ["answers_gpt4.jsonl"], LLAVA_BENCH)
    about = {str(entry(row, "image", contexts)): row for row in lines(contexts)}
    given = {str(entry(row, "question_id", answers)): row for row in lines(answers)}
    for row in lines(questions):
        key, image = str(entry(row, "question_id", questions)), str(entry(row, "image", questions))
        if image not in about or key not in given:
            lacking = contexts if image not in about else answers
            raise DataError(f"{lacking} has nothing for question {key} of {questions}.")
        context = entry(about[image], "caption", contexts)
        yield Item(
            key,
            str(entry(row, "text", questions)),
            (image, f"images/{image}"),
            (str(entry(given[key], "text", answers)),),
            {
                "category": str(row.get("category", "all")),
                "context": context if isinstance(context, str) else "\n".join(context),
            },
        )


def _problems(path: Path, ids: list[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The chosen problems of the one object that the file is, 30 MB in all."""
    every = _json(path)
    for key in ids:
        if not isinstance(every.get(key), dict):
            raise DataError(f"{path} lacks problem {key}.")
        yield key, every[key]


def _split(place: Place, split: str) -> list[str]:
    """The ids of the problems of a split."""
    path = find(place.folder, ["pid_splits.json"], SCIENCEQA)
    splits = _json(path)
    if split not in splits:
        raise InputError(f"{path} has no split {split!r}; it has {', '.join(splits)}.")
    return [str(key) for key in splits[split]]


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{path} can't be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is not JSON.") from error
    if not isinstance(value, dict):
        raise DataError(f"{path} is not a JSON object.")
    return value
