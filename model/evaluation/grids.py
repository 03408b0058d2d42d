"""Pictures of what was asked and what came, for people to look at.

A cell shows the media of one case side by side, framed green where all is right and red
where not, with canonical English captions below, whatever language was spoken.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from heliograph.model.evaluation.asking import Answer
from heliograph.model.evaluation.judging import Verdict, paired
from heliograph.model.evaluation.rows import Case
from heliograph.model.media import Clip, Film, Image, Sound
from heliograph.model.primer.render import render
from heliograph.model.primer.scenes import Scene, caption

CELLS = 24
"""At most so many cases in a grid."""
SIDE = 96
MOST = 10
"""At most so many media in a cell."""
MARGIN, LINE = 6, 13
GREEN, RED, GREY, INK = (46, 140, 70), (200, 60, 50), (225, 225, 225), (30, 30, 30)
FRAMES = (0, 2, 5, 7)


@dataclass(frozen=True, eq=False)
class Cell:
    """One case."""

    media: tuple[tuple[str, Clip | None], ...]
    """What it is ("shown", "asked", "came") and the medium; ``None`` for one that is missing."""
    lines: tuple[str, ...]
    right: bool


def case_cell(
    case: Case, shown: Sequence[Sequence[Clip]], answers: Sequence[Answer], verdict: Verdict
) -> Cell | None:
    """The cell of a case; none for one in which there is nothing to see."""
    media: list[tuple[str, Clip | None]] = []
    left = iter(case.seeds)
    for turn, clips, answer in zip(case.dialogue.turns, shown, answers, strict=True):
        media += [("shown", clip) for clip in clips]
        for (scene, sent), seed in zip(paired(turn, answer), left, strict=False):
            media += [("asked", render(scene, seed)), ("came", sent.clip if sent else None)]
    lines: list[str] = []
    for reading in verdict.readings:
        if reading.where != "media":
            said = caption(reading.came) if reading.came is not None else "?"
            lines.append(caption(reading.asked))
            lines.append(f"   said: {'the same' if said == lines[-1] else said}")
        elif reading.came != reading.asked:
            lines.append(f"   seen: {caption(reading.came) if reading.came else '?'}")
    return (
        Cell(tuple(media[:MOST]), tuple(lines[:MOST]), verdict.right) if media and lines else None
    )


def ceiling_cell(scene: Scene, seed: int, clip: Clip, verdict: Verdict) -> Cell:
    """The cell of a part on one scene."""
    seen = verdict.readings[0].came
    lines = [caption(scene)]
    if not verdict.right:
        lines.append(f"   seen: {caption(seen) if seen else '?'}")
    return Cell((("asked", render(scene, seed)), ("came", clip)), tuple(lines), verdict.right)


def grid(cells: Sequence[Cell], width: int = 1200) -> Pillow.Image:
    """All cells on one sheet, row by row, each as wide as the widest."""
    drawn = [_draw(cell) for cell in cells]
    wide = max(picture.width for picture in drawn) + MARGIN
    columns = max(1, width // wide)
    rows = [drawn[i : i + columns] for i in range(0, len(drawn), columns)]
    heights = [max(picture.height for picture in row) + MARGIN for row in rows]
    size = (wide * min(columns, len(drawn)) + MARGIN, sum(heights) + MARGIN)
    sheet = Pillow.new("RGB", size, "white")
    top = MARGIN
    for row, height in zip(rows, heights, strict=True):
        for i, picture in enumerate(row):
            sheet.paste(picture, (MARGIN + i * wide, top))
        top += height
    return sheet


def thumbnail(clip: Clip | None) -> Pillow.Image:
    """A picture of any clip: films as four frames, sounds as their spectrum over time."""
    match clip:
        case Image():
            return _square(clip.pixels)
        case Film():
            strip = Pillow.new("RGB", (SIDE * 2, SIDE * 2), "white")
            for i, frame in enumerate(FRAMES):
                at = min(frame * len(clip.frames) // 8, len(clip.frames) - 1)
                strip.paste(_square(clip.frames[at]), (i % 2 * SIDE, i // 2 * SIDE))
            return strip.resize((SIDE, SIDE), Pillow.Resampling.BOX)
        case Sound():
            return _spectrum(clip)
    return Pillow.new("RGB", (SIDE, SIDE), GREY)


def _draw(cell: Cell) -> Pillow.Image:
    text = max((_font().getlength(line) for line in cell.lines), default=0)
    width = max(len(cell.media) * (SIDE + MARGIN), int(text)) + 2 * MARGIN
    height = LINE + SIDE + MARGIN + LINE * len(cell.lines) + 2 * MARGIN
    picture = Pillow.new("RGB", (width, height), "white")
    pen = ImageDraw.Draw(picture)
    pen.rectangle((0, 0, width - 1, height - 1), outline=GREEN if cell.right else RED, width=2)
    for i, (label, clip) in enumerate(cell.media):
        left = MARGIN + i * (SIDE + MARGIN)
        pen.text((left, 3), label, INK, _font())
        picture.paste(thumbnail(clip), (left, LINE + MARGIN))
    for i, line in enumerate(cell.lines):
        pen.text((MARGIN, LINE + SIDE + 2 * MARGIN + i * LINE), line, INK, _font())
    return picture


def _square(pixels: np.ndarray) -> Pillow.Image:
    return Pillow.fromarray(pixels).resize((SIDE, SIDE), Pillow.Resampling.NEAREST)


def _spectrum(sound: Sound) -> Pillow.Image:
    """Loud is dark; low frequencies are at the bottom."""
    window = 512
    count = max(1, len(sound.samples) // window)
    samples = np.resize(sound.samples, count * window).reshape(count, window)
    power = np.abs(np.fft.rfft(samples * np.hanning(window)))[:, : window // 4]  # (T, F)
    decibels = 20 * np.log10(power / max(float(power.max()), 1e-9) + 1e-4)  # from -80 to 0
    shade = (-decibels * 255 / 80).clip(0, 255).astype(np.uint8).T[::-1]  # (F, T)
    grey = Pillow.fromarray(np.ascontiguousarray(shade)).resize((SIDE, SIDE))
    return grey.convert("RGB")


@cache
def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(11)
