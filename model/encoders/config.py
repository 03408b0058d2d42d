"""Sizes of an ImageBind: one frozen dataclass for each branch, and the two presets.

``ImageBindConfig.huge()`` has the sizes of the published ``imagebind_huge.pth``;
``ImageBindConfig.tiny()`` those of the primer. Depth, thermal and IMU are left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from heliograph.model.errors import WeightsError


@dataclass(frozen=True)
class VisionConfig:
    """The branch that reads pictures and films."""

    width: int
    blocks: int
    heads: int
    size: int
    """Side of the square picture in pixels."""
    patch: int
    """Side of a patch in pixels; a patch is two frames deep."""
    clips: int
    """A film is read as so many clips of two frames."""
    clip_seconds: float | None
    """Length of a clip; ``None`` spreads the frames evenly over the whole film."""
    crops: int = 1
    """Squares that are read of each clip, from one end of its longer side to the other; one
    is its middle."""

    @property
    def patches(self) -> int:
        """Patch tokens of a picture, or of one clip of a film."""
        return (self.size // self.patch) ** 2


@dataclass(frozen=True)
class AudioConfig:
    """The branch that reads sounds, as pictures of their log-mel spectrograms."""

    width: int
    blocks: int
    heads: int
    mel_bins: int
    frames: int
    """Length of a clip's spectrogram."""
    kernel: int
    stride: int
    """Patches overlap where it is smaller than ``kernel``."""
    hop_ms: float
    """From one frame of the spectrogram to the next; a window is 25 ms long."""
    clips: int = 3
    """A sound longer than a clip is read as so many, evenly spread and overlapping."""
    clip_seconds: float = 2.0
    rate: int = 16_000
    mean: float = -4.268
    """Of the log-mel values of AudioSet; subtracted."""
    std: float = 9.138
    """Twice their standard deviation; divided by."""
    drop_path: float = 0.0
    """Stochastic depth of the last block while training."""
    peak: float | None = None
    """Each sound is made as loud, by its largest sample; ``None`` leaves it as it is."""

    @property
    def patches(self) -> int:
        """Patch tokens of a sound."""
        down = (self.mel_bins - self.kernel) // self.stride + 1
        along = (self.frames - self.kernel) // self.stride + 1
        return down * along


@dataclass(frozen=True)
class TextConfig:
    """The branch that reads captions, for the joint space only."""

    width: int
    blocks: int
    heads: int
    context: int
    """Longest text in tokens, its marks included."""
    vocabulary: int
    start: int | None
    """Token put before each text, if any."""
    end: int
    """Token put after each text; the text's vector is read there."""


@dataclass(frozen=True)
class ImageBindConfig:
    """Sizes of the three branches and of the space they share."""

    vision: VisionConfig
    audio: AudioConfig
    text: TextConfig
    joint: int
    """Width of the joint space."""

    def __post_init__(self) -> None:
        """Check what spans fields, in one place.

        Raises:
            WeightsError: the sizes can't be built.
        """
        for name in ("vision", "audio", "text"):
            branch: VisionConfig | AudioConfig | TextConfig = getattr(self, name)
            if branch.width % branch.heads:
                raise WeightsError(
                    f"The {name} branch has {branch.heads} heads, which {branch.width} is no "
                    "multiple of."
                )
        if self.vision.size % self.vision.patch:
            raise WeightsError(
                f"Pictures of {self.vision.size} pixels can't be cut into patches of "
                f"{self.vision.patch}."
            )

    @classmethod
    def huge(cls) -> ImageBindConfig:
        """The published model: 1.0 billion parameters in these three branches."""
        return cls(
            vision=VisionConfig(1280, 32, 16, size=224, patch=14, clips=5, clip_seconds=2.0),
            audio=AudioConfig(
                768,
                12,
                12,
                mel_bins=128,
                frames=204,
                kernel=16,
                stride=10,
                hop_ms=10.0,
                drop_path=0.1,
            ),
            text=TextConfig(1024, 24, 16, context=77, vocabulary=49408, start=49406, end=49407),
            joint=1024,
        )

    @classmethod
    def tiny(cls, vocabulary: int = 4096, end: int = 0) -> ImageBindConfig:
        """The primer's: 64 x 64 pixels, films of 8 frames, sounds of 2 seconds.

        ``vocabulary`` and ``end`` are the size and the end token of the tokenizer whose
        ids the text branch reads: the language model's own.
        """
        return cls(
            vision=VisionConfig(192, 6, 3, size=64, patch=8, clips=4, clip_seconds=None),
            # A hop of 19 ms lets two seconds fill the 104 frames exactly.
            audio=AudioConfig(
                128, 4, 4, mel_bins=64, frames=104, kernel=8, stride=8, hop_ms=19.0, peak=0.8
            ),
            text=TextConfig(128, 4, 4, context=32, vocabulary=vocabulary, start=None, end=end),
            joint=192,
        )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ImageBindConfig:
        """Read what ``dataclasses.asdict`` wrote.

        Raises:
            WeightsError: a field is missing or unknown.
        """
        try:
            return cls(
                vision=VisionConfig(**values["vision"]),
                audio=AudioConfig(**values["audio"]),
                text=TextConfig(**values["text"]),
                joint=values["joint"],
            )
        except (KeyError, TypeError) as error:
            raise WeightsError(f"The configuration of the ImageBind is wrong: {error}.") from error
