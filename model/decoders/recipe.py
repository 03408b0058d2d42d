"""What a decoder has to know of a pipeline's class, and what most of them share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from heliograph.model.conditions import Shapes
from heliograph.model.media import Clip, Film, Image, Sound
from heliograph.model.parts import Modality

POOLED = "pooled_prompt_embeds"


class Recipe:
    """How pipelines of one class are loaded, called and read. B rows, L tokens.

    A subclass sets ``modality`` and writes ``shapes`` and ``encode``; the names of a condition's
    tensors are arguments of the pipeline's call, and ``negative_`` before them gives those of
    what guidance leads away from.
    """

    modality: Modality
    """What it makes."""
    module: str = "diffusers"
    """Where the class is imported from."""
    absent: tuple[str, ...] = ()
    """Components that are loaded as ``None``: filters and adapters that nobody calls."""
    length: int | None = None
    """The ``max_sequence_length`` that encoder and call are given, where they take one."""
    single: tuple[str, ...] = ()
    """Components that stay in float32 whatever the others compute in, since 16 bits spoil what
    they make and the pipeline doesn't see to it itself."""
    vectors: tuple[str, ...] = (POOLED,)
    """Tensors that the call wants as (B, width); those that end in ``mask`` it wants as (B, L)."""
    negatives: bool = True
    """Whether guidance needs the condition of no words; else the pipeline takes zeros."""
    callback: str = "callback_on_step_end"
    """The argument by which progress is told: this, or the older ``callback``."""
    output_type: str | None = "np"

    def shapes(self, pipe: Any, length: int) -> Shapes:
        """(tokens, width) of each tensor of a condition, ``prompt_embeds`` first."""
        raise NotImplementedError

    def encode(self, pipe: Any, captions: list[str], length: int) -> Sequence[Tensor]:
        """The condition of B captions: a tensor for each of ``shapes``, rows first."""
        raise NotImplementedError

    def rate(self, pipe: Any, call: Mapping[str, Any]) -> float:
        """Frames or samples in a second, unless the decoder's settings say otherwise."""
        return 8.0

    def clips(self, output: Any, rate: float) -> list[Clip]:
        """One clip for each row of the pipeline's output."""
        match self.modality:
            case "image":
                return [Image(_bytes(pixels)) for pixels in output.images]  # (H, W, 3)
            case "video":
                return [Film(_bytes(frames), rate) for frames in output.frames]  # (T, H, W, 3)
            case "audio":
                return [Sound(_samples(wave), round(rate)) for wave in output.audios]


def _bytes(values: Any) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return (np.asarray(values).clip(0, 1) * 255).round().astype(np.uint8)


def _samples(wave: Any) -> np.ndarray[Any, np.dtype[np.float32]]:
    samples = np.asarray(wave, dtype=np.float32).clip(-1, 1)
    return samples if samples.ndim == 1 else samples.mean(axis=0)  # (channels, S) -> (S,)
