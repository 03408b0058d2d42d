"""Media as characters, for terminals: pictures as half blocks, films as a few of their
frames, sounds as the outline of their loudness."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.color import Color
from rich.style import Style
from rich.text import Text

from heliograph.model.parts import Media

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

COLUMNS = 32
BARS = " ▁▂▃▄▅▆▇█"


def shown(media: Media, columns: int = COLUMNS) -> Text:
    """A medium as lines of characters.

    Raises:
        MediaError: it can't be decoded.
    """
    import numpy as np

    from heliograph.model.media import Film, Image, read

    clip = read(media)
    if isinstance(clip, Image):
        return half_blocks(clip.pixels, columns)
    if isinstance(clip, Film):
        last = len(clip.frames) - 1
        frames = [clip.frames[i] for i in sorted({0, last // 2, last})]
        return half_blocks(np.concatenate(frames, axis=1), columns * len(frames) // 2)  # (H, kW, 3)
    return loudness(clip.samples, columns)


def half_blocks(pixels: NDArray[np.uint8], columns: int) -> Text:
    """A picture (H, W, 3), two of its points in each character."""
    import numpy as np
    from PIL import Image as Pictures

    rows = max(2, round(columns * pixels.shape[0] / pixels.shape[1] / 2) * 2)
    small = np.asarray(Pictures.fromarray(pixels).resize((columns, rows)))  # (rows, columns, 3)
    text = Text()
    for upper, lower in zip(small[0::2], small[1::2], strict=True):
        for above, below in zip(upper.tolist(), lower.tolist(), strict=True):
            text.append("▀", Style(color=Color.from_rgb(*above), bgcolor=Color.from_rgb(*below)))
        text.append("\n")
    return text


def loudness(samples: NDArray[np.float32], columns: int) -> Text:
    """A sound (S,) as bars as high as its loudest sample there."""
    import numpy as np

    peaks = [float(np.abs(part).max(initial=0)) for part in np.array_split(samples, columns)]
    top = max(peaks) or 1.0
    return Text("".join(BARS[round(peak / top * (len(BARS) - 1))] for peak in peaks) + "\n")
