"""The sprites of the 72 objects, cut once from the Noto Color Emoji font.

``sprites.png`` ships with the package (12 x 6 cells of 96 x 96 pixels, RGBA, in the order
of the vocabulary), so that nobody needs the font to draw. ``python -m
heliograph.model.primer.atlas FONT`` makes it again. Noto Color Emoji is under the SIL
Open Font License 1.1. ``others`` gives the same objects as another emoji set draws them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache
from importlib import resources
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from heliograph.model.errors import InputError
from heliograph.model.primer.vocabulary import Object, load

Sprites = Callable[[str], Image.Image]
"""The picture of an object, by its English name: (96, 96) RGBA."""

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
        atlas.paste(_filled(big), ((i % COLUMNS) * CELL, (i // COLUMNS) * CELL))
    return atlas


def others(folder: Path) -> Sprites:
    """The objects as another emoji set draws them.

    Args:
        folder: PNG files named by code points, as Twemoji ("1f436.png"), OpenMoji ("1F436.png")
            and Noto ("emoji_u1f436.png") lay them out.

    Raises:
        InputError: an object's file is missing or is no picture.
    """
    try:
        files = {_plain(file.stem): file for file in folder.iterdir() if file.suffix == ".png"}
    except OSError as error:
        raise InputError(
            f"The folder of emoji {folder} can't be read: {error.strerror}."
        ) from error
    drawn: dict[str, Image.Image] = {}
    for thing in load().objects:
        file = files.get(_code(thing))
        if file is None:
            raise InputError(
                f"{folder} has no picture of the {thing.name}: {_code(thing)}.png is missing."
            )
        try:
            with Image.open(file) as picture:
                drawn[thing.name] = _filled(picture.convert("RGBA"))
        except (OSError, ValueError) as error:
            raise InputError(f"{file} is no picture that can be read.") from error
    return drawn.__getitem__


def _filled(picture: Image.Image) -> Image.Image:
    """What there is in the picture, centred in a cell and filling it."""
    found = picture.crop(picture.getbbox())
    scale = CELL / max(found.size)
    found = found.resize(
        (max(1, round(found.width * scale)), max(1, round(found.height * scale))),
        Image.Resampling.LANCZOS,
    )
    cell = Image.new("RGBA", (CELL, CELL))
    cell.paste(found, ((CELL - found.width) // 2, (CELL - found.height) // 2))
    return cell


def _code(thing: Object) -> str:
    """The emoji's code points, without the selector that asks for colours."""
    return "-".join(f"{ord(sign):x}" for sign in thing.emoji if sign != "\ufe0f")


def _plain(stem: str) -> str:
    """A file's name as ``_code`` would write it."""
    return stem.lower().removeprefix("emoji_u").replace("_", "-").removesuffix("-fe0f")


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
