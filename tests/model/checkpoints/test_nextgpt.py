"""The parts of a NExT-GPT checkpoint: the same numbers as the published modules give."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from heliograph.model.checkpoints.language import lora_of
from heliograph.model.checkpoints.layouts import LEGACY, layout_of
from heliograph.model.checkpoints.nextgpt import imagebind, input_projection, output_projection
from heliograph.model.encoders.config import ImageBindConfig
from heliograph.model.errors import InputError, WeightsError
from heliograph.model.parts import Modality

from . import published
from .published import SIZES, Projector, under

WIDTH = 40
CONDITIONS: dict[Modality, tuple[int, int, int]] = {
    "image": (4, 77, 768),
    "video": (24, 77, 1024),
    "audio": (8, 1, 512),
}
HEAD_NAMES: dict[Modality, str] = {"image": "img", "video": "vid", "audio": "aud"}
LEGACY_NAMES: dict[Modality, str] = {"image": "", "video": "_video", "audio": "_audio"}


@pytest.fixture(autouse=True)
def no_gradients() -> Iterator[None]:
    torch.manual_seed(0)
    with torch.no_grad():
        yield


def close(ours: Tensor, theirs: Tensor) -> None:
    assert ours.shape == theirs.shape
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=0)


# --- ImageBind -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def theirs() -> published.ImageBind:
    torch.manual_seed(1)
    return published.ImageBind(SIZES).eval()


def inputs() -> dict[str, Tensor]:
    return {
        "image": torch.randn(2, 3, 224, 224),
        "video": torch.randn(2, 3, 3, 2, 224, 224),
        "audio": torch.randn(2, 3, 1, 128, 204),
        "text": torch.randint(0, 49408, (3, 77)),
    }


@pytest.mark.parametrize("prefix", ["", "visual_encoder."])
def test_imagebinds_vectors_are_the_published_ones(
    theirs: published.ImageBind, prefix: str
) -> None:
    others = {"llama_proj.weight": torch.zeros(2, 2)}
    ours = imagebind(under(prefix, theirs) | others, prefix, **SIZES)
    for modality, x in inputs().items():
        close(ours.pooled(modality, x), theirs.final(modality, x))
    ours.scaled = False
    heard = inputs()["audio"]
    close(ours.pooled("audio", heard), theirs.final("audio", heard, scaled=False))


def test_imagebinds_patches_are_those_of_the_second_version(theirs: published.ImageBind) -> None:
    ours = imagebind(theirs.state_dict(), **SIZES)
    for modality in ours.modalities:
        x = inputs()[modality]
        close(ours.patches(modality, x), theirs.patches(modality, x))
        shape = ours.patches(modality, x).shape[1:]
        assert shape == (ours.tokens(modality), ours.width(modality))


def test_a_learned_scale_ends_at_a_hundred(theirs: published.ImageBind) -> None:
    name = "modality_postprocessors.text.1.log_logit_scale"
    ours = imagebind({**theirs.state_dict(), name: torch.tensor(9.0)}, **SIZES)
    lengths = ours.pooled("text", inputs()["text"]).norm(dim=-1)
    torch.testing.assert_close(lengths, torch.full((3,), 100.0))


def test_sizes_that_no_tensor_tells_are_those_of_imagebind_huge(
    theirs: published.ImageBind,
) -> None:
    ours = imagebind(theirs.state_dict(), audio_stride=SIZES["audio_stride"])
    assert ours.config == imagebind(theirs.state_dict(), **SIZES).config
    with pytest.raises(WeightsError, match="don't fit"):
        imagebind(theirs.state_dict())  # the stride of ImageBind-Huge is another one
    with torch.device("meta"):
        text = nn.Embedding(49408, 1024).weight
    huge = {"modality_preprocessors.text.token_embedding.weight": text}
    with pytest.raises(WeightsError, match=r"lack modality_preprocessors\.vision"):
        imagebind(huge)


def test_a_size_of_another_name_is_refused(theirs: published.ImageBind) -> None:
    with pytest.raises(InputError, match="no size 'vision_width'"):
        imagebind(theirs.state_dict(), vision_width=32)
    with pytest.raises(WeightsError, match="two frames deep"):
        imagebind(theirs.state_dict(), **SIZES | {"video_frames": 4})
    with pytest.raises(WeightsError, match="don't fit"):
        imagebind(theirs.state_dict(), **SIZES | {"vision_num_blocks": 4})


# --- output projections ----------------------------------------------------------------------


def named(modality: Modality, layout: str) -> str:
    if layout == "legacy":
        return f"gen_text_hidden_fcs{LEGACY_NAMES[modality]}.0."
    return f"model.mm_output_{HEAD_NAMES[modality]}_projector."


@pytest.mark.parametrize("layout", ["legacy", "head"])
@pytest.mark.parametrize("wrapped", ["", "module.", "base_model.model."])
def test_output_projections_give_the_published_conditions(layout: str, wrapped: str) -> None:
    state: dict[str, Tensor] = {}
    projectors = {m: Projector(WIDTH, c[1], c[2], layout).eval() for m, c in CONDITIONS.items()}
    for modality, projector in projectors.items():
        state |= under(wrapped + named(modality, layout), projector)
    for modality, (run, tokens, width) in CONDITIONS.items():
        ours = output_projection(state, modality)
        # In the second version a run is read with the separators between its tokens.
        for length in (run, 2 * run - 1):
            hidden, embeddings = torch.randn(2, 3, length, WIDTH)
            condition = ours(hidden, embeddings)
            assert condition.shape == (3, tokens, width)
            close(condition, projectors[modality](hidden, embeddings))


def test_other_depths_and_widths_are_read_from_the_tensors() -> None:
    projector = Projector(WIDTH, 5, 12, "legacy", hidden=16).eval()
    state = under(named("image", "legacy"), projector)
    hidden, embeddings = torch.randn(2, 2, 4, WIDTH)
    half = {name: tensor.half() for name, tensor in state.items()}
    close(output_projection(state, "image")(hidden, embeddings), projector(hidden, embeddings))
    assert output_projection(half, "image")(hidden, embeddings).dtype == torch.float32


def test_output_projections_of_other_kinds_are_refused_by_name() -> None:
    state = under(named("image", "legacy"), Projector(WIDTH, 5, 12, "legacy", hidden=16))
    with pytest.raises(WeightsError, match="no output projection for sounds"):
        output_projection(state, "audio")
    with pytest.raises(WeightsError, match="more than one layer"):
        output_projection(state | {"gen_text_hidden_fcs.1.fc.bias": torch.zeros(16)}, "image")
    former = {"gen_text_hidden_fcs.0.Qformer.bert.x": torch.zeros(1)}
    with pytest.raises(WeightsError, match=r"not of the transformer kind.*Qformer\.bert\.x"):
        output_projection(state | former, "image")
    linear = {"model.mm_output_img_projector.weight": torch.zeros(2, 2)}
    with pytest.raises(WeightsError, match="not of the transformer kind: it has weight"):
        output_projection(linear, "image")
    broken = {**state, "gen_text_hidden_fcs.0.fc.bias": torch.zeros(3)}
    with pytest.raises(WeightsError, match="doesn't fit its sizes"):
        output_projection(broken, "image")


# --- input projections -------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["llama_proj.", "module.llama_proj.", "model.mm_input_projector."])
def test_a_linear_input_projection(name: str) -> None:
    linear = nn.Linear(20, WIDTH)
    ours = input_projection(under(name, linear), tokens=7)
    x = torch.randn(2, 7, 20)
    close(ours(x), linear(x))
    assert (ours.config.kind, ours.config.out_tokens, ours.config.llm_width) == ("linear", 7, WIDTH)


def test_an_input_projection_of_two_layers() -> None:
    layers = nn.Sequential(nn.Linear(20, WIDTH), nn.GELU(), nn.Linear(WIDTH, WIDTH))
    ours = input_projection(under("model.mm_input_projector.layer.", layers))
    x = torch.randn(2, 7, 20)
    close(ours(x), layers(x))


@pytest.mark.parametrize("stages", [[(2, 16, 16), (1, 8, 8), (1, 0, 0)], [(1, 5, 3), (2, 0, 0)]])
def test_a_grouping_input_projection(stages: list[tuple[int, int, int]]) -> None:
    state = published.grouping_shapes(20, WIDTH, stages)
    ours = input_projection(under("model.mm_input_projector.", state), tokens=30)
    x = torch.randn(2, 30, 20)
    close(ours(x), published.grouped(state, x, stages))
    assert ours.config.out_tokens == stages[-2][2] == ours(x).shape[1]
    again = type(ours.config)(**json.loads(json.dumps(asdict(ours.config)))).build().eval()
    again.load_state_dict(ours.state_dict())
    assert torch.equal(again(x), ours(x))


def test_a_grouping_learns() -> None:
    state = published.grouping_shapes(20, WIDTH, [(1, 5, 3), (1, 0, 0)])
    ours = input_projection(under("mm_input_projector.", state)).train()
    with torch.enable_grad():
        ours(torch.randn(4, 30, 20)).square().mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in ours.parameters())
    assert ours.get_parameter("layers.0.downsample.assign.q_proj.weight").grad.abs().sum() > 0


def test_other_input_projections_are_refused_by_name() -> None:
    with pytest.raises(WeightsError, match="neither llama_proj nor mm_input_projector"):
        input_projection({"llama_projection.weight": torch.zeros(2, 2)})
    grouping = {"model.mm_input_projector.in_fc.weight": torch.zeros(2, 2)}
    with pytest.raises(WeightsError, match=r"isn't read, with in_fc\.weight"):
        input_projection(grouping)


# --- the published sizes -----------------------------------------------------------------------

HUGE = SIZES | {
    "kernel_size": (2, 14, 14),
    "audio_stride": 10,
    "out_embed_dim": 1024,
    "vision_embed_dim": 1280,
    "vision_num_blocks": 32,
    "audio_embed_dim": 768,
    "audio_num_blocks": 12,
    "text_embed_dim": 1024,
    "text_num_blocks": 24,
    "text_num_heads": 16,
}
"""Of ``imagebind_huge()`` in ImageBind's code."""


def numbers(state: Mapping[str, Tensor]) -> int:
    return sum(tensor.numel() for tensor in state.values())


def test_the_released_checkpoint_becomes_modules_of_the_published_sizes() -> None:
    """Shapes of the first version's ``pytorch_model.pt``, which is 7b_tiva_v0, on the meta device.

    Parameters as in table 1 of Wu et al. 2023 (arXiv 2309.05519), which cuts them off: 4 M of the
    linear layer, 31, 32 and 31 M of the Transformers, 33 M of LoRA.
    """
    vocabulary, width, layers, rank = 32_000 + 38, 4096, 32, 32
    with torch.device("meta"):
        state = under("llama_proj.", nn.Linear(1024, width))
        for modality, (_, tokens, out) in CONDITIONS.items():
            state |= under(named(modality, "legacy"), Projector(width, tokens, out, "legacy"))
        base = "llama_model.base_model.model."
        for name in ("model.embed_tokens.weight", "lm_head.weight"):
            state[base + name] = torch.empty(vocabulary, width)
        for i, name in itertools.product(range(layers), "qkvo"):
            at = f"{base}model.layers.{i}.self_attn.{name}_proj.lora_"
            state[f"{at}A.default.weight"] = torch.empty(rank, width)
            state[f"{at}B.default.weight"] = torch.empty(width, rank)
        projection = input_projection(state)
        outputs = {modality: output_projection(state, modality) for modality in CONDITIONS}
    assert layout_of(state) is LEGACY
    assert projection(torch.empty(1, 1, 1024, device="meta")).shape == (1, 1, width)
    assert numbers(projection.state_dict()) == 1024 * 4096 + 4096 == 4_198_400
    exact = {"image": 31_958_784, "video": 32_090_112, "audio": 31_788_544}
    for modality, (run, tokens, out) in CONDITIONS.items():
        hidden, embeddings = torch.empty(2, 1, run, width, device="meta")
        assert outputs[modality](hidden, embeddings).shape == (1, tokens, out)
        assert numbers(outputs[modality].state_dict()) == exact[modality]
    lora = lora_of(state, Path("nowhere"))
    assert lora is not None and (lora.r, lora.alpha, lora.stable) == (32, 32, False)
    assert lora.targets == ("k_proj", "o_proj", "q_proj", "v_proj")
    assert numbers(lora.state) == 32 * 4 * 32 * (4096 + 4096) == 33_554_432


def test_the_published_imagebind_becomes_an_encoder_of_its_sizes() -> None:
    """Parameters of the blocks as in section 4 of Girdhar et al. 2023 (arXiv 2305.05665)."""
    with torch.device("meta"):
        ours = imagebind(published.ImageBind(HUGE).state_dict())
    huge = ImageBindConfig.huge()
    assert ours.config == replace(huge, vision=replace(huge.vision, crops=3))
    shapes = {
        "image": (1, 3, 224, 224),
        "video": (1, 15, 3, 2, 224, 224),
        "audio": (1, 3, 1, 128, 204),
    }
    for modality in ours.modalities:
        x = torch.empty(shapes[modality], device="meta")
        assert ours.pooled(modality, x).shape == (1, 1024)
        patches = {"image": 256, "video": 256, "audio": 228}[modality]
        assert ours.patches(modality, x).shape == (1, patches, 1024)
    state = ours.state_dict()
    for branch, millions in (("vision", 630), ("text", 302)):
        blocks = {n: t for n, t in state.items() if f"modality_trunks.{branch}.blocks" in n}
        assert round(numbers(blocks) / 1e6) == millions
