"""The sprites of the 72 objects, cut once from the Noto Color Emoji font.

``sprites.png`` ships with the package (12 x 6 cells of 96 x 96 pixels, RGBA, in the order
of the vocabulary), so that nobody needs the font to draw. ``python -m
heliograph.model.primer.atlas FONT`` makes it again. Noto Color Emoji is under the SIL
Open Font License 1.1.
"""

from __future__ import annotations

import sys
from functools import cache
from importlib import resources
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from heliograph.model.primer.vocabulary import load

CELL = 96
COLUMNS = 12
_FONT_SIZE = 109  # the one size at which the font holds bitmaps


def draw_atlas(font_file: Path) -> Image.Image:
    """Draw every object into one RGBA picture, each centred and filling its cell."""
    font = ImageFont.truetype(str(font_file), _FONT_SIZE)
    objects = load().objects
    atlas = Image.new("RGBA", (COLUMNS * CELL, -(-len(objects) // COLUMNS) * CELL))
    for i, thing in enumerate(objects):
        big = Image.new("RGBA", (160, 160))
        ImageDraw.Draw(big).text((10, 10), thing.emoji, font=font, embedded_color=True)
        sprite = big.crop(big.getbbox())
        sprite.thumbnail((CELL, CELL), Image.Resampling.LANCZOS)
        x, y = (i % COLUMNS) * CELL, (i // COLUMNS) * CELL
        atlas.paste(sprite, (x + (CELL - sprite.width) // 2, y + (CELL - sprite.height) // 2))
    return atlas


@cache
def sprite(name: str) -> Image.Image:
    """The object's picture, (96, 96) RGBA."""
    index = [o.name for o in load().objects].index(name)
    x, y = (index % COLUMNS) * CELL, (index // COLUMNS) * CELL
    return _atlas().crop((x, y, x + CELL, y + CELL))


@cache
def _atlas() -> Image.Image:
    with resources.files(__package__).joinpath("sprites.png").open("rb") as file:
        return Image.open(file).convert("RGBA")


if __name__ == "__main__":
    draw_atlas(Path(sys.argv[1])).save(Path(__file__).with_name("sprites.png"), optimize=True)
