"""Draws the example media beside this file from the primer world.

The scenes are whole combinations that training never saw, so the examples show what the
weights make of something new. Run it from anywhere: ``python examples/make_media.py``.
"""

from __future__ import annotations

from pathlib import Path

from heliograph.model.media import save, write
from heliograph.model.primer.render import render
from heliograph.model.primer.scenes import Film, One, Pair, Scene, SoundOf, is_held_out

SCENES: dict[str, Scene] = {
    "dog": One("dog", "big", "top", "blue"),
    "pair": Pair("cat", "above", "car", "white"),
    "bell": SoundOf("bell", count=3),
    "car": Film("car", "moves right", "black"),
}

if __name__ == "__main__":
    here = Path(__file__).parent
    for name, scene in SCENES.items():
        assert is_held_out(scene) or isinstance(scene, SoundOf), name
        print(save(write(render(scene, seed=1)), here, name))
