"""The encoder learns to see and hear past what it was never shown: self-distillation.

The world's media are clean. Pictures that a decoder drew have softer edges, photographs have
backgrounds that are no plain colour, recordings have noise. Given any of those, the encoder
learns to say what it says itself of the clean medium (a student that starts as its own teacher:
Xie et al. 2020, "Noisy Student", arXiv 1911.04252). So all that was trained on its tokens stays
valid, and only the stems and first halves of the trunks have to change.

Shape legend: B media of one modality, n tokens, W width.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from PIL import Image as Pictures
from torch import Tensor
from torch.nn import functional as F

from heliograph.model.decoders import DiffusionDecoder
from heliograph.model.decoders.autoencoding import rebuilt
from heliograph.model.encoders.imagebind import ImageBind
from heliograph.model.media import Clip, Film, Image, Sound
from heliograph.model.parts import Modality
from heliograph.model.primer import scenes, sounds
from heliograph.model.primer.render import render
from heliograph.model.primer.scenes import One, Pair, Scene, Several, SoundOf
from heliograph.model.primer.vocabulary import load
from heliograph.model.training.encoders import tokens_and_vectors
from heliograph.model.training.loop import Losses, rng
from heliograph.model.training.presets import Batches

CLEAN, REBUILT = 0.2, 0.6
"""Shares of the media that stay as they are, and of the pictures and films that go through their
decoder's autoencoder; the others are shaded."""
NOISE_DB = (12.0, 40.0)
"""From a sound's mean power down to the noise's."""


@dataclass(frozen=True, eq=False)
class Seen:
    """The same media, clean and disturbed, as the encoder takes them, by modality."""

    clean: Mapping[Modality, Tensor]
    disturbed: Mapping[Modality, Tensor]


def batches(
    encoder: ImageBind, drawer: DiffusionDecoder, sizes: Batches, seed: int
) -> Callable[[int], Seen]:
    """The media of each step.

    Args:
        encoder: prepares them.
        drawer: the picture decoder, whose autoencoder is the films' as well.
        sizes: how many of each modality.
        seed: of the whole training.
    """

    def batch(step: int) -> Seen:
        chance = rng(seed, step)
        kinds: list[type[Scene]] = [
            *chance.choices((One, Several, Pair), (5, 2, 5), k=sizes.images),
            *[scenes.Film] * (sizes.films // 2),
            *[SoundOf] * sizes.sounds,
        ]
        clean: dict[Modality, list[Tensor]] = {}
        other: dict[Modality, list[Tensor]] = {}
        for kind in kinds:
            scene = scenes.sample(chance, kind)
            clip = render(scene, chance.getrandbits(31))
            modality = scenes.modality(scene)
            clean.setdefault(modality, []).append(encoder.prepare(clip))
            changed = disturbed(clip, scene, chance, drawer)
            other.setdefault(modality, []).append(encoder.prepare(changed))
        return Seen(
            {m: torch.stack(x) for m, x in clean.items()},
            {m: torch.stack(x) for m, x in other.items()},
        )

    return batch


def disturbed(clip: Clip, scene: Scene, chance: random.Random, drawer: DiffusionDecoder) -> Clip:
    """The clip as it might come from elsewhere: redrawn, shaded, noisy, or as it is."""
    kind = chance.random()
    if kind < CLEAN:
        return clip
    if isinstance(clip, Sound):
        decibels = chance.uniform(*NOISE_DB)
        noise = np.random.default_rng(chance.getrandbits(31))
        return replace(clip, samples=sounds.noisy(clip.samples, decibels, noise))
    if kind < CLEAN + REBUILT:
        return rebuilt(drawer.pipeline, [clip])[0]
    assert not isinstance(scene, SoundOf)
    return _shaded(clip, load().backgrounds[scene.background], chance)


def steady_loss(encoder: ImageBind) -> Callable[[Seen, torch.Generator], Losses]:
    """How far the tokens and the joint vectors are from those of the clean media, as the encoder
    saw them before."""
    teacher = copy.deepcopy(encoder).requires_grad_(False).eval()

    def loss(batch: Seen, generator: torch.Generator) -> Losses:
        figures: dict[str, Tensor] = {}
        for modality, x in batch.disturbed.items():
            with torch.no_grad():
                aims, joint = tokens_and_vectors(teacher, modality, batch.clean[modality])
            tokens, vectors = tokens_and_vectors(encoder, modality, x)
            far = F.mse_loss(tokens, aims) / aims.square().mean()
            figures[str(modality)] = far + (1 - F.cosine_similarity(vectors, joint).mean())
        return {"loss": torch.stack(list(figures.values())).sum(), **figures}

    return loss


def choose(encoder: ImageBind) -> None:
    """Let the stems and the first halves of the picture and the sound trunk train."""
    encoder.requires_grad_(False)
    for branch in ("vision", "audio"):
        blocks: Any = encoder.modality_trunks[branch].blocks
        for part in (encoder.modality_preprocessors[branch], *blocks[: len(blocks) // 2]):
            part.requires_grad_(True)


def _shaded(clip: Image | Film, colour: tuple[int, int, int], chance: random.Random) -> Clip:
    """Light, spots and grain of any strength on what has the background's colour."""
    frames = clip.pixels[None] if isinstance(clip, Image) else clip.frames  # (T, H, W, 3)
    height, width = frames.shape[1:3]
    random_ = np.random.default_rng(chance.getrandbits(31))
    y, x = np.mgrid[0:height, 0:width] / max(height, width) - 0.5
    slope = random_.uniform(-60, 60) * x + random_.uniform(-60, 60) * y
    cells = chance.randint(3, 12)
    coarse = random_.normal(0, random_.uniform(0, 16), (cells, cells)).astype(np.float32)
    spots = Pictures.fromarray(coarse).resize((width, height), Pictures.Resampling.BICUBIC)
    light = (slope + np.asarray(spots))[..., None]  # (H, W, 1)
    grain = random_.normal(0, random_.uniform(0, 6), frames.shape)
    free = (frames == np.array(colour, dtype=np.uint8)).all(-1, keepdims=True)
    shaded = np.where(free, frames + light + grain, frames).clip(0, 255).astype(np.uint8)
    return Image(shaded[0]) if isinstance(clip, Image) else replace(clip, frames=shaded)
