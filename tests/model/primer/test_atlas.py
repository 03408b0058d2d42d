from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from heliograph.model.errors import InputError
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


def emoji_set(folder: Path, name: str) -> Path:
    """The shipped sprites as files, smaller and off the centre."""
    folder.mkdir()
    for thing in load().objects:
        code = "-".join(f"{ord(sign):x}" for sign in thing.emoji)
        picture = Image.new("RGBA", (72, 72))
        picture.paste(atlas.sprite(thing.name).resize((48, 48)), (20, 10))
        picture.save(folder / name.format(code))
    return folder


@pytest.mark.parametrize("name", ["{}.png", "emoji_u{}.png"])
def test_another_emoji_set_is_read_and_fills_its_cells(name: str, tmp_path: Path) -> None:
    sprites = atlas.others(emoji_set(tmp_path / "set", name))
    for thing in ("dog", "envelope"):  # the second has a selector behind its code point
        ours, theirs = (np.asarray(f(thing), np.float32) for f in (atlas.sprite, sprites))
        assert theirs.shape == (atlas.CELL, atlas.CELL, 4)
        assert 0 < np.abs(ours - theirs).mean() < 20


def test_an_emoji_set_that_lacks_an_object_is_refused(tmp_path: Path) -> None:
    folder = emoji_set(tmp_path / "set", "{}.png")
    (folder / "1f431.png").write_bytes(b"no picture")
    with pytest.raises(InputError, match="1f431.png is no picture"):
        atlas.others(folder)
    (folder / "1f431.png").unlink()
    with pytest.raises(InputError, match="no picture of the cat: 1f431.png is missing"):
        atlas.others(folder)
    with pytest.raises(InputError, match="can't be read"):
        atlas.others(tmp_path / "none")
