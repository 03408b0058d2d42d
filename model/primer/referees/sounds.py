"""Reads a sound's scene back from its samples.

Which of the 20 sounds: engineered features (spectrum, envelopes, modulation, tonality),
whitened by the spread within classes, and the nearest class centre; a sound far from
every centre is none of them. How often: counted onsets. Rising or falling: the course of
the strongest pitch. ``train_sounds.py`` makes the centres in ``sounds.npz`` from true
renders, also noisy, shifted and rebuilt from a mel spectrogram.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import resources

import numpy as np
import numpy.typing as npt

from heliograph.model.primer.scenes import SoundOf, every_sound
from heliograph.model.primer.sounds import RATE, SAMPLES
from heliograph.model.primer.vocabulary import load

Floats = npt.NDArray[np.float32]

FFT = 1024
HOP = 256
MELS = 64
LOW, HIGH = 30.0, 7800.0  # Hz, the span of the mel bands

_SILENT = 1e-3  # peak below which there is nothing to hear
_GROUPS = 8  # coarser bands, for what is measured over time
_MODULATION = (0.4, 1.2, 2.2, 5.0, 10.0, 18.0, 23.0, 30.0, 60.0)  # edges in Hz
_ROOM, _NEAR = 2.5, 600.0  # limits: so many times a scene's own reach, and at least so much
_RISE = 7  # frames on both sides of an onset that are compared: 0.11 s


@dataclass(frozen=True)
class Classifier:
    """Centres of the 33 scenes in the space of features whitened within classes."""

    mean: Floats
    """(F,) of the features, taken away first."""
    whiten: Floats
    """(F, F) that brings the spread within classes to the identity."""
    centres: Floats
    """(33, F) in the order of ``every_sound()``, whitened."""
    reach: Floats
    """(33,) squared distance from each centre within which 99 % of true renders lie."""

    @property
    def limits(self) -> Floats:
        """(33,) squared distance from each centre beyond which a sound isn't of that scene."""
        # Generated sounds lie somewhat farther out than any render; strangers lie much
        # farther. A scene whose renders are all alike, as rain's, is given others' room.
        limits: Floats = np.maximum(_ROOM * self.reach, np.float32(_NEAR))
        return limits

    def distances(self, x: Floats) -> Floats:
        """Squared distances of features (N, F) from every centre: (N, 33)."""
        z = (x - self.mean) @ self.whiten  # (N, F)
        squared: Floats = ((z[:, None] - self.centres) ** 2).sum(-1)
        return squared


def read_sound(samples: npt.NDArray[np.float32], rate: int) -> SoundOf | None:
    """What is heard, or ``None`` where nothing of the primer is recognised.

    Args:
        samples: (S,) mono in [-1, 1]; the first two seconds are heard.
        rate: Samples per second.
    """
    wave = _two_seconds(samples, rate)
    if np.abs(wave).max() < _SILENT:
        return None
    classifier = _classifier()
    distances = classifier.distances(features(wave)[None])[0]  # (33,)
    nearest = int(distances.argmin())
    if distances[nearest] > classifier.limits[nearest]:
        return None
    name = every_sound()[nearest].sound
    match load().sound(name).attribute:
        case "count":
            count = _onsets(wave)
            return SoundOf(name, count=count) if 1 <= count <= 3 else None
        case "direction":
            course = _course(wave)
            if abs(course) < 0.5:
                return None
            return SoundOf(name, direction="rising" if course > 0 else "falling")
    return SoundOf(name)


def features(wave: Floats) -> Floats:
    """What the classifier looks at: (F,), unmoved by loudness; ``wave`` is 2 s at 16 kHz."""
    power = spectrogram(wave)  # (T, 513)
    mel = power @ mel_filters()  # (T, 64)
    spectrum = mel.mean(0)
    groups = mel.reshape(len(mel), _GROUPS, -1).sum(-1)  # (T, 8)
    floor = 1e-3 * groups.mean(0).max()
    level = np.quantile(groups + floor, (0.1, 0.5, 0.9, 1.0), axis=0) / (groups.mean(0) + floor)
    change = np.abs(np.diff(np.sqrt(groups), axis=0)).mean(0) / np.sqrt(groups.mean(0) + floor)
    frame = power.sum(1)
    weight = frame / frame.sum()
    bins = np.arange(power.shape[1])
    octave = np.log2(bins[1:] * RATE / FFT)
    centroid = (power[:, 1:] @ octave) / (power[:, 1:].sum(1) + 1e-12)
    crest = np.log(power.max(1) / (power.mean(1) + 1e-12) + 1e-12)
    top = octave[power[:, 1:].argmax(1)]
    course = []
    for value in (centroid, crest, top):
        mean = float(weight @ value)
        course += [mean, float(np.sqrt(weight @ (value - mean) ** 2))]
    fine = np.log(power / (power.max() + 1e-12) + 1e-6)
    flatness = (weight @ fine) - np.log(weight @ power / power.max() + 1e-6)
    return np.concatenate(
        [
            np.log(spectrum / spectrum.max() + 1e-3),
            np.log(level).ravel(),
            change,
            _modulation(wave),
            course,
            [flatness[a:b].mean() for a, b in ((1, 8), (8, 32), (32, 96), (96, 256), (256, 512))],
        ]
    ).astype(np.float32)


def spectrogram(wave: Floats) -> Floats:
    """Power spectrum of each frame, (T, 513): Hann windows, centred, 16 ms apart."""
    padded = np.pad(wave, FFT // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, FFT)[::HOP]  # (T, 1024)
    window = np.hanning(FFT + 1)[:-1].astype(np.float32)
    power: Floats = np.abs(np.fft.rfft(frames * window)) ** 2
    return power


@cache
def mel_filters() -> Floats:
    """Triangles that are evenly spaced on the mel scale: (513, 64)."""
    low, high = (2595 * np.log10(1 + f / 700) for f in (LOW, HIGH))
    edges = 700 * (10 ** (np.linspace(low, high, MELS + 2) / 2595) - 1)
    f = np.arange(FFT // 2 + 1)[:, None] * RATE / FFT
    # The lowest triangles are narrower than a bin of the spectrum; no side is let be so.
    narrow = RATE / FFT
    left = np.minimum(edges[:-2], edges[1:-1] - narrow)
    right = np.maximum(edges[2:], edges[1:-1] + narrow)
    up, down = (f - left) / (edges[1:-1] - left), (right - f) / (right - edges[1:-1])
    return np.maximum(np.minimum(up, down), 0).astype(np.float32)


def _modulation(wave: Floats) -> Floats:
    """Share of the envelope's changes in each band of rates, as logarithms: (8,)."""
    envelope = np.sqrt((wave.reshape(-1, 64) ** 2).mean(1))  # (500,), 250 a second
    envelope = envelope - envelope.mean()
    power = np.abs(np.fft.rfft(envelope * np.hanning(len(envelope)), 2048)) ** 2
    rate = np.fft.rfftfreq(2048, 64 / RATE)
    bands = [
        power[(rate >= a) & (rate < b)].sum()
        for a, b in zip(_MODULATION[:-1], _MODULATION[1:], strict=True)
    ]
    share: Floats = np.log(np.array(bands) / (power.sum() + 1e-12) + 1e-3)
    return share


def _onsets(wave: Floats) -> int:
    """How often the sound begins anew."""
    mel = spectrogram(wave) @ mel_filters()  # (T, 64)
    total = mel.sum(0)
    loud = np.sqrt(mel[:, total > 0.1 * total.max()].sum(1))  # (T,)
    quiet = np.full(2 * _RISE, np.quantile(loud, 0.05))
    loud = np.concatenate([quiet, loud, quiet])
    sums = np.concatenate([[0], np.cumsum(loud)])
    at = np.arange(_RISE, len(loud) - _RISE)
    rise = (sums[at + _RISE] - 2 * sums[at] + sums[at - _RISE]) / _RISE
    # A steady sound has none, however its ripples compare with each other.
    count, enough = 0, max(0.3 * rise.max(), 0.25 * loud.max())
    while rise.max() > enough:
        peak = int(rise.argmax())
        count += 1
        # Events are at least 0.5 s apart; nothing within 0.35 s is another one.
        rise[max(0, peak - 22) : peak + 23] = 0
    return count


def _course(wave: Floats) -> float:
    """Correlation of the strongest pitch with time: 1 rises, -1 falls."""
    power = spectrogram(wave)
    low, high = round(230 * FFT / RATE), round(720 * FFT / RATE)
    band = power[:, low : high + 1]
    weight = band.sum(1) / band.sum()
    pitch = np.log2(low + band.argmax(1))
    time = np.arange(len(band))
    pitch = pitch - weight @ pitch
    time = time - weight @ time
    spread = np.sqrt((weight @ pitch**2) * (weight @ time**2))
    return float(weight @ (pitch * time) / (spread + 1e-9))


def _two_seconds(samples: npt.NDArray[np.float32], rate: int) -> Floats:
    wave = np.asarray(samples, np.float32)
    if rate != RATE:
        times = np.arange(int(len(wave) * RATE / rate)) * (rate / RATE)
        wave = np.interp(times, np.arange(len(wave)), wave).astype(np.float32)
    return np.pad(wave[:SAMPLES], (0, max(0, SAMPLES - len(wave))))


@cache
def _classifier() -> Classifier:
    with resources.files(__package__).joinpath("sounds.npz").open("rb") as file:
        arrays = np.load(file, allow_pickle=False)
        return Classifier(arrays["mean"], arrays["whiten"], arrays["centres"], arrays["reach"])
