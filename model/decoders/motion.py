"""Films from a picture decoder: AnimateDiff (Guo et al. 2023, arXiv 2307.04725)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from diffusers import AnimateDiffPipeline, MotionAdapter


def animated(pictures: Any, adapter: MotionAdapter, scheduler: Any) -> AnimateDiffPipeline:
    """A motion adapter over the parts of a ``StableDiffusionPipeline``, which stay shared."""
    from diffusers import AnimateDiffPipeline

    return AnimateDiffPipeline(
        vae=pictures.vae,
        text_encoder=pictures.text_encoder,
        tokenizer=pictures.tokenizer,
        unet=pictures.unet,
        motion_adapter=adapter,
        scheduler=scheduler,
    )
