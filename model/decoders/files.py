"""The directory of a decoder: a pipeline as diffusers saves it, and ``decoder.json`` beside it."""

from __future__ import annotations

import copy
import importlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from heliograph.model.checkpoint import LOCAL, check_folder, read_json, write_json
from heliograph.model.decoders.motion import animated
from heliograph.model.decoders.recipe import Recipe
from heliograph.model.decoders.recipes import recipe
from heliograph.model.errors import WeightsError, in_one_line
from heliograph.model.quiet import quiet
from heliograph.model.sources import base_of

SETTINGS_FILE = "decoder.json"


@dataclass(frozen=True)
class DecoderSettings:
    """How a decoder is called unless the caller says otherwise."""

    steps: int = 50
    """Denoising steps."""
    guidance: float = 7.5
    """Classifier-free guidance scale (Ho & Salimans 2022, arXiv 2207.12598); 1 is none."""
    call: dict[str, Any] = field(default_factory=dict)
    """Further arguments of the pipeline's call, such as ``height`` or ``num_frames``; where it
    takes ``max_sequence_length``, that is how long captions may be, in the condition too."""
    clip: dict[str, Any] = field(default_factory=dict)
    """Facts about the output that the pipeline doesn't know: ``fps`` of a film, ``rate`` of a
    sound; else they are those of the class's released checkpoints."""
    base: str | None = None
    """A decoder in the folder beside this one whose parts are shared, as an AnimateDiff motion
    adapter (Guo et al. 2023, arXiv 2307.04725) shares those of the picture model it moves."""


def save(directory: Path, pipe: Any, settings: DecoderSettings, dtype: torch.dtype) -> None:
    """Write a pipeline in diffusers' own layout, and the settings beside it.

    Args:
        directory: made where it is missing.
        pipe: the pipeline; with ``settings.base`` only what the base doesn't have is written.
        settings: how it is called.
        dtype: what float32 weights are stored as; others are stored as they are.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with quiet("diffusers"):
        if settings.base is None:
            stored = copy.copy(pipe)
            for name, part in pipe.components.items():
                setattr(stored, name, _cast(part, dtype))
            stored.save_pretrained(directory)
        else:
            _cast(pipe.motion_adapter, dtype).save_pretrained(directory / "motion_adapter")
            pipe.scheduler.save_pretrained(directory / "scheduler")
    write_json(directory / SETTINGS_FILE, {"class": type(pipe).__name__, **asdict(settings)})


def load(
    directory: Path, dtype: torch.dtype, given: Mapping[str, Any] | None = None
) -> tuple[Any, DecoderSettings]:
    """The pipeline and the settings in a directory that ``save``, or diffusers itself, wrote.

    Args:
        directory: where it lies.
        dtype: precision to compute in.
        given: components that are taken instead of being read, by name; not over a base.

    Raises:
        WeightsError: a file is missing or damaged, or the class has no recipe.
    """
    name, settings = read_settings(directory)
    known = recipe(name)
    if settings.base is None:
        return _load(directory, name, known, dtype, given or {}), settings
    return _load_over_base(directory, name, settings.base, dtype), settings


def read_settings(directory: Path) -> tuple[str, DecoderSettings]:
    """The class of the pipeline in a directory, and how it is called.

    Raises:
        WeightsError: a file is missing or damaged, or the base is none that can be shared.
    """
    if not (directory / SETTINGS_FILE).exists():
        name = str(read_json(directory / "model_index.json").get("_class_name"))
        return name, DecoderSettings()
    base_of(directory)  # which refuses one that can't be shared
    entry = read_json(directory / SETTINGS_FILE)
    name = str(entry.pop("class", ""))
    try:
        return name, DecoderSettings(**entry)
    except TypeError as error:
        raise WeightsError(
            f"{directory / SETTINGS_FILE} has an entry it shouldn't: {error}."
        ) from error


def _cast(part: Any, dtype: torch.dtype) -> Any:
    if not isinstance(part, nn.Module) or part.dtype != torch.float32 or dtype == torch.float32:
        return part
    for module in part.modules():  # weight_norm keeps what it computed, which can't be copied
        computed = {n: x for n, x in vars(module).items() if isinstance(x, torch.Tensor)}
        vars(module).update({n: x.detach() for n, x in computed.items()})
    return copy.deepcopy(part).to(dtype=dtype)


def _load(
    directory: Path, name: str, known: Recipe, dtype: torch.dtype, given: Mapping[str, Any]
) -> Any:
    index = read_json(directory / "model_index.json")
    for part in index:
        folder = directory / part
        if part not in given and folder.is_dir() and any(folder.glob("*.safetensors*")):
            check_folder(folder, "config.json")
    with quiet("diffusers"), _one_sentence(directory):
        pipeline = getattr(importlib.import_module(known.module), name)
        return pipeline.from_pretrained(
            directory,
            dtype={"default": dtype, **dict.fromkeys(known.single, torch.float32)},
            use_safetensors=True,
            **LOCAL,
            **{p: None for p in index if p in known.absent or index[p] == [None, None]},
            **given,
        )


def _load_over_base(directory: Path, name: str, shared: str, dtype: torch.dtype) -> Any:
    if name != "AnimateDiffPipeline":
        raise WeightsError(f"{directory} names a base, which a {name} can't have.")
    base, _ = load(directory.parent / shared, dtype)
    check_folder(directory / "motion_adapter", "config.json")
    with quiet("diffusers"), _one_sentence(directory):
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
        if isinstance(error, ImportError):  # of a scheduler, say, that needs a library of its own
            what = in_one_line(error)
            raise WeightsError(
                f"The decoder in {self._directory} needs more than is installed: {what}"
            ) from error
        from huggingface_hub.errors import StrictDataclassError

        known = OSError | ValueError | RuntimeError | KeyError | TypeError | AttributeError
        if isinstance(error, known | StrictDataclassError):
            raise WeightsError(
                f"The decoder in {self._directory} can't be loaded: its files are damaged or "
                f"don't fit each other ({in_one_line(error)})."
            ) from error
