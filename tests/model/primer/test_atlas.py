from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from heliograph.model.primer import atlas
from heliograph.model.primer.vocabulary import load

FONT = Path("/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf")
NAMES = [thing.name for thing in load().objects]


@pytest.mark.parametrize("name", NAMES)
def test_each_object_has_a_sprite_that_fills_its_cell(name: str) -> None:
    sprite = atlas.sprite(name)
    assert sprite.size == (atlas.CELL, atlas.CELL)
    left, top, right, bottom = sprite.getchannel("A").getbbox() or (0, 0, 0, 0)
    assert max(right - left, bottom - top) >= atlas.CELL - 2


def test_no_two_objects_look_alike() -> None:
    assert len({atlas.sprite(name).tobytes() for name in NAMES}) == len(NAMES)


@pytest.mark.skipif(not FONT.exists(), reason="needs the Debian package fonts-noto-color-emoji")
def test_the_sprites_are_what_the_font_draws() -> None:
    """Near enough: later versions of the font polish some of its pictures."""
    drawn = atlas.draw_atlas(FONT)
    for index, name in enumerate(NAMES):
        x, y = index % atlas.COLUMNS * atlas.CELL, index // atlas.COLUMNS * atlas.CELL
        cell = drawn.crop((x, y, x + atlas.CELL, y + atlas.CELL))
        shipped, fresh = (np.asarray(i, dtype=np.float32) for i in (atlas.sprite(name), cell))
        assert np.abs(shipped - fresh).mean() < 20, name
