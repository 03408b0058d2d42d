"""Films of the primer world: one object in motion over eight frames.

Geometry is that of ``pictures.py``; the seed moves the whole path by up to ``JITTER``
pixels, so that a motion is told from its course and not from where it starts.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from heliograph.model.primer.pictures import BIG, JITTER, SMALL, UNIT, canvas, put
from heliograph.model.primer.scenes import Film

FRAMES = 8
FPS = 8
SIDE = SMALL + 4
"""A film's object is a little larger than a small one: it has to be known in motion."""
REACH = 14
"""How far from the centre a path begins and ends, in pixels of a 64-pixel picture."""


@dataclass(frozen=True)
class Pose:
    """One sprite in one frame, in units of a 64-pixel picture."""

    x: float
    y: float
    side: float
    angle: float = 0.0
    """Degrees, counter-clockwise."""
    visible: bool = True


def pose(motion: str, t: float) -> Pose:
    """Where the object is at time ``t`` from 0 (first frame) to 1 (last frame)."""
    c = UNIT / 2
    travel = REACH * (2 * t - 1)
    match motion:
        case "moves left":
            return Pose(c - travel, c, SIDE)
        case "moves right":
            return Pose(c + travel, c, SIDE)
        case "moves up":
            return Pose(c, c - travel, SIDE)
        case "moves down":
            return Pose(c, c + travel, SIDE)
        case "grows":
            return Pose(c, c, SMALL - 6 + (BIG + 6 - SMALL) * t)
        case "shrinks":
            return Pose(c, c, BIG - (BIG + 6 - SMALL) * t)
        case "spins":
            return Pose(c, c, SIDE + 4, angle=-360 * t * (FRAMES - 1) / FRAMES)
        case "bounces":
            return Pose(c, c + REACH - 2 * REACH * abs(math.sin(2 * math.pi * t)), SIDE)
        case "blinks":
            return Pose(c, c, SIDE, visible=round(t * (FRAMES - 1)) % 2 == 0)
    raise KeyError(motion)


def film(scene: Film, seed: int, size: int = UNIT, frames: int = FRAMES) -> npt.NDArray[np.uint8]:
    """Film the scene: (frames, size, size, 3), values 0-255."""
    rng = random.Random(seed)
    dx, dy = rng.randint(-JITTER, JITTER), rng.randint(-JITTER, JITTER)
    scale = size / UNIT
    pictures = []
    for i in range(frames):
        at = pose(scene.motion, i / max(1, frames - 1))
        picture = canvas(scene.background, size)
        if at.visible:
            centre = ((at.x + dx) * scale, (at.y + dy) * scale)
            put(picture, scene.object, at.side * scale, centre, at.angle)
        pictures.append(np.asarray(picture))
    return np.stack(pictures)
