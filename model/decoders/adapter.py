"""One face for every diffusion decoder: captions to conditions, conditions to clips.

``encode_condition`` is what decoding-side alignment aims at; ``decode`` takes either that
(the caption path) or what the output projection made of a signal (the signal path).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from heliograph.model.conditions import SEQUENCE, Condition, Shapes, in_words
from heliograph.model.decoders.files import DecoderSettings, load, save
from heliograph.model.decoders.recipes import recipe
from heliograph.model.errors import Cancelled, WeightsError
from heliograph.model.media import Clip
from heliograph.model.parts import Modality
from heliograph.model.quiet import quiet

DENOISERS = ("unet", "transformer", "transformer_2")
"""What pipelines call the network that denoises."""
RATES: dict[Modality, str] = {"image": "", "video": "fps", "audio": "rate"}
"""What the rate of each modality's clips is called among the settings."""


class DiffusionDecoder:
    """A diffusers pipeline that makes one modality. B rows."""

    def __init__(self, pipeline: Any, settings: DecoderSettings | None = None) -> None:
        """Wrap a pipeline.

        Raises ``WeightsError`` for a class without a recipe.
        """
        self.pipeline = pipeline
        self.settings = settings or DecoderSettings()
        self._recipe = recipe(type(pipeline).__name__)
        self._negative: Condition | None = None
        pipeline.set_progress_bar_config(disable=True)

    @property
    def modality(self) -> Modality:
        """What it makes."""
        return self._recipe.modality

    @property
    def condition_shapes(self) -> Shapes:
        """(tokens, width) of each tensor of a condition, as the pipeline's sizes say."""
        return self._recipe.shapes(self.pipeline, self._length)

    @torch.no_grad()
    def encode_condition(self, captions: Sequence[str]) -> Condition:
        """What the pipeline's own text encoders make of captions, on the CPU.

        Raises:
            WeightsError: the pipeline was saved without a text encoder.
        """
        shapes = self.condition_shapes
        if self.pipeline.components.get("text_encoder") is None:
            raise WeightsError(
                f"This {type(self.pipeline).__name__} has no text encoder, so it can't be given "
                "captions; save it with one."
            )
        with quiet("diffusers"):
            encoded = self._recipe.encode(self.pipeline, list(captions), self._length)
        tensors = {
            name: tensor.float().cpu().reshape(len(captions), *shape)
            for (name, shape), tensor in zip(shapes.items(), encoded, strict=True)
        }
        for mask in filter(_is_mask, tensors):  # what nobody reads there shouldn't be aimed at
            tensors[SEQUENCE] = tensors[SEQUENCE] * tensors[mask]  # (B, L, D) * (B, L, 1)
        return Condition(tensors)

    @torch.no_grad()
    def decode(
        self,
        condition: Condition,
        *,
        seeds: Sequence[int],
        steps: int | None = None,
        guidance: float | None = None,
        progress: Callable[[int, int], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> list[Clip]:
        """Denoise one clip for each row.

        Args:
            condition: of B rows.
            seeds: one for each row; a row's clip depends on its own seed and condition only,
                up to the arithmetic of batches.
            steps: denoising steps, instead of the settings'.
            guidance: guidance scale, instead of the settings'.
            progress: called with (steps done, steps in all).
            cancelled: asked after each step.

        Raises:
            Cancelled: ``cancelled`` said so.
            WeightsError: the condition is made for a decoder of other sizes.
        """
        total = steps or self.settings.steps
        pipe, call = self.pipeline, dict(self.settings.call)
        if condition.shapes != dict(self.condition_shapes):
            raise WeightsError(
                f"A condition of {in_words(condition.shapes)} doesn't fit this "
                f"{type(pipe).__name__}, which takes {in_words(self.condition_shapes)}."
            )

        def after_step(step: int) -> None:
            if cancelled is not None and cancelled():
                raise Cancelled("The decoder was stopped.")
            if progress is not None:  # some schedulers take a step more than they are asked for
                progress(min(step + 1, total), total)

        def on_step_end(pipe: Any, step: int, time: Any, tensors: dict[str, Any]) -> dict[str, Any]:
            after_step(step)
            return tensors

        tell: dict[str, Callable[..., Any]] = {
            "callback_on_step_end": on_step_end,
            "callback": lambda step, time, latents: after_step(step),
        }
        if self._recipe.length is not None:
            call["max_sequence_length"] = self._length
        if self._recipe.negatives:
            if self._negative is None:
                self._negative = self.encode_condition([""])
            call |= self._arguments(Condition.stack([self._negative] * len(condition)), "negative_")
        output = pipe(
            **self._arguments(condition),
            num_inference_steps=total,
            guidance_scale=self.settings.guidance if guidance is None else guidance,
            generator=[torch.Generator().manual_seed(seed) for seed in seeds],
            output_type=self._recipe.output_type,
            **{self._recipe.callback: tell[self._recipe.callback]},
            **call,
        )
        own = self._recipe.rate(pipe, call)
        return self._recipe.clips(output, self.settings.clip.get(RATES[self.modality], own))

    def compile(self, **options: Any) -> None:
        """Let ``torch.compile`` have what denoises, which it translates at its next use.

        That takes minutes, and again for each number of clips that are made at once; afterwards a
        GPU is faster. The results are the same up to rounding.

        Args:
            options: of ``torch.compile``.
        """
        for denoiser in self._denoisers():
            denoiser.compile(**options)

    def with_settings(self, **changes: Any) -> DiffusionDecoder:
        """The same pipeline with other settings."""
        return DiffusionDecoder(self.pipeline, replace(self.settings, **changes))

    def save_pretrained(self, directory: Path, dtype: torch.dtype = torch.float16) -> None:
        """Write the pipeline in diffusers' own layout, and the settings beside it.

        With ``settings.base`` only what the base doesn't have is written. Weights in float32
        are stored as ``dtype``, others as they are.
        """
        save(directory, self.pipeline, self.settings, dtype)

    @classmethod
    def from_pretrained(
        cls, directory: Path | str, dtype: torch.dtype = torch.float32
    ) -> DiffusionDecoder:
        """Load a pipeline that diffusers or ``save_pretrained`` wrote, computing in ``dtype``.

        Raises:
            WeightsError: a file is missing or damaged, or the class has no recipe.
        """
        return cls(*load(Path(directory), dtype))

    @property
    def _length(self) -> int:
        """The tokens of T5's sequence where the pipeline lets one choose, 0 elsewhere."""
        return int(self.settings.call.get("max_sequence_length", self._recipe.length or 0))

    def _denoisers(self) -> list[Any]:
        found = (getattr(self.pipeline, name, None) for name in DENOISERS)
        return [denoiser for denoiser in found if denoiser is not None]

    def _arguments(self, condition: Condition, prefix: str = "") -> dict[str, Tensor]:
        """A condition as arguments of the pipeline's call."""
        pipe, dtype = self.pipeline, self._denoisers()[0].dtype
        arguments = {}
        for name, tensor in condition.tensors.items():
            tensor = tensor.to(pipe._execution_device, dtype)  # (B, tokens, width)
            if _is_mask(name):
                tensor = (tensor[..., 0] > 0.5).long()  # (B, tokens)
            elif name in self._recipe.vectors:
                tensor = tensor[:, 0]  # (B, width)
            arguments[prefix + name] = tensor
        return arguments


def _is_mask(name: str) -> bool:
    return name.endswith("mask")
