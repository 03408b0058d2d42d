"""Building blocks of the primer's sounds: tones, noises, envelopes, and placing them in time.

Everything is float64 at 16 kHz; a whole sound has ``SAMPLES`` samples.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

RATE = 16000
SECONDS = 2.0
SAMPLES = int(RATE * SECONDS)

Wave: TypeAlias = npt.NDArray[np.float64]


def times(seconds: float) -> Wave:
    """The time of each sample, in seconds from 0."""
    return np.arange(int(seconds * RATE)) / RATE


def fade(wave: Wave, attack: float, release: float) -> Wave:
    """Ramp both ends over so many seconds, in place, so that nothing clicks."""
    a, r = int(attack * RATE), int(release * RATE)
    if a:
        wave[:a] *= np.linspace(0, 1, a)
    if r:
        wave[-r:] *= np.linspace(1, 0, r)
    return wave


def tone(phase: Wave, weights: tuple[float, ...]) -> Wave:
    """Sine at ``phase`` (radians) and its harmonics, the k-th with the k-th weight."""
    wave = np.zeros_like(phase)
    for k, weight in enumerate(weights, 1):
        if weight:
            wave += weight * np.sin(k * phase)
    return wave


def sweep(frequency: Wave) -> Wave:
    """The phase of a tone whose frequency in Hz changes from sample to sample."""
    return 2 * np.pi * np.cumsum(frequency) / RATE


@cache
def _frequencies(samples: int) -> Wave:
    return np.asarray(np.fft.rfftfreq(samples, 1 / RATE), np.float64)


def noise(
    rng: np.random.Generator,
    gain: Callable[[Wave], Wave],
    samples: int = SAMPLES,
) -> Wave:
    """Gaussian noise whose spectrum has the given gain over frequency in Hz, unit power."""
    f = _frequencies(samples)
    spectrum = rng.standard_normal(2 * len(f)).view(np.complex128) * gain(f)
    wave = np.asarray(np.fft.irfft(spectrum, samples), np.float64)
    wave /= wave.std()
    return wave


def filtered(wave: Wave, gain: Callable[[Wave], Wave]) -> Wave:
    """The wave with its spectrum multiplied by a gain over frequency in Hz."""
    filtered: Wave = np.fft.irfft(np.fft.rfft(wave) * gain(_frequencies(len(wave))), len(wave))
    return filtered


def low_pass(cutoff: float, order: int = 4) -> Callable[[Wave], Wave]:
    """A gain over frequency in Hz that falls beyond the cutoff."""
    return lambda f: 1 / (1 + (f / cutoff) ** order)


def band_pass(low: float, high: float, order: int = 6) -> Callable[[Wave], Wave]:
    """A gain over frequency in Hz that falls beyond both edges."""
    centre, width = (low + high) / 2, (high - low) / 2
    return lambda f: 1 / (1 + np.abs((f - centre) / width) ** order)


def wander(rng: np.random.Generator, points: int) -> Wave:
    """A smooth random curve in [-1, 1] over the whole sound."""
    knots = rng.uniform(-1, 1, points)
    x = np.arange(SAMPLES) * ((points - 1) / SAMPLES)
    i = x.astype(int)
    blend = (1 - np.cos(np.pi * (x - i))) / 2
    curve: Wave = knots[i] * (1 - blend) + knots[np.minimum(i + 1, points - 1)] * blend
    return curve


def placed(events: list[tuple[float, Wave]]) -> Wave:
    """Add up events (start in seconds, wave); what runs past the end is cut off."""
    out = np.zeros(SAMPLES)
    for start, wave in events:
        at = int(start * RATE)
        if at < SAMPLES:
            part = wave[: SAMPLES - at]
            out[at : at + len(part)] += part
    return fade(out, 0, 0.01)
