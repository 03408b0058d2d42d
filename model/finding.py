"""The parts that a core is to be made of: found, pinned, and known by their sizes.

Nothing is loaded but tokenizers, and the embedding and head of the language model.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

from heliograph.model.checkpoint import read_weights
from heliograph.model.checkpoints.imagebind import imagebind
from heliograph.model.decoders.outline import outline_decoder
from heliograph.model.dialects import SignalSpec
from heliograph.model.encoders import Encoder, outline_encoder
from heliograph.model.encoders.imagebind import ImageBind
from heliograph.model.encoders.own import OwnSense
from heliograph.model.encoders.pooled import PooledEncoder
from heliograph.model.encoders.sized import SizedSense
from heliograph.model.errors import InputError, WeightsError
from heliograph.model.headers import headers
from heliograph.model.language import LanguageModel
from heliograph.model.parts import MODALITIES, NAMES, Modality
from heliograph.model.plan import CONTEXT
from heliograph.model.pretrained import read_template, read_tokenizer
from heliograph.model.referenced import outline_language
from heliograph.model.senses import Sense, sense_in
from heliograph.model.sources import Source, check_safe, find

Projection: TypeAlias = Literal["linear", "mlp", "resampler"]


@dataclass(frozen=True)
class Parts:
    """What a core is to be made of. Each part is a path, or an id of the hub."""

    language: str
    encoders: Mapping[Modality, str] = field(default_factory=dict)
    """By what they are to read; one that is named twice is there once. One that is named takes the
    place of what the language model has itself."""
    decoders: Mapping[Modality, str] = field(default_factory=dict)
    projection: Projection = "resampler"
    """What leads into the language model; ``linear`` and ``mlp`` keep all patch tokens."""
    tokens: int = 16
    """Embeddings for each medium, of the resampler."""
    pooled: bool = False
    """One vector for each medium instead of its patch tokens, as NExT-GPT's first version."""
    template: str | None = None
    """Chat template for a tokenizer that has none; its own wins."""
    stops: tuple[str, ...] = ()
    """Strings that end an answer, if no token does."""
    output: Mapping[str, int] = field(default_factory=dict)
    """Sizes of the output projections where they aren't NExT-GPT's: ``hidden``, ``layers``,
    ``heads``, ``ff``."""


@dataclass(frozen=True)
class Found:
    """A part where it is now."""

    source: Source
    folder: Path


@dataclass(frozen=True)
class Reader:
    """An encoder and what it is to read."""

    found: Found
    encoder: Encoder
    """On the meta device, unless it had to be converted."""
    modalities: tuple[Modality, ...]
    reading: Mapping[str, Any]
    sense: Sense | None = None
    """Where it is the language model's own: how that reads."""


def language_of(
    folder: Path, parts: Parts, specs: Sequence[SignalSpec]
) -> tuple[LanguageModel, list[int]]:
    """The language model with its signal tokens, and the rows that were added for them.

    Raises:
        WeightsError: it is missing, damaged or pickled, or its tokenizer lacks something.
    """
    check_safe(folder)
    tokenizer = read_tokenizer(folder)
    model = outline_language(folder)
    template, sense = parts.template, sense_in(folder)
    if sense is not None and (sense.modality not in parts.encoders or not tokenizer.chat_template):
        template = read_template(folder) or template
    before = len(model.get_input_embeddings().weight)
    known = set(tokenizer.get_vocab().values())
    try:
        language = LanguageModel(model, tokenizer, specs, template=template)
    except WeightsError as error:
        raise WeightsError(
            f"The tokenizer in {folder} has no chat template, and none was given with --template."
        ) from error
    if parts.stops:
        model.generation_config.stop_strings = list(parts.stops)
    if not language.stop_ids and not language.stop_strings:
        raise WeightsError(
            f"The tokenizer in {folder} lacks a token that ends an answer (eos_token)."
        )
    if getattr(model.config, "max_position_embeddings", None) is None:
        raise WeightsError(f"The configuration in {folder} lacks max_position_embeddings.")
    language.scaffold(["user"], reply=True)  # a template that can't be used is told of now
    rows = len(language.model.get_input_embeddings().weight)
    added = {i for i in tokenizer.get_vocab().values() if i not in known}
    return language, sorted({*added, *range(before, rows)})


def readers_of(parts: Parts) -> dict[str, Reader]:
    """The encoders by their names in the core, each with all that it is to read.

    Raises:
        InputError: one doesn't read what it is to read, or can't be read by a projection.
        WeightsError: one is missing, damaged or pickled.
    """
    readers: dict[str, Reader] = {}
    for name in dict.fromkeys(parts.encoders.values()):
        modalities = tuple(m for m in MODALITIES if parts.encoders.get(m) == name)
        found = Found(*find(name, "encoder"))
        reading: dict[str, Any] = {}
        if found.folder.is_file():
            encoder = _converted(found.folder, parts.pooled)
        else:
            headers(found.folder)
            encoder = outline_encoder(found.folder)
            if parts.pooled:
                reading = _pooled_reading(encoder)
                encoder = outline_encoder(found.folder, reading)
        for modality in modalities:
            if modality not in encoder.modalities:
                raise InputError(f"The encoder {name} doesn't read {NAMES[modality]}.")
        if isinstance(encoder, OwnSense) and encoder.varies:
            raise InputError(
                f"The encoder {name} gives {NAMES[modalities[0]]} of several sizes as many "
                "embeddings as each needs, which only its own language model reads: give it as "
                "--language, or add --pooled."
            )
        label = "imagebind" if found.folder.is_file() else _label(found)
        readers[_free(label, readers)] = Reader(found, encoder, modalities, reading)
    return readers


def own_reader(
    language: Found, context: int, parts: Parts, readers: Mapping[str, Reader]
) -> dict[str, Reader]:
    """What the language model sees or hears with itself, under a name that is free.

    Pictures that keep their size are made smaller where one would take more than half the context,
    that of the language model or the one that is planned for.

    Args:
        language: the language model.
        context: how many positions it reads.
        parts: whose encoders take its place where they read the same.
        readers: those encoders.

    Raises:
        WeightsError: it is damaged.
    """
    sense = sense_in(language.folder)
    if sense is None or sense.modality in parts.encoders:
        return {}
    encoder = outline_encoder(language.folder)
    reading: dict[str, Any] = {}
    most = min(context, CONTEXT) // 2
    if isinstance(encoder, SizedSense) and encoder.tokens(sense.modality) > most:
        reading = {"picture_tokens": most}
        encoder = outline_encoder(language.folder, reading)
    reader = Reader(language, encoder, (sense.modality,), reading, sense)
    return {_free(_label(language), readers): reader}


def _converted(file: Path, pooled: bool) -> Encoder:
    """The published ImageBind, which is a file: it is always copied, as safetensors."""
    published = imagebind(read_weights(file))
    if not pooled:
        return ImageBind.from_tensors(
            published.state_dict(), published.config, next(published.parameters()).dtype
        )
    published.scaled = False  # as NExT-GPT reads it
    return PooledEncoder(published, published.config.joint)


def _pooled_reading(encoder: Encoder) -> dict[str, Any]:
    if isinstance(encoder, ImageBind):
        return {"scaled": False, "pooled": encoder.config.joint}
    return {"pooled": encoder.width(encoder.modalities[0])}


def _free(label: str, taken: Container[str]) -> str:
    while label in taken:
        label += "-2"
    return label


def _label(found: Found) -> str:
    name = (found.source.id or str(found.folder)).rsplit("/", 1)[-1]
    return "".join(c if c.isalnum() or c in "-_" else "-" for c in name.lower()).strip("-")


def condition_of(
    modality: Modality, pipelines: Mapping[Modality, Found]
) -> dict[str, tuple[int, int]]:
    """The shapes that a decoder's condition has, once it is known to make what it should.

    Raises:
        InputError: it makes something else.
        WeightsError: it is damaged or pickled, or its class has no recipe.
    """
    found = pipelines[modality]
    _, made, shapes = outline_decoder(found.folder)
    if made != modality:
        raise InputError(f"The decoder {found.source} makes {NAMES[made]}, not {NAMES[modality]}.")
    return shapes
