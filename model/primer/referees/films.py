"""Reads a film's scene back from its frames, by tracking the sprite.

Each motion says where the object is, how big, how turned and whether it is seen in each
frame. Every motion is followed with every object: from frame to frame the sprite may stray
a little from the path, and the whole path may be shifted. The motion and object that
explain most of all frames win, if they explain enough of them, and if what changes between
the frames is what the motion says: an object that stands still is no film.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
import numpy.typing as npt

from heliograph.model.primer.films import Pose, pose
from heliograph.model.primer.pictures import UNIT
from heliograph.model.primer.referees.templates import (
    Floats,
    Put,
    View,
    drawing,
    explained,
    explained_together,
    likeness,
    see,
)
from heliograph.model.primer.scenes import Film
from heliograph.model.primer.vocabulary import load

ENOUGH = 0.7
"""Share of what differs from the background, over all frames, that a motion must explain."""
ALIKE = 0.5
"""How much the object must look like its sprite (``likeness``), on average over frames."""
MOVING = 0.4
"""How much of the change between frames that the motion predicts there must be."""

_SHIFT = 5  # pixels by which a whole path may be off
_STRAY = 2  # pixels by which one frame may be off its path


def read_film(frames: npt.NDArray[np.uint8]) -> Film | None:
    """What moves in the film and how, or ``None`` where nothing of the primer is recognised.

    Args:
        frames: (T, H, W, 3), values 0-255; T of 2 or more, evenly spaced in time.
    """
    views = [see(frame) for frame in frames]
    grounds = {view.background for view in views if view is not None}
    if len(views) < 2 or len(grounds) != 1 or None in views:
        return None
    seen = [view for view in views if view is not None]
    energy = sum(view.energy for view in seen)
    if energy == 0:
        return None
    paths: dict[str, list[Pose]] = {
        motion: [pose(motion, i / (len(seen) - 1)) for i in range(len(seen))]
        for motion in load().motions
    }

    @cache
    def values(frame: int, side: int, angle: float) -> Floats:
        return explained(seen[frame], side, angle)

    followed = {motion: _follow(path, values) for motion, path in paths.items()}
    judged = {
        motion: sum(explained_together(v, p) for v, p in zip(seen, puts, strict=True))
        for motion, puts in followed.items()
    }
    best = max(judged, key=judged.__getitem__)
    if judged[best] < ENOUGH * energy or not _moves(seen, followed[best]):
        return None
    alike = [a for v, puts in zip(seen, followed[best], strict=True) for a in likeness(v, puts)]
    if np.mean(alike) < ALIKE:
        return None
    name = next(put.name for puts in followed[best] for put in puts)
    return Film(name, best, grounds.pop())


def _follow(path: Sequence[Pose], values: Callable[[int, int, float], Floats]) -> list[list[Put]]:
    """The object that fits the path best, as it lies in each frame; none where it is hidden."""
    reach = _SHIFT + _STRAY
    steps = np.arange(-reach, reach + 1)
    near: list[Floats | None] = []
    corners = []
    for frame, at in enumerate(path):
        side = round(at.side)
        x, y = round(at.x - side / 2), round(at.y - side / 2)
        corners.append((x, y))
        if at.visible:
            maps = values(frame, side, at.angle)
            near.append(maps[:, ((y + steps) % UNIT)[:, None], (x + steps) % UNIT])  # (72, 15, 15)
        else:
            near.append(None)
    # What each object explains at each shift of the whole path: (72, 11, 11).
    total = np.sum([_strays(n).max((3, 4)) for n in near if n is not None], axis=0)
    thing, dy, dx = (int(i) for i in np.unravel_index(total.argmax(), total.shape))
    puts: list[list[Put]] = []
    for n, at, (x, y) in zip(near, path, corners, strict=True):
        if n is None:
            puts.append([])
            continue
        around = _strays(n)[thing, dy, dx]  # (5, 5)
        sy, sx = (int(i) for i in np.unravel_index(around.argmax(), around.shape))
        left, top = x - reach + dx + sx, y - reach + dy + sy
        puts.append([Put(load().objects[thing].name, round(at.side), left, top, at.angle)])
    return puts


def _strays(near: Floats) -> Floats:
    """Each shift's neighbourhood: (72, 15, 15) to a view of (72, 11, 11, 5, 5)."""
    across = 2 * _STRAY + 1
    return np.lib.stride_tricks.sliding_window_view(near, (across, across), axis=(1, 2))


def _moves(seen: Sequence[View], puts: Sequence[Sequence[Put]]) -> bool:
    """Whether the frames differ from their mean in the way that the drawings do."""
    drawn = np.stack([drawing(v, p) for v, p in zip(seen, puts, strict=True)])  # (T, 3, 64, 64)
    drawn -= drawn.mean(0)
    shown = np.stack([view.blurred for view in seen])
    return float((drawn * shown).sum()) >= MOVING * float((drawn**2).sum())
