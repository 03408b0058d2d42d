"""From decoded clips to the tensors that ImageBind reads, on the processor, without a network.

Pictures: the square in the middle, resized (bicubic), CLIP's mean and deviation.
Films: clips of two frames, each frame as a picture, of which several crops may be read.
Sounds: 16 kHz, clips of two seconds, log-mel energies as Kaldi computes them (25 ms Hann
windows, pre-emphasis 0.97), then AudioSet's mean and deviation.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from heliograph.model.encoders.config import AudioConfig, VisionConfig
from heliograph.model.media import Film, Image, Sound, resampled, sampled

PIXEL_MEAN = (0.48145466, 0.4578275, 0.40821073)
PIXEL_STD = (0.26862954, 0.26130258, 0.27577711)
SILENCE = 1e-3
"""A largest sample under which nothing is to be heard: not made louder than from here."""
WINDOW_MS = 25.0
LOWEST_HZ = 20.0
PRE_EMPHASIS = 0.97
FLOOR = torch.finfo(torch.float32).eps


def prepare_image(image: Image, config: VisionConfig) -> Tensor:
    """A picture as (3, size, size)."""
    return _pixels(image.pixels[None], config.size)[0]


def prepare_film(film: Film, config: VisionConfig) -> Tensor:
    """A film as (clips * crops, 3, 2, size, size), its clips in order of time, one crop
    after the other."""
    if config.clip_seconds is None:
        frames = sampled(film, 2 * config.clips).frames
    else:
        length = min(len(film.frames), max(1, round(config.clip_seconds * film.fps)))
        firsts = np.linspace(0, len(film.frames) - length, config.clips).round().astype(np.intp)
        # The two frames of a clip are its first and its last.
        frames = film.frames[np.stack([firsts, firsts + length - 1], axis=1).reshape(-1)]
    places = np.linspace(0, 1, config.crops) if config.crops > 1 else [0.5]
    pixels = torch.cat([_pixels(frames, config.size, place) for place in places])
    pairs = pixels.reshape(-1, 2, 3, config.size, config.size)
    return pairs.transpose(1, 2).contiguous()  # (clips * crops, 3, 2, size, size)


def prepare_sound(sound: Sound, config: AudioConfig) -> Tensor:
    """A sound as (clips, 1, mel_bins, frames): one clip, or ``config.clips`` if it is longer.

    A sound that is shorter than a clip is followed by silence.
    """
    wave = torch.tensor(resampled(sound, config.rate).samples)
    if config.peak is not None and len(wave):
        wave = wave * (config.peak / wave.abs().max().clamp(min=SILENCE))
    length = round(config.clip_seconds * config.rate)
    spare = len(wave) - length
    starts = (
        [0] if spare <= 0 else [round(spare * i / (config.clips - 1)) for i in range(config.clips)]
    )
    clips = [wave[start : start + length] for start in starts]
    clips = [F.pad(clip - clip.mean(), (0, length - len(clip))) for clip in clips]
    energies = log_mel(torch.stack(clips), config)  # (clips, mel_bins, frames')
    energies = F.pad(energies, (0, max(0, config.frames - energies.shape[-1])))
    energies = energies[..., : config.frames]
    scaled = (energies - config.mean) / config.std
    return scaled.unsqueeze(1)  # (clips, 1, mel_bins, frames)


def stack(prepared: Sequence[Tensor]) -> Tensor:
    """Prepared clips of one modality as a batch (B, ...).

    Sounds of one clip beside sounds of several are repeated, which leaves the mean over
    their clips, and so what the encoder returns, as it is.
    """
    longest = max(len(x) for x in prepared)
    return torch.stack(
        [x if len(x) == longest else x.expand(longest, *x.shape[1:]) for x in prepared]
    )


def log_mel(waves: Tensor, config: AudioConfig) -> Tensor:
    """Waves (B, S) in [-1, 1] -> log-mel energies (B, mel_bins, frames), as Kaldi's fbank.

    A frame loses its own mean and is pre-emphasised before it is windowed, so the frames
    are cut here and not by ``torch.stft``.
    """
    size = round(WINDOW_MS * config.rate / 1000)
    hop = round(config.hop_ms * config.rate / 1000)
    bins = 1 << (size - 1).bit_length()
    frames = waves.unfold(-1, size, hop)  # (B, frames, size)
    frames = frames - frames.mean(dim=-1, keepdim=True)
    before = torch.cat([frames[..., :1], frames[..., :-1]], dim=-1)
    frames = (frames - PRE_EMPHASIS * before) * torch.hann_window(size, periodic=False)
    power = torch.fft.rfft(frames, n=bins).abs().square()  # (B, frames, bins / 2 + 1)
    filters = torch.from_numpy(_filters(bins // 2 + 1, config.mel_bins, config.rate))
    energies: Tensor = (power @ filters).clamp(min=FLOOR).log()
    return energies.transpose(1, 2)  # (B, mel_bins, frames)


@lru_cache(maxsize=8)
def _filters(frequencies: int, mel_bins: int, rate: int) -> NDArray[np.float32]:
    """Kaldi's triangles (frequencies, mel_bins): straight, and evenly spaced, on the mel scale.

    Some of the lowest of 128 lie between two frequencies and stay empty, in Kaldi too.
    """
    lowest, highest = _mel(np.array([LOWEST_HZ, rate / 2]))
    corners = np.linspace(lowest, highest, mel_bins + 2)
    left, centre, right = corners[:-2], corners[1:-1], corners[2:]
    at = _mel(np.linspace(0, rate / 2, frequencies))[:, None]  # (frequencies, 1)
    rising, falling = (at - left) / (centre - left), (right - at) / (right - centre)
    filters: NDArray[np.float64] = np.minimum(rising, falling).clip(min=0)
    return filters.astype(np.float32)


def _mel(hertz: NDArray[np.float64]) -> NDArray[np.float64]:
    """O'Shaughnessy's mel scale."""
    return 1127.0 * np.log1p(hertz / 700.0)


def _pixels(frames: NDArray[np.uint8], size: int, place: float = 0.5) -> Tensor:
    """Frames (T, H, W, 3) as normalised (T, 3, size, size)."""
    if frames.shape[1:3] != (size, size):
        frames = np.stack([_fitted(frame, size, place) for frame in frames])
    x = torch.tensor(frames).permute(0, 3, 1, 2).float() / 255
    mean, std = torch.tensor(PIXEL_MEAN), torch.tensor(PIXEL_STD)
    return (x - mean[:, None, None]) / std[:, None, None]


def _fitted(frame: NDArray[np.uint8], size: int, place: float) -> NDArray[np.uint8]:
    """The largest square at a place of a frame, 0 to 1, resized to ``size``."""
    from PIL import Image as Pictures

    height, width = frame.shape[:2]
    side = min(height, width)
    left, top = (width - side) * place, (height - side) * place
    # Cut before resizing: a strip of one by a million pixels would grow with its length.
    square = (left, top, left + side, top + side)
    bicubic = Pictures.Resampling.BICUBIC
    return np.asarray(Pictures.fromarray(frame).resize((size, size), bicubic, box=square))
