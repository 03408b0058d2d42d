"""Makes ``sounds.npz``, the centres that the referee of sounds compares with.

``python -m heliograph.model.primer.referees.train_sounds`` plays every sound many times,
disturbs the renders (noise, shifts, loudness, and for half of them a blurred and noisy mel
spectrogram turned back into samples), and writes the mean, the whitening, the centres and the
reach of their features. It prints how many fresh renders are read rightly. About five minutes.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from heliograph.model.primer.referees.sounds import (
    FFT,
    HOP,
    Classifier,
    Floats,
    features,
    mel_filters,
    read_sound,
)
from heliograph.model.primer.scenes import SoundOf, caption, every_sound
from heliograph.model.primer.sounds import RATE, SAMPLES, play

RENDERS = 120
"""Of each scene, half of them rebuilt from a spectrogram."""
SHRINKAGE = 0.02
"""How far the covariance within classes is pulled to its diagonal."""


def disturbed(wave: Floats, rng: np.random.Generator) -> Floats:
    """The sound shifted by up to 0.05 s, at another loudness, over faint noise."""
    shift = int(rng.integers(-800, 801))
    moved = np.zeros_like(wave)
    if shift >= 0:
        moved[shift:] = wave[: SAMPLES - shift]
    else:
        moved[:shift] = wave[-shift:]
    noise = rng.normal(0, rng.uniform(0, 0.012), SAMPLES)
    return ((moved + noise) * rng.uniform(0.2, 1.2)).astype(np.float32)


def rebuilt(waves: Tensor, generator: torch.Generator, iterations: int = 24) -> Tensor:
    """Samples (B, S) again from their mel spectrogram (64 bins, hop 256).

    The logarithms are made noisy, as a generated spectrogram is; phases are found by the
    fast Griffin-Lim algorithm (Perraudin et al. 2013, section 2).
    """
    window = torch.hann_window(FFT)
    filters = torch.from_numpy(mel_filters())  # (513, 64)
    spectrum = torch.stft(waves, FFT, HOP, window=window, return_complex=True)  # (B, 513, T)
    mel = torch.einsum("bft,fm->bmt", spectrum.abs() ** 2, filters)  # (B, 64, T)
    blur = 0.15 * torch.rand((), generator=generator)
    logs = (mel + 1e-5).log()
    logs = (1 - 2 * blur) * logs + blur * (logs.roll(1, -1) + logs.roll(-1, -1))
    logs = logs + 0.3 * torch.rand((), generator=generator) * torch.randn(
        logs.shape, generator=generator
    )
    power = torch.einsum("mf,bmt->bft", torch.linalg.pinv(filters), logs.exp()).clamp(min=0)
    size = power.sqrt()
    turn = torch.rand(size.shape, generator=generator) * 2 * torch.pi
    phase, last = torch.polar(torch.ones_like(size), turn), torch.zeros((), dtype=torch.cfloat)
    for _ in range(iterations):
        wave = torch.istft(size * phase, FFT, HOP, window=window, length=waves.shape[-1])
        now = torch.stft(wave, FFT, HOP, window=window, return_complex=True)
        phase = now + 0.99 * (now - last)
        phase = phase / phase.abs().clamp(min=1e-9)
        last = now
    wave = torch.istft(size * phase, FFT, HOP, window=window, length=waves.shape[-1])
    return wave / wave.abs().amax(-1, keepdim=True).clamp(min=1)


def renders(scene: SoundOf, seeds: range, *, rebuild: bool) -> list[Floats]:
    """Disturbed renders of the scene, one for each seed."""
    rng = np.random.default_rng([seeds.start, int(rebuild)])
    waves = [disturbed(play(scene, seed), rng) for seed in seeds]
    if not rebuild:
        return waves
    generator = torch.Generator().manual_seed(seeds.start)
    parts = torch.from_numpy(np.stack(waves)).split(8)  # noise and blur differ from part to part
    return list(torch.cat([rebuilt(part, generator) for part in parts]).numpy())


def fit(x: Floats, labels: npt.NDArray[np.int64]) -> Classifier:
    """Centres and whitening of features (N, F), whose scenes are ``labels`` (N,)."""
    mean = x.mean(0)
    centres = np.stack([x[labels == k].mean(0) for k in range(labels.max() + 1)])
    within = np.cov((x - centres[labels]).T)
    within = (1 - SHRINKAGE) * within + SHRINKAGE * np.diag(np.diag(within) + 1e-4)
    values, vectors = np.linalg.eigh(within)
    whiten = (vectors / np.sqrt(values)).astype(np.float32)
    whitened = ((centres - mean) @ whiten).astype(np.float32)
    distances = Classifier(mean, whiten, whitened, np.empty(0, np.float32)).distances(x)
    own = distances[np.arange(len(x)), labels]  # (N,)
    reach = [np.quantile(own[labels == k], 0.99) for k in range(len(centres))]
    return Classifier(mean, whiten, whitened, np.array(reach, np.float32))


def main() -> None:
    """Fit, write, and read fresh renders."""
    x, labels = [], []
    for k, scene in enumerate(every_sound()):
        for rebuild in (False, True):
            waves = renders(scene, range(1000, 1000 + RENDERS // 2), rebuild=rebuild)
            x += [features(wave) for wave in waves]
            labels += [k] * len(waves)
    fitted = fit(np.stack(x), np.array(labels))
    np.savez_compressed(
        Path(__file__).with_name("sounds.npz"),
        mean=fitted.mean,
        whiten=fitted.whiten,
        centres=fitted.centres,
        reach=fitted.reach,
    )
    for rebuild in (False, True):
        wrong: Counter[tuple[str, str]] = Counter()
        for scene in every_sound():
            for wave in renders(scene, range(5000, 5016), rebuild=rebuild):
                heard = read_sound(wave, RATE)
                if heard != scene:
                    wrong[caption(scene), caption(heard) if heard else "nothing"] += 1
        share = 1 - wrong.total() / (16 * len(every_sound()))
        print(f"{'rebuilt' if rebuild else 'disturbed'}: {share:.3f} right", dict(wrong))


if __name__ == "__main__":
    main()
