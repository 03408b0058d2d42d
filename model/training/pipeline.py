"""From nothing to a core: every training in its order, each in a folder of one work directory.

    tokenizer   from the world's texts                          tokenizer/
    image-vae … sounds   the decoders (``decoder_runs.py``)     image-vae/, objects/, …
    details     pictures that the referee doesn't recognise     details/
    encoders    contrast and details                            encoders/
    steady      the encoder sees past blur, light and noise     steady/
    language    the base language model, on text alone          language/
    encode      stage 1: input projections                      encode/
    decode      stage 2: output projections, new token rows     decode/
    instruct    stage 3: LoRA and projections                   instruct/
    signals     output projections alone, what is left to gain  signals/
    assemble    the core directory, in half precision           core/

Each training reads what the ones before it left, may be stopped at any time and goes on
where it stopped: ``heliograph train parts encoders --work DIR``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import torch

from heliograph.model.checkpoint import read_json
from heliograph.model.core import AnyToAny
from heliograph.model.decoders import DiffusionDecoder
from heliograph.model.encoders import Encoder
from heliograph.model.errors import InputError, WeightsError
from heliograph.model.parts import MODALITIES, Modality
from heliograph.model.shelf import Shelf
from heliograph.model.training import (
    decode,
    decoder_runs,
    encode,
    instruct,
    parts,
    signals,
    stages,
    steady,
)
from heliograph.model.training.loop import Outcome, Schedule, averaged, fit
from heliograph.model.training.presets import Preset

LARGEST_FILE = 16_000_000
"""Bytes that a file of the assembled core may have."""
PROBE = 20.0
"""Seconds of training from which its speed is told."""


def conditioners(work: Path, settings: Preset) -> dict[Modality, DiffusionDecoder]:
    """The decoders whose text encoders stage 2 aims at.

    The film decoder moves the picture decoder, whose text encoder is also its own.
    """
    if settings.base is not None:
        shelf = Shelf.from_pretrained(settings.base)
        made = read_json(settings.base / "config.json").get("outputs", {})
        known = {m: shelf.decoder(m, torch.device("cpu")) for m in MODALITIES if m in made}
        if _trained(work, "details"):
            for drawer in (known["image"], known["video"]):  # each has parameters of its own
                averaged(work / "details", {"unet": drawer.pipeline.unet})
        return known
    pictures = decoder_runs.picture_decoder(work)
    return {"image": pictures, "audio": decoder_runs.sound_decoder(work), "video": pictures}


def train_details(
    work: Path, settings: Preset, schedule: Schedule, seconds: float | None
) -> Outcome:
    """The decoders of pictures and films; their text encoder stands still, and what aims at it."""
    known = conditioners(work, settings)
    films = known["video"] if settings.base else decoder_runs.film_decoder(work)
    return decoder_runs.train_details(work, known["image"], films, schedule, seconds)


def train_steady(
    work: Path, settings: Preset, schedule: Schedule, seconds: float | None
) -> Outcome:
    """The encoder on media that aren't clean; what reads its tokens needs no training after it."""
    encoder = parts.imagebind(work, settings)
    drawer = conditioners(work, settings)["image"]
    steady.choose(encoder)
    return fit(
        {"encoder": encoder},
        steady.batches(encoder, drawer, settings.batches, settings.seed),
        steady.steady_loss(encoder),
        schedule,
        work / "steady",
        title="the encoder past blur, light and noise",
        seconds=seconds,
    )


def train_encode(
    work: Path, settings: Preset, schedule: Schedule, seconds: float | None
) -> Outcome:
    """Stage 1."""
    encoder = parts.encoder(work, settings)
    core = stages.compose(
        parts.language(work, settings), encoder, {}, settings.projections, settings.seed
    )
    encode.choose(core)
    return fit(
        stages.parts(core),
        encode.batches(core, encoder, settings.batches.encode, settings.seed),
        encode.encode_loss(core, settings.slot_weight),
        schedule,
        work / "encode",
        title="stage 1, encoding-side alignment",
        seconds=seconds,
    )


def train_decode(
    work: Path, settings: Preset, schedule: Schedule, seconds: float | None
) -> Outcome:
    """Stage 2."""
    known = conditioners(work, settings)
    core = _core(work, settings, known, parts.encoder(work, settings))
    rows = decode.choose(core)
    return fit(
        stages.parts(core),
        decode.batches(core, settings.batches.decode, settings.seed, settings.captioned),
        decode.decode_loss(core, known, settings.condition_weight),
        schedule,
        work / "decode",
        title=f"stage 2, decoding-side alignment (of the embedding only {rows:,} new numbers)",
        seconds=seconds,
    )


def train_instruct(
    work: Path, settings: Preset, schedule: Schedule, seconds: float | None
) -> Outcome:
    """Stage 3; on a finished base where the first two weren't trained in this work directory."""
    known = conditioners(work, settings)
    encoder = parts.encoder(work, settings)
    core = _two_stages(work, settings, known, encoder)
    rows = instruct.choose(core, settings.lora_rank)
    return fit(
        stages.parts(core),
        instruct.batches(
            core,
            encoder,
            settings.batches.instruct,
            settings.seed,
            settings.captioned,
            known["image"],
        ),
        instruct.instruct_loss(core, known, settings.condition_weight, settings.slot_weight),
        schedule,
        work / "instruct",
        title=f"stage 3, MosIT (of the embedding only {rows:,} new numbers)",
        seconds=seconds,
    )


def train_signals(
    work: Path, settings: Preset, schedule: Schedule, seconds: float | None
) -> Outcome:
    """Output projections alone, on the core that the stages left, or on a finished base."""
    known = conditioners(work, settings)
    encoder = parts.encoder(work, settings)
    core, made = _aligned(work, settings, known, encoder), settings.finished
    signals.choose(core, made)
    return fit(
        stages.parts(core),
        signals.batches(
            core, encoder, made, settings.batches.signals, settings.seed, settings.captioned
        ),
        signals.signal_loss(core, known, made),
        schedule,
        work / "signals",
        title="output projections alone",
        seconds=seconds,
    )


def assemble(work: Path, settings: Preset, directory: Path) -> AnyToAny:
    """Put the newest of everything together and write the core directory.

    Stages that haven't been trained are left out, so an early core can be tried; LoRA is
    added to the weights.

    Raises:
        WeightsError: a file is larger than ``LARGEST_FILE``.
    """
    known = conditioners(work, settings)
    encoder = parts.encoder(work, settings)
    core = _aligned(work, settings, known, encoder)
    if _trained(work, "signals"):
        averaged(work / "signals", stages.parts(core))
    whole = AnyToAny.build(
        core.language,
        {m: core.inputs[m] for m in core.sees},  # type: ignore[misc]
        {m: core.outputs[m] for m in core.makes},  # type: ignore[misc]
        {"imagebind": encoder},
        known if settings.base else {**known, "video": decoder_runs.film_decoder(work)},
    )
    whole.requires_grad_(False).eval().save_pretrained(directory)
    for file in directory.rglob("*.safetensors"):
        if file.stat().st_size > LARGEST_FILE:
            raise WeightsError(f"{file} is larger than {LARGEST_FILE // 10**6} MB.")
    return whole


Training = Callable[[Path, Preset, Schedule, "float | None"], Outcome]


def _decoders(name: str) -> Training:
    def train(work: Path, settings: Preset, schedule: Schedule, seconds: float | None) -> Outcome:
        return decoder_runs.TRAININGS[name](work, schedule, seconds)

    return train


TRAININGS: Mapping[str, Training] = {
    **{name: _decoders(name) for name in decoder_runs.TRAININGS},
    "details": train_details,
    "encoders": parts.train_encoders,
    "steady": train_steady,
    "language": parts.train_language,
    "encode": train_encode,
    "decode": train_decode,
    "instruct": train_instruct,
    "signals": train_signals,
}
"""Every training by its name, in an order in which they can be run."""
STAGES = ("encode", "decode", "instruct", "signals")
PARTS = tuple(name for name in TRAININGS if name not in STAGES)
"""What comes before the three stages."""


def train(
    name: str,
    work: Path,
    settings: Preset,
    *,
    seconds: float | None = None,
    steps: int | None = None,
    fitted: bool = False,
) -> Outcome:
    """Run a training, or go on with it.

    Args:
        name: of ``TRAININGS``.
        work: the work directory.
        settings: sizes and schedules.
        seconds: when to stop, wherever it is.
        steps: length of the schedule, instead of the preset's.
        fitted: shorten the schedule so that it ends within ``seconds``; what was measured
            is written down, so that a later call goes on with the same schedule.

    Raises:
        InputError: there is no training of that name.
    """
    if name not in TRAININGS:
        raise InputError(f"There is no training {name!r}; there are {', '.join(TRAININGS)}.")
    schedule = _schedule(name, settings)
    plan = work / name / "plan.json"
    if steps is None and plan.exists():
        steps = int(json.loads(plan.read_text())["steps"])
    elif fitted and seconds is not None:
        probe = TRAININGS[name](work, settings, schedule, min(PROBE, seconds / 10))
        speed = probe.step / max(probe.seconds, 1e-6)
        seconds = max(0.0, seconds - probe.seconds)
        # A tenth is left for the checkpoints and for a machine that slows down.
        steps = min(schedule.steps, probe.step + int(0.9 * speed * seconds))
        plan.write_text(json.dumps({"steps": steps}) + "\n")
    if steps is not None:
        schedule = replace(schedule, steps=steps, warmup=min(schedule.warmup, steps))
    return TRAININGS[name](work, settings, schedule, seconds)


def train_all(
    work: Path,
    settings: Preset,
    directory: Path,
    minutes: float | None = None,
    share: float | None = None,
) -> Path:
    """Every training in its order, or the three stages of a base; then the core directory.

    Args:
        work: the work directory; what is finished there isn't done again.
        settings: sizes and schedules.
        directory: where the core goes.
        minutes: a budget, divided by ``settings.shares``; each schedule is shortened to it.
        share: of each schedule's steps, instead of a budget in minutes.

    Raises:
        InputError: both are given.
    """
    if minutes is not None and share is not None:
        raise InputError("Give a budget in minutes or a share of the steps, not both.")
    if settings.base is None:
        parts.tokenizer(work, settings)
    names = STAGES if settings.base else TRAININGS.keys()
    whole = sum(settings.shares[name] for name in names)
    for name in names:
        seconds = None if minutes is None else 60 * minutes * settings.shares[name] / whole
        steps = None if share is None else max(1, round(share * _schedule(name, settings).steps))
        train(name, work, settings, seconds=seconds, steps=steps, fitted=minutes is not None)
    assemble(work, settings, directory)
    return directory


def _core(
    work: Path,
    settings: Preset,
    known: Mapping[Modality, DiffusionDecoder],
    encoder: Encoder,
    *runs: str,
) -> AnyToAny:
    """A core of the trained parts, with what those stages left."""
    core = stages.compose(
        parts.language(work, settings),
        encoder,
        known,
        settings.projections,
        settings.seed,
    )
    for run in runs:
        averaged(work / run, stages.parts(core))
    return core


def _schedule(name: str, settings: Preset) -> Schedule:
    return {**decoder_runs.SCHEDULES, **settings.schedules}[name]


def _aligned(
    work: Path,
    settings: Preset,
    known: Mapping[Modality, DiffusionDecoder],
    encoder: Encoder,
) -> AnyToAny:
    """What the three stages left, LoRA added to the weights; the base where none was trained."""
    core = _two_stages(work, settings, known, encoder)
    if _trained(work, "instruct"):
        instruct.choose(core, settings.lora_rank)
        averaged(work / "instruct", stages.parts(core))
        core.language.merge_lora()
    return core


def _two_stages(
    work: Path,
    settings: Preset,
    known: Mapping[Modality, DiffusionDecoder],
    encoder: Encoder,
) -> AnyToAny:
    """What stages 1 and 2 left; the base as it is where neither was trained."""
    done = _trained(work, "encode", "decode")
    if settings.base is not None and not done:
        return AnyToAny.from_pretrained(settings.base)
    return _core(work, settings, known, encoder, *done)


def _trained(work: Path, *runs: str) -> list[str]:
    return [run for run in runs if (work / run / "last.safetensors").exists()]
