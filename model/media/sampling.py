"""The same sound at another rate, the same film with another number of frames."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from heliograph.model.media.values import Film, Sound


def resampled(sound: Sound, rate: int) -> Sound:
    """``sound`` at ``rate`` samples per second: (S,) -> (ceil(S * rate / sound.rate),).

    Odd rates are approximated by a ratio of small numbers (an error of less than a millionth of
    a tone), because the filter is as long as the larger of the two.
    """
    from scipy.signal import resample_poly  # half a second to import

    if rate == sound.rate:
        return sound
    ratio = Fraction(rate, sound.rate).limit_denominator(1000)
    samples = resample_poly(sound.samples, ratio.numerator, ratio.denominator)
    return Sound(np.clip(samples, -1.0, 1.0).astype(np.float32), rate)


def sampled(film: Film, count: int) -> Film:
    """``count`` frames spread evenly over ``film``, with the frame rate that keeps its length.

    Each is the middle one of its share; a film of fewer frames has some of them repeated.
    (T, H, W, 3) -> (count, H, W, 3).
    """
    total = len(film.frames)
    chosen = (np.arange(count) * 2 + 1) * total // (2 * count)
    return Film(film.frames[chosen], count / film.seconds)
