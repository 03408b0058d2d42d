"""``heliograph eval SET``: measure a core on a standard set."""

from __future__ import annotations

import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from heliograph.agent.cli.chat import Device
from heliograph.agent.cli.eval import (
    AsJson,
    Captions,
    Guidance,
    Preset,
    Steps,
    Weights,
    bar,
    load,
    weights_folder,
)
from heliograph.agent.cli.measure import (
    Classifier,
    ClipModel,
    Features,
    measure_media,
    write_report,
)

if TYPE_CHECKING:
    from heliograph.model.evaluation.standard.judge import Judge
    from heliograph.model.evaluation.standard.making import Networks
    from heliograph.model.evaluation.standard.selection import Settings

UNDERSTANDING = {
    "coco": "COCO captions of pictures: BLEU-4, METEOR, CIDEr.",
    "audiocaps": "AudioCaps captions of sounds: CIDEr, SPIDEr.",
    "msrvtt": "MSR-VTT captions of films: BLEU-4, METEOR, CIDEr.",
    "librispeech": "LibriSpeech utterances, written down: WER.",
    "vqav2": "VQAv2 questions about pictures: VQA accuracy by type of answer.",
    "scienceqa": "ScienceQA choices: accuracy by subject, context and grade.",
}
GENERATION = {
    "coco-generation": "Pictures made from COCO captions: FID, IS, CLIPSIM.",
    "audiocaps-generation": "Sounds made from AudioCaps captions: FAD, IS.",
    "msrvtt-generation": "Films made from MSR-VTT captions: FID of frames, IS, CLIPSIM.",
}
LLAVA_BENCH = "LLaVA-Bench (In-the-Wild): relative score by a judge, any LangChain chat model."

Data = Annotated[Path, typer.Option(help="Folder of the set's annotation files, or one of them.")]
Out = Annotated[
    Path, typer.Option(help="Folder of the answers and the report; a second run goes on there.")
]
MediaRoot = Annotated[
    Path | None, typer.Option("--media", help="Folder of the media; that of --data if left out.")
]
Split = Annotated[str | None, typer.Option(help="Part of the set; the usual one if left out.")]
Limit = Annotated[
    int | None, typer.Option(min=1, help="Only so many cases, drawn by --seed; all if left out.")
]
Seed = Annotated[int, typer.Option(help="Draws cases, and seeds what is made.")]
Batch = Annotated[int, typer.Option(min=1, help="Cases that are worked on side by side.")]
Prompt = Annotated[
    str | None, typer.Option(help="What is asked; {question} stands for the set's own words.")
]
Longest = Annotated[
    int | None, typer.Option(min=1, help="Tokens of an answer, instead of the set's own.")
]


def register(app: typer.Typer) -> None:
    """Put the commands below ``heliograph eval``."""
    for name, text in UNDERSTANDING.items():
        _understanding(app, name, text)
    app.command("llava-bench", help=LLAVA_BENCH)(llava_bench)
    for name, text in GENERATION.items():
        _generation(app, name, text)
    app.command("media")(measure_media)


def _understanding(app: typer.Typer, set_name: str, text: str) -> None:
    @app.command(set_name, help=text)
    def command(
        data: Data,
        out: Out,
        media: MediaRoot = None,
        split: Split = None,
        preset: Preset = None,
        weights: Weights = None,
        limit: Limit = None,
        seed: Seed = 0,
        batch: Batch = 8,
        prompt: Prompt = None,
        longest: Longest = None,
        device: Device = "cpu",
        as_json: AsJson = False,
    ) -> None:
        settings = _settings(data, media, split, limit, seed, batch, prompt, longest)
        _run(set_name, settings, out, weights_folder(preset, weights), device, as_json)


def llava_bench(
    data: Data,
    out: Out,
    judge: Annotated[
        str | None,
        typer.Option(help="Chat model that judges, as LangChain names it: provider:model."),
    ] = None,
    media: MediaRoot = None,
    preset: Preset = None,
    weights: Weights = None,
    limit: Limit = None,
    seed: Seed = 0,
    batch: Batch = 8,
    prompt: Prompt = None,
    longest: Longest = None,
    device: Device = "cpu",
    as_json: AsJson = False,
) -> None:
    """LLaVA-Bench; its help is ``LLAVA_BENCH``."""
    settings = _settings(data, media, None, limit, seed, batch, prompt, longest)
    _run("llava-bench", settings, out, weights_folder(preset, weights), device, as_json, judge)


def _generation(app: typer.Typer, set_name: str, text: str) -> None:
    @app.command(set_name, help=text)
    def command(
        data: Data,
        out: Out,
        media: MediaRoot = None,
        split: Split = None,
        preset: Preset = None,
        weights: Weights = None,
        features: Features = None,
        classifier: Classifier = None,
        clip: ClipModel = None,
        limit: Limit = None,
        seed: Seed = 0,
        batch: Batch = 8,
        prompt: Prompt = None,
        longest: Longest = None,
        steps: Steps = None,
        guidance: Guidance = None,
        captions: Captions = False,
        device: Device = "cpu",
        as_json: AsJson = False,
    ) -> None:
        from heliograph.model.evaluation.standard.making import Networks

        settings = _settings(
            data,
            media,
            split,
            limit,
            seed,
            batch,
            prompt,
            longest,
            steps=steps,
            guidance=guidance,
            path="caption" if captions else "signal",
        )
        where = "cpu" if device == "auto" else device  # the plan leaves a GPU no room for them
        networks = Networks.load(features, classifier, clip, where)
        folder = weights_folder(preset, weights)
        _run(set_name, settings, out, folder, device, as_json, networks=networks)


def _settings(
    data: Path,
    media: Path | None,
    split: str | None,
    limit: int | None,
    seed: int,
    batch: int,
    prompt: str | None,
    longest: int | None,
    **making: Any,
) -> Settings:
    from heliograph.model.errors import InputError
    from heliograph.model.evaluation.standard.items import Place
    from heliograph.model.evaluation.standard.selection import Settings

    for folder in (data, media):
        if folder is not None and not folder.exists():
            raise InputError(f"There is no folder {folder}.")
    place = Place(data, media, split)
    return Settings(place, limit, seed, batch, prompt, longest, **making)


def _run(
    name: str,
    settings: Settings,
    out: Path,
    folder: Path,
    device: str,
    as_json: bool,
    judge: str | None = None,
    networks: Networks | None = None,
) -> None:
    """Evaluate and report; exit code 130 where it was stopped before its end."""
    from heliograph.model.checkpoint import fingerprint
    from heliograph.model.evaluation.standard import run
    from heliograph.model.evaluation.standard.making import Networks
    from heliograph.model.evaluation.standard.selection import select
    from heliograph.model.evaluation.standard.sets import Scoring, standard_set

    began = time.monotonic()
    chosen = standard_set(name)
    networks = networks or Networks()
    if chosen.makes:
        networks.check(chosen.makes)
    verdict: Judge | None = None
    if judge is not None:
        from heliograph.agent import chat_models

        ask = chat_models.asking(chat_models.named(judge))

        def verdict(question: str) -> str:
            return ask([("user", question)]).text

    selection = select(chosen, settings)
    known = fingerprint(folder)
    if device == "auto":  # answers in other precisions are others
        known += "-auto"
    with bar(quiet=not sys.stderr.isatty()) as tell:
        scoring = Scoring(settings.place, out, networks, verdict, judge or "", tell)
        outcome = run.evaluate(
            lambda: load(folder, device), known, chosen, selection, settings, scoring, tell
        )
    told = asdict(settings)
    told["place"] = {key: str(value) for key, value in told["place"].items() if value is not None}
    told["prompt"] = settings.prompt or chosen.prompt
    told["longest"] = settings.longest or chosen.longest
    made = sum(case.answer.made is not None for case in outcome.cases)
    about = {
        "set": name,
        "title": chosen.title,
        "source": chosen.source,
        "complete": outcome.complete,
        "weights": {"path": str(folder), "fingerprint": known},
        "settings": told,
        "cases": {
            "in the set": selection.total,
            "chosen": len(selection.items),
            "answered": len(outcome.cases),
            "failed": len(outcome.failed),
            **({"made": made} if chosen.makes else {}),
        },
        "failed": dict(list(outcome.failed.items())[:20]),
        "seconds": round(time.monotonic() - began, 1),
    }
    write_report(out, outcome.found, about, outcome.cases, as_json)
    if outcome.failed:
        key, reason = next(iter(outcome.failed.items()))
        print(
            f"{len(outcome.failed)} of {len(selection.items)} cases were not answered; "
            f"{key}: {reason}",
            file=sys.stderr,
        )
    if not outcome.complete:
        print("Stopped before the end; the same command goes on.", file=sys.stderr)
        raise typer.Exit(130)
