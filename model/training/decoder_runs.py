"""The trainings of the primer's decoders, in the order in which they build on each other:

    image-vae -> objects -> scenes -> motion -> films -> polish -> details   pictures, then films
    audio-vae -> sounds

Each takes a work directory that holds all of them (checkpoints, banks of latents) and
reads what the ones before it left there. The last, ``details``, also goes on from the decoders of
a finished core.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel, UNetMotionModel
from torch import Tensor, nn
from transformers import CLIPTextModel

from heliograph.model.decoders import DiffusionDecoder
from heliograph.model.errors import WeightsError
from heliograph.model.training import autoencoders as vaes
from heliograph.model.training import decoders, details, latents
from heliograph.model.training.latents import Bank
from heliograph.model.training.loop import Losses, Outcome, Schedule, averaged, fit, rng

SEED = 7
SCHEDULES: Mapping[str, Schedule] = {
    "image-vae": Schedule(1300, 2e-3, warmup=50, ema=0.995, weight_decay=0.0),
    "objects": Schedule(10_000, 6e-4, ema=0.998),
    "scenes": Schedule(16_000, 4e-4, ema=0.998),
    "motion": Schedule(4200, 6e-4, warmup=50, ema=0.99),
    "films": Schedule(3000, 4e-4, warmup=200, ema=0.995),
    "polish": Schedule(3400, 3e-4, warmup=200, ema=0.998),
    "details": Schedule(7000, 4e-4, ema=0.998),
    "audio-vae": Schedule(3400, 2e-3, warmup=50, ema=0.99, weight_decay=0.0),
    "sounds": Schedule(12_000, 8e-4, ema=0.995),
}
BATCH = {"image-vae": 32, "pictures": 16, "films": 4, "audio-vae": 8, "sounds": 32}
WINDOW = 64
"""Frames of a spectrogram, one second, that a step of its autoencoder sees."""
BANK = {"objects": 14_000, "scenes": 36_000, "big": 6_000, "motion": 3_000, "sounds": 9_000}
"""How many latents each bank holds."""


def train_image_vae(work: Path, schedule: Schedule, seconds: float | None) -> Outcome:
    """The autoencoder of pictures and film frames."""
    torch.manual_seed(SEED)
    vae = vaes.picture_autoencoder().to(memory_format=torch.channels_last)
    batch = vaes.picture_batches(SEED, BATCH["image-vae"])
    loss = vaes.autoencoder_loss(vae, lean=4.0)
    return fit({"autoencoder": vae}, batch, loss, schedule, work / "image-vae",
               title="picture autoencoder", seconds=seconds)  # fmt: skip


def train_audio_vae(work: Path, schedule: Schedule, seconds: float | None) -> Outcome:
    """The autoencoder of spectrograms."""
    torch.manual_seed(SEED)
    vae = vaes.spectrogram_autoencoder().to(memory_format=torch.channels_last)
    source = latents.heard(SEED)()
    pool = torch.stack([next(source)[0] for _ in range(600)])  # (600, 1, 64, 128)

    def batch(step: int) -> Tensor:
        chance = rng(SEED, step)
        rows = chance.choices(range(len(pool)), k=BATCH["audio-vae"])
        start = chance.randrange(pool.shape[-1] - WINDOW + 1)
        return pool[rows, ..., start : start + WINDOW]

    loss = vaes.autoencoder_loss(vae, lean=1.0, loud=12.0)
    return fit({"autoencoder": vae}, batch, loss, schedule, work / "audio-vae",
               title="spectrogram autoencoder", seconds=seconds)  # fmt: skip


def image_vae(work: Path) -> AutoencoderKL:
    """The picture autoencoder as far as it is trained, frozen, its scale set."""
    return _trained_vae(work / "image-vae", vaes.picture_autoencoder(), latents.scenes(SEED + 1))


def audio_vae(work: Path) -> AutoencoderKL:
    """The spectrogram autoencoder as far as it is trained, frozen, its scale set."""
    return _trained_vae(work / "audio-vae", vaes.spectrogram_autoencoder(), latents.heard(SEED + 1))


def _trained_vae(
    run: Path, vae: AutoencoderKL, examples: Callable[[], latents.Examples]
) -> AutoencoderKL:
    """The autoencoder with the factor that its latents were first scaled by: the decoders and
    banks made with it hold on to that, whatever is sampled or trained later."""
    averaged(run, {"autoencoder": vae})
    kept = run / "scale.json"
    if not kept.exists():
        source = examples()
        factor = vaes.scale(vae, torch.stack([next(source)[0] for _ in range(64)]))
        kept.write_text(json.dumps({"scaling_factor": factor}) + "\n")
    vae.register_to_config(**json.loads(kept.read_text()))
    return decoders.frozen(vae)


def bank(work: Path, name: str) -> Bank:
    """The bank of that name, built where it isn't there yet."""
    examples = {
        "objects": latents.single_objects,
        "scenes": latents.scenes,
        "big": latents.big_objects,
        "motion": latents.moving,
        "sounds": latents.heard,
    }[name](SEED + 2)
    file = work / f"{name}.latents.safetensors"
    vae = audio_vae if name == "sounds" else image_vae
    return latents.build(file, lambda: vae(work), examples, BANK[name])


def train_objects(work: Path, schedule: Schedule, seconds: float | None) -> Outcome:
    """The picture decoder on single objects of 32x32 pixels."""
    words, unet = _fresh(decoders.picture_unet)
    banks = [decoders.Share(bank(work, "objects"), 1.0, BATCH["pictures"])]
    return _fit("objects", "picture decoder: objects", {"words": words, "unet": unet}, banks,
                decoders.diffusion_loss(unet, words), work, schedule, seconds)  # fmt: skip


def train_scenes(work: Path, schedule: Schedule, seconds: float | None) -> Outcome:
    """The picture decoder on whole scenes, and on films' frames with their captions."""
    words, unet = _fresh(decoders.picture_unet)
    averaged(work / "objects", {"words": words, "unet": unet})
    size = BATCH["pictures"]
    banks = [
        decoders.Share(bank(work, "scenes"), 0.8, size),
        decoders.Share(decoders.frames(bank(work, "motion")), 0.15, size),
        decoders.Share(bank(work, "objects"), 0.05, size),
    ]
    # Not weighed: which object goes where is settled at high noise, and min-SNR hardly counts it.
    return _fit("scenes", "picture decoder: scenes", {"words": words, "unet": unet}, banks,
                decoders.diffusion_loss(unet, words, None), work, schedule, seconds)  # fmt: skip


def train_motion(work: Path, schedule: Schedule, seconds: float | None) -> Outcome:
    """The film decoder: a motion adapter on the frozen picture decoder."""
    words, _, moving = _drawing(work, before="motion")
    decoders.only_motion(moving)
    banks = [decoders.Share(bank(work, "motion"), 1.0, BATCH["films"])]
    # Not weighed, as for scenes: where things move is settled at high noise too.
    return _fit("motion", "film decoder: motion", {"unet": moving}, banks,
                decoders.diffusion_loss(moving, words, None), work, schedule, seconds)  # fmt: skip


def train_films(work: Path, schedule: Schedule, seconds: float | None) -> Outcome:
    """Both decoders and their text encoder at once, on films and on pictures.

    A motion adapter alone can't film what is asked for. Its attention runs over time and
    never sees the caption; that has to reach it through the picture decoder, and there
    "moves left" and "moves right" are one, since their single frames look the same.
    """
    words, unet, moving = _drawing(work, before="films")
    words.requires_grad_(True)
    return _fit_both("films", "both decoders: films", {"words": words, "unet": moving},
                     words, unet, moving, work, schedule, seconds)  # fmt: skip


def train_polish(work: Path, schedule: Schedule, seconds: float | None) -> Outcome:
    """Both decoders without their text encoder, so that stage 2 needn't wait for the last of
    them: what it aims at stays as it is."""
    words, unet, moving = _drawing(work, before="polish")
    return _fit_both("polish", "both decoders: polish", {"unet": moving},
                     words, unet, moving, work, schedule, seconds)  # fmt: skip


def _fit_both(
    run: str,
    title: str,
    modules: Mapping[str, nn.Module],
    words: CLIPTextModel,
    unet: UNet2DConditionModel,
    moving: UNetMotionModel,
    work: Path,
    schedule: Schedule,
    seconds: float | None,
) -> Outcome:
    """The picture decoder and the film decoder around it, batches of one and of the other."""
    moving.requires_grad_(True)
    size = BATCH["pictures"]
    banks = [
        decoders.Share(bank(work, "motion"), 0.5, BATCH["films"]),
        decoders.Share(bank(work, "scenes"), 0.35, size),
        decoders.Share(bank(work, "big"), 0.15, size),
    ]
    loss = decoders.either_loss(unet, moving, words)
    return _fit(run, title, modules, banks, loss, work, schedule, seconds)


def train_details(
    work: Path,
    pictures: DiffusionDecoder,
    films: DiffusionDecoder,
    schedule: Schedule,
    seconds: float | None,
) -> Outcome:
    """The last blocks of both, on what the picture decoder draws wrongly."""
    moving = details.moving(pictures, films)
    details.choose(moving)
    run, pipeline = work / "details", pictures.pipeline
    return fit({"unet": moving}, details.batches(run, pictures, BATCH, SEED),
               decoders.either_loss(pipeline.unet, moving, pipeline.text_encoder), schedule, run,
               title="both decoders: details", seconds=seconds)  # fmt: skip


def train_sounds(work: Path, schedule: Schedule, seconds: float | None) -> Outcome:
    """The sound decoder."""
    words, unet = _fresh(decoders.sound_unet)
    banks = [decoders.Share(bank(work, "sounds"), 1.0, BATCH["sounds"])]
    # Not weighed: what a sound is and where its tones lie is settled at high noise too.
    return _fit("sounds", "sound decoder", {"words": words, "unet": unet}, banks,
                decoders.diffusion_loss(unet, words, None), work, schedule, seconds)  # fmt: skip


def _fit(
    run: str,
    title: str,
    modules: Mapping[str, nn.Module],
    banks: Sequence[decoders.Share],
    loss: Callable[[decoders.Latents, torch.Generator], Losses],
    work: Path,
    schedule: Schedule,
    seconds: float | None,
) -> Outcome:
    """What of the modules isn't frozen, on latents drawn from the banks."""
    return fit(modules, decoders.batches(banks, SEED), loss, schedule, work / run,
               title=title, seconds=seconds)  # fmt: skip


TRAININGS: Mapping[str, Callable[[Path, Schedule, float | None], Outcome]] = {
    "image-vae": train_image_vae,
    "objects": train_objects,
    "scenes": train_scenes,
    "motion": train_motion,
    "films": train_films,
    "polish": train_polish,
    "audio-vae": train_audio_vae,
    "sounds": train_sounds,
}


def picture_decoder(work: Path) -> DiffusionDecoder:
    """The picture decoder as far as it is trained."""
    words, unet, _ = _drawing(work)
    return decoders.picture_decoder(image_vae(work), words, unet)


def film_decoder(work: Path) -> DiffusionDecoder:
    """The film decoder as far as it is trained."""
    words, unet, moving = _drawing(work)
    adapter = decoders.motion_adapter()
    state = {k: v for k, v in moving.state_dict().items() if "motion_modules" in k}
    adapter.load_state_dict(state)
    pictures = decoders.picture_decoder(image_vae(work), words, unet)
    return decoders.film_decoder(pictures, adapter.eval())


def sound_decoder(work: Path) -> DiffusionDecoder:
    """The sound decoder as far as it is trained."""
    words, unet = _fresh(decoders.sound_unet)
    averaged(work / "sounds", {"words": words, "unet": unet})
    return decoders.sound_decoder(
        audio_vae(work),
        decoders.frozen(words),
        decoders.frozen(unet),
    )


def _fresh(
    make: Callable[[], UNet2DConditionModel],
) -> tuple[CLIPTextModel, UNet2DConditionModel]:
    torch.manual_seed(SEED)
    words = decoders.text_encoder(len(decoders.caption_tokenizer()))
    unet = make().to(memory_format=torch.channels_last)
    return words, unet


DRAWING = ("objects", "scenes", "motion", "films", "polish", "details")
"""The trainings that the picture and film decoders go through; each begins with what the ones
before it left."""


def _drawing(
    work: Path, before: str | None = None
) -> tuple[CLIPTextModel, UNet2DConditionModel, UNetMotionModel]:
    """The picture decoder as far as it is trained, or as it was before a training, and the film
    decoder around it, which has the picture decoder's parameters for its own; all frozen."""
    words, unet = _fresh(decoders.picture_unet)
    moving = decoders.moving(unet)
    runs = DRAWING[: DRAWING.index(before)] if before else DRAWING
    found = [run for run in runs if (work / run / "last.safetensors").exists()]
    if not found:
        raise WeightsError(f"{work} has no trained picture decoder: train `objects` first.")
    for run in found:
        averaged(work / run, {"words": words, "unet": moving})
    return decoders.frozen(words), decoders.frozen(unet), decoders.frozen(moving)
