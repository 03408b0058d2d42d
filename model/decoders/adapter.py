"""One face for every diffusion decoder: captions to conditions, conditions to clips.

``encode_condition`` is what decoding-side alignment aims at; ``decode`` takes either that
(the caption path) or what the output projection made of a signal (the signal path).
"""

from __future__ import annotations

import copy
import importlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from heliograph.model.checkpoint import check_folder, read_json, write_json
from heliograph.model.decoders.motion import animated
from heliograph.model.decoders.quiet import quiet
from heliograph.model.decoders.recipes import Recipe, recipe
from heliograph.model.errors import Cancelled, WeightsError
from heliograph.model.media import Clip
from heliograph.model.parts import Modality

SETTINGS_FILE = "decoder.json"


@dataclass(frozen=True)
class DecoderSettings:
    """How a decoder is called unless the caller says otherwise."""

    steps: int = 50
    """Denoising steps."""
    guidance: float = 7.5
    """Classifier-free guidance scale (Ho & Salimans 2022, arXiv 2207.12598); 1 is none."""
    call: dict[str, Any] = field(default_factory=dict)
    """Further arguments of the pipeline's call, such as ``height`` or ``num_frames``."""
    clip: dict[str, Any] = field(default_factory=dict)
    """Facts about the output that the pipeline doesn't know: ``fps``, ``rate``."""
    base: str | None = None
    """A decoder in the folder beside this one whose parts are shared, as an AnimateDiff motion
    adapter (Guo et al. 2023, arXiv 2307.04725) shares those of the picture model it moves."""


class DiffusionDecoder:
    """A diffusers pipeline that makes one modality. B rows, L tokens, D condition width."""

    def __init__(self, pipeline: Any, settings: DecoderSettings | None = None) -> None:
        """Wrap a pipeline.

        Raises ``WeightsError`` for a class without a recipe.
        """
        self.pipeline = pipeline
        self.settings = settings or DecoderSettings()
        self._recipe = recipe(type(pipeline).__name__)
        self._negative: Tensor | None = None
        pipeline.set_progress_bar_config(disable=True)

    @property
    def modality(self) -> Modality:
        """What it makes."""
        return self._recipe.modality

    @property
    def condition_shape(self) -> tuple[int, int]:
        """(L, D), read from the pipeline's own text encoder."""
        pipe = self.pipeline
        return (pipe.tokenizer.model_max_length, pipe.text_encoder.config.hidden_size)

    @torch.no_grad()
    def encode_condition(self, captions: Sequence[str]) -> Tensor:
        """The text encoder's last hidden states for captions: (B, L, D), on the CPU."""
        pipe = self.pipeline
        ids = pipe.tokenizer(
            list(captions),
            padding="max_length",
            truncation=True,
            max_length=self.condition_shape[0],
            return_tensors="pt",
        ).input_ids  # (B, L)
        hidden: Tensor = pipe.text_encoder(ids.to(pipe.text_encoder.device))[0]  # (B, L, D)
        return hidden.float().cpu()

    @torch.no_grad()
    def decode(
        self,
        condition: Tensor,
        *,
        seeds: Sequence[int],
        steps: int | None = None,
        guidance: float | None = None,
        progress: Callable[[int, int], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> list[Clip]:
        """Denoise one clip for each row.

        Args:
            condition: (B, L, D).
            seeds: one for each row; a row's clip depends on its own seed and condition only,
                up to the arithmetic of batches.
            steps: denoising steps, instead of the settings'.
            guidance: guidance scale, instead of the settings'.
            progress: called with (steps done, steps in all).
            cancelled: asked after each step.

        Raises:
            Cancelled: ``cancelled`` said so.
        """
        total = steps or self.settings.steps
        pipe = self.pipeline
        if self._negative is None:
            self._negative = self.encode_condition([""])  # (1, L, D)

        def after_step(pipe: Any, step: int, time: Any, tensors: dict[str, Any]) -> dict[str, Any]:
            if cancelled is not None and cancelled():
                raise Cancelled("The decoder was stopped.")
            if progress is not None:
                progress(step + 1, total)
            return tensors

        place = {"device": pipe.unet.device, "dtype": pipe.unet.dtype}
        output = pipe(
            prompt_embeds=condition.to(**place),
            negative_prompt_embeds=self._negative.expand(len(condition), -1, -1).to(**place),
            num_inference_steps=total,
            guidance_scale=self.settings.guidance if guidance is None else guidance,
            generator=[torch.Generator().manual_seed(seed) for seed in seeds],
            output_type=self._recipe.output_type,
            callback_on_step_end=after_step,
            **self.settings.call,
        )
        return self._recipe.clips(output, self.settings.clip)

    def with_settings(self, **changes: Any) -> DiffusionDecoder:
        """The same pipeline with other settings."""
        return DiffusionDecoder(self.pipeline, replace(self.settings, **changes))

    def save_pretrained(self, directory: Path, dtype: torch.dtype = torch.float16) -> None:
        """Write the pipeline in diffusers' own layout, and the settings beside it.

        With ``settings.base`` only what the base doesn't have is written.
        """
        directory.mkdir(parents=True, exist_ok=True)
        pipe = self.pipeline
        with quiet():
            if self.settings.base is None:
                parts = {name: _cast(part, dtype) for name, part in pipe.components.items()}
                type(pipe)(**parts).save_pretrained(directory)
            else:
                _cast(pipe.motion_adapter, dtype).save_pretrained(directory / "motion_adapter")
                pipe.scheduler.save_pretrained(directory / "scheduler")
        entry = {"class": type(self.pipeline).__name__, **asdict(self.settings)}
        write_json(directory / SETTINGS_FILE, entry)

    @classmethod
    def from_pretrained(
        cls, directory: Path | str, dtype: torch.dtype = torch.float32
    ) -> DiffusionDecoder:
        """Load a pipeline that diffusers or ``save_pretrained`` wrote.

        Raises:
            WeightsError: a file is missing or damaged, or the class has no recipe.
        """
        directory = Path(directory)
        settings = DecoderSettings()
        if (directory / SETTINGS_FILE).exists():
            entry = read_json(directory / SETTINGS_FILE)
            name = str(entry.pop("class", ""))
            try:
                settings = DecoderSettings(**entry)
            except TypeError as error:
                raise WeightsError(
                    f"{directory / SETTINGS_FILE} has an entry it shouldn't: {error}."
                ) from error
        else:
            name = str(read_json(directory / "model_index.json").get("_class_name"))
        known = recipe(name)
        if settings.base is None:
            return cls(_load(directory, name, known, dtype), settings)
        return cls(_load_over_base(directory, name, settings.base, dtype), settings)


def _cast(part: Any, dtype: torch.dtype) -> Any:
    return copy.deepcopy(part).to(dtype=dtype) if isinstance(part, nn.Module) else part


def _load(directory: Path, name: str, known: Recipe, dtype: torch.dtype) -> Any:
    index = read_json(directory / "model_index.json")
    for part in index:
        folder = directory / part
        if folder.is_dir() and any(folder.glob("*.safetensors*")):
            check_folder(folder, "config.json")
    with quiet(), _one_sentence(directory):
        pipeline = getattr(importlib.import_module(known.module), name)
        return pipeline.from_pretrained(
            directory,
            dtype=dtype,
            use_safetensors=True,
            local_files_only=True,
            **{part: None for part in known.absent if part in index},
        )


def _load_over_base(directory: Path, name: str, shared: str, dtype: torch.dtype) -> Any:
    if name != "AnimateDiffPipeline":
        raise WeightsError(f"{directory} names a base, which a {name} can't have.")
    base = DiffusionDecoder.from_pretrained(directory.parent / shared, dtype).pipeline
    check_folder(directory / "motion_adapter", "config.json")
    with quiet(), _one_sentence(directory):
        from diffusers import MotionAdapter

        adapter = MotionAdapter.from_pretrained(
            directory / "motion_adapter", dtype=dtype, use_safetensors=True
        )
        scheduler = type(base.scheduler).from_pretrained(directory / "scheduler")
        return animated(base, adapter, scheduler)


class _one_sentence:
    """Turns whatever a library raises over damaged weights into one ``WeightsError``."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError | ValueError | RuntimeError | KeyError | TypeError):
            raise WeightsError(
                f"The decoder in {self._directory} can't be loaded: its files are damaged or "
                f"don't fit each other ({str(error).splitlines()[0]})."
            ) from error
