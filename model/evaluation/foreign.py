"""Media as other people make them: the same scenes, not as this repository renders them.

The weights were trained on pictures of 64x64 pixels, films of eight frames and sounds of
16 kHz, all clean. Here they come in other sizes and rates, compressed, turned, on textures,
in stereo, quiet or noisy, drawn with other emoji or by the core's own decoder. What is to be
seen and heard stays the same.
"""

from __future__ import annotations

import io
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pictures

from heliograph.model import media
from heliograph.model.decoders import DiffusionDecoder
from heliograph.model.decoders.autoencoding import rebuilt
from heliograph.model.errors import InputError
from heliograph.model.media import Clip, Film, Image, Sound
from heliograph.model.primer import atlas, films, pictures, scenes, sounds
from heliograph.model.primer.atlas import Sprites
from heliograph.model.primer.render import render
from heliograph.model.primer.scenes import Scene, SoundOf
from heliograph.model.primer.vocabulary import load

SIZES = ((96, 96), (200, 200), (240, 160), (120, 200), (640, 480))
"""Width and height of pictures; what is more than a square is background."""
JPEG_QUALITY = 60
TURN_DEGREES = 8.0
RATES = (8_000, 22_050, 44_100, 48_000)
QUIET = 0.05
NOISE_DB = 20.0
"""From the sound's mean power down to the noise's."""
FILM_RATES = (4, 12, 24, 30)
"""Frames per second, for the same second of film."""

Drawn = NDArray[np.uint8]


def _sized(scene: Scene, chance: random.Random) -> Clip:
    width, height = chance.choice(SIZES)
    side, seed = min(width, height), chance.getrandbits(31)
    if isinstance(scene, scenes.Film):
        frames = films.film(scene, seed, side)
        return Film(_widened(frames, width, height, scene.background), films.FPS)
    assert not isinstance(scene, SoundOf)
    return Image(_widened(pictures.draw(scene, seed, side), width, height, scene.background))


def _compressed(scene: Scene, chance: random.Random) -> Clip:
    picture = _picture(scene, chance)
    file = io.BytesIO()
    Pictures.fromarray(picture).save(file, "JPEG", quality=JPEG_QUALITY)
    return Image(np.asarray(Pictures.open(file)))


def _turned(scene: Scene, chance: random.Random) -> Clip:
    picture = Pictures.fromarray(_picture(scene, chance))
    angle = chance.uniform(-TURN_DEGREES, TURN_DEGREES)
    return Image(
        np.asarray(picture.rotate(angle, Pictures.Resampling.BICUBIC, fillcolor=_colour(scene)))
    )


def _textured(scene: Scene, chance: random.Random) -> Clip:
    """On a background with a gradient, spots and grain, in the background's colour."""
    picture, rng = _picture(scene, chance), np.random.default_rng(chance.getrandbits(31))
    side = picture.shape[0]
    y, x = np.mgrid[0:side, 0:side] / side - 0.5
    angle = rng.uniform(0, 2 * np.pi)
    slope = 40 * (x * np.cos(angle) + y * np.sin(angle))
    coarse = Pictures.fromarray(rng.normal(0, 1, (6, 6)).astype(np.float32))
    spots = 12 * np.asarray(coarse.resize((side, side), Pictures.Resampling.BICUBIC))
    light = (slope + spots)[..., None] + rng.normal(0, 4, picture.shape)  # (S, S, 3)
    free = (picture == np.array(_colour(scene), dtype=np.uint8)).all(-1, keepdims=True)
    return Image(np.where(free, picture + light, picture).clip(0, 255).astype(np.uint8))


def _timed(scene: Scene, chance: random.Random) -> Clip:
    assert isinstance(scene, scenes.Film)
    fps = chance.choice(FILM_RATES)
    count = round(films.FRAMES / films.FPS * fps)
    return Film(films.film(scene, chance.getrandbits(31), frames=count), fps)


def _sampled(scene: Scene, chance: random.Random) -> Clip:
    return media.resampled(_sound(scene, chance), chance.choice(RATES))


def _stereo(scene: Scene, chance: random.Random) -> Clip:
    """More in one ear than in the other, through a real file."""
    import soundfile

    sound = _sound(scene, chance)
    left, right = chance.sample((1.0, 0.4), 2)
    both = np.stack([left * sound.samples, right * sound.samples], axis=1)  # (S, 2)
    file = io.BytesIO()
    soundfile.write(file, both, sound.rate, format="WAV")
    return media.read(media.from_bytes(file.getvalue()))


def _quiet(scene: Scene, chance: random.Random) -> Clip:
    sound = _sound(scene, chance)
    return Sound(sound.samples * np.float32(QUIET), sound.rate)


def _noisy(scene: Scene, chance: random.Random) -> Clip:
    sound, rng = _sound(scene, chance), np.random.default_rng(chance.getrandbits(31))
    return Sound(sounds.noisy(sound.samples, NOISE_DB, rng), sound.rate)


CHANGES: Mapping[str, Callable[[Scene, random.Random], Clip]] = {
    "size": _sized,
    "jpeg": _compressed,
    "turned": _turned,
    "texture": _textured,
    "rate": _sampled,
    "stereo": _stereo,
    "quiet": _quiet,
    "noise": _noisy,
    "frame-rate": _timed,
}
"""By name: a scene as somebody else's medium, which the generator fixes."""


@dataclass(frozen=True)
class Means:
    """What some changes take besides the scene."""

    drawer: DiffusionDecoder | None = None
    """Whose autoencoder draws what is "rebuilt": what a core is shown of its own pictures."""
    emoji: Sprites | None = None
    """What draws the "emoji" (``atlas.others``)."""


NO_MEANS = Means()


def foreign(change: str, scene: Scene, seed: int, means: Means = NO_MEANS) -> Clip:
    """The scene's medium with that change; the same seed gives the same one.

    Raises:
        InputError: the change takes means that aren't there.
    """
    chance = random.Random(f"{change}/{seed}")
    if change == "rebuilt":
        if means.drawer is None:
            raise InputError("The core draws no pictures; leave the row picture-rebuilt out.")
        return rebuilt(means.drawer.pipeline, [Image(_picture(scene, chance))])[0]
    if change == "emoji":
        if means.emoji is None:
            raise InputError(
                "The row picture-emoji needs another set of emoji: name a folder of PNG files that "
                "are called by their code points, such as 1f436.png, with --emoji."
            )
        return Image(_picture(scene, chance, means.emoji))
    return CHANGES[change](scene, chance)


def _picture(scene: Scene, chance: random.Random, sprites: Sprites = atlas.sprite) -> Drawn:
    assert not isinstance(scene, SoundOf | scenes.Film)
    return pictures.draw(scene, chance.getrandbits(31), sprites=sprites)


def _sound(scene: Scene, chance: random.Random) -> Sound:
    sound = render(scene, chance.getrandbits(31))
    assert isinstance(sound, Sound)
    return sound


def _colour(scene: Scene) -> tuple[int, int, int]:
    assert not isinstance(scene, SoundOf)
    red, green, blue = load().backgrounds[scene.background]
    return red, green, blue


def _widened(drawn: Drawn, width: int, height: int, background: str) -> Drawn:
    """The square in the middle of (…, height, width, 3) of background."""
    side = drawn.shape[-2]
    canvas: NDArray[Any] = np.empty((*drawn.shape[:-3], height, width, 3), np.uint8)
    canvas[...] = load().backgrounds[background]
    top, left = (height - side) // 2, (width - side) // 2
    canvas[..., top : top + side, left : left + side, :] = drawn
    return canvas
