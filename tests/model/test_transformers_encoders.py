"""Encoders of transformers: each kind tiny, saved, loaded, and read with the media it knows."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers as tf

from heliograph.model.encoders import Encoder, load_encoder, outline_encoder
from heliograph.model.encoders.small import (
    clap,
    clip,
    dino,
    dinov2,
    dinov2_with_registers,
    fused_clap,
    siglip,
    spectrogram_transformer,
    videomae,
    wav2vec,
    whisper,
)
from heliograph.model.encoders.transformers import TransformersEncoder
from heliograph.model.errors import InputError, WeightsError
from heliograph.model.media import Film, Image, Sound


@pytest.fixture(autouse=True)
def no_gradients() -> Iterator[None]:
    with torch.no_grad():
        yield


def picture(seed: int = 0) -> Image:
    rng = np.random.default_rng(seed)
    return Image(rng.integers(0, 256, (40, 60, 3), dtype=np.uint8))


def film(frames: int = 6) -> Film:
    rng = np.random.default_rng(1)
    return Film(rng.integers(0, 256, (frames, 32, 32, 3), dtype=np.uint8), 8.0)


def sound(seconds: float = 2.0, rate: int = 16_000) -> Sound:
    rng = np.random.default_rng(2)
    samples = rng.normal(0, 0.1, round(seconds * rate)).clip(-1, 1)
    return Sound(samples.astype(np.float32), rate)


@pytest.mark.parametrize("made", [clip, siglip, dino, dinov2, dinov2_with_registers])
def test_a_vision_model_reads_pictures_and_films(
    made: Callable[[], TransformersEncoder], tmp_path: Path
) -> None:
    encoder = made()
    assert isinstance(encoder, Encoder) and encoder.modalities == ("image", "video")
    assert (encoder.tokens("image"), encoder.tokens("video"), encoder.width("image")) == (
        16,
        64,
        16,
    )
    seen = torch.stack([encoder.prepare(picture(i)) for i in range(2)])
    moving = encoder.prepare(film()).unsqueeze(0)
    assert encoder.patches("image", seen).shape == (2, 16, 16)
    assert encoder.patches("video", moving).shape == (1, 64, 16)
    assert encoder.pooled("video", moving).norm() == pytest.approx(1.0, rel=1e-5)
    first = encoder.patches("video", moving)[:, :16]
    torch.testing.assert_close(first, encoder.patches("image", moving[:, 0]))
    with pytest.raises(InputError):
        encoder.prepare(sound())

    encoder.save_pretrained(tmp_path)
    loaded = load_encoder(tmp_path)
    assert isinstance(loaded, TransformersEncoder) and loaded.film_frames == 4
    torch.testing.assert_close(loaded.prepare(picture(0)), seen[0])
    torch.testing.assert_close(loaded.pooled("image", seen), encoder.pooled("image", seen))


@pytest.mark.parametrize("made", [clip, siglip, dino])
def test_a_picture_as_low_as_it_has_colours_is_read_as_one(
    made: Callable[[], TransformersEncoder],
) -> None:
    """A processor that has to guess takes its rows for its colours."""
    red = np.zeros((30, 50, 3), np.uint8)
    red[..., 0] = 255
    encoder = made()
    high = encoder.prepare(Image(red))
    for height in (1, 3, 4):
        torch.testing.assert_close(encoder.prepare(Image(red[:height])), high)


def test_a_model_of_films_reads_them_as_such(tmp_path: Path) -> None:
    encoder = videomae()
    assert isinstance(encoder, Encoder) and encoder.modalities == ("video",)
    assert (encoder.film_frames, encoder.tokens("video"), encoder.width("video")) == (4, 32, 16)
    x = torch.stack([encoder.prepare(film(frames)) for frames in (2, 9)])
    assert x.shape == (2, 4, 3, 32, 32)
    assert encoder.patches("video", x).shape == (2, 32, 16)
    assert encoder.pooled("video", x).norm(dim=-1).tolist() == pytest.approx([1, 1])
    backwards = encoder.pooled("video", x.flip(1))
    assert not torch.allclose(backwards, encoder.pooled("video", x), atol=1e-3)
    for other in (picture(), sound()):
        with pytest.raises(InputError, match="only video"):
            encoder.prepare(other)

    encoder.save_pretrained(tmp_path)
    loaded = load_encoder(tmp_path)
    assert loaded.modalities == ("video",)
    torch.testing.assert_close(loaded.prepare(film(9)), x[1])
    torch.testing.assert_close(loaded.patches("video", x), encoder.patches("video", x))


@pytest.mark.parametrize(
    ("made", "tokens"),
    [(whisper, 50), (wav2vec, 25), (spectrogram_transformer, 6), (clap, 16), (fused_clap, 16)],
)
def test_an_audio_model_reads_sounds(
    made: Callable[[], TransformersEncoder], tokens: int, tmp_path: Path
) -> None:
    encoder = made()
    assert isinstance(encoder, Encoder) and encoder.modalities == ("audio",)
    assert (encoder.tokens("audio"), encoder.width("audio")) == (tokens, 16)
    heard = [encoder.prepare(sound(seconds, 8_000)) for seconds in (0.1, 3.0)]
    assert encoder.patches("audio", torch.stack(heard)).shape == (2, tokens, 16)
    assert encoder.pooled("audio", torch.stack(heard)).norm(dim=-1).tolist() == pytest.approx(
        [1, 1]
    )
    with pytest.raises(InputError):
        encoder.prepare(picture())

    encoder.save_pretrained(tmp_path)
    loaded = load_encoder(tmp_path)
    assert isinstance(loaded, TransformersEncoder)
    x = torch.stack(heard)
    torch.testing.assert_close(loaded.patches("audio", x), encoder.patches("audio", x))


def test_an_extractor_s_window_is_kept_and_filled_its_own_way() -> None:
    heard, listened = clap(), whisper()
    assert (heard.sound_seconds, listened.sound_seconds) == (1.0, 1.0)
    assert TransformersEncoder(heard.model, heard.processor, sound_seconds=5.0).sound_seconds == 1
    half = sound(0.5)
    twice = Sound(np.concatenate([half.samples, half.samples]), half.rate)
    torch.testing.assert_close(heard.prepare(half), heard.prepare(twice))  # repeated
    silent = Sound(np.pad(half.samples, (0, 8000)), half.rate)
    torch.testing.assert_close(listened.prepare(half), listened.prepare(silent))
    long = heard.prepare(sound(3.0))
    torch.testing.assert_close(long, heard.prepare(sound(3.0)))  # nothing cut at random


def test_a_missing_pooling_layer_is_not_made_up(tmp_path: Path) -> None:
    dino().save_pretrained(tmp_path)
    one, other = load_encoder(tmp_path), load_encoder(tmp_path)
    x = one.prepare(picture()).unsqueeze(0)
    torch.testing.assert_close(one.pooled("image", x), other.pooled("image", x))
    mean = one.patches("image", x).mean(1)
    torch.testing.assert_close(one.pooled("image", x), torch.nn.functional.normalize(mean, dim=-1))
    one.save_pretrained(tmp_path / "again")
    again = load_encoder(tmp_path / "again")
    torch.testing.assert_close(again.pooled("image", x), one.pooled("image", x))


def test_a_processor_of_a_published_checkpoint_is_read_without_torchvision(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    siglip().save_pretrained(tmp_path)
    file = tmp_path / "preprocessor_config.json"
    entries = json.loads(file.read_text()) | {"image_processor_type": "SiglipImageProcessor"}
    file.write_text(json.dumps(entries))
    loaded = load_encoder(tmp_path)
    assert isinstance(loaded, TransformersEncoder)
    assert type(loaded.processor) is tf.SiglipImageProcessorPil
    torch.testing.assert_close(loaded.prepare(picture()), siglip().prepare(picture()))
    assert capfd.readouterr().err == ""


def test_half_of_a_model_of_two_halves(tmp_path: Path) -> None:
    half = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    sizes = tf.CLIPConfig(
        vision_config=half | {"image_size": 16, "patch_size": 8},
        text_config=half | {"vocab_size": 20, "eos_token_id": 2, "bos_token_id": 1},
    )
    tf.CLIPModel(sizes).save_pretrained(tmp_path)
    tf.CLIPImageProcessorPil(
        size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16}
    ).save_pretrained(tmp_path)
    encoder = load_encoder(tmp_path)
    assert encoder.patches("image", encoder.prepare(picture()).unsqueeze(0)).shape == (1, 4, 16)


def test_a_wrong_checkpoint_of_transformers_is_one_sentence(tmp_path: Path) -> None:
    encoder = clip()
    encoder.save_pretrained(tmp_path)
    weights = tmp_path / "model.safetensors"
    good = weights.read_bytes()
    weights.write_bytes(good[:200])
    with pytest.raises(WeightsError):
        load_encoder(tmp_path)
    weights.unlink()
    with pytest.raises(WeightsError):
        load_encoder(tmp_path)

    reader = tmp_path / "reader"
    tf.BertModel(
        tf.BertConfig(vocab_size=9, hidden_size=8, num_hidden_layers=1, num_attention_heads=2)
    ).save_pretrained(reader)
    with pytest.raises(WeightsError, match="neither"):
        load_encoder(reader)


@pytest.mark.parametrize(
    "made",
    [clip, siglip, dinov2_with_registers, videomae, clap, fused_clap, whisper, wav2vec],
)
def test_the_outline_has_the_sizes_without_the_weights(
    made: Callable[[], TransformersEncoder], tmp_path: Path
) -> None:
    encoder = made()
    encoder.save_pretrained(tmp_path)
    outline = outline_encoder(tmp_path)
    assert outline.modalities == encoder.modalities
    for modality in encoder.modalities:
        assert outline.tokens(modality) == encoder.tokens(modality)
        assert outline.width(modality) == encoder.width(modality)
    devices = {p.device.type for p in outline.parameters()}  # type: ignore[attr-defined]
    assert devices == ({"cpu"} if made in (fused_clap, wav2vec) else {"meta"})


def test_how_media_are_read_can_be_said_outside(tmp_path: Path) -> None:
    clip().save_pretrained(tmp_path)
    assert load_encoder(tmp_path).tokens("video") == 4 * 16
    assert load_encoder(tmp_path, {"film_frames": 2}).tokens("video") == 2 * 16
    pooled = load_encoder(tmp_path, {"pooled": 16})
    assert (pooled.tokens("video"), pooled.width("video")) == (1, 16)
