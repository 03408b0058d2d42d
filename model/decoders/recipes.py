"""Which diffusers pipelines a decoder may be made of, in one table.

A recipe says what a pipeline makes and how its output becomes a clip. All of them are
conditioned by ``prompt_embeds`` and ``negative_prompt_embeds`` of shape (B, tokens, width)
and have a text encoder whose last hidden states are that condition.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from heliograph.model.errors import WeightsError
from heliograph.model.media import Clip, Film, Image, Sound
from heliograph.model.parts import Modality


@dataclass(frozen=True)
class Recipe:
    """How one pipeline class is called and read."""

    modality: Modality
    module: str
    """Where the class is imported from."""
    absent: tuple[str, ...] = ()
    """Components that are loaded as ``None``: filters and adapters that nobody calls."""
    output_type: str | None = "np"
    clips: Callable[[Any, dict[str, Any]], list[Clip]] = lambda output, settings: []
    """From the pipeline's output and the decoder's extra settings to one clip a row."""


def _pictures(output: Any, settings: dict[str, Any]) -> list[Clip]:
    return [Image(_bytes(picture)) for picture in output.images]  # (H, W, 3)


def _films(output: Any, settings: dict[str, Any]) -> list[Clip]:
    fps = float(settings.get("fps", 8))
    return [Film(_bytes(frames), fps) for frames in output.frames]  # (T, H, W, 3)


def _sounds(output: Any, settings: dict[str, Any]) -> list[Clip]:
    rate = int(settings.get("rate", 16000))
    return [Sound(np.asarray(s, dtype=np.float32).clip(-1, 1), rate) for s in output.audios]  # (S,)


def _bytes(values: np.ndarray[Any, Any]) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return (np.asarray(values).clip(0, 1) * 255).round().astype(np.uint8)


RECIPES: dict[str, Recipe] = {
    "StableDiffusionPipeline": Recipe(
        "image",
        "diffusers",
        absent=("safety_checker", "feature_extractor", "image_encoder"),
        clips=_pictures,
    ),
    "AnimateDiffPipeline": Recipe(
        "video", "diffusers", absent=("feature_extractor", "image_encoder"), clips=_films
    ),
    "TextToVideoSDPipeline": Recipe("video", "diffusers", clips=_films),
    "SpectrogramPipeline": Recipe(
        "audio", "heliograph.model.decoders.spectrogram", output_type=None, clips=_sounds
    ),
}


def recipe(class_name: str) -> Recipe:
    """The recipe of a pipeline class.

    Raises ``WeightsError`` for a class that is not in the table.
    """
    try:
        return RECIPES[class_name]
    except KeyError:
        known = ", ".join(sorted(RECIPES))
        raise WeightsError(
            f"No recipe for a decoder of class {class_name}; there are recipes for {known}."
        ) from None
