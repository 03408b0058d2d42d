"""A decoder on the meta device: its class and its sizes, without its weights.

A pipeline of any size is there in seconds, and its recipe reads the same shapes from it as from
the pipeline itself.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from heliograph.model.checkpoint import read_json
from heliograph.model.decoders.adapter import DiffusionDecoder
from heliograph.model.decoders.files import read_settings
from heliograph.model.decoders.recipe import Recipe
from heliograph.model.decoders.recipes import recipe
from heliograph.model.errors import WeightsError, in_one_line
from heliograph.model.headers import check_shapes, headers
from heliograph.model.parts import Modality
from heliograph.model.quiet import quiet


def outline_decoder(directory: Path) -> tuple[str, Modality, dict[str, tuple[int, int]]]:
    """The class of a decoder, what it makes, and the shapes of its condition.

    The headers of its weights are read, and checked against its configuration.

    Raises:
        WeightsError: a file is missing or damaged, a shape doesn't fit, the weights are pickled,
            or the class has no recipe.
    """
    name, settings = read_settings(directory)
    known = recipe(name)
    if settings.base is not None:  # a motion adapter takes what its picture model takes
        headers(directory / "motion_adapter")
        _, _, shapes = outline_decoder(directory.parent / settings.base)
        return name, known.modality, shapes
    decoder = outline(directory)
    with _one_sentence(directory):
        return name, decoder.modality, dict(decoder.condition_shapes)


def outline(directory: Path) -> DiffusionDecoder:
    """A decoder that has no base, on the meta device.

    Raises:
        WeightsError: as ``outline_decoder`` does.
    """
    name, settings = read_settings(directory)
    known = recipe(name)
    with _one_sentence(directory):
        pipeline_class = getattr(importlib.import_module(known.module), name)
        return DiffusionDecoder(pipeline_class(**_components(directory, known)), settings)


def _components(directory: Path, known: Recipe) -> dict[str, Any]:
    """What the pipeline's class is made of: models on the meta device, and the rest as it is."""
    components: dict[str, Any] = {}
    for part, entry in read_json(directory / "model_index.json").items():
        if part.startswith("_"):
            continue
        if not isinstance(entry, list):  # an argument of the class that is no component
            components[part] = entry
        elif part in known.absent or entry == [None, None]:
            components[part] = None
        else:
            library, name = entry
            kind = _class(str(library), str(name), known.module)
            if not (directory / part).is_dir():
                raise WeightsError(
                    f"The weights are incomplete: {directory} lacks the part {part}."
                )
            components[part] = _component(directory / part, kind)
    return components


def _component(folder: Path, kind: Any) -> Any:
    if not issubclass(kind, nn.Module):
        return kind.from_pretrained(folder, local_files_only=True)
    with torch.device("meta"):
        if hasattr(kind, "config_class") and kind.config_class is not None:  # of transformers
            module = kind(kind.config_class.from_pretrained(folder, local_files_only=True))
        else:
            module = kind.from_config(kind.load_config(folder, local_files_only=True))
    check_shapes(headers(folder), module, folder)
    return module


def _class(library: str, name: str, own: str) -> Any:
    """A component's class: of transformers, of diffusers, or of the pipeline's own module.

    Whatever else ``model_index.json`` names is not imported.
    """
    modules = ["diffusers", f"diffusers.pipelines.{library}", own]
    for module in ["transformers"] if library == "transformers" else modules:
        try:
            return getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError):
            continue
    raise WeightsError(f"A pipeline of this class can't have the part {name} of {library}.")


@contextmanager
def _one_sentence(directory: Path) -> Iterator[None]:
    from huggingface_hub.errors import StrictDataclassError

    known = (OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError)
    try:
        with quiet("diffusers"):
            yield
    except (*known, StrictDataclassError) as error:
        what = in_one_line(error)
        raise WeightsError(
            f"The decoder in {directory} can't be read: its files are damaged or don't fit each "
            f"other ({what})."
        ) from error
