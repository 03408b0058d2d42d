"""Mel-cepstral distortion (Kubichek 1993): how far the timbre of two sounds is apart, in dB.

Per pair of frames it is ``10 / ln 10 * sqrt(2 * sum((c_d - c'_d) ** 2))`` over the mel cepstra
``c_1 … c_13``; ``c_0``, the loudness, is left out. Sounds that are not in step are aligned by
dynamic time warping, and the distortion is the mean over the path.

Cepstra are the cosine transform of 40 log mel energies at 16 kHz (25 ms windows, 10 ms apart),
so that distortions over a vocoder's spectral envelope (WORLD, STRAIGHT) can't be compared.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from numpy.typing import NDArray

from heliograph.model.media import Sound, resampled

RATE, WINDOW, HOP = 16_000, 400, 160
BANDS, COEFFICIENTS = 40, 13
FLOOR = 1e-10
"""Power below which all is silence."""


def mel_cepstra(sound: Sound) -> NDArray[np.float64]:
    """c_1 … c_13 of each frame, (T, 13), of a sound at any rate.

    With ``ln P(n) = c_0 + 2 * sum(c_d * cos(pi * d * (n + 1/2) / N))`` over the N mel bands of
    the power spectrum P, as the distortion's constant asks.
    """
    from scipy.fft import dct

    samples = resampled(sound, RATE).samples.astype(np.float64)
    samples = np.pad(samples, (0, max(0, WINDOW - len(samples))))
    frames = np.lib.stride_tricks.sliding_window_view(samples, WINDOW)[::HOP]  # (T, window)
    spectrum = np.abs(np.fft.rfft(frames * np.hanning(WINDOW), n=512)) ** 2  # (T, 257)
    energies = np.log(np.maximum(spectrum @ _filters(), FLOOR))  # (T, bands)
    cepstra: NDArray[np.float64] = dct(energies, type=2, axis=-1) / (2 * BANDS)
    return cepstra[:, 1 : COEFFICIENTS + 1]


def distortion(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """The distortion between two sequences of cepstra, (T, D) and (T', D), aligned; in dB."""
    from scipy.spatial.distance import cdist

    costs = 10 / math.log(10) * math.sqrt(2) * cdist(a, b)  # (T, T')
    return float(np.mean([costs[i, j] for i, j in path(costs)]))


def mel_cepstral_distortion(made: Sound, real: Sound) -> float:
    """The mel-cepstral distortion between two sounds, in dB."""
    return distortion(mel_cepstra(made), mel_cepstra(real))


def path(costs: NDArray[np.float64]) -> list[tuple[int, int]]:
    """The cheapest way from the first pair of frames to the last, by steps of one in either
    sequence or both (Sakoe & Chiba 1978).

    Args:
        costs: of each pair, (T, T').
    """
    rows, columns = costs.shape
    total = np.full((rows + 1, columns + 1), np.inf)
    total[0, 0] = 0
    for k in range(rows + columns - 1):  # one diagonal at a time: its pairs don't need each other
        i = np.arange(max(0, k - columns + 1), min(k, rows - 1) + 1)
        j = k - i
        before = np.minimum(np.minimum(total[i, j], total[i, j + 1]), total[i + 1, j])
        total[i + 1, j + 1] = costs[i, j] + before
    way = [(rows - 1, columns - 1)]
    while way[-1] != (0, 0):
        i, j = way[-1]
        steps = [
            (total[i, j], i - 1, j - 1),
            (total[i, j + 1], i - 1, j),
            (total[i + 1, j], i, j - 1),
        ]
        _, i, j = min(steps, key=lambda step: step[0])
        way.append((i, j))
    return way[::-1]


@cache
def _filters() -> NDArray[np.float64]:
    """Mel triangles, (257, bands)."""
    from transformers.audio_utils import mel_filter_bank

    filters: NDArray[np.float64] = mel_filter_bank(
        num_frequency_bins=257,
        num_mel_filters=BANDS,
        min_frequency=0.0,
        max_frequency=RATE / 2,
        sampling_rate=RATE,
        norm="slaney",
        mel_scale="slaney",
    )
    return filters
