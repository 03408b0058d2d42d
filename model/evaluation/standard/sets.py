"""The table of sets: what each asks, how it is read, and what is computed of the answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from heliograph.model.errors import InputError
from heliograph.model.evaluation.standard import (
    accuracy,
    captions,
    judge,
    making,
    questions,
    speech,
    texts,
)
from heliograph.model.evaluation.standard.items import Case, Found, Item, Place
from heliograph.model.evaluation.standard.judge import Judge
from heliograph.model.evaluation.standard.making import Made, Networks, Told
from heliograph.model.parts import Modality


@dataclass(frozen=True, eq=False)
class Scoring:
    """What scorers need besides the answers."""

    place: Place
    folder: Path
    """The report's; what was made lies in it."""
    networks: Networks = Networks()
    judge: Judge | None = None
    judge_name: str = ""
    tell: Told = lambda *_: None


@dataclass(frozen=True)
class StandardSet:
    """One set."""

    name: str
    """On the command line."""
    title: str
    source: str
    """Where its annotations are published."""
    read: Callable[[Place], Iterator[Item]]
    prompt: str
    """What the core is asked; ``{question}`` stands for the item's."""
    score: Callable[[Sequence[Case], Scoring], Found]
    shows: Modality | None = None
    """What the core is shown."""
    makes: Modality | None = None
    """What it is to make."""
    longest: int = 64
    """Tokens of an answer."""
    needs: tuple[str, ...] = ()
    """Packages of the extra ``eval`` that its metrics need."""


CAPTIONS = ("sacrebleu", "pycocoevalcap", "ijson")


def _captions(*metrics: str) -> Callable[[Sequence[Case], Scoring], Found]:
    return lambda cases, _: texts.captions(cases, metrics)


def _made(modality: Modality) -> Callable[[Sequence[Case], Scoring], Found]:
    def score(cases: Sequence[Case], scoring: Scoring) -> Found:
        files = {
            case.item.key: scoring.folder / case.answer.made
            for case in cases
            if case.answer.made is not None
        }
        if not files:
            return Found(missing={"all": "The core made nothing: it answered in words."})
        items = {case.item.key: case.item for case in cases if case.item.key in files}
        real = {key: scoring.place.medium(item.media) for key, item in items.items()}
        return making.figures(
            Made(
                modality,
                files,
                {key: path for key, path in real.items() if path is not None},
                {key: item.question for key, item in items.items()},
            ),
            scoring.networks,
            scoring.tell,
        )

    return score


def _judged(cases: Sequence[Case], scoring: Scoring) -> Found:
    if scoring.judge is None:
        sentence = "The relative score needs a judge: name a chat model with --judge."
        return Found(missing={"relative score": sentence})
    return judge.review(
        cases,
        scoring.judge,
        scoring.judge_name,
        scoring.folder / "reviews.jsonl",
        lambda done, total: scoring.tell("judging", done, total),
    )


SETS: dict[str, StandardSet] = {
    chosen.name: chosen
    for chosen in (
        StandardSet(
            "coco",
            "COCO captions",
            captions.COCO,
            captions.coco,
            "Describe the picture in one sentence.",
            _captions("BLEU-4", "METEOR", "CIDEr"),
            shows="image",
            needs=CAPTIONS,
        ),
        StandardSet(
            "audiocaps",
            "AudioCaps",
            captions.AUDIOCAPS,
            captions.audiocaps,
            "Describe the sound in one sentence.",
            _captions("CIDEr", "SPIDEr"),
            shows="audio",
            needs=CAPTIONS,
        ),
        StandardSet(
            "msrvtt",
            "MSR-VTT",
            captions.MSRVTT,
            captions.msrvtt,
            "Describe the film in one sentence.",
            _captions("BLEU-4", "METEOR", "CIDEr"),
            shows="video",
            needs=CAPTIONS,
        ),
        StandardSet(
            "librispeech",
            "LibriSpeech",
            speech.LIBRISPEECH,
            speech.librispeech,
            "Write down what is said.",
            lambda cases, _: speech.word_error_rate(cases),
            shows="audio",
            longest=256,  # the longest utterances last 35 seconds
            needs=("jiwer",),
        ),
        StandardSet(
            "vqav2",
            "VQAv2",
            questions.VQA,
            questions.vqav2,
            "{question}\nAnswer with one word or a short phrase.",
            lambda cases, _: accuracy.vqa(cases),
            shows="image",
            longest=16,
            needs=("ijson",),
        ),
        StandardSet(
            "scienceqa",
            "ScienceQA",
            questions.SCIENCEQA,
            questions.scienceqa,
            "{question}\nAnswer with the letter of the right choice.",
            lambda cases, _: accuracy.scienceqa(cases),
            shows="image",
        ),
        StandardSet(
            "llava-bench",
            "LLaVA-Bench (In-the-Wild)",
            questions.LLAVA_BENCH,
            questions.llava_bench,
            "{question}",
            _judged,
            shows="image",
            longest=512,
        ),
        StandardSet(
            "coco-generation",
            "pictures made from COCO captions",
            captions.COCO,
            captions.coco,
            "Draw this: {question}",
            _made("image"),
            makes="image",
            needs=("torchmetrics", "ijson"),
        ),
        StandardSet(
            "audiocaps-generation",
            "sounds made from AudioCaps captions",
            captions.AUDIOCAPS,
            captions.audiocaps,
            "Play this: {question}",
            _made("audio"),
            makes="audio",
            needs=("torchmetrics",),
        ),
        StandardSet(
            "msrvtt-generation",
            "films made from MSR-VTT captions",
            captions.MSRVTT,
            captions.msrvtt,
            "Film this: {question}",
            _made("video"),
            makes="video",
            needs=("torchmetrics", "ijson"),
        ),
    )
}
"""By name. Papers report the first seven for what a core understands, and the last three for
what it makes."""


def standard_set(name: str) -> StandardSet:
    """The set of that name.

    Raises:
        InputError: there is none.
    """
    if name not in SETS:
        raise InputError(f"There is no set {name!r}; there are {', '.join(SETS)}.")
    return SETS[name]
