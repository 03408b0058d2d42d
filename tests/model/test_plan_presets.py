"""What the presets take at full size, and how they are placed on cards that people have.

Parts are on the meta device, in the sizes of the published checkpoints (their ``config.json``).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
import transformers as tf
from safetensors.torch import save_file

from heliograph.model.checkpoint import write_json
from heliograph.model.compose import Parts, input_projection
from heliograph.model.conditions import SEQUENCE
from heliograph.model.decoders.adapter import DiffusionDecoder
from heliograph.model.decoders.outline import outline
from heliograph.model.decoders.testing import small_scheduler, small_tokenizer
from heliograph.model.dialects import DEFAULT_SPECS, HELIOGRAPH
from heliograph.model.encoders import Encoder
from heliograph.model.encoders.config import ImageBindConfig
from heliograph.model.encoders.pooled import PooledEncoder
from heliograph.model.encoders.published import PublishedImageBind
from heliograph.model.encoders.transformers import TransformersEncoder
from heliograph.model.errors import TooLittleMemory
from heliograph.model.needs import decoder_need, encoder_need, language_need
from heliograph.model.parts import MODALITIES, Modality
from heliograph.model.plan import GB, PROJECTIONS, Memory, Need, plan
from heliograph.model.presets import nextgpt_7b, open_7b, open_small
from heliograph.model.primer import weights_dir
from heliograph.model.projections import OutputProjection
from heliograph.model.quiet import quiet
from heliograph.model.referenced import ROWS_FILE
from heliograph.model.sources import Source
from heliograph.model.training.alignment import memory
from heliograph.model.training.alignment.settings import Settings

SIDE = {"block_out_channels": (128, 256, 512, 512), "layers_per_block": 2}
CLIP_L = {"hidden_size": 768, "intermediate_size": 3072, "num_attention_heads": 12}
CLIP_H = {
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_hidden_layers": 23,
    "num_attention_heads": 16,
}
XXL = {
    "d_model": 4096,
    "d_kv": 64,
    "d_ff": 10240,
    "num_layers": 24,
    "num_heads": 64,
    "feed_forward_proj": "gated-gelu",
}


def autoencoder(channels: int = 3, **sizes: Any) -> Any:
    sizes = SIDE | sizes
    halvings = len(sizes["block_out_channels"])
    return diffusers.AutoencoderKL(
        in_channels=channels,
        out_channels=channels,
        down_block_types=("DownEncoderBlock2D",) * halvings,
        up_block_types=("UpDecoderBlock2D",) * halvings,
        **sizes,
    )


def sd15() -> Any:
    return diffusers.StableDiffusionPipeline(
        vae=autoencoder(),
        text_encoder=tf.CLIPTextModel(tf.CLIPTextConfig(**CLIP_L)),
        tokenizer=small_tokenizer(),
        unet=diffusers.UNet2DConditionModel(
            sample_size=64, cross_attention_dim=768, attention_head_dim=8
        ),
        scheduler=small_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def audioldm_l() -> Any:
    widths = (256, 512, 768, 1280)
    return diffusers.AudioLDMPipeline(
        vae=autoencoder(1, block_out_channels=(128, 256, 512), latent_channels=8),
        text_encoder=tf.ClapTextModelWithProjection(tf.ClapTextConfig()),
        tokenizer=small_tokenizer(),
        unet=diffusers.UNet2DConditionModel(
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
        ),
        scheduler=small_scheduler(),
        vocoder=tf.SpeechT5HifiGan(
            tf.SpeechT5HifiGanConfig(
                model_in_dim=64,
                upsample_initial_channel=1024,
                upsample_rates=[5, 4, 2, 2, 2],
                upsample_kernel_sizes=[16, 16, 8, 4, 4],
            )
        ),
    )


def zeroscope() -> Any:
    return diffusers.TextToVideoSDPipeline(
        vae=autoencoder(),
        text_encoder=tf.CLIPTextModel(tf.CLIPTextConfig(**CLIP_H)),
        tokenizer=small_tokenizer(),
        unet=diffusers.UNet3DConditionModel(
            sample_size=32, cross_attention_dim=1024, attention_head_dim=64
        ),
        scheduler=small_scheduler(),
    )


def flux_schnell() -> Any:
    return diffusers.FluxPipeline(
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(),
        vae=autoencoder(latent_channels=16, shift_factor=0.1),
        text_encoder=tf.CLIPTextModel(tf.CLIPTextConfig(**CLIP_L)),
        tokenizer=small_tokenizer(),
        text_encoder_2=tf.T5EncoderModel(tf.T5Config(vocab_size=32128, **XXL)),
        tokenizer_2=small_tokenizer(),
        transformer=diffusers.FluxTransformer2DModel(),  # its defaults are FLUX.1-schnell's
    )


def wan_13b() -> Any:
    return diffusers.WanPipeline(
        tokenizer=small_tokenizer(),
        text_encoder=tf.UMT5EncoderModel(tf.UMT5Config(vocab_size=256384, **XXL)),
        vae=diffusers.AutoencoderKLWan(),
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(),
        transformer=diffusers.WanTransformer3DModel(
            num_attention_heads=12, num_layers=30, ffn_dim=8960
        ),
    )


def vicuna_7b() -> Any:
    return tf.LlamaForCausalLM(tf.LlamaConfig(vocab_size=32001, max_position_embeddings=2048))


def qwen25_7b() -> Any:
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


def qwen3_06b() -> Any:
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


def siglip(side: int = 224, **sizes: int) -> Encoder:
    vision = sizes | ({"image_size": side, "patch_size": 14} if sizes else {})
    config = tf.SiglipConfig(text_config=dict(sizes), vision_config=vision)
    processor = tf.SiglipImageProcessorPil(size={"height": side, "width": side})
    return TransformersEncoder(tf.SiglipModel(config), processor)


def so400m() -> Encoder:
    return siglip(
        384,
        hidden_size=1152,
        intermediate_size=4304,
        num_hidden_layers=27,
        num_attention_heads=16,
    )


def clap() -> Encoder:
    extractor = tf.ClapFeatureExtractor(truncation="rand_trunc")
    return TransformersEncoder(tf.ClapModel(tf.ClapConfig()), extractor)


def on_meta(build: Callable[[], Any]) -> Any:
    with torch.device("meta"), quiet("diffusers"):
        return build()


def decoder(build: Callable[[], Any]) -> DiffusionDecoder:
    return DiffusionDecoder(on_meta(build))


def primers(modality: Modality) -> DiffusionDecoder:
    return outline(weights_dir() / "decoders" / modality)


@cache
def preset(name: str) -> tuple[Need, ...]:
    """The needs of a preset's parts; of the open small one without the primer's films."""
    parts, language, encoders, decoders = {
        "nextgpt-7b": lambda: (
            nextgpt_7b(),
            vicuna_7b,
            {MODALITIES: imagebind_huge},
            {"image": decoder(sd15), "audio": decoder(audioldm_l), "video": decoder(zeroscope)},
        ),
        "open-7b": lambda: (
            open_7b(),
            qwen25_7b,
            {("image", "video"): so400m, ("audio",): clap},
            {
                "image": decoder(flux_schnell),
                "audio": primers("audio"),
                "video": decoder(wan_13b),
            },
        ),
        "open-small": lambda: (
            open_small(),
            qwen3_06b,
            {("image", "video"): siglip, ("audio",): clap},
            {m: primers(m) for m in ("image", "audio")},
        ),
    }[name]()
    model = on_meta(language)
    width = model.config.hidden_size
    found, count = [language_need(model)], 0
    for modalities, build in encoders.items():
        encoder = on_meta(build)
        found.append(encoder_need(build.__name__, encoder, modalities))
        count += sum(_projection(parts, encoder, m, width) for m in modalities)
    for modality, made in decoders.items():
        found.append(decoder_need(modality, made, type(made.pipeline).__name__))
        spec = next(spec for spec in DEFAULT_SPECS if spec.modality == modality)
        shapes = made.condition_shapes
        count += _count(on_meta(lambda: OutputProjection.for_shapes(width, shapes, spec.count)))  # noqa: B023
    return (found[0], Need(PROJECTIONS, "projections", count), *found[1:])


def _projection(parts: Parts, encoder: Encoder, modality: Modality, width: int) -> int:
    return _count(on_meta(lambda: input_projection(parts, encoder, modality, width)))


def _count(module: Any) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


TURNS = ("decoders in turn", "encoders in turn")
INT8, NF4 = "the language model in int8", "the language model in 4 bits"
IMAGE, VIDEO = "decoders/image on the processor", "decoders/video on the processor"
OFF = ("language on the processor", "projections on the processor")


@pytest.mark.parametrize(
    ("name", "concessions"),
    [
        ("open-small", dict.fromkeys((8, 12, 16, 24, 48, 80), ())),
        (
            "nextgpt-7b",
            {
                8: (*TURNS, NF4, VIDEO),
                12: (*TURNS, NF4),
                16: (*TURNS, INT8),
                24: TURNS[:1],
                48: (),
                80: (),
            },
        ),
        (
            "open-7b",
            {
                8: (*OFF, IMAGE, VIDEO),
                12: (NF4, IMAGE, VIDEO),
                16: (INT8, IMAGE, VIDEO),
                24: (IMAGE, VIDEO),
                48: (*TURNS, INT8),
                80: (),
            },
        ),
    ],
)
def test_presets_on_cards_that_people_have(
    name: str, concessions: dict[int, tuple[str, ...]]
) -> None:
    for gpu, expected in concessions.items():
        found = plan(preset(name), Memory(256 * GB, (gpu * GB,)))
        assert (gpu, found.concessions) == (gpu, expected)
        (peak,) = found.gpu_peaks
        assert peak <= 0.9 * gpu * GB or gpu * GB - peak >= 2 * GB


def test_presets_on_two_cards() -> None:
    spread = "the language model over 2 GPUs"
    for name, gpu, expected in (
        ("nextgpt-7b", 12, (*TURNS, spread)),
        ("nextgpt-7b", 16, (spread,)),
        ("nextgpt-7b", 24, ()),
        ("open-7b", 48, ()),
    ):
        found = plan(preset(name), Memory(256 * GB, (gpu * GB, gpu * GB)))
        assert found.concessions == expected
        assert all(p <= u for p, u in zip(found.gpu_peaks, found.memory.usable, strict=True))


def test_presets_without_a_gpu() -> None:
    small, nextgpt, large = map(preset, ("open-small", "nextgpt-7b", "open-7b"))
    assert plan(small, Memory(12 * GB)).concessions == ()
    assert plan(nextgpt, Memory(64 * GB)).concessions == ()
    assert plan(nextgpt, Memory(32 * GB)).concessions == ("everything in 16 bits",)
    with pytest.raises(TooLittleMemory, match=r"takes 75\.9 GB of memory where 64\.0 GB"):
        plan(large, Memory(64 * GB))


def test_parameters_are_those_of_the_published_checkpoints() -> None:
    millions = {need.part: need.parameters // 10**6 for need in preset("open-7b")}
    assert millions["language"] == 7615 and millions["encoders/so400m"] == 877
    assert millions["decoders/image"] == 16860  # Flux 11,891, T5 4,762, CLIP 123, VAE 84


@pytest.fixture(scope="module")
def composed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What counting reads of the core that the preset ``nextgpt-7b`` composes: its headers.

    Files have the published shapes, and holes in the place of numbers.
    """
    core = tmp_path_factory.mktemp("cores") / "nextgpt-7b"
    base, model = core.with_name("vicuna-7b-v0"), on_meta(vicuna_7b)
    model.config.save_pretrained(base)
    hollow(base / "model.safetensors", model.state_dict())
    parts, encoder, state = nextgpt_7b(), on_meta(imagebind_huge), {}
    for modality in MODALITIES:
        entrance = on_meta(lambda: input_projection(parts, encoder, modality, 4096))  # noqa: B023
        state |= {f"inputs.{modality}.{n}": x for n, x in entrance.state_dict().items()}
    for spec in DEFAULT_SPECS:
        shape = {"image": (77, 768), "audio": (1, 512), "video": (77, 1024)}[spec.modality]
        leaving = on_meta(
            lambda: OutputProjection.for_shapes(4096, {SEQUENCE: shape}, spec.count)  # noqa: B023
        )
        state |= {f"outputs.{spec.modality}.{n}": x for n, x in leaving.state_dict().items()}
    hollow(core / "projections.safetensors", state)
    ids = torch.arange(32_001, 32_001 + len(HELIOGRAPH.tokens(DEFAULT_SPECS)))
    rows = torch.zeros(len(ids), 4096, dtype=torch.float16)
    (core / "language").mkdir()
    save_file({"ids": ids, "embedding": rows, "head": rows.clone()}, core / "language" / ROWS_FILE)
    source = Source(path=str(base), sha256="0" * 64).to_dict()
    signals = {spec.modality: spec.count for spec in DEFAULT_SPECS}
    config = {"encoders": {}, "decoders": [], "signals": signals, "sources": {"language": source}}
    write_json(core / "config.json", config)
    return core


def hollow(path: Path, state: Mapping[str, torch.Tensor]) -> None:
    """A safetensors file of such shapes in half precision, of which only the header takes room."""
    entries, end = {}, 0
    for name, tensor in state.items():
        start, end = end, end + 2 * tensor.numel()
        shape = list(tensor.shape)
        entries[name] = {"dtype": "F16", "shape": shape, "data_offsets": [start, end]}
    header = json.dumps(entries).encode()
    path.parent.mkdir(exist_ok=True)
    with path.open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        file.truncate(8 + len(header) + end)


# Input projections: three linear layers of 1024 x 4096 weights and 4096 biases.
ENTRANCES = 3 * (1024 * 4096 + 4096)
# A Transformer 512 wide: four layers of attention and a network of 2048, four of attention to
# itself, to what was read and the same network, a norm before each of these and after each four.
ATTENTION, NETWORK, NORM = 4 * (512 * 512 + 512), 2 * 512 * 2048 + 2048 + 512, 2 * 512
READING, WRITING = ATTENTION + NETWORK + 2 * NORM, 2 * ATTENTION + NETWORK + 3 * NORM
TRANSFORMER = 4 * READING + 4 * WRITING + 2 * NORM
# Output projections: a linear layer from 4096 to 512, the Transformer, a query for each token of
# the condition (77 for pictures and films, 1 for sounds), and a linear layer to its width.
EXITS = 3 * (4096 * 512 + 512 + TRANSFORMER) + sum(
    tokens * 512 + 512 * width + width for tokens, width in ((77, 768), (1, 512), (77, 1024))
)
# Rows of 43 tokens (4 + 8 + 24 signals, 7 markers) in embedding and head.
ROWS = 43 * 4096 * 2
# Matrices of 32 x 4096 and 4096 x 32 at four places of 32 layers: 33 M, as in table 1 of the paper.
LORA = 32 * 4 * (32 * 4096 + 4096 * 32)
LLAMA = 6_738_415_616  # of LLaMA-7B, which has rows for 32,000 tokens; Vicuna v0 has one more


@pytest.mark.parametrize(
    ("stage", "trained", "share", "of_all"),
    [
        ("encode", {"input projections": ENTRANCES}, "0.18%", "0.11%"),
        ("decode", {"new rows": ROWS, "output projections": EXITS}, "1.40%", "0.82%"),
        (
            "instruct",
            {
                "LoRA": LORA,
                "new rows": ROWS,
                "input projections": ENTRANCES,
                "output projections": EXITS,
            },
            "2.07%",
            "1.20%",
        ),
    ],
)
def test_what_each_stage_of_nextgpt_trains(
    stage: str, trained: dict[str, int], share: str, of_all: str, composed: Path
) -> None:
    """What a dry run prints: the share of what a run holds, which is neither encoders nor decoders.

    With these it is the "only 1 %" of table 1 of Wu et al. 2023 (arXiv 2309.05519).
    """
    settings = Settings(stage, composed, composed, composed, composed.with_name("run"))
    parts = memory.parts(settings)
    assert {part.name: part.trained for part in parts if part.trained} == trained
    frozen = {part.name: part.numbers for part in parts if part.name not in trained}
    assert frozen.pop("language model") == LLAMA + 2 * 4096 + ROWS
    assert frozen.items() <= {"input projections": ENTRANCES, "output projections": EXITS}.items()
    total = sum(trained.values())
    assert f"{total / sum(part.numbers for part in parts):.2%}" == share
    beside = [need.parameters for need in preset("nextgpt-7b") if "/" in need.part]
    whole = sum(part.numbers for part in parts) + sum(beside)
    assert f"{total / whole:.2%}" == of_all
