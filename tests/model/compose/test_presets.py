"""The presets at full size, on the meta device: every part fits the next.

Configurations are those of the published checkpoints (``config.json`` of the repositories that
the presets name; ImageBind's from its code); parameter counts hold them against what is known of
these checkpoints.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import diffusers
import pytest
import torch
import transformers as tf
from torch import Tensor, nn

from heliograph.model.compose import Parts, input_projection
from heliograph.model.conditions import SEQUENCE, Condition, Shapes
from heliograph.model.dialects import DEFAULT_SPECS
from heliograph.model.encoders import Encoder
from heliograph.model.encoders.config import ImageBindConfig
from heliograph.model.encoders.pooled import PooledEncoder
from heliograph.model.encoders.published import PublishedImageBind
from heliograph.model.encoders.transformers import TransformersEncoder
from heliograph.model.errors import InputError
from heliograph.model.parts import MODALITIES, Modality
from heliograph.model.presets import PRESETS, nextgpt_7b, open_7b, open_small, preset
from heliograph.model.projections import OutputProjection

Denoise = Callable[[nn.Module, Mapping[str, Tensor]], Tensor]


def vicuna_7b() -> tf.PreTrainedModel:
    return tf.LlamaForCausalLM(tf.LlamaConfig(vocab_size=32001, max_position_embeddings=2048))


def qwen25_7b() -> tf.PreTrainedModel:
    return tf.Qwen2ForCausalLM(
        tf.Qwen2Config(
            vocab_size=152064,
            hidden_size=3584,
            intermediate_size=18944,
            num_hidden_layers=28,
            num_attention_heads=28,
            num_key_value_heads=4,
        )
    )


def qwen3_06b() -> tf.PreTrainedModel:
    return tf.Qwen3ForCausalLM(
        tf.Qwen3Config(
            vocab_size=151936,
            hidden_size=1024,
            intermediate_size=3072,
            num_hidden_layers=28,
            num_attention_heads=16,
            num_key_value_heads=8,
            head_dim=128,
            tie_word_embeddings=True,
        )
    )


def imagebind_huge() -> Encoder:
    published = PublishedImageBind(ImageBindConfig.huge(), scaled=False)
    return PooledEncoder(published, published.config.joint)


def siglip_base() -> Encoder:
    return TransformersEncoder(
        tf.SiglipVisionModel(tf.SiglipVisionConfig()),
        tf.SiglipImageProcessorPil(size={"height": 224, "width": 224}),
    )


def siglip_so400m() -> Encoder:
    config = tf.SiglipVisionConfig(
        hidden_size=1152,
        intermediate_size=4304,
        num_hidden_layers=27,
        num_attention_heads=16,
        image_size=384,
        patch_size=14,
    )
    processor = tf.SiglipImageProcessorPil(size={"height": 384, "width": 384})
    return TransformersEncoder(tf.SiglipVisionModel(config), processor)


def clap_htsat() -> Encoder:
    return TransformersEncoder(
        tf.ClapAudioModel(tf.ClapAudioConfig()), tf.ClapFeatureExtractor(truncation="rand_trunc")
    )


def sd15() -> nn.Module:
    return diffusers.UNet2DConditionModel(
        sample_size=64, cross_attention_dim=768, attention_head_dim=8
    )


def audioldm_l() -> nn.Module:
    widths = (256, 512, 768, 1280)
    return diffusers.UNet2DConditionModel(
        sample_size=128,
        in_channels=8,
        out_channels=8,
        block_out_channels=widths,
        down_block_types=("DownBlock2D", *("CrossAttnDownBlock2D",) * 3),
        up_block_types=(*("CrossAttnUpBlock2D",) * 3, "UpBlock2D"),
        cross_attention_dim=widths,
        attention_head_dim=32,
        class_embed_type="simple_projection",
        class_embeddings_concat=True,
        projection_class_embeddings_input_dim=512,
    )


def zeroscope() -> nn.Module:
    return diffusers.UNet3DConditionModel(cross_attention_dim=1024, attention_head_dim=64)


def flux_schnell() -> nn.Module:
    return diffusers.FluxTransformer2DModel()  # its defaults are FLUX.1-schnell's


def wan_13b() -> nn.Module:
    return diffusers.WanTransformer3DModel(num_attention_heads=12, num_layers=30, ffn_dim=8960)


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
    build: Callable[[], tf.PreTrainedModel], width: int, millions: int
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


DENOISERS: list[tuple[Callable[[], nn.Module], float, Shapes, Denoise, tuple[int, ...]]] = [
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
    build: Callable[[], nn.Module],
    millions: float,
    shapes: Shapes,
    denoise: Denoise,
    shape: tuple[int, ...],
) -> None:
    model = on_meta(build)
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
