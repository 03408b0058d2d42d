"""A decoder for captions alone: its text encoders are loaded, and nothing that decodes.

Of what decodes a recipe reads the sizes only, to tell the shapes of a condition. They come from
the outline, so a decoder of any size takes no more than its text encoders.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from heliograph.model.decoders.adapter import DENOISERS, DiffusionDecoder
from heliograph.model.decoders.files import load, read_settings
from heliograph.model.decoders.outline import outline
from heliograph.model.machine import check_room

DECODING = (*DENOISERS, "vae", "vocoder", "motion_adapter")
"""Networks of a pipeline that a caption's condition doesn't depend on."""


@dataclass(frozen=True)
class _Outlined:
    """In place of a network: its sizes. As no module it counts neither for where the pipeline is
    nor among what is moved."""

    config: Any
    dtype: torch.dtype


def caption_encoder(directory: Path, dtype: torch.dtype = torch.float32) -> DiffusionDecoder:
    """A decoder that can ``encode_condition``, as the whole one does, and not ``decode``.

    One that has a base has the text encoders of its base.

    Raises:
        TooLittleMemory: there is too little for the text encoders.
        WeightsError: as ``outline_decoder`` does.
    """
    _, settings = read_settings(directory)
    if settings.base is not None:
        return caption_encoder(directory.parent / settings.base, dtype)
    parts = outline(directory).pipeline.components
    given = {n: parts[n] for n in DECODING if isinstance(parts.get(n), nn.Module)}
    numbers = sum(
        parameter.numel()
        for name, part in parts.items()
        if isinstance(part, nn.Module) and name not in given
        for parameter in part.parameters()
    )
    check_room(f"The text encoder of the decoder in {directory}", numbers * dtype.itemsize)
    pipeline, settings = load(directory, dtype, given)
    for name, network in given.items():
        setattr(pipeline, name, _Outlined(network.config, dtype))
    return DiffusionDecoder(pipeline, settings)
