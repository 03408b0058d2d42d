"""Reads a picture's scene back from its pixels, by template matching.

Every layout that a scene can have is tried with every object: the one that explains most
of the picture wins, if it explains enough of it. What no layout explains (a stranger, one
object too many, noise) speaks against all of them and ends as ``None``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from heliograph.model.primer.pictures import (
    BIG,
    CENTRES,
    PAIR_CENTRES,
    PAIR_SIZE,
    ROW_CENTRES,
    ROW_SIZES,
    SMALL,
    UNIT,
)
from heliograph.model.primer.referees.templates import (
    Floats,
    Put,
    View,
    elsewhere,
    explained,
    explained_together,
    likeness,
    see,
)
from heliograph.model.primer.scenes import One, Pair, Picture, Relation, Several, Size
from heliograph.model.primer.vocabulary import load

ENOUGH = 0.7
"""Share of what differs from the background that a scene must explain."""
ALIKE = 0.5
"""How much each object must look like its sprite (``likeness``)."""
STRAY = 0.1
"""Share of what differs from the background that may lie beside the objects."""

_REACH = 5  # pixels from its nominal centre: the jitter, and as much again for small shifts
_SLACK = {SMALL: 2, BIG: 4, PAIR_SIZE: 2, ROW_SIZES[3]: 2}  # how far a side may be off
_AXES: tuple[Relation, ...] = ("left of", "above")  # the other two are these, seen backwards


def read_picture(pixels: npt.NDArray[np.uint8]) -> Picture | None:
    """What the picture shows, or ``None`` where nothing of the primer is recognised.

    Args:
        pixels: (H, W, 3), values 0-255, of any size.

    Returns:
        The scene; a pair is always told as "left of" or "above".
    """
    view = see(pixels)
    if view is None or view.energy == 0:
        return None
    candidates = list(_candidates(view))
    values = [explained_together(view, puts) for _, puts in candidates]
    best = int(np.argmax(values))
    scene, puts = candidates[best]
    enough = values[best] >= ENOUGH * view.energy
    alone = elsewhere(view, puts) <= STRAY * view.energy
    return scene if enough and alone and min(likeness(view, puts)) >= ALIKE else None


@dataclass(frozen=True)
class _Slot:
    """Where each object fits best near one place."""

    values: Floats
    """(72,) what each explains there."""
    best: tuple[npt.NDArray[np.int64], ...]
    """(72,) each: index of the side, y and x of the corner."""
    sides: tuple[int, ...]

    def put(self, i: int) -> Put:
        """The i-th object where it fits best."""
        side, y, x = (int(b[i]) for b in self.best)
        return Put(load().objects[i].name, self.sides[side], x, y)


def _candidates(view: View) -> Iterator[tuple[Picture | None, list[Put]]]:
    """The best scene of each layout, with the sprites that make it."""
    names = [o.name for o in load().objects]
    ground = view.background
    maps = {s: explained(view, s) for s in sorted({t for side in _SLACK for t in _sides(side)})}

    def slot(centre: tuple[int, int], side: int) -> _Slot:
        return _slot(maps, centre, _sides(side))

    sizes: dict[Size, int] = {"small": SMALL, "big": BIG}
    for size, side in sizes.items():
        for place, centre in CENTRES.items():
            one = slot(centre, side)
            i = int(one.values.argmax())
            yield One(names[i], size, place, ground), [one.put(i)]
    for count, centres in ROW_CENTRES.items():
        row = [slot(c, ROW_SIZES[count]) for c in centres]
        i = int(np.sum([s.values for s in row], axis=0).argmax())
        yield Several(names[i], count, ground), [s.put(i) for s in row]
    for relation in _AXES:
        first, second = (slot(c, PAIR_SIZE) for c in PAIR_CENTRES[relation])
        a, b = int(first.values.argmax()), int(second.values.argmax())
        # Two of the same above each other are no scene: that they win is a reason to refuse.
        # Side by side they are a row, which explains them as well and comes first.
        pair = Pair(names[a], relation, names[b], ground) if a != b else None
        yield pair, [first.put(a), second.put(b)]


def _slot(maps: dict[int, Floats], centre: tuple[int, int], sides: tuple[int, ...]) -> _Slot:
    steps = np.arange(-_REACH, _REACH + 1)
    corners = np.array([[round(c - side / 2) for c in centre] for side in sides])  # (sides, x y)
    rows = corners[:, 1, None] + steps  # (sides, 11)
    columns = corners[:, 0, None] + steps
    near = np.stack(
        [
            maps[side][:, (y % UNIT)[:, None], x % UNIT]
            for side, y, x in zip(sides, rows, columns, strict=True)
        ],
        axis=1,
    )  # (72, sides, 11, 11)
    flat = near.reshape(len(near), -1)
    side, y, x = np.unravel_index(flat.argmax(1), near.shape[1:])  # (72,) each
    return _Slot(flat.max(1), (side, rows[side, y], columns[side, x]), sides)


def _sides(side: int) -> tuple[int, ...]:
    slack = _SLACK[side]
    return (side - slack, side, side + slack)
