"""ImageBind against its published layout and torch's own layers, and the files of encoders."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from heliograph.model.encoders import Encoder, load_encoder
from heliograph.model.encoders.config import AudioConfig, ImageBindConfig, TextConfig, VisionConfig
from heliograph.model.encoders.imagebind import ImageBind
from heliograph.model.encoders.layers import Attention, Trunk
from heliograph.model.encoders.pooled import PooledEncoder
from heliograph.model.encoders.preprocess import log_mel, prepare_sound, stack
from heliograph.model.encoders.published import PublishedImageBind
from heliograph.model.errors import WeightsError
from heliograph.model.media import Film, Image, Sound

SMALL = ImageBindConfig(
    vision=VisionConfig(24, 2, 3, size=32, patch=8, clips=3, clip_seconds=None),
    audio=AudioConfig(16, 2, 2, mel_bins=32, frames=52, kernel=8, stride=6, hop_ms=40.0),
    text=TextConfig(16, 2, 2, context=8, vocabulary=50, start=None, end=3),
    joint=12,
)


@pytest.fixture(scope="module")
def small() -> ImageBind:
    torch.manual_seed(0)
    return ImageBind(SMALL).eval()


@pytest.fixture(autouse=True)
def no_gradients() -> Iterator[None]:
    with torch.no_grad():
        yield


def picture(seed: int = 0, height: int = 40, width: int = 60) -> Image:
    rng = np.random.default_rng(seed)
    return Image(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))


def film(frames: int = 6, fps: float = 8.0) -> Film:
    rng = np.random.default_rng(1)
    return Film(rng.integers(0, 256, (frames, 32, 32, 3), dtype=np.uint8), fps)


def sound(seconds: float = 2.0, rate: int = 16_000) -> Sound:
    rng = np.random.default_rng(2)
    samples = rng.normal(0, 0.1, round(seconds * rate)).clip(-1, 1)
    return Sound(samples.astype(np.float32), rate)


# --- the transformer -----------------------------------------------------------------------


@pytest.mark.parametrize("bias_kv", [False, True])
@pytest.mark.parametrize("causal", [False, True])
def test_attention_is_torchs_attention(bias_kv: bool, causal: bool) -> None:
    torch.manual_seed(0)
    theirs = nn.MultiheadAttention(24, 3, add_bias_kv=bias_kv, batch_first=True).eval()
    ours = Attention(24, 3, bias_kv)
    ours.load_state_dict(theirs.state_dict(), strict=True)
    x = torch.randn(2, 7, 24)
    mask = torch.full((7, 7), -torch.inf).triu(1) if causal else None
    padded = mask if mask is None or not bias_kv else nn.functional.pad(mask, (0, 1))
    expected, _ = theirs(x, x, x, attn_mask=mask, need_weights=False)
    torch.testing.assert_close(ours(x, padded), expected)


def test_a_trunk_is_a_prenorm_transformer() -> None:
    torch.manual_seed(0)
    trunk = Trunk(24, 1, 3).eval()
    layer = nn.TransformerEncoderLayer(
        24, 3, 96, 0.0, "gelu", layer_norm_eps=1e-6, batch_first=True, norm_first=True
    ).eval()
    block = trunk.blocks[0]
    layer.self_attn.load_state_dict(block.attn.state_dict())
    for theirs, ours in (
        (layer.norm1, block.norm_1),
        (layer.norm2, block.norm_2),
        (layer.linear1, block.mlp.fc1),
        (layer.linear2, block.mlp.fc2),
    ):
        theirs.load_state_dict(ours.state_dict())
    x = torch.randn(2, 5, 24)
    torch.testing.assert_close(trunk(x), layer(x))


def test_drop_path_drops_only_while_training() -> None:
    torch.manual_seed(0)
    trunk = Trunk(8, 2, 2, drop_path=0.9)
    x = torch.randn(64, 3, 8)
    first = trunk.eval()(x)
    assert torch.equal(first, trunk(x))
    assert not torch.equal(first, trunk.train()(x))
    assert [block.drop_path for block in trunk.blocks] == [0.0, 0.9]


# --- the published layout ------------------------------------------------------------------


def published_shapes() -> dict[str, tuple[int, ...]]:
    """Names and shapes of ``imagebind_huge.pth``, without depth, thermal and IMU."""
    shapes: dict[str, tuple[int, ...]] = {}
    for branch, width, blocks in (("vision", 1280, 32), ("text", 1024, 24), ("audio", 768, 12)):
        for i in range(blocks):
            block = {
                "norm_1.weight": (width,),
                "norm_1.bias": (width,),
                "attn.in_proj_weight": (3 * width, width),
                "attn.in_proj_bias": (3 * width,),
                "attn.out_proj.weight": (width, width),
                "attn.out_proj.bias": (width,),
                "norm_2.weight": (width,),
                "norm_2.bias": (width,),
                "mlp.fc1.weight": (4 * width, width),
                "mlp.fc1.bias": (4 * width,),
                "mlp.fc2.weight": (width, 4 * width),
                "mlp.fc2.bias": (width,),
            }
            if branch == "audio":
                block |= {"attn.bias_k": (1, 1, width), "attn.bias_v": (1, 1, width)}
            for name, shape in block.items():
                shapes[f"modality_trunks.{branch}.blocks.{i}.{name}"] = shape
    vision, text, audio = (f"modality_preprocessors.{b}." for b in ("vision", "text", "audio"))
    return shapes | {
        vision + "cls_token": (1, 1, 1280),
        vision + "rgbt_stem.proj.1.weight": (1280, 3, 2, 14, 14),
        vision + "pos_embedding_helper.pos_embed": (1, 257, 1280),
        text + "pos_embed": (1, 77, 1024),
        text + "mask": (77, 77),
        text + "token_embedding.weight": (49408, 1024),
        audio + "cls_token": (1, 1, 768),
        audio + "rgbt_stem.proj.weight": (768, 1, 16, 16),
        audio + "rgbt_stem.norm_layer.weight": (768,),
        audio + "rgbt_stem.norm_layer.bias": (768,),
        audio + "pos_embedding_helper.pos_embed": (1, 229, 768),
        "modality_trunks.vision.pre_transformer_layer.0.weight": (1280,),
        "modality_trunks.vision.pre_transformer_layer.0.bias": (1280,),
        "modality_heads.vision.0.weight": (1280,),
        "modality_heads.vision.0.bias": (1280,),
        "modality_heads.vision.2.weight": (1024, 1280),
        "modality_heads.text.proj.0.weight": (1024,),
        "modality_heads.text.proj.0.bias": (1024,),
        "modality_heads.text.proj.1.weight": (1024, 1024),
        "modality_heads.audio.0.weight": (768,),
        "modality_heads.audio.0.bias": (768,),
        "modality_heads.audio.2.weight": (1024, 768),
        "modality_postprocessors.text.1.log_logit_scale": (),
        "modality_postprocessors.audio.1.log_logit_scale": (),
    }


def test_huge_has_the_published_names_and_shapes() -> None:
    with torch.device("meta"):
        model = ImageBind(ImageBindConfig.huge())
    assert {n: tuple(x.shape) for n, x in model.state_dict().items()} == published_shapes()
    assert sum(p.numel() for p in model.parameters()) == 1_073_097_729
    assert [model.tokens(m) for m in model.modalities] == [256, 228, 1280]
    assert [model.width(m) for m in model.modalities] == [1280, 768, 1280]


def test_a_published_file_loads_without_its_other_branches(
    small: ImageBind, tmp_path: Path
) -> None:
    others = {
        "modality_preprocessors.depth.cls_token": torch.zeros(1, 1, 4),
        "modality_trunks.thermal.blocks.0.norm_1.weight": torch.zeros(4),
        "modality_heads.imu.3.weight": torch.zeros(4, 4),
    }
    file = tmp_path / "imagebind.pth"
    torch.save(small.state_dict() | others, file)
    loaded = ImageBind.from_published(file, SMALL)
    x = small.prepare(picture()).unsqueeze(0)
    torch.testing.assert_close(loaded.pooled("image", x), small.pooled("image", x))

    torch.save(small.state_dict() | {"modality_heads.smell.0.weight": torch.zeros(4)}, file)
    with pytest.raises(WeightsError, match="smell"):
        ImageBind.from_published(file, SMALL)
    file.write_bytes(b"not weights")
    with pytest.raises(WeightsError, match="can't be read"):
        ImageBind.from_published(file, SMALL)


def test_a_published_file_runs_no_code(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, ...]:
            return os.mkdir, (str(tmp_path / "ran"),)

    torch.save({"modality_heads.vision.0.weight": Trap()}, tmp_path / "trap.pth")
    with pytest.raises(WeightsError):
        ImageBind.from_published(tmp_path / "trap.pth", SMALL)
    assert not (tmp_path / "ran").exists()


def test_published_scales_and_lengths(tmp_path: Path) -> None:
    published = PublishedImageBind(SMALL).eval()
    inputs: dict[str, torch.Tensor] = {
        "text": torch.tensor([[5, 6, 9, 0], [7, 9, 0, 0]]),
        "audio": published.prepare(sound()).unsqueeze(0),
        "image": published.prepare(picture()).unsqueeze(0),
    }

    def lengths(model: PublishedImageBind) -> dict[str, float]:
        return {name: model.pooled(name, x).norm(dim=-1)[0].item() for name, x in inputs.items()}

    scaled = {"text": 1 / 0.07, "audio": 20.0, "image": 1.0}
    assert lengths(published) == pytest.approx(scaled, rel=1e-5)
    assert published.logit_scale.item() == pytest.approx(1 / 0.07, rel=1e-5)
    published.scaled = False
    published.save_pretrained(tmp_path)
    again = load_encoder(tmp_path)
    assert isinstance(again, PublishedImageBind) and isinstance(again, Encoder)
    assert lengths(again) == pytest.approx(dict.fromkeys(scaled, 1.0), rel=1e-5)


# --- vision --------------------------------------------------------------------------------


def test_the_stem_is_its_convolution(small: ImageBind) -> None:
    stem = small.modality_preprocessors["vision"].rgbt_stem
    clip = torch.randn(2, 3, 2, 32, 32)
    by_convolution = stem.proj["1"](clip).flatten(2).transpose(1, 2)
    torch.testing.assert_close(stem(clip), by_convolution, atol=1e-5, rtol=1e-5)


def test_a_picture_is_a_film_that_stands_still(small: ImageBind) -> None:
    x = torch.randn(2, 3, 32, 32)
    still = x[:, None, :, None].expand(2, 3, 3, 2, 32, 32)
    torch.testing.assert_close(small.pooled("video", still), small.pooled("image", x))
    tokens = small.patches("video", still)
    assert tokens.shape == (2, small.tokens("video"), small.width("video")) == (2, 48, 24)
    torch.testing.assert_close(tokens[:, 16:32], small.patches("image", x))


def test_clips_of_a_film_keep_their_order(small: ImageBind) -> None:
    x = torch.randn(1, 3, 3, 2, 32, 32)
    forwards, backwards = small.patches("video", x), small.patches("video", x.flip(1))
    torch.testing.assert_close(forwards[:, :16], backwards[:, 32:])


def test_frames_of_a_film_are_spread_evenly(small: ImageBind) -> None:
    shades = np.arange(6, dtype=np.uint8)[:, None, None, None] * 40
    frames = np.broadcast_to(shades, (6, 32, 32, 3))
    levels = small.prepare(Film(frames, 8.0))[:, 0, :, 0, 0]  # (clips, 2)
    assert torch.equal(levels.flatten().argsort(), torch.arange(6))
    still = small.prepare(Film(frames[:1], 8.0))
    assert still.shape == (3, 3, 2, 32, 32) and torch.equal(still[0], still[2])


def test_clips_of_two_seconds_are_their_first_and_last_frames() -> None:
    model = ImageBind(
        ImageBindConfig(
            VisionConfig(24, 1, 3, size=8, patch=8, clips=3, clip_seconds=2.0),
            SMALL.audio,
            SMALL.text,
            12,
        )
    )
    shades = np.arange(11, dtype=np.uint8)[:, None, None, None] * 20
    x = model.prepare(Film(np.broadcast_to(shades, (11, 8, 8, 3)), fps=2.0))
    levels = (x[:, 0, :, 0, 0] * 0.26862954 + 0.48145466) * 255 / 20
    assert levels.round().int().tolist() == [[0, 3], [4, 7], [7, 10]]


def test_the_middle_of_a_wide_picture_is_seen(small: ImageBind) -> None:
    pixels = np.zeros((64, 192, 3), np.uint8)
    pixels[:, 64:128] = 255
    assert small.prepare(Image(pixels)).min() > 1.5


# --- audio ---------------------------------------------------------------------------------


def test_log_mel_is_kaldis() -> None:
    from transformers.audio_utils import mel_filter_bank, spectrogram, window_function

    wave = sound(1.0).samples
    with warnings.catch_warnings(action="ignore"):  # some of its 128 filters are empty
        filters = mel_filter_bank(
            257, 128, 20.0, 8000.0, 16_000, None, "kaldi", triangularize_in_mel_space=True
        )
    config = ImageBindConfig.huge().audio
    expected = spectrogram(
        wave,
        window_function(400, "hann", periodic=False),
        frame_length=400,
        hop_length=160,
        fft_length=512,
        power=2.0,
        center=False,
        preemphasis=0.97,
        mel_filters=filters,
        mel_floor=1.192092955078125e-07,
        log_mel="log",
        remove_dc_offset=True,
    )
    ours = log_mel(torch.from_numpy(wave)[None], config)[0]
    assert ours.shape == (128, 98)
    np.testing.assert_allclose(ours.numpy(), expected, atol=2e-3)


def test_a_sound_is_read_alike_however_loud_it_is() -> None:
    heard = sound(2.0)
    quiet, silent = (Sound(heard.samples * np.float32(x), heard.rate) for x in (0.02, 0))
    levelled, plain = ImageBindConfig.tiny().audio, ImageBindConfig.huge().audio
    loud = prepare_sound(heard, levelled)
    torch.testing.assert_close(prepare_sound(quiet, levelled), loud, atol=1e-3, rtol=0)
    assert not torch.allclose(prepare_sound(quiet, plain), prepare_sound(heard, plain), atol=0.1)
    assert torch.equal(
        prepare_sound(silent, levelled), prepare_sound(silent, replace(levelled, peak=None))
    )


def test_two_seconds_fill_the_spectrogram_of_the_tiny_model() -> None:
    tiny = ImageBind(ImageBindConfig.tiny())
    config = tiny.config.audio
    assert log_mel(torch.zeros(1, 32_000), config).shape == (1, 64, 104)
    assert tiny.prepare(sound(2.0)).shape == (1, 1, 64, 104)
    assert [tiny.tokens(m) for m in tiny.modalities] == [64, 104, 256]


def test_longer_sounds_are_several_clips_that_stack_with_shorter_ones(small: ImageBind) -> None:
    short, long = small.prepare(sound(0.5)), small.prepare(sound(7.0, rate=44_100))
    assert short.shape == (1, 1, 32, 52) and long.shape == (3, 1, 32, 52)
    both = stack([short, long])
    assert both.shape == (2, 3, 1, 32, 52)
    torch.testing.assert_close(small.pooled("audio", both)[:1], small.pooled("audio", short[None]))
    tokens = small.patches("audio", both)
    assert tokens.shape == (2, small.tokens("audio"), small.width("audio"))
    torch.testing.assert_close(tokens[:1], small.patches("audio", short[None]))


# --- any medium ----------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 90), st.integers(1, 90), st.integers(1, 9), st.floats(0.1, 60.0))
def test_any_picture_and_film_fits(height: int, width: int, frames: int, fps: float) -> None:
    small = ImageBind(SMALL)
    seen = small.prepare(picture(0, height, width))
    assert seen.shape == (3, 32, 32) and seen.isfinite().all()
    moving = Film(np.repeat(picture(0, height, width).pixels[None], frames, axis=0), fps)
    assert small.prepare(moving).shape == (3, 3, 2, 32, 32)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 40_000), st.sampled_from([4_000, 8_000, 16_000, 22_050, 48_000]))
def test_any_sound_fits(samples: int, rate: int) -> None:
    for level in (0.0, 1.0):
        x = ImageBind(SMALL).prepare(Sound(np.full(samples, level, np.float32), rate))
        assert x.shape[1:] == (1, 32, 52) and x.isfinite().all()


def test_frozen_arrays_are_read(small: ImageBind) -> None:
    seen = picture(0, 32, 32)
    seen.pixels.setflags(write=False)
    heard = sound()
    heard.samples.setflags(write=False)
    small.prepare(seen)
    small.prepare(heard)


# --- text ----------------------------------------------------------------------------------


def test_text_is_read_at_its_end(small: ImageBind) -> None:
    ids = small.prepare_text([[5, 6], [7] * 20, []])
    assert ids.tolist() == [[5, 6, 3, 0, 0, 0, 0, 0], [7] * 7 + [3], [3] + [0] * 7]
    alone = small.pooled_text(small.prepare_text([[5, 6]]))
    torch.testing.assert_close(small.pooled_text(ids)[:1], alone)
    other = ids.clone()
    other[0, 3:] = 9
    torch.testing.assert_close(small.pooled_text(other)[:1], alone)


def test_published_text_is_marked_at_both_ends() -> None:
    with torch.device("meta"):
        huge = ImageBind(ImageBindConfig.huge())
    assert huge.prepare_text([[320, 1929]]).tolist() == [[49406, 320, 1929, 49407]]


# --- files ---------------------------------------------------------------------------------


def test_an_imagebind_comes_back_from_its_directory(small: ImageBind, tmp_path: Path) -> None:
    small.save_pretrained(tmp_path / "imagebind")
    loaded = load_encoder(tmp_path / "imagebind")
    assert isinstance(loaded, ImageBind) and isinstance(loaded, Encoder)
    assert loaded.config == SMALL and not loaded.training
    state = small.state_dict()
    assert all(torch.equal(x, state[name]) for name, x in loaded.state_dict().items())
    assert [n for n, p in loaded.named_parameters()] == [n for n, p in small.named_parameters()]


def test_pooled_vectors_as_tokens_come_back_from_their_directory(
    small: ImageBind, tmp_path: Path
) -> None:
    pooled = PooledEncoder(small, SMALL.joint)
    pooled.save_pretrained(tmp_path)
    again = load_encoder(tmp_path)
    for clip, modality in ((picture(), "image"), (film(), "video"), (sound(), "audio")):
        x = again.prepare(clip).unsqueeze(0)
        tokens = again.patches(modality, x)
        assert tokens.shape == (1, again.tokens(modality), again.width(modality)) == (1, 1, 12)
        assert torch.equal(tokens[:, 0], small.pooled(modality, x))
    config = tmp_path / "config.json"
    config.write_text(config.read_text().replace('"pooled": 12', '"pooled": "wide"'))
    with pytest.raises(WeightsError, match="pooled"):
        load_encoder(tmp_path)


def test_half_precision_on_disk_is_single_in_memory(tmp_path: Path) -> None:
    ImageBind(SMALL).half().save_pretrained(tmp_path)
    loaded = ImageBind.from_pretrained(tmp_path)
    x = loaded.prepare(picture()).unsqueeze(0)
    assert loaded.pooled("image", x).dtype == torch.float32
    assert ImageBind.from_pretrained(tmp_path, torch.bfloat16).logit_scale.dtype == torch.bfloat16


def test_wrong_weights_are_one_sentence(small: ImageBind, tmp_path: Path) -> None:
    with pytest.raises(WeightsError):
        load_encoder(tmp_path / "nowhere")
    small.save_pretrained(tmp_path)
    weights, config = tmp_path / "model.safetensors", tmp_path / "config.json"
    good, sizes = weights.read_bytes(), json.loads(config.read_text())

    for bad in (b"", good[:100], good[: len(good) // 2]):
        weights.write_bytes(bad)
        with pytest.raises(WeightsError):
            load_encoder(tmp_path)
    weights.unlink()
    with pytest.raises(WeightsError):
        load_encoder(tmp_path)

    weights.write_bytes(good)
    other_width = sizes | {"vision": sizes["vision"] | {"width": 48}}
    other_heads = sizes | {"audio": sizes["audio"] | {"heads": 5}}
    other_patch = sizes | {"vision": sizes["vision"] | {"patch": 7}}
    word = sizes | {"joint": "wide"}
    for wrong in (
        other_width,
        other_heads,
        other_patch,
        word,
        {"kind": "imagebind"},
        {"kind": "x"},
        7,
    ):
        config.write_text(json.dumps(wrong))
        with pytest.raises(WeightsError) as caught:
            load_encoder(tmp_path)
        assert "\n" not in str(caught.value)
