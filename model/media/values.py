"""Decoded media as plain arrays, and how large they may be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from heliograph.model.parts import Modality

NOUNS: dict[Modality, str] = {"image": "picture", "audio": "sound", "video": "film"}
"""What a person calls each modality."""


@dataclass(frozen=True, eq=False)
class Image:
    """A picture."""

    pixels: NDArray[np.uint8]
    """(H, W, 3), red, green, blue."""


@dataclass(frozen=True, eq=False)
class Sound:
    """A sound of one channel."""

    samples: NDArray[np.float32]
    """(S,), from -1 to 1."""

    rate: int
    """Samples per second."""

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return len(self.samples) / self.rate


@dataclass(frozen=True, eq=False)
class Film:
    """Moving pictures, without their sound."""

    frames: NDArray[np.uint8]
    """(T, H, W, 3), red, green, blue."""

    fps: float
    """Frames per second."""

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return len(self.frames) / self.fps


Clip: TypeAlias = Image | Sound | Film


@dataclass(frozen=True)
class MediaLimits:
    """How large a medium may be; what is larger is refused unless a field says otherwise."""

    max_bytes: int = 256 * 1024**2
    """Bytes of the file."""

    max_pixels: int = 50_000_000
    """Pixels of a picture, or of one frame of a film; frames that are too many pixels only
    together are made smaller."""

    max_seconds: float = 300.0
    """Seconds of a sound or a film."""

    max_frames: int = 128
    """Frames kept of a film: of a longer one every second, fourth, … frame is kept, at the frame
    rate that this makes."""


DEFAULT_LIMITS = MediaLimits()
