"""What the parts of a core need, told from configurations and headers: nothing is loaded, but
for the few encoders that can't be outlined."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import nn

from heliograph.model.activations import alive
from heliograph.model.decoders.adapter import DiffusionDecoder
from heliograph.model.decoders.files import read_settings
from heliograph.model.decoders.outline import outline
from heliograph.model.decoders.recipes import recipe
from heliograph.model.decoders.workload import workload
from heliograph.model.encoders import Encoder, outline_encoder
from heliograph.model.encoders.own import OwnSense
from heliograph.model.errors import WeightsError, in_one_line
from heliograph.model.headers import headers
from heliograph.model.media import Clip, Film, Image, Sound
from heliograph.model.origins import LANGUAGE
from heliograph.model.parts import Modality
from heliograph.model.plan import PROJECTIONS, Need
from heliograph.model.pretrained import layers_of, linear_layers, meta_model
from heliograph.model.quiet import quiet
from heliograph.model.referenced import ROWS_FILE, further_rows
from heliograph.model.shelf import Shelf
from heliograph.model.sources import check_safe, core_folder

if TYPE_CHECKING:
    from transformers import PreTrainedModel

BLANK: Mapping[Modality, Clip] = {
    "image": Image(np.zeros((32, 32, 3), np.uint8)),
    "audio": Sound(np.zeros(16_000, np.float32), 16_000),
    "video": Film(np.zeros((2, 32, 32, 3), np.uint8), 8.0),
}


def needs(directory: Path | str, *, decoders_only: bool = False) -> tuple[Need, ...]:
    """What each part of a core needs.

    Args:
        directory: of the core, or its id on the hub. Parts that lie elsewhere are taken as they
            are, without hashing them.
        decoders_only: look at nothing else, which needn't be there then.

    Raises:
        WeightsError: there is no core, or a part is missing, damaged or pickled.
    """
    directory = core_folder(directory)
    shelf = Shelf.from_pretrained(directory)
    origins = shelf.origins
    place = partial(origins.place, directory, hashed=False)
    decoders = tuple(
        _decoder_in(place(f"decoders/{modality}", "decoder"), modality)
        for modality in shelf.decoders
    )
    if decoders_only:
        return decoders
    projections = headers(directory / "projections.safetensors")
    return (
        _language_in(place(LANGUAGE, "language"), directory / LANGUAGE),
        Need(PROJECTIONS, "projections", sum(h.count for h in projections.values())),
        *(
            encoder_need(
                name,
                outline_encoder(
                    place(f"encoders/{name}", "encoder"),
                    origins.reading.get(name),
                ),
                known,
            )
            for name, known in shelf.encoders.items()
        ),
        *decoders,
    )


def language_need(model: PreTrainedModel) -> Need:
    """What a causal LM on the meta device needs."""
    config: Any = model.config.get_text_config()
    heads = config.num_attention_heads
    width = config.hidden_size
    head_width = getattr(config, "head_dim", None) or width // heads
    kept = getattr(config, "num_key_value_heads", None) or heads
    inner = getattr(config, "intermediate_size", None) or 4 * width
    _, layers = layers_of(model)
    return Need(
        LANGUAGE,
        "language",
        _count(model),
        linear=sum(m.get_parameter("weight").numel() for m in linear_layers(model).values()),
        cache=2 * config.num_hidden_layers * kept * head_width,
        layer=6 * width + 3 * inner,
        positions=int(config.max_position_embeddings),
        layers=len(layers),
        within=_count(layers),
    )


def encoder_need(name: str, encoder: Encoder, modalities: Sequence[Modality]) -> Need:
    """What an encoder needs for the modalities that it reads in a core.

    It is on the meta device, unless it looks into the values that it computes.
    """
    assert isinstance(encoder, nn.Module)
    device = next(encoder.parameters()).device

    def reading(modality: Modality) -> int:
        clip = encoder.blank if isinstance(encoder, OwnSense) else BLANK[modality]
        x = encoder.prepare(clip).unsqueeze(0).to(device)
        return alive(encoder, lambda: encoder.patches(modality, x))

    return Need(
        f"encoders/{name}",
        "encoder",
        _count(encoder),
        activations=max((reading(modality) for modality in modalities), default=0),
    )


def decoder_need(modality: Modality, decoder: DiffusionDecoder, name: str) -> Need:
    """What a decoder on the meta device needs.

    Args:
        modality: what it makes in the core.
        decoder: it, or the picture model that it moves.
        name: its pipeline's class.
    """
    components = decoder.pipeline.components
    modules = {n: part for n, part in components.items() if isinstance(part, nn.Module)}
    single = recipe(name).single
    load = workload(decoder, name)
    apart = load.autoencoder if "vae" in single else 0
    config = getattr(components["vae"], "config", None)
    upcast = name == "StableDiffusionXLPipeline" and getattr(config, "force_upcast", False)
    return Need(
        f"decoders/{modality}",
        "decoder",
        sum(map(_count, modules.values())),
        single=sum(_count(part) for n, part in modules.items() if n in single),
        activations=max(load.denoiser, 0 if apart else load.autoencoder),
        single_activations=apart,
        upcast=load.autoencoder if upcast else 0,
    )


def _language_in(folder: Path, own: Path) -> Need:
    check_safe(folder)
    try:
        with quiet():
            model = meta_model(folder)
    except (OSError, ValueError, KeyError, TypeError, ImportError) as error:
        what = in_one_line(error, 200)
        raise WeightsError(
            f"{folder} is no causal language model of transformers: {what}"
        ) from error
    need = language_need(model)
    base, rows = len(model.get_input_embeddings().weight), own / ROWS_FILE
    further = further_rows(rows, base) if rows.is_file() else {}
    adapter = headers(own / "adapter") if (own / "adapter").is_dir() else {}
    added = sum(header.count for header in further.values())
    lora = sum(header.count for header in adapter.values())  # which PEFT keeps in float32
    parameters = need.parameters + added + lora
    return replace(need, parameters=parameters, within=need.within + lora, single=lora)


def _decoder_in(folder: Path, modality: Modality) -> Need:
    name, settings = read_settings(folder)
    if settings.base is None:
        return decoder_need(modality, outline(folder), name)
    moved = outline(folder.parent / settings.base).with_settings(
        call=settings.call, guidance=settings.guidance
    )
    need = decoder_need(modality, moved, name)
    adapter = sum(header.count for header in headers(folder / "motion_adapter").values())
    # The pipeline keeps the adapter beside its copy in the U-Net.
    return replace(need, parameters=need.parameters + 2 * adapter)


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
