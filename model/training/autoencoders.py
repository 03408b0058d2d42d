"""Autoencoders of the primer's decoders: pictures (shared with films) and spectrograms.

Each is a diffusers ``AutoencoderKL`` that halves two or three times. The loss leans toward
the objects and their edges: most of a picture is flat background, which any autoencoder
keeps, while an object is known by a few pixels. Training sees 32x32 crops around objects only.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from numpy.typing import NDArray
from torch import Tensor

from heliograph.model.primer import films, pictures
from heliograph.model.primer.scenes import Film, One, Pair, Several, sample
from heliograph.model.primer.vocabulary import load
from heliograph.model.training.loop import Losses, rng

CROP = 32


def picture_autoencoder() -> AutoencoderKL:
    """64x64x3 to 16x16x4: 0.8 M parameters."""
    return _autoencoder(channels=3, widths=(24, 48, 64), latents=4)


def spectrogram_autoencoder() -> AutoencoderKL:
    """One channel of log-mel values, 64 bins x 128 frames, to 8 x 16 x 16."""
    return _autoencoder(channels=1, widths=(24, 32, 48, 64), latents=16)


def _autoencoder(channels: int, widths: tuple[int, ...], latents: int) -> AutoencoderKL:
    return AutoencoderKL(
        in_channels=channels,
        out_channels=channels,
        down_block_types=("DownEncoderBlock2D",) * len(widths),
        up_block_types=("UpDecoderBlock2D",) * len(widths),
        block_out_channels=widths,
        layers_per_block=1,
        latent_channels=latents,
        norm_num_groups=8,
        mid_block_add_attention=False,
    )


def picture_batches(seed: int, size: int) -> Callable[[int], Tensor]:
    """Crops of pictures and film frames around objects: (size, 3, 32, 32) in [-1, 1]."""

    def batch(step: int) -> Tensor:
        chance = rng(seed, step)
        crops = np.stack([_crop(chance) for _ in range(size)])
        return torch.from_numpy(crops).permute(0, 3, 1, 2).float() / 127.5 - 1  # (B, 3, 32, 32)

    return batch


def _crop(chance: random.Random) -> NDArray[np.uint8]:
    kind = chance.choice((One, One, Several, Pair, Film))
    scene = sample(chance, kind)
    seed = chance.getrandbits(32)
    if isinstance(scene, Film):
        picture = films.film(scene, seed, frames=8)[chance.randrange(8)]
    else:
        picture = pictures.draw(scene, seed)  # type: ignore[arg-type]
    background = np.array(load().backgrounds[scene.background], dtype=np.uint8)  # type: ignore[union-attr]
    rows, columns = np.nonzero((picture != background).any(-1))
    if len(rows) == 0:
        rows = columns = np.array([32])
    i = chance.randrange(len(rows))
    top = min(max(int(rows[i]) - chance.randrange(CROP), 0), pictures.UNIT - CROP)
    left = min(max(int(columns[i]) - chance.randrange(CROP), 0), pictures.UNIT - CROP)
    crop: NDArray[np.uint8] = picture[top : top + CROP, left : left + CROP]
    return crop


def autoencoder_loss(
    vae: AutoencoderKL, lean: float, loud: float = 0.0, kl_weight: float = 1e-5
) -> Callable[[Tensor, torch.Generator], Losses]:
    """L1 that leans to what matters, L1 of gradients, and KL.

    Args:
        vae: what is trained.
        lean: how many times more places with local contrast weigh.
        loud: how many times more the highest values weigh, the others by their square: in a
            spectrogram the few loud bins are what is heard, and most others next to silence.
        kl_weight: of the latents' distance from a normal distribution.
    """

    def loss(x: Tensor, generator: torch.Generator) -> Losses:
        posterior = vae.encode(x).latent_dist
        noise = torch.randn(posterior.mean.shape, generator=generator)
        y = vae.decode(posterior.mean + posterior.std * noise).sample
        detail = (x - F.avg_pool2d(x, 5, 1, 2, count_include_pad=False)).abs().mean(1, True)
        weight = 1 + lean * (F.max_pool2d(detail, 5, 1, 2) * 4).clamp(max=1)
        if loud:
            weight = weight + loud * ((x + 1) / 2).square()
        pixel = ((x - y).abs() * weight).mean()
        edge = (_gradients(x) - _gradients(y)).abs().mean()
        kl = posterior.kl().mean()
        return {"loss": pixel + edge + kl_weight * kl, "pixel": pixel, "edge": edge, "kl": kl}

    return loss


def _gradients(x: Tensor) -> Tensor:
    return torch.cat([x.diff(dim=-1)[..., 1:, :], x.diff(dim=-2)[..., 1:]], dim=1)


@torch.no_grad()
def scale(vae: AutoencoderKL, x: Tensor) -> float:
    """The factor that brings the latents of ``x`` to unit variance."""
    latents = vae.encode(x).latent_dist.mean
    return float(1 / latents.std())
