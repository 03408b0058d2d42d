"""The parts alone, because a part is judged before the chain it stands in.

    referee-…       the referee on true renders: nothing can come out better than that
    autoencoder-…   the referee on what the decoder's autoencoder keeps of true renders
    decoder-…       the referee on what the decoder makes under its own text encoder's
                    condition of the right caption: the ceiling of the signal path

A row far below its decoder's ceiling loses in the language model or the output projection.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from heliograph.model.core import AnyToAny
from heliograph.model.errors import InputError
from heliograph.model.evaluation.rows import FILMS, LONG
from heliograph.model.media import Clip, Film, Image, Sound
from heliograph.model.primer import scenes
from heliograph.model.primer.render import render
from heliograph.model.primer.scenes import One, Pair, Scene, Several, SoundOf

Stage = Literal["referee", "autoencoder", "decoder"]


@dataclass(frozen=True)
class Ceiling:
    """One part on one kind of scene."""

    name: str
    title: str
    stage: Stage
    kinds: tuple[type[Scene], ...]
    share: float = 1.0
    """Of the number of cases."""


PICTURES: tuple[type[Scene], ...] = (One, Several, Pair)
CEILINGS: tuple[Ceiling, ...] = (
    Ceiling("referee-picture", "referee on true pictures", "referee", PICTURES),
    Ceiling("referee-sound", "referee on true sounds", "referee", (SoundOf,)),
    Ceiling("referee-film", "referee on true films", "referee", (scenes.Film,), FILMS),
    Ceiling("autoencoder-picture", "pictures through the autoencoder", "autoencoder", PICTURES),
    Ceiling("autoencoder-sound", "sounds through the autoencoder", "autoencoder", (SoundOf,)),
    Ceiling(
        "autoencoder-film", "films through the autoencoder", "autoencoder", (scenes.Film,), FILMS
    ),
    Ceiling("decoder-one", "decoder alone, one object", "decoder", (One,), LONG),
    Ceiling("decoder-several", "decoder alone, several of a kind", "decoder", (Several,), LONG),
    Ceiling("decoder-pair", "decoder alone, two in a relation", "decoder", (Pair,), LONG),
    Ceiling("decoder-sound", "decoder alone, sounds", "decoder", (SoundOf,), LONG),
    Ceiling("decoder-film", "decoder alone, films", "decoder", (scenes.Film,), FILMS),
)


def draw_scene(ceiling: Ceiling, index: int, seed: int) -> tuple[Scene, int]:
    """The held-out scene of that number and a seed for its medium."""
    chance = random.Random(f"evaluation/{seed}/{ceiling.name}/{index}")
    kind = ceiling.kinds[index % len(ceiling.kinds)]
    split: scenes.Split = "train" if kind is SoundOf else "held_out"
    return scenes.sample(chance, kind, split), chance.randrange(2**31)


def clips(
    core: AnyToAny,
    stage: Stage,
    wanted: Sequence[tuple[Scene, int]],
    *,
    steps: int | None,
    guidance: float | None,
) -> list[Clip]:
    """What the part gives for scenes of one modality and their seeds."""
    if stage == "referee":
        return [render(scene, seed) for scene, seed in wanted]
    decoder = core.decoder(scenes.modality(wanted[0][0]))
    if stage == "autoencoder":
        return rebuilt(decoder.pipeline, [render(scene, seed) for scene, seed in wanted])
    condition = decoder.encode_condition([scenes.caption(scene) for scene, _ in wanted])
    return decoder.decode(
        condition, seeds=[seed for _, seed in wanted], steps=steps, guidance=guidance
    )


@torch.no_grad()
def rebuilt(pipeline: Any, originals: Sequence[Clip]) -> list[Clip]:
    """Clips of one modality through the pipeline's autoencoder and back.

    Raises:
        InputError: sounds of another pipeline than ``SpectrogramPipeline``.
    """
    from heliograph.model.decoders.spectrogram import SpectrogramPipeline, log_mel, to_samples

    vae = pipeline.vae

    def there_and_back(x: Tensor) -> Tensor:
        latents = vae.encode(x.to(vae.device, vae.dtype)).latent_dist.mode()
        back: Tensor = vae.decode(latents).sample
        return back.float().cpu()

    made: list[Clip] = []
    for clip in originals:
        match clip:
            case Image():
                made.append(Image(_bytes(there_and_back(_values(clip.pixels[None])))[0]))
            case Film():
                made.append(Film(_bytes(there_and_back(_values(clip.frames))), clip.fps))
            case Sound():
                if not isinstance(pipeline, SpectrogramPipeline):
                    raise InputError(
                        f"Nothing is known about the autoencoder of a {type(pipeline).__name__}; "
                        "leave the row autoencoder-sound out."
                    )
                mel = there_and_back(log_mel(torch.from_numpy(clip.samples)[None]))  # (1, 1, M, T)
                samples = to_samples(mel)[0].numpy()  # (S,)
                made.append(Sound(samples.clip(-1, 1).astype(np.float32), clip.rate))
    return made


def _values(frames: np.ndarray[Any, np.dtype[np.uint8]]) -> Tensor:
    return torch.from_numpy(np.array(frames)).movedim(-1, -3).float() / 127.5 - 1  # (T, 3, H, W)


def _bytes(values: Tensor) -> np.ndarray[Any, np.dtype[np.uint8]]:
    pixels = ((values + 1) * 127.5).round().clamp(0, 255).byte()
    return pixels.movedim(-3, -1).numpy()  # (T, H, W, 3)
