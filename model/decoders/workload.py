"""How much a diffusion pipeline works with for one clip, told from its sizes.

The autoencoder is called on the meta device with latents of the size that the pipeline makes by
default, or as its settings say. The denoiser's share is a formula, held against calls of published
sizes by the tests:

    rows x positions x width x 18     of a transformer, with the text's tokens among the positions
    rows x positions x channels x 36  of a U-Net, at its highest resolution

where rows are two under guidance, unless the pipeline calls its denoiser twice for it.

Not covered: text encoders, which are over before and work with less; several clips at a time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from heliograph.model.activations import alive
from heliograph.model.conditions import SEQUENCE
from heliograph.model.decoders.adapter import DiffusionDecoder

TRANSFORMER, UNET = 18, 36
ONE_ROW = ("FluxPipeline", "WanPipeline")


@dataclass(frozen=True)
class Workload:
    """Numbers alive at once."""

    denoiser: int
    autoencoder: int


def workload(decoder: DiffusionDecoder, name: str) -> Workload:
    """What one clip takes.

    Args:
        decoder: on the meta device.
        name: the pipeline's class, or that of one which uses these parts.
    """
    pipe, call = decoder.pipeline, decoder.settings.call
    if name not in LATENTS:  # somebody's own class: as much as its denoiser has weights
        denoiser = getattr(pipe, "unet", None) or pipe.transformer
        return Workload(sum(p.numel() for p in denoiser.parameters()), 0)
    latents, patch = LATENTS[name](pipe, call)
    rows = 2 if decoder.settings.guidance > 1 and name not in ONE_ROW else 1
    positions = math.prod(latents) // latents[1] // patch  # all axes but the channels
    if getattr(pipe, "unet", None) is not None:
        width, factor = pipe.unet.config.block_out_channels[0], UNET
    else:
        config = pipe.transformer.config
        width, factor = config.num_attention_heads * config.attention_head_dim, TRANSFORMER
        positions += decoder.condition_shapes[SEQUENCE][0]
    vae = pipe.vae
    z = torch.empty(latents, device="meta", dtype=next(vae.parameters()).dtype)
    return Workload(rows * positions * width * factor, alive(vae, lambda: vae.decode(z)))


Sizes = tuple[tuple[int, ...], int]
"""The shape of one clip's latents, and how many places of them are one position."""


def _pictures(pipe: Any, call: Mapping[str, Any], frames: int = 1) -> Sizes:
    """(frames, C, h, w)."""
    unet = getattr(pipe, "unet", None)
    config = (unet or pipe.transformer).config
    default = config.sample_size if unet is not None else pipe.default_sample_size
    height, width = (default, default) if isinstance(default, int) else default
    height, width = _side(pipe, call, "height", height), _side(pipe, call, "width", width)
    patch = 1 if unet is not None else 2  # Flux packs its latents by two, too
    return (frames, pipe.vae.config.latent_channels, height, width), patch**2


def _films(pipe: Any, call: Mapping[str, Any]) -> Sizes:
    """Of a picture model's autoencoder."""
    return _pictures(pipe, call, int(call.get("num_frames", 16)))


def _spectrogram(pipe: Any, call: Mapping[str, Any]) -> Sizes:
    from heliograph.model.decoders.spectrogram import FRAMES, MEL_BINS

    down = 2 ** (len(pipe.vae.config.block_out_channels) - 1)
    return (1, pipe.unet.config.in_channels, MEL_BINS // down, FRAMES // down), 1


def _mel(pipe: Any, call: Mapping[str, Any]) -> Sizes:
    """AudioLDM's, of as many seconds as are asked for."""
    vocoder = pipe.vocoder.config
    scale = 2 ** (len(pipe.vae.config.block_out_channels) - 1)
    frame = math.prod(vocoder.upsample_rates) / vocoder.sampling_rate  # seconds
    seconds = call.get("audio_length_in_s")
    length = math.ceil(seconds / frame / scale) if seconds else pipe.unet.config.sample_size
    return (1, pipe.unet.config.in_channels, length, vocoder.model_in_dim // scale), 1


def _waves(pipe: Any, call: Mapping[str, Any]) -> Sizes:
    return (1, pipe.transformer.config.in_channels, pipe.transformer.config.sample_size), 1


def _cogvideox(pipe: Any, call: Mapping[str, Any]) -> Sizes:
    config = pipe.transformer.config
    frames = int(call.get("num_frames", config.sample_frames))
    channels, down = pipe.vae.config.latent_channels, pipe.vae.config.temporal_compression_ratio
    height = _side(pipe, call, "height", config.sample_height)
    width = _side(pipe, call, "width", config.sample_width)
    return (1, channels, (frames - 1) // down + 1, height, width), config.patch_size**2


def _wan(pipe: Any, call: Mapping[str, Any]) -> Sizes:
    down, side = pipe.vae.config.scale_factor_temporal, pipe.vae.config.scale_factor_spatial
    frames = (int(call.get("num_frames", 81)) - 1) // down + 1
    height, width = int(call.get("height", 480)) // side, int(call.get("width", 832)) // side
    patch = math.prod((pipe.transformer or pipe.transformer_2).config.patch_size)
    return (1, pipe.vae.config.z_dim, frames, height, width), patch


def _ltx(pipe: Any, call: Mapping[str, Any]) -> Sizes:
    side, down = pipe.vae_spatial_compression_ratio, pipe.vae_temporal_compression_ratio
    frames = (int(call.get("num_frames", 161)) - 1) // down + 1
    height, width = int(call.get("height", 512)) // side, int(call.get("width", 704)) // side
    return (1, pipe.vae.config.latent_channels, frames, height, width), 1


def _side(pipe: Any, call: Mapping[str, Any], name: str, default: int) -> int:
    """Of latents: as the call says in pixels, or the default in latents."""
    scale = getattr(pipe, "vae_scale_factor_spatial", None) or pipe.vae_scale_factor
    return int(call[name]) // int(scale) if name in call else default


LATENTS: dict[str, Callable[[Any, Mapping[str, Any]], Sizes]] = {
    "StableDiffusionPipeline": _pictures,
    "StableDiffusionXLPipeline": _pictures,
    "StableDiffusion3Pipeline": _pictures,
    "FluxPipeline": _pictures,
    "SpectrogramPipeline": _spectrogram,
    "AudioLDMPipeline": _mel,
    "AudioLDM2Pipeline": _mel,
    "StableAudioPipeline": _waves,
    "AnimateDiffPipeline": _films,
    "TextToVideoSDPipeline": _films,
    "CogVideoXPipeline": _cogvideox,
    "WanPipeline": _wan,
    "LTXPipeline": _ltx,
}
