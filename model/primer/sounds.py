"""The 20 sounds of the primer world, synthesised from scratch.

``play`` turns a ``SoundOf`` into two seconds of mono at 16 kHz. Chance (the seed) picks
pitch, onset and timing within the ranges of the vocabulary; what the scene fixes, how
often a thing is heard or where a tune goes, never depends on it. Events that are counted
start within the first 0.2 s and lie at least 0.5 s apart, with near silence in between
(a bell's is still fading), so that one, two and three can be told apart by ear.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from heliograph.model.primer import synthesis as syn
from heliograph.model.primer.scenes import SoundOf
from heliograph.model.primer.synthesis import RATE, SAMPLES, SECONDS
from heliograph.model.primer.vocabulary import load

__all__ = ["RATE", "SAMPLES", "SECONDS", "play"]

_MAJOR = (0, 2, 4, 5, 7)  # semitones of the first five notes of a major scale


def play(scene: SoundOf, seed: int) -> npt.NDArray[np.float32]:
    """Synthesise the sound.

    Args:
        scene: What is heard; ``count`` or ``direction`` must be set where the sound has one.
        seed: Non-negative; the same seed gives the same samples.

    Returns:
        (32000,) float32 at 16 kHz, its peak between 0.75 and 0.85.
    """
    names = [s.name for s in load().sounds]
    rng = np.random.default_rng([seed, names.index(scene.sound)])
    wave = _PLAYERS[scene.sound](scene, rng)
    wave *= rng.uniform(0.75, 0.85) / np.abs(wave).max()
    return wave.astype(np.float32)


def noisy(
    samples: npt.NDArray[np.float32], decibels: float, rng: np.random.Generator
) -> npt.NDArray[np.float32]:
    """Samples (S,) with white noise, whose power lies ``decibels`` below their mean power."""
    power = float(np.square(samples).mean()) / 10 ** (decibels / 10)
    noise = rng.normal(0, power**0.5, samples.shape).astype(np.float32)
    return (samples + noise).clip(-1, 1)


def _repeated(scene: SoundOf, rng: np.random.Generator, event: syn.Wave) -> syn.Wave:
    """The event as often as the scene counts, evenly spaced, each a little louder or softer."""
    assert scene.count is not None
    start, step = rng.uniform(0.03, 0.18), rng.uniform(0.54, 0.6)
    return syn.placed(
        [(start + i * step, event * rng.uniform(0.88, 1.0)) for i in range(scene.count)]
    )


# Sounds that are counted


def _bell(scene: SoundOf, rng: np.random.Generator) -> syn.Wave:
    t = syn.times(1.3)
    base, decay = rng.uniform(600, 900), rng.uniform(0.6, 1.2)
    wave = np.zeros_like(t)
    partials = ((1, 1.0), (2.0, 0.7), (2.4, 0.5), (3.0, 0.35), (4.5, 0.25))
    for ratio, weight in partials:
        # Higher partials die sooner; "decay" is the time to fall by 52 dB.
        wave += weight * np.exp(-6 * t / decay * ratio**0.4) * np.sin(2 * np.pi * base * ratio * t)
    return _repeated(scene, rng, syn.fade(wave, 0.002, 0.05))


def _drum(scene: SoundOf, rng: np.random.Generator) -> syn.Wave:
    t = syn.times(0.3)
    low, high = rng.uniform(60, 80), rng.uniform(100, 120)
    wave = np.sin(syn.sweep(low + (high - low) * np.exp(-t / 0.06))) * np.exp(-t / 0.07)
    # The stick: without it a drum is a heartbeat.
    stick = syn.noise(rng, syn.low_pass(1500), len(t)) * np.exp(-t / 0.008)
    return _repeated(scene, rng, syn.fade(wave + 0.35 * stick, 0.001, 0.05))


def _alarm(scene: SoundOf, rng: np.random.Generator) -> syn.Wave:
    t = syn.times(rng.uniform(0.15, 0.25))
    beep = syn.tone(2 * np.pi * rng.uniform(1000, 2000) * t, (1, 0, 1 / 3))
    return _repeated(scene, rng, syn.fade(beep, 0.005, 0.005))


def _phone(scene: SoundOf, rng: np.random.Generator) -> syn.Wave:
    t = syn.times(0.4)
    shift = rng.uniform(0.97, 1.03)
    ring = syn.tone(2 * np.pi * 440 * shift * t, (1, 0.3)) + syn.tone(
        2 * np.pi * 480 * shift * t, (1, 0.3)
    )
    tremolo = 0.5 - 0.5 * np.cos(2 * np.pi * rng.uniform(19, 21) * t)
    return _repeated(scene, rng, syn.fade(ring * tremolo, 0.005, 0.01))


def _bird(scene: SoundOf, rng: np.random.Generator) -> syn.Wave:
    t = syn.times(rng.uniform(0.12, 0.15))
    low, high = rng.uniform(2000, 2700), rng.uniform(4000, 5000)
    if rng.random() < 0.5:
        low, high = high, low
    chirp = np.sin(syn.sweep(low + (high - low) * t / t[-1]))
    return _repeated(scene, rng, syn.fade(chirp, 0.02, 0.03))


def _horn(scene: SoundOf, rng: np.random.Generator) -> syn.Wave:
    # Spaced like all counted events, a blast of 0.42 s still leaves a clear gap.
    t = syn.times(rng.uniform(0.3, 0.42))
    shift = rng.uniform(0.94, 1.06)
    weights = (1, 0.9, 0.8, 0.6, 0.5, 0.35, 0.25)
    blast = syn.tone(2 * np.pi * 400 * shift * t, weights) + syn.tone(
        2 * np.pi * 500 * shift * t, weights
    )
    return _repeated(scene, rng, syn.fade(blast, 0.015, 0.02))


# Sounds that go on


def _clock(scene: SoundOf, rng: np.random.Generator) -> syn.Wave:
    t = syn.times(0.03)
    pitch = rng.uniform(2000, 3000)
    step = 1 / rng.uniform(2.5, 4)
    click = syn.noise(rng, syn.band_pass(1000, 7000), len(t)) * np.exp(-t / 0.003)
    tick, tock = (
        click + np.sin(2 * np.pi * p * t) * np.exp(-t / 0.006) for p in (pitch, pitch * 0.8)
    )
    start = rng.uniform(0.02, 0.15)
    return syn.placed(
        [(start + i * step, (tick, tock)[i % 2]) for i in range(int((SECONDS - start) / step) + 1)]
    )


def _siren(scene: SoundOf, rng: np.random.Generator) -> syn.Wave:
    t = syn.times(SECONDS)
    low, high = rng.uniform(500, 560), rng.uniform(900, 1000)
    turns = t / rng.uniform(0.8, 1.3) + rng.random()
    swing = 0.5 - 0.5 * np.cos(2 * np.pi * turns)
    return syn.fade(syn.tone(syn.sweep(low + (high - low) * swing), (1, 0.4, 0.2)), 0.03, 0.03)


def _engine(scene: SoundOf, rng: np.random.Generator) -> syn.Wave:
    t = syn.times(SECONDS)
    turns = np.cumsum(rng.uniform(60, 120) * (1 + 0.02 * syn.wander(rng, 6))) / RATE
    saw = syn.filtered(2 * (turns % 1) - 1, syn.low_pass(1500))
    beat = 1 - 0.3 * (1 + np.sin(2 * np.pi * (rng.uniform(3, 6) * t + rng.random())))
    return syn.fade(saw * beat, 0.03, 0.03)


def _train(scene: SoundOf, rng: np.random.Generator) -> syn.Wave:
    seconds = rng.uniform(1.5, 1.75)
    t = syn.times(seconds)
    base = rng.uniform(300, 370)
    chord = np.zeros_like(t)
    for ratio in (1, 1.26, 1.59):
        chord += syn.tone(2 * np.pi * base * ratio * t, (1, 0.3))
    breath = syn.noise(rng, syn.band_pass(300, 3000))[: len(t)]
    return syn.placed([(rng.uniform(0.03, 0.15), syn.fade(chord + 0.25 * breath, 0.12, 0.15))])


def _rain(scene: SoundOf, rng: np.random.Generator) -> syn.Wave:
    wave = syn.noise(rng, lambda f: np.minimum(f / 800, 1))
    t = syn.times(0.02)
    drops = [
        (
            rng.uniform(0, SECONDS),
            rng.uniform(1, 3)
            * np.sin(2 * np.pi * rng.uniform(1500, 5000) * t)
            * np.exp(-t / 0.004),
        )
        for _ in range(int(rng.integers(25, 40)))
    ]
    return syn.fade(wave + syn.placed(drops), 0.03, 0.03)


def _thunder(scene: SoundOf, rng: np.random.Generator) -> syn.Wave:
    t = syn.times(SECONDS)
    start = rng.uniform(0.03, 0.18)
    since = np.maximum(t - start, 0)
    envelope = np.minimum(since / 0.03, 1) * np.exp(-4.5 * since / rng.uniform(1.2, 1.9))
    rumble = 1 + 0.35 * syn.wander(rng, 14)
    return syn.fade(syn.noise(rng, syn.low_pass(160, 6)) * envelope * rumble, 0, 0.03)


def _wind(scene: SoundOf, rng: np.random.Generator) -> syn.Wave:
    # A narrow band of complex noise around 0 Hz, carried up to a wandering centre.
    narrow = syn.low_pass(90, 4)
    phase = syn.sweep(rng.uniform(520, 700) + 230 * syn.wander(rng, 5))
    wave = syn.noise(rng, narrow) * np.cos(phase) - syn.noise(rng, narrow) * np.sin(phase)
    return syn.fade(wave * (1 + 0.3 * syn.wander(rng, 5)), 0.05, 0.05)


def _waves(scene: SoundOf, rng: np.random.Generator) -> syn.Wave:
    t = syn.times(SECONDS)
    swell = 0.5 - 0.5 * np.cos(2 * np.pi * (t / rng.uniform(1.0, 1.7) + rng.random()))
    wave = syn.noise(rng, lambda f: 1 / np.maximum(f, 150) ** 0.5) * (0.06 + swell**2)
    return syn.fade(wave, 0.03, 0.03)


def _fire(scene: SoundOf, rng: np.random.Generator) -> syn.Wave:
    faint = syn.noise(rng, syn.low_pass(1200)) * 0.06
    t = syn.times(0.02)
    crackles = [
        (
            rng.uniform(0.02, SECONDS - 0.02),
            rng.uniform(0.3, 1)
            * syn.noise(rng, syn.band_pass(1000, 7500), len(t))
            * np.exp(-t / rng.uniform(0.001, 0.004)),
        )
        for _ in range(int(rng.integers(16, 28)))
    ]
    return syn.fade(faint + syn.placed(crackles), 0.02, 0.02)


def _heartbeat(scene: SoundOf, rng: np.random.Generator) -> syn.Wave:
    t = syn.times(0.16)
    pitch, period = rng.uniform(45, 65), 60 / rng.uniform(60, 90)
    shape = np.sin(np.pi * t / t[-1]) ** 2
    first = shape * np.sin(2 * np.pi * pitch * t)
    second = 0.75 * shape * np.sin(2 * np.pi * pitch * 1.2 * t)
    start, gap = rng.uniform(0.02, 0.15), rng.uniform(0.2, 0.26)
    beats = [start + i * period for i in range(3)]
    return syn.placed([(b, first) for b in beats] + [(b + gap, second) for b in beats])


def _applause(scene: SoundOf, rng: np.random.Generator) -> syn.Wave:
    # A handful of different claps, thrown in many times, is cheaper than as many claps.
    t = syn.times(0.03)
    claps = [
        syn.noise(rng, syn.band_pass(1000, rng.uniform(2200, 3000)), len(t))
        * np.exp(-t / rng.uniform(0.004, 0.008))
        for _ in range(12)
    ]
    times = rng.uniform(0, SECONDS - 0.03, int(rng.integers(110, 160)))
    wave = syn.placed(
        [(float(s), claps[i % 12] * rng.uniform(0.4, 1)) for i, s in enumerate(times)]
    )
    return syn.fade(wave, 0.03, 0.03)


def _cricket(scene: SoundOf, rng: np.random.Generator) -> syn.Wave:
    pitch, rate = rng.uniform(4100, 4900), rng.uniform(20, 28)
    t = syn.times(int(rng.integers(6, 9)) / rate)
    group = np.sin(2 * np.pi * pitch * t) * (0.5 - 0.5 * np.cos(2 * np.pi * rate * t))
    start, step = rng.uniform(0.02, 0.12), len(t) / RATE + rng.uniform(0.15, 0.22)
    return syn.placed([(start + i * step, group) for i in range(int(SECONDS / step) + 1)])


def _bee(scene: SoundOf, rng: np.random.Generator) -> syn.Wave:
    turns = np.cumsum(rng.uniform(195, 240) * (1 + 0.08 * syn.wander(rng, 9))) / RATE
    buzz = syn.filtered(2 * (turns % 1) - 1, syn.low_pass(2500))
    return syn.fade(buzz * (1 + 0.2 * syn.wander(rng, 9)), 0.05, 0.05)


def _tune(scene: SoundOf, rng: np.random.Generator) -> syn.Wave:
    steps = _MAJOR if scene.direction == "rising" else _MAJOR[::-1]
    tonic = 261.6 * 2 ** rng.uniform(0, 9 / 12)
    t = syn.times(0.6)
    start, step = rng.uniform(0.03, 0.1), rng.uniform(0.34, 0.37)
    notes = []
    for i, semitones in enumerate(steps):
        phase = 2 * np.pi * tonic * 2 ** (semitones / 12) * t
        note = syn.tone(phase, (1, 0.5, 0.25, 0.12, 0.06)) * np.exp(-t / 0.16)
        notes.append((start + i * step, syn.fade(note, 0.004, 0.1)))
    return syn.placed(notes)


_PLAYERS: dict[str, Callable[[SoundOf, np.random.Generator], syn.Wave]] = {
    "bell": _bell,
    "drum": _drum,
    "alarm": _alarm,
    "phone": _phone,
    "bird": _bird,
    "horn": _horn,
    "clock": _clock,
    "siren": _siren,
    "engine": _engine,
    "train": _train,
    "rain": _rain,
    "thunder": _thunder,
    "wind": _wind,
    "waves": _waves,
    "fire": _fire,
    "heartbeat": _heartbeat,
    "applause": _applause,
    "cricket": _cricket,
    "bee": _bee,
    "tune": _tune,
}
