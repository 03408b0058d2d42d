"""The presets at full size, on the meta device: every part fits the next.

Parameter counts hold the sizes against what is known of the published checkpoints.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from heliograph.model.compose import Parts, input_projection
from heliograph.model.conditions import SEQUENCE, Condition, Shapes
from heliograph.model.dialects import DEFAULT_SPECS
from heliograph.model.errors import InputError
from heliograph.model.parts import MODALITIES, Modality
from heliograph.model.presets import PRESETS, nextgpt_7b, open_7b, open_small, preset
from heliograph.model.projections import OutputProjection
from heliograph.model.published import (
    audioldm_l,
    clap_htsat,
    flux_schnell,
    imagebind_huge,
    qwen3_06b,
    qwen25_7b,
    sd15,
    siglip_base,
    siglip_so400m,
    vicuna_7b,
    wan_13b,
    zeroscope,
)

Denoise = Callable[[nn.Module, Mapping[str, Tensor]], Tensor]


def on_meta(build: Callable[..., Any], *arguments: Any) -> Any:
    with torch.device("meta"):
        return build(*arguments)


def count(module: Any) -> float:
    """Millions of parameters."""
    return sum(p.numel() for p in module.parameters()) / 1e6


@pytest.mark.parametrize(
    ("build", "width", "millions"),
    [(vicuna_7b, 4096, 6738), (qwen25_7b, 3584, 7616), (qwen3_06b, 1024, 596)],
)
@torch.no_grad()
def test_what_the_encoders_see_enters_the_language_model_and_leaves_as_conditions(
    build: Callable[[], PreTrainedModel], width: int, millions: int
) -> None:
    parts, encoders, shapes = {
        "vicuna_7b": (nextgpt_7b(), dict.fromkeys(MODALITIES, imagebind_huge), NEXTGPT),
        "qwen25_7b": (
            open_7b(),
            {"image": siglip_so400m, "video": siglip_so400m, "audio": clap_htsat},
            OPEN,
        ),
        "qwen3_06b": (
            open_small(),
            {"image": siglip_base, "video": siglip_base, "audio": clap_htsat},
            PRIMER,
        ),
    }[build.__name__]
    model = on_meta(build)
    assert round(count(model)) == millions
    built = {name: on_meta(name) for name in set(encoders.values())}
    embeddings = [torch.empty(1, 5, width, device="meta")]  # of words
    for modality, name in encoders.items():
        features = torch.empty(
            1, built[name].tokens(modality), built[name].width(modality), device="meta"
        )
        assert tuple(features.shape[1:]) == TOKENS[name.__name__, modality]
        projection = on_meta(input_projection, parts, built[name], modality, width)
        embeddings.append(projection(features))
        assert embeddings[-1].shape == (1, 1 if parts.pooled else parts.tokens, width)
    runs = [torch.empty(1, spec.count, width, device="meta") for spec in DEFAULT_SPECS]
    inputs = torch.cat([*embeddings, *runs], dim=1)
    # A mask that is ready: to make one, transformers looks into the values of a plain one.
    mask = torch.ones(1, 1, inputs.shape[1], inputs.shape[1], dtype=torch.bool, device="meta")
    read = model.base_model(inputs_embeds=inputs, attention_mask=mask, use_cache=False)
    signals = read.last_hidden_state[:, -sum(spec.count for spec in DEFAULT_SPECS) :]
    for spec, run, hidden in zip(
        DEFAULT_SPECS, runs, signals.split([s.count for s in DEFAULT_SPECS], dim=1), strict=True
    ):
        shape = shapes[spec.modality]
        projection = on_meta(OutputProjection.for_shapes, width, shape, spec.count)
        condition: Condition = projection.condition(hidden, run)
        assert condition.shapes == shape


TOKENS: dict[tuple[str, Modality], tuple[int, int]] = {
    **{("imagebind_huge", m): (1, 1024) for m in MODALITIES},
    ("siglip_so400m", "image"): (27 * 27, 1152),
    ("siglip_so400m", "video"): (8 * 27 * 27, 1152),
    ("siglip_base", "image"): (14 * 14, 768),
    ("siglip_base", "video"): (8 * 14 * 14, 768),
    ("clap_htsat", "audio"): (64, 768),
}
NEXTGPT: dict[Modality, Shapes] = {
    "image": {SEQUENCE: (77, 768)},
    "audio": {SEQUENCE: (1, 512)},
    "video": {SEQUENCE: (77, 1024)},
}
PRIMER: dict[Modality, Shapes] = dict.fromkeys(MODALITIES, {SEQUENCE: (16, 128)})
OPEN: dict[Modality, Shapes] = {
    "image": {SEQUENCE: (512, 4096), "pooled_prompt_embeds": (1, 768)},
    "audio": {SEQUENCE: (16, 128)},
    "video": {SEQUENCE: (512, 4096)},
}


def empty(*shape: int) -> Tensor:
    return torch.empty(*shape, device="meta")


DENOISERS: list[tuple[Callable[[], Any], float, Shapes, Denoise, tuple[int, ...]]] = [
    (
        sd15,
        859.5,
        NEXTGPT["image"],
        lambda m, c: m(empty(1, 4, 64, 64), empty(1), c[SEQUENCE])[0],
        (1, 4, 64, 64),
    ),
    (
        audioldm_l,
        739.1,
        NEXTGPT["audio"],
        lambda m, c: m(empty(1, 8, 128, 16), empty(1), None, class_labels=c[SEQUENCE][:, 0])[0],
        (1, 8, 128, 16),
    ),
    (
        zeroscope,
        1411.2,
        NEXTGPT["video"],
        lambda m, c: m(empty(1, 4, 4, 40, 72), empty(1), c[SEQUENCE])[0],
        (1, 4, 4, 40, 72),
    ),
    (
        flux_schnell,
        11891.2,
        OPEN["image"],
        lambda m, c: m(
            empty(1, 64, 64),
            c[SEQUENCE],
            c["pooled_prompt_embeds"][:, 0],
            empty(1),
            empty(64, 3),
            empty(c[SEQUENCE].shape[1], 3),
        )[0],
        (1, 64, 64),
    ),
    (
        wan_13b,
        1419.0,
        OPEN["video"],
        lambda m, c: m(empty(1, 16, 2, 60, 104), empty(1), c[SEQUENCE])[0],
        (1, 16, 2, 60, 104),
    ),
]


@pytest.mark.parametrize(
    ("build", "millions", "shapes", "denoise", "shape"),
    DENOISERS,
    ids=lambda value: getattr(value, "__name__", None),
)
@torch.no_grad()
def test_the_condition_enters_the_denoiser(
    build: Callable[[], Any],
    millions: float,
    shapes: Shapes,
    denoise: Denoise,
    shape: tuple[int, ...],
) -> None:
    pipeline = on_meta(build)
    model = getattr(pipeline, "unet", None) or pipeline.transformer
    assert round(count(model), 1) == millions
    condition = {name: empty(1, *sizes) for name, sizes in shapes.items()}
    assert denoise(model, condition).shape == shape
    wrong = {name: empty(1, sizes[0], sizes[1] + 8) for name, sizes in shapes.items()}
    with pytest.raises(RuntimeError):
        denoise(model, wrong)


def test_each_preset_is_a_function_that_tells_licence_and_size() -> None:
    for name, build in PRESETS.items():
        told = " ".join(str(build.__doc__).split())
        assert isinstance(preset(name), Parts) and name.replace("-", "_") == build.__name__
        assert ("Apache-2.0" in told or "CC-BY" in told) and " GB" in told and "memory" in told
    with pytest.raises(InputError, match="There is no preset 'huge'"):
        preset("huge")
