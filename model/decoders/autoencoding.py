"""What a pipeline's autoencoder keeps of a medium: the most that its decoder could show."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from heliograph.model.decoders.spectrogram import SpectrogramPipeline, log_mel, to_samples
from heliograph.model.errors import InputError
from heliograph.model.media import Clip, Film, Image, Sound


@torch.no_grad()
def rebuilt(pipeline: Any, originals: Sequence[Clip]) -> list[Clip]:
    """Clips of one modality through the pipeline's autoencoder and back.

    Raises:
        InputError: sounds of another pipeline than ``SpectrogramPipeline``.
    """
    vae = pipeline.vae

    def there_and_back(x: Tensor) -> Tensor:
        latents = vae.encode(x.to(vae.device, vae.dtype)).latent_dist.mode()
        back: Tensor = vae.decode(latents).sample
        return back.float().cpu()

    made: list[Clip] = []
    for clip in originals:
        match clip:
            case Image():
                made.append(Image(_bytes(there_and_back(pixels(clip.pixels[None])))[0]))
            case Film():
                made.append(Film(_bytes(there_and_back(pixels(clip.frames))), clip.fps))
            case Sound():
                if not isinstance(pipeline, SpectrogramPipeline):
                    raise InputError(
                        f"Nothing is known about the autoencoder of a {type(pipeline).__name__}; "
                        "leave the row autoencoder-sound out."
                    )
                mel = there_and_back(log_mel(torch.from_numpy(clip.samples)[None]))  # (1, 1, M, T)
                samples = to_samples(mel)[0].numpy()  # (S,)
                made.append(Sound(samples.clip(-1, 1).astype(np.float32), clip.rate))
    return made


def pixels(frames: np.ndarray[Any, np.dtype[np.uint8]]) -> Tensor:
    """(…, H, W, 3) bytes as an autoencoder takes them: (…, 3, H, W) in [-1, 1]."""
    return torch.from_numpy(np.array(frames)).movedim(-1, -3).float() / 127.5 - 1


def _bytes(values: Tensor) -> np.ndarray[Any, np.dtype[np.uint8]]:
    pixels = ((values + 1) * 127.5).round().clamp(0, 255).byte()
    return pixels.movedim(-3, -1).numpy()  # (T, H, W, 3)
