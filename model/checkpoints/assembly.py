"""A whole core from a released NExT-GPT: ``heliograph import nextgpt``.

The result is a core directory like any other. Its LoRA stays an adapter, its projections are
one module for each modality (NExT-GPT shares the input projection), and its decoders are
whichever diffusion pipelines are given: NExT-GPT has none of its own, and neither do these
cores need one. A modality without a decoder is answered in words, and that it can't be made.

Each source is pinned in ``config.json``, and language model and decoders are referred to rather
than copied, as by ``compose.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

from heliograph.model.checkpoint import read_weights
from heliograph.model.checkpoints import language as languages
from heliograph.model.checkpoints.imagebind import imagebind
from heliograph.model.checkpoints.layouts import HEAD, LEGACY, SUFFIXES, Layout, layout_of
from heliograph.model.checkpoints.nextgpt import (
    INPUTS,
    OUTPUTS,
    input_projection,
    output_projection,
    part,
)
from heliograph.model.conditions import in_words
from heliograph.model.core import AnyToAny
from heliograph.model.decoders import DiffusionDecoder
from heliograph.model.dialects import DEFAULT_SPECS
from heliograph.model.encoders.pooled import PooledEncoder
from heliograph.model.errors import WeightsError
from heliograph.model.files import appearing, check_free
from heliograph.model.finding import Found, condition_of
from heliograph.model.origins import LANGUAGE, Origins
from heliograph.model.parts import MODALITIES, NAMES, Modality
from heliograph.model.plan import PROJECTIONS
from heliograph.model.projections import InputProjection, OutputProjection
from heliograph.model.sources import PICKLES, READ, find, pinned

if TYPE_CHECKING:
    from heliograph.model.encoders import Encoder

ENCODER = "imagebind"
_PASSED_OVER = ("visual_encoder.", "multimodal_tower.")
"""Other people's ImageBind, of which the file that is given has a whole copy."""


@dataclass(frozen=True)
class Imported:
    """What an import found and wrote."""

    layout: str
    sees: tuple[Modality, ...]
    makes: tuple[Modality, ...]
    decoders: tuple[Modality, ...]
    lora: bool


def import_nextgpt(
    checkpoint: Path,
    language: Path | str,
    imagebind_file: Path,
    out: Path,
    decoders: Mapping[Modality, Path | str] | None = None,
    copy: bool = False,
    told: Callable[[str], None] = lambda step: None,
) -> Imported:
    """Write a core directory from a NExT-GPT checkpoint of either layout.

    Args:
        checkpoint: a file of it, or the directory with its files and, perhaps, its tokenizer.
        language: the base model, Vicuna as NExT-GPT was trained on: a path, or an id of the hub.
            One that is pickled is copied.
        imagebind_file: the published ``imagebind_huge.pth``.
        out: the core's directory, new or empty; it is filled only when the core is whole.
        decoders: diffusers pipelines by what they make: paths, or ids of the hub.
        copy: put language model and decoders into the directory, instead of referring to them.
        told: is given each step's name before it is taken.

    Raises:
        InputError: ``out`` isn't empty or can't be written, there is nothing of a name, or a
            pipeline makes something else.
        WeightsError: a file is missing or damaged, or the parts don't fit each other.
    """
    check_free(out)
    told("reading the checkpoint")
    state = read_checkpoint(checkpoint)
    layout = layout_of(state)
    _check_names(state)
    told("reading ImageBind")
    encoder: Encoder = imagebind(read_weights(imagebind_file))
    encoder.scaled = False  # type: ignore[attr-defined]  # as NExT-GPT reads it
    inputs = _inputs(state, encoder, layout)
    if layout.pooled:
        encoder = PooledEncoder(encoder, encoder.width("image"))
    outputs = _outputs(state, layout)
    pipelines = {m: Found(*find(str(name), "decoder")) for m, name in (decoders or {}).items()}
    for modality in pipelines:
        _check_decoder(modality, pipelines, outputs)
    told("reading the language model")
    base = _base(str(language), layout)
    folder = checkpoint if checkpoint.is_dir() else checkpoint.parent
    model = languages.restored(base.folder, folder, state, layout)
    _check_width(model.width, [*inputs.values(), *outputs.values()])
    told("writing the core")
    loaded = {m: DiffusionDecoder.from_pretrained(f.folder) for m, f in pipelines.items() if copy}
    core = AnyToAny.build(model, inputs, outputs, {ENCODER: encoder}, loaded)
    parts = {LANGUAGE: base, **{f"decoders/{m}": found for m, found in pipelines.items()}}
    sources = {p: f.source.as_copied() if copy else f.source for p, f in parts.items()}
    sources[f"encoders/{ENCODER}"] = find(str(imagebind_file), "encoder")[0].as_copied()
    sources[PROJECTIONS] = pinned(checkpoint, (*READ, *PICKLES)).as_copied()
    core.shelf = replace(core.shelf, decoders=tuple(pipelines), origins=Origins(sources))
    with appearing(out) as partial:
        core.save_pretrained(partial)
    return Imported(layout.name, core.sees, core.makes, tuple(pipelines), model.has_lora)


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint's file, or of those of its directory together.

    Raises:
        WeightsError: there is none, or one can't be read.
    """
    if path.is_file():
        return read_weights(path)
    names = [name for layout in (LEGACY, HEAD) for name in layout.files]
    files = [path / f"{name}{suffix}" for name in names for suffix in SUFFIXES]
    found = [file for file in files if file.is_file()]
    if not found:
        raise WeightsError(f"There is no NExT-GPT checkpoint at {path}: no {' or '.join(names)}.")
    state: dict[str, Tensor] = {}
    for file in found:
        state |= read_weights(file)
    return state


def _check_names(state: Iterable[str]) -> None:
    modules = [*INPUTS, *(name for both in OUTPUTS.values() for name in both)]
    for name in state:
        known = languages.is_language(name) or any(over in name for over in _PASSED_OVER)
        if not known and not any(part({name: None}, module) for module in modules):
            raise WeightsError(f"The checkpoint has weights that have no place in a core: {name}.")


def _inputs(
    state: Mapping[str, Tensor], encoder: Encoder, layout: Layout
) -> dict[Modality, InputProjection]:
    if not any(part(state, name) for name in INPUTS):
        return {}
    inputs = {
        m: input_projection(state, 1 if layout.pooled else encoder.tokens(m)) for m in MODALITIES
    }
    for projection in inputs.values():
        width = projection.config.encoder_width
        if width != encoder.width("image"):
            raise WeightsError(
                f"The input projection reads vectors {width} wide and this ImageBind gives "
                f"{encoder.width('image')}."
            )
    return inputs


def _outputs(state: Mapping[str, Tensor], layout: Layout) -> dict[Modality, OutputProjection]:
    outputs: dict[Modality, OutputProjection] = {}
    for spec in DEFAULT_SPECS:
        if any(part(state, name) for name in OUTPUTS[spec.modality]):
            outputs[spec.modality] = output_projection(state, spec.modality)
            outputs[spec.modality].signal_tokens = layout.dialect.length(spec)
    return outputs


def _base(name: str, layout: Layout) -> Found:
    """The language model. A pickled one, as NExT-GPT's own instructions leave Vicuna, counts as
    copied, since loading a core reads no pickles."""
    source, folder = find(name, "language")
    if not any(folder.glob("*.safetensors")):
        source = pinned(folder, (*READ, *PICKLES)).as_copied()
    return Found(replace(source, licence=source.licence or layout.licence), folder)


def _check_decoder(
    modality: Modality,
    pipelines: Mapping[Modality, Found],
    outputs: Mapping[Modality, OutputProjection],
) -> None:
    if modality not in outputs:
        raise WeightsError(f"The checkpoint has no output projection for {NAMES[modality]}.")
    wanted, made = condition_of(modality, pipelines), outputs[modality].shapes
    if wanted != made:
        raise WeightsError(
            f"The decoder {pipelines[modality].source} takes a condition of {in_words(wanted)}, "
            f"and the checkpoint makes one of {in_words(made)}."
        )


def _check_width(width: int, projections: Iterable[InputProjection | OutputProjection]) -> None:
    for projection in projections:
        own = (
            projection.config.llm_width
            if isinstance(projection, InputProjection)
            else projection.llm_width
        )
        if own != width:
            raise WeightsError(
                f"The checkpoint is of a language model {own} wide, and this one is {width} wide."
            )
