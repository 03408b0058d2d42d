import numpy as np
import pytest

from heliograph.model.primer.scenes import SoundOf, every_sound
from heliograph.model.primer.sounds import RATE, SECONDS, play

EVERY = pytest.mark.parametrize(
    "scene", every_sound(), ids=lambda s: "-".join(map(str, s.__dict__.values()))
)


def loudness(wave: np.ndarray) -> np.ndarray:
    """Root mean square of each 10 ms."""
    return np.sqrt((wave.reshape(-1, RATE // 100) ** 2).mean(1))


@EVERY
def test_a_sound_is_two_seconds_of_clean_float32(scene):
    wave = play(scene, 3)
    assert wave.shape == (int(RATE * SECONDS),)
    assert wave.dtype == np.float32
    assert 0.7 <= np.abs(wave).max() <= 0.9
    assert abs(wave.mean()) < 0.01
    assert abs(wave[0]) < 0.05 and abs(wave[-1]) < 0.05


@EVERY
def test_the_seed_decides_and_nothing_else(scene):
    assert np.array_equal(play(scene, 11), play(scene, 11))
    assert not np.array_equal(play(scene, 11), play(scene, 12))


@EVERY
def test_something_is_heard_early(scene):
    for seed in range(5):
        level = loudness(play(scene, seed))
        assert level[:30].max() > 0.04 * level.max()


@pytest.mark.parametrize("name", ["bell", "drum", "alarm", "phone", "bird", "horn"])
def test_counted_events_lie_apart(name):
    for seed in range(8):
        one, two, three = (loudness(play(SoundOf(name, count=n), seed)) for n in (1, 2, 3))
        # The second begins between 0.57 and 0.78 s, the third between 1.11 and 1.38 s.
        assert one[62:].max() < 0.25 * one.max()
        assert two[55:85].max() > 0.6 * two.max()
        assert two[122:].max() < 0.25 * two.max()
        assert three[109:145].max() > 0.6 * three.max()


def test_a_tune_rises_or_falls_over_five_notes():
    for direction, sign in (("rising", 1), ("falling", -1)):
        wave = play(SoundOf("tune", direction=direction), 5)
        notes = []
        for start in (0.1, 0.46, 0.82, 1.18, 1.54):
            part = wave[int(start * RATE) :][: RATE // 4]
            notes.append(np.abs(np.fft.rfft(part * np.hanning(len(part)), RATE)).argmax())
        assert all(sign * (b - a) > 0 for a, b in zip(notes, notes[1:], strict=False))
