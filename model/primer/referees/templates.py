"""Template matching: how well each sprite, put at each place, explains a picture.

A picture of the primer is a flat background plus, for each sprite ``s`` with coverage
``a``, the change ``T = a (s - background)``. With ``D`` the picture minus its background,
what a sprite at a place explains of ``|D|^2`` is ``2 g <D, T> - g^2 |T|^2`` at the best
contrast ``g`` near 1. All inner products, for 72 sprites at 64 x 64 places, come from one
product of Fourier transforms for each size. Both sides are blurred alike first, so that
noise, softness and fractions of a pixel count for little.

Pictures of any size are brought to 64 x 64 before. Nothing here comes from the model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from PIL import Image

from heliograph.model.primer.pictures import UNIT, scaled
from heliograph.model.primer.vocabulary import load

Floats = npt.NDArray[np.float32]

_BLUR = 1.0  # standard deviation in pixels, on both sides
_COARSE = 3.0  # standard deviation of the blur that leaves only what isn't detail
_MARGIN = 3  # pixels around a sprite that its softness may reach
_GAINS = (0.6, 1.3)  # how much paler or stronger than its sprite an object may be
_BORDER = 3  # pixels along each edge that show the background, almost everywhere
_FAR = 45.0  # RGB distance from which a colour is no background; the closest two are 71 apart


@dataclass(frozen=True)
class View:
    """A picture made ready for matching."""

    background: str
    colour: Floats
    """(3,) RGB of the background as it is in this picture, 0-1."""
    waves: npt.NDArray[np.complex64]
    """(4, 64, 33): transforms of the blurred D in RGB, and of minus the colour times it."""
    blurred: Floats
    """(3, 64, 64): the blurred D."""
    energy: float
    """The blurred |D|^2, without what noise adds to it."""
    noise: float
    """Variance that noise alone gives to each blurred value."""


@dataclass(frozen=True)
class Put:
    """A sprite at a place: its corner's pixel, which may lie outside the picture."""

    name: str
    side: int
    x: int
    y: int
    angle: float = 0.0


@dataclass(frozen=True)
class Bank:
    """All sprites at one side and angle."""

    waves: npt.NDArray[np.complex64]
    """(72, 4, 64, 33): conjugate transforms of the blurred a*s in RGB, and of a."""
    ss: Floats
    """(72,) sums of (a s)^2 over pixels and colours."""
    sa: Floats
    """(72, 3) sums of (a s) a."""
    aa: Floats
    """(72,) sums of a^2."""


def see(pixels: npt.NDArray[np.uint8]) -> View | None:
    """Find the background of (H, W, 3) pixels and take it away; ``None`` if there is none."""
    if pixels.shape[:2] != (UNIT, UNIT):
        picture = Image.fromarray(pixels).resize((UNIT, UNIT), Image.Resampling.BOX)
        pixels = np.asarray(picture)
    edge = np.ones((UNIT, UNIT), bool)
    edge[_BORDER:-_BORDER, _BORDER:-_BORDER] = False
    colour = np.median(pixels[edge], axis=0)
    distances = {
        name: float(np.linalg.norm(colour - rgb)) for name, rgb in load().backgrounds.items()
    }
    background = min(distances, key=distances.__getitem__)
    if distances[background] > _FAR:
        return None
    difference = (pixels.transpose(2, 0, 1) - colour[:, None, None]).astype(np.float32) / 255
    waves = np.fft.rfft2(difference) * _blur()  # (3, 64, 33)
    blurred = np.fft.irfft2(waves).astype(np.float32)  # (3, 64, 64)
    # The median of squares is 0.455 of the variance of normal noise, and unmoved by sprites
    # that reach into the border.
    noise = float(np.median(blurred[:, edge] ** 2)) / 0.455
    tint = (colour / 255).astype(np.float32)
    extra = -np.tensordot(tint, waves, 1)[None]  # (1, 64, 33)
    return View(
        background,
        tint,
        np.concatenate([waves, extra]).astype(np.complex64),
        blurred,
        max(float((blurred**2).sum()) - noise * blurred.size, 0.0),
        noise,
    )


def explained(view: View, side: int, angle: float = 0.0) -> Floats:
    """What each sprite explains at each place: (72, 64, 64), by the corner's y and x.

    A sprite that makes things worse has a negative value.
    """
    bank = _bank(side, angle)
    product = view.waves[0] * bank.waves[:, 0]
    for channel in range(1, 4):
        product += view.waves[channel] * bank.waves[:, channel]
    inner = np.fft.irfft2(product)  # (72, 64, 64)
    tint = view.colour
    power = bank.ss - 2 * bank.sa @ tint + (tint @ tint) * bank.aa  # (72,)
    power = np.maximum(power, 1e-6)[:, None, None]
    gain = np.clip(inner / power, *_GAINS)
    value: Floats = gain * (2 * inner - gain * power)
    return value


def explained_together(view: View, sprites: Sequence[Put]) -> float:
    """What the sprites explain as one drawing, so that nothing is explained twice."""
    drawn = drawing(view, sprites)
    power = float((drawn**2).sum())
    inner = float((drawn * view.blurred).sum())
    gain = min(max(inner / max(power, 1e-6), _GAINS[0]), _GAINS[1])
    return gain * (2 * inner - gain * power)


def drawing(view: View, sprites: Sequence[Put]) -> Floats:
    """The sprites on the view's background, as its ``blurred`` would hold them."""
    tint = tuple(round(255 * float(c)) for c in view.colour)
    canvas = Image.new("RGB", (UNIT, UNIT), tint)
    for put in sprites:
        sprite = turned(put.name, put.side, put.angle)
        canvas.paste(sprite, (put.x, put.y), sprite)
    drawn = np.asarray(canvas, np.float32).transpose(2, 0, 1) / 255  # (3, 64, 64)
    waves = np.fft.rfft2(drawn - view.colour[:, None, None]) * _blur()
    return np.fft.irfft2(waves).astype(np.float32)


def likeness(view: View, sprites: Sequence[Put]) -> list[float]:
    """How much of each sprite's inner detail is really there, 1 at best.

    A coloured patch of the right size explains much of a picture, whatever it is. So what
    is coarse is taken away from both sides, and what is left must correlate, around each
    sprite for itself.
    """
    sharp = 1 - _blur(_COARSE)
    shown = np.fft.irfft2(np.fft.rfft2(view.blurred) * sharp)  # (3, 64, 64)
    drawn = np.fft.irfft2(np.fft.rfft2(drawing(view, sprites)) * sharp)
    found = []
    for put in sprites:
        rows = slice(max(0, put.y - 1), put.y + put.side + 1)
        columns = slice(max(0, put.x - 1), put.x + put.side + 1)
        a, b = shown[:, rows, columns], drawn[:, rows, columns]
        total = float((a**2).sum())
        # Noise is forgiven, but not where there is nothing else.
        power = max(total - view.noise * a.size, 0.4 * total) * float((b**2).sum())
        found.append(float((a * b).sum()) / (power**0.5 + 1e-6))
    return found


def elsewhere(view: View, sprites: Sequence[Put]) -> float:
    """The part of the view's energy that lies beside all sprites."""
    beside = np.ones((UNIT, UNIT), bool)
    for put in sprites:
        rows = slice(max(0, put.y - _MARGIN), put.y + put.side + _MARGIN)
        beside[rows, max(0, put.x - _MARGIN) : put.x + put.side + _MARGIN] = False
    there = view.blurred[:, beside]
    return float((there**2).sum()) - view.noise * there.size


def turned(name: str, side: int, angle: float) -> Image.Image:
    """The sprite at that side, turned as the renderer of films turns it."""
    sprite = scaled(name, side)
    return sprite.rotate(angle, Image.Resampling.BICUBIC) if angle else sprite


@lru_cache(maxsize=2)
def _blur(deviation: float = _BLUR) -> Floats:
    """Transfer function of a blur, (64, 33)."""
    y, x = np.fft.fftfreq(UNIT)[:, None], np.fft.rfftfreq(UNIT)[None]
    transfer: Floats = np.exp(-2 * (np.pi * deviation) ** 2 * (y**2 + x**2)).astype(np.float32)
    return transfer


@lru_cache(maxsize=64)
def _bank(side: int, angle: float) -> Bank:
    layers = np.zeros((len(load().objects), 4, UNIT, UNIT), np.float32)
    for i, thing in enumerate(load().objects):
        sprite = turned(thing.name, side, angle)
        rgba = np.asarray(sprite, np.float32).transpose(2, 0, 1) / 255  # (4, side, side)
        layers[i, :3, :side, :side] = rgba[:3] * rgba[3]
        layers[i, 3, :side, :side] = rgba[3]
    waves = np.fft.rfft2(layers) * _blur()  # (72, 4, 64, 33)
    blurred = np.fft.irfft2(waves)  # (72, 4, 64, 64)
    colours, cover = blurred[:, :3], blurred[:, 3:]
    return Bank(
        waves.conj().astype(np.complex64),
        (colours**2).sum((1, 2, 3)).astype(np.float32),
        (colours * cover).sum((2, 3)).astype(np.float32),
        (cover**2).sum((1, 2, 3)).astype(np.float32),
    )
