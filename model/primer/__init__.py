"""The primer: a small drawn world, and the bundled weights that were trained on it.

vocabulary.py   its words and things        scenes.py     what a medium is of
pictures.py, films.py, sounds.py, render.py   scenes as media
dialogues.py, grammar/   what is said about them, in three languages
referees/       scenes read back from media, without the model
weights/        the bundled core, as ``AnyToAny.from_pretrained`` reads it
"""

from __future__ import annotations

from pathlib import Path

from heliograph.model.errors import WeightsError

WEIGHTS = Path(__file__).parent / "weights"
"""Where the bundled core lies, in an installation that has one."""


def weights_dir() -> Path:
    """The directory of the bundled weights.

    Raises:
        WeightsError: this installation has none.
    """
    if not (WEIGHTS / "config.json").exists():
        raise WeightsError(
            "This installation has no bundled weights: name a directory with --weights or "
            "HELIOGRAPH_WEIGHTS, or make them with `heliograph train all --preset primer`."
        )
    return WEIGHTS
