"""Pictures of the primer world: sprites on a flat background, drawn from a scene.

Geometry is in units of a 64-pixel picture and scales to any size. A scene fixes what is
seen; the seed moves each object by up to ``JITTER`` pixels.
"""

from __future__ import annotations

import random
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from PIL import Image

from heliograph.model.primer import atlas
from heliograph.model.primer.atlas import Sprites
from heliograph.model.primer.scenes import One, Pair, Picture, Place, Relation, Several
from heliograph.model.primer.vocabulary import load

UNIT = 64
"""Side of the picture in which the sizes below are given."""
SMALL, BIG = 22, 38
PAIR_SIZE, ROW_SIZES = 26, {2: 26, 3: 19}
JITTER = 2

CENTRES: dict[Place, tuple[int, int]] = {
    "left": (20, 32),
    "right": (44, 32),
    "top": (32, 20),
    "bottom": (32, 44),
    "centre": (32, 32),
}
"""Where a single object stands: x to the right, y down."""
PAIR_CENTRES: dict[Relation, tuple[tuple[int, int], tuple[int, int]]] = {
    "left of": ((16, 32), (48, 32)),
    "right of": ((48, 32), (16, 32)),
    "above": ((32, 16), (32, 48)),
    "below": ((32, 48), (32, 16)),
}
ROW_CENTRES: dict[int, tuple[tuple[int, int], ...]] = {
    2: ((16, 32), (48, 32)),
    3: ((11, 32), (32, 32), (53, 32)),
}


def placements(scene: Picture) -> list[tuple[str, int, tuple[int, int]]]:
    """Object, side and centre of each sprite, before jitter."""
    match scene:
        case One():
            side = BIG if scene.size == "big" else SMALL
            return [(scene.object, side, CENTRES[scene.place])]
        case Several():
            return [(scene.object, ROW_SIZES[scene.count], c) for c in ROW_CENTRES[scene.count]]
        case Pair():
            a, b = PAIR_CENTRES[scene.relation]
            return [(scene.first, PAIR_SIZE, a), (scene.second, PAIR_SIZE, b)]


def draw(
    scene: Picture, seed: int, size: int = UNIT, sprites: Sprites = atlas.sprite
) -> npt.NDArray[np.uint8]:
    """Draw the scene: (size, size, 3), values 0-255."""
    rng = random.Random(seed)
    picture = canvas(scene.background, size)
    scale = size / UNIT
    for name, side, (x, y) in placements(scene):
        x += rng.randint(-JITTER, JITTER)
        y += rng.randint(-JITTER, JITTER)
        put(picture, name, side * scale, (x * scale, y * scale), sprites=sprites)
    return np.asarray(picture)


def canvas(background: str, size: int) -> Image.Image:
    """An empty picture of the background's colour."""
    return Image.new("RGB", (size, size), load().backgrounds[background])


def put(
    picture: Image.Image,
    name: str,
    side: float,
    centre: tuple[float, float],
    angle: float = 0.0,
    sprites: Sprites = atlas.sprite,
) -> None:
    """Paste one object, ``side`` pixels wide and turned by ``angle`` degrees."""
    sprite = scaled(name, max(1, round(side)), sprites)
    if angle:
        sprite = sprite.rotate(angle, Image.Resampling.BICUBIC)
    corner = (round(centre[0] - sprite.width / 2), round(centre[1] - sprite.height / 2))
    picture.paste(sprite, corner, sprite)


@lru_cache(maxsize=8192)
def scaled(name: str, side: int, sprites: Sprites = atlas.sprite) -> Image.Image:
    """The object's sprite at that side, RGBA."""
    return sprites(name).resize((side, side), Image.Resampling.LANCZOS)
