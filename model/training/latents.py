"""Latents computed once: what a diffusion decoder is trained on.

A bank is one safetensors file of a training folder: latents in half precision, already
scaled to unit variance, with the captions they belong to. Encoding costs as much as
training does, and a bank is read again by every run that follows.
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from PIL import Image
from rich.progress import track
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from heliograph.model.decoders.autoencoding import pixels
from heliograph.model.decoders.spectrogram import log_mel
from heliograph.model.files import as_readable
from heliograph.model.primer import films, pictures, sounds
from heliograph.model.primer.scenes import (
    Film,
    One,
    Pair,
    Several,
    caption,
    every_sound,
    is_held_out,
    sample,
    with_article,
)
from heliograph.model.primer.vocabulary import load
from heliograph.model.training.loop import rng

CHUNK = 32
OBJECT_SIDE = 32


@dataclass(frozen=True)
class Bank:
    """N latents and their captions."""

    latents: Tensor
    """(N, C, h, w) for pictures and sounds, (N, T, C, h, w) for films; float16."""
    captions: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.captions)


Examples = Iterator[tuple[Tensor, str]]
"""What an autoencoder reads, (…, channels, H, W) in [-1, 1], and its caption."""


def build(
    file: Path, vae: Callable[[], AutoencoderKL], examples: Callable[[], Examples], size: int
) -> Bank:
    """Encode ``size`` examples into the file, or read the file where it is there."""
    if not file.exists():
        encoder = vae()
        latents, captions = [], []
        chunk: list[Tensor] = []
        source = examples()
        for _ in track(range(size), description=file.stem):
            x, words = next(source)
            chunk.append(x)
            captions.append(words)
            if len(chunk) == CHUNK or len(captions) == size:
                latents.append(_encode(encoder, torch.stack(chunk)))
                chunk = []
        partial = file.with_suffix(".partial")
        save_file({"latents": torch.cat(latents)}, partial, {"captions": json.dumps(captions)})
        as_readable(partial)
        os.replace(partial, file)
    with safe_open(file, framework="pt") as opened:
        words = json.loads(opened.metadata()["captions"])
        return Bank(opened.get_tensor("latents"), tuple(words))


@torch.no_grad()
def _encode(vae: AutoencoderKL, x: Tensor) -> Tensor:
    flat = x.flatten(0, -4)  # (B or B*T, C, H, W)
    means: Tensor = vae.encode(flat).latent_dist.mean * vae.config.scaling_factor
    latents: Tensor = means.unflatten(0, x.shape[:-3]).half()
    return latents


def _chances(seed: int) -> Iterator[random.Random]:
    """The random numbers of one example after the other."""
    return (rng(seed, step) for step in count())


def single_objects(seed: int) -> Callable[[], Examples]:
    """One object on a 32x32 picture, at any size: what is learned first."""

    def examples() -> Examples:
        names = [o.name for o in load().objects]
        for chance in _chances(seed):
            name, background = chance.choice(names), chance.choice(list(load().backgrounds))
            picture = Image.new("RGB", (OBJECT_SIDE,) * 2, load().backgrounds[background])
            side = chance.choice((19, 22, 24, 26, 26, 28, 30, 38))
            spread = max(1, (OBJECT_SIDE - side) // 2)
            centre = [OBJECT_SIDE / 2 + chance.randint(-spread, spread) for _ in range(2)]
            pictures.put(picture, name, side, (centre[0], centre[1]))
            yield pixels(np.asarray(picture)), f"{with_article(name)}, {background} background"

    return examples


def scenes(seed: int) -> Callable[[], Examples]:
    """Whole pictures: half of them pairs, of which there are most."""

    def examples() -> Examples:
        for chance in _chances(seed):
            kind = chance.choices((One, Several, Pair), (4, 1, 5))[0]
            scene = sample(chance, kind)
            picture = pictures.draw(scene, chance.getrandbits(32))  # type: ignore[arg-type]
            yield pixels(picture), caption(scene)

    return examples


def big_objects(seed: int) -> Callable[[], Examples]:
    """Whole pictures of one big object, of which more details show than of any other."""

    def examples() -> Examples:
        for chance in _chances(seed):
            drawn = sample(chance, One)
            assert isinstance(drawn, One)
            scene = replace(drawn, size="big")
            if not is_held_out(scene):
                picture = pictures.draw(scene, chance.getrandbits(32))
                yield pixels(picture), caption(scene)

    return examples


def moving(seed: int) -> Callable[[], Examples]:
    """Films: (T, 3, 64, 64) each."""

    def examples() -> Examples:
        for chance in _chances(seed):
            scene = sample(chance, Film)
            assert isinstance(scene, Film)
            frames = films.film(scene, chance.getrandbits(32))
            yield pixels(frames), caption(scene)

    return examples


def heard(seed: int) -> Callable[[], Examples]:
    """Sounds as log-mel spectrograms: (1, 64, 128) each."""
    every = every_sound()
    # A bird's chirp sweeps up or down, between pitches that no two chirps share.
    weights = [3 if scene.sound == "bird" else 1 for scene in every]

    def examples() -> Examples:
        for chance in _chances(seed):
            scene = chance.choices(every, weights)[0]
            samples = torch.from_numpy(sounds.play(scene, chance.getrandbits(31)))
            yield log_mel(samples.unsqueeze(0))[0], caption(scene)

    return examples
