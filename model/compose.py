"""A new core from parts that exist: ``heliograph compose``.

The language model gets signal tokens, and projections of the right shapes and with fresh weights
stand between the parts; nothing is aligned yet. No part is loaded for it: sizes come from
configurations, on the meta device, and are held against the headers of the weights. Each source
is pinned in ``config.json``, and parts are referred to rather than copied, unless asked.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import torch

from heliograph.model.core import AnyToAny
from heliograph.model.dialects import DEFAULT_SPECS
from heliograph.model.encoders import Encoder
from heliograph.model.encoders.own import OwnSense
from heliograph.model.errors import InputError
from heliograph.model.files import appearing, check_free
from heliograph.model.finding import (
    Found,
    Parts,
    Reader,
    condition_of,
    language_of,
    own_reader,
    readers_of,
)
from heliograph.model.language import LanguageModel
from heliograph.model.origins import LANGUAGE, ROWS, Origins, fingerprint
from heliograph.model.parts import MODALITIES, NAMES, Modality
from heliograph.model.projections import InputProjection, InputProjectionConfig, OutputProjection
from heliograph.model.senses import taken_apart
from heliograph.model.shelf import Shelf
from heliograph.model.sources import READ, Kind, Size, Source, base_of, find, size_of

__all__ = ["Parts", "compose", "sizes"]


def compose(
    parts: Parts,
    out: Path,
    copy: bool = False,
    seed: int = 0,
    told: Callable[[str], None] = lambda step: None,
) -> None:
    """Write a core directory; it appears only when it is whole.

    Args:
        parts: what it is made of.
        out: the core's directory, new or empty.
        copy: put the parts into the directory, instead of referring to them.
        seed: of the fresh weights.
        told: is given each step's name before it is taken.

    Raises:
        InputError: ``out`` isn't empty or can't be written, or a part isn't what it is named for.
        WeightsError: a part is missing, damaged or pickled, or lacks what a core needs.
    """
    check_free(out)
    told("reading the language model")
    found = Found(*find(parts.language, "language"))
    specs = [spec for spec in DEFAULT_SPECS if spec.modality in parts.decoders]
    language, rows = language_of(found.folder, parts, specs)
    told("reading the encoders")
    readers = readers_of(parts)
    readers |= own_reader(found, language.context, parts, readers)
    told("reading the decoders")
    pipelines = {m: Found(*find(name, "decoder")) for m, name in parts.decoders.items()}
    shapes = {m: condition_of(m, pipelines) for m in pipelines}
    told("writing the core")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        inputs = {
            m: _entrance(parts, reader, m, language.width)
            for reader in readers.values()
            for m in reader.modalities
        }
        outputs = {
            spec.modality: OutputProjection.for_shapes(
                language.width, shapes[spec.modality], spec.count, **parts.output
            )
            for spec in specs
        }
    _check_context(language, inputs)
    core = AnyToAny(language, inputs, outputs)
    with appearing(out) as partial:
        core.shelf = Shelf(
            {name: reader.modalities for name, reader in readers.items()},
            tuple(m for m in MODALITIES if m in pipelines),
            origins=Origins(
                _sources(found, readers, pipelines, copy),
                {name: r.reading for name, r in readers.items() if r.reading},
                _fresh(core, rows),
            ),
        )
        _write_language(partial / LANGUAGE, language, rows, found.folder, copy)
        _write_parts(partial, readers, pipelines, copy)
        core.save_projections(partial)


def sizes(parts: Parts) -> dict[str, Size]:
    """What ``compose`` would read and download of each place, before it does.

    Raises:
        InputError, WeightsError: as ``size_of``.
    """
    named: dict[str, Kind] = {parts.language: "language"}
    named |= dict.fromkeys(parts.encoders.values(), "encoder")
    named |= dict.fromkeys(parts.decoders.values(), "decoder")
    return {name: size_of(name, kind) for name, kind in named.items()}


def input_projection(
    parts: Parts, encoder: Encoder, modality: Modality, llm_width: int
) -> InputProjection:
    """A fresh projection from an encoder to a language model."""
    width, tokens = encoder.width(modality), encoder.tokens(modality)
    kind = "linear" if parts.pooled else parts.projection
    if kind == "resampler":
        return InputProjectionConfig(
            kind, width, tokens, llm_width, tokens=parts.tokens, heads=_heads(llm_width)
        ).build()
    return InputProjectionConfig(kind, width, tokens, llm_width, hidden=llm_width).build()


def _entrance(parts: Parts, reader: Reader, modality: Modality, llm_width: int) -> InputProjection:
    """What leads from an encoder into the language model: nothing, from its own eyes or ears."""
    sense = reader.sense
    if sense is None:
        return input_projection(parts, reader.encoder, modality, llm_width)
    width, tokens = reader.encoder.width(modality), reader.encoder.tokens(modality)
    return InputProjectionConfig(
        "own", width, tokens, llm_width, frame=sense.frame, two_way=sense.two_way
    ).build()


def _heads(width: int) -> int:
    """Heads of about 64 channels."""
    return next(heads for heads in range(max(1, width // 64), 0, -1) if width % heads == 0)


def _check_context(language: LanguageModel, inputs: Mapping[Modality, InputProjection]) -> None:
    for modality, projection in inputs.items():
        if projection.config.out_tokens >= language.context:
            raise InputError(
                f"One of the {NAMES[modality]} would take {projection.config.out_tokens} positions "
                f"and the language model reads {language.context}: take --projection resampler."
            )


def _sources(
    language: Found,
    readers: Mapping[str, Reader],
    pipelines: Mapping[Modality, Found],
    copy: bool,
) -> dict[str, Source]:
    found = {LANGUAGE: language}
    found |= {f"encoders/{name}": reader.found for name, reader in readers.items()}
    found |= {f"decoders/{m}": pipelines[m] for m in MODALITIES if m in pipelines}
    return {
        part: f.source.as_copied() if copy or f.folder.is_file() else f.source
        for part, f in found.items()
    }


def _fresh(core: AnyToAny, rows: list[int]) -> dict[str, str]:
    """Fingerprints of all that is new."""
    fresh = {
        f"{side}.{name}": fingerprint(module.state_dict())
        for side, modules in (("inputs", core.inputs), ("outputs", core.outputs))
        for name, module in modules.items()
        if any(True for _ in module.parameters())
    }
    if rows:
        embedding = core.language.model.get_input_embeddings().weight
        fresh[ROWS] = fingerprint({"embedding": embedding[rows]})
    return fresh


def _write_language(
    folder: Path, language: LanguageModel, rows: list[int], base: Path, copy: bool
) -> None:
    language.save_over(folder, rows)
    if (base / "adapter").is_dir():
        shutil.copytree(base / "adapter", folder / "adapter")
    if copy:  # once more, whole, with the rows that its outline was given
        whole = LanguageModel.from_pretrained(folder, language.table.specs, dtype="auto", base=base)
        whole.save_pretrained(folder, torch.float32)


def _write_parts(
    directory: Path,
    readers: Mapping[str, Reader],
    pipelines: Mapping[Modality, Found],
    copy: bool,
) -> None:
    for name, reader in readers.items():
        folder = directory / "encoders" / name
        if reader.found.folder.is_file():
            reader.encoder.save_pretrained(folder)
        elif copy and taken_apart(reader.found.folder):  # nothing here reads its language model
            own = OwnSense.from_pretrained(reader.found.folder, "auto", **reader.reading)
            own.save_pretrained(folder)
        elif copy:
            _copy(reader.found.folder, folder)
    for modality, found in pipelines.items() if copy else ():
        base = base_of(found.folder)
        shared = next((p for m, p in pipelines.items() if m == base), None)
        if base is not None and (shared is None or shared.folder != found.folder.parent / base):
            raise InputError(
                f"The decoder {found.source} shares parts with the one in "
                f"{found.folder.parent / base}: give that as the decoder of {base} too."
            )
        _copy(found.folder, directory / "decoders" / modality)


def _copy(source: Path, target: Path) -> None:
    """What loading reads, and the texts that tell the licence."""
    for path in source.rglob("*"):
        text = path.parent == source and path.name.startswith(("README", "LICENSE", "NOTICE"))
        if path.is_file() and (path.suffix in READ or text):
            place = target / path.relative_to(source)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, place)
