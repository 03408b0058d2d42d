"""Tiny untrained encoders of every family in the table, for tests.

Real models of a layer or two, with the processors of their kind, that read a medium in a few
hundredths of a second.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import transformers as tf

from heliograph.model.encoders.config import (
    AudioConfig,
    ImageBindConfig,
    TextConfig,
    VisionConfig,
)
from heliograph.model.encoders.imagebind import ImageBind
from heliograph.model.encoders.transformers import TransformersEncoder

SIZES: dict[str, Any] = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
}
SQUARES: dict[str, Any] = {**SIZES, "image_size": 32, "patch_size": 8}
CROPPED = {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}}
WHOLE = {"size": {"height": 32, "width": 32}}


def imagebind() -> ImageBind:
    """Reads all three modalities."""
    return ImageBind(
        ImageBindConfig(
            VisionConfig(16, 1, 2, size=16, patch=8, clips=2, clip_seconds=None),
            AudioConfig(12, 1, 2, mel_bins=16, frames=24, kernel=8, stride=8, hop_ms=80.0),
            TextConfig(16, 1, 2, context=8, vocabulary=50, start=None, end=0),
            joint=8,
        )
    )


def clip() -> TransformersEncoder:
    """16 tokens of a picture, four frames of a film."""
    return _seeing(tf.CLIPVisionModel(tf.CLIPVisionConfig(**SQUARES)), tf.CLIPImageProcessorPil)


def siglip() -> TransformersEncoder:
    """As ``clip``, of the whole picture."""
    model = tf.SiglipVisionModel(tf.SiglipVisionConfig(**SQUARES))
    return _seeing(model, tf.SiglipImageProcessorPil, WHOLE)


def dino() -> TransformersEncoder:
    """As ``siglip``; it has no pooling layer."""
    model = tf.ViTModel(tf.ViTConfig(**SQUARES), add_pooling_layer=False)
    return _seeing(model, tf.ViTImageProcessorPil, WHOLE)


def dinov2() -> TransformersEncoder:
    """As ``clip``."""
    return _seeing(tf.Dinov2Model(tf.Dinov2Config(**SQUARES)), tf.BitImageProcessorPil)


def dinov2_with_registers() -> TransformersEncoder:
    """As ``clip``, with three tokens that are not places in the picture."""
    config = tf.Dinov2WithRegistersConfig(**SQUARES, num_register_tokens=3)
    return _seeing(tf.Dinov2WithRegistersModel(config), tf.BitImageProcessorPil)


def videomae() -> TransformersEncoder:
    """Four frames of a film, two at a time."""
    model = tf.VideoMAEModel(tf.VideoMAEConfig(**SQUARES, num_frames=4, tubelet_size=2))
    return TransformersEncoder(model.eval(), tf.VideoMAEImageProcessorPil(**CROPPED))


def clap(fused: bool = False) -> TransformersEncoder:
    """A second of a sound, 16 tokens."""
    audio = tf.ClapAudioConfig(
        hidden_size=16,
        patch_embeds_hidden_size=8,
        depths=[1, 1],
        num_attention_heads=[1, 1],
        num_hidden_layers=2,
        num_mel_bins=16,
        spec_size=32,
        window_size=2,
        enable_fusion=fused,
        aff_block_r=2,
    )
    extractor = tf.ClapFeatureExtractor(
        feature_size=16,
        sampling_rate=16_000,
        hop_length=320,
        max_length_s=1,
        fft_window_size=512,
        frequency_max=8000,
        truncation="fusion" if fused else "rand_trunc",
    )
    text = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 9}
    config = tf.ClapConfig(text_config=text, audio_config=audio.to_dict())
    return TransformersEncoder(tf.ClapModel(config).eval(), extractor)


def fused_clap() -> TransformersEncoder:
    """As ``clap``; of a long sound it reads several parts."""
    return clap(fused=True)


def whisper() -> TransformersEncoder:
    """A second of a sound, 50 tokens."""
    sizes = tf.WhisperConfig(
        vocab_size=20,
        d_model=16,
        encoder_layers=2,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        max_source_positions=50,
        max_target_positions=8,
        num_mel_bins=16,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=1,
        begin_suppress_tokens=None,
    )
    extractor = tf.WhisperFeatureExtractor(feature_size=16, chunk_length=1)
    return TransformersEncoder(tf.WhisperModel(sizes).eval(), extractor)


def wav2vec() -> TransformersEncoder:
    """Half a second of a sound, 25 tokens."""
    sizes = tf.Wav2Vec2Config(
        **(SIZES | {"num_hidden_layers": 1}),
        conv_dim=(8, 8),
        conv_stride=(20, 16),
        conv_kernel=(20, 16),
        num_conv_pos_embeddings=4,
        num_conv_pos_embedding_groups=2,
    )
    extractor = tf.Wav2Vec2FeatureExtractor()
    return TransformersEncoder(tf.Wav2Vec2Model(sizes).eval(), extractor, sound_seconds=0.5)


def spectrogram_transformer() -> TransformersEncoder:
    """AST: a quarter of a second of a sound, six tokens."""
    sizes = tf.ASTConfig(
        **SIZES, patch_size=8, frequency_stride=8, time_stride=8, max_length=24, num_mel_bins=16
    )
    extractor = tf.ASTFeatureExtractor(num_mel_bins=16, max_length=24)
    return TransformersEncoder(tf.ASTModel(sizes).eval(), extractor, sound_seconds=0.25)


def _seeing(model: Any, processor: Any, sizes: Any = CROPPED) -> TransformersEncoder:
    return TransformersEncoder(model.eval(), processor(**sizes), film_frames=4)


SMALL: dict[str, Callable[[], TransformersEncoder | ImageBind]] = {
    "ImageBind": imagebind,
    "CLIP": clip,
    "SigLIP": siglip,
    "DINO": dino,
    "DINOv2": dinov2,
    "DINOv2 with registers": dinov2_with_registers,
    "CLAP": clap,
    "CLAP, fused": fused_clap,
    "Whisper": whisper,
    "Wav2Vec2": wav2vec,
    "AST": spectrogram_transformer,
    "VideoMAE": videomae,
}
"""By the names of the table in docs/models.md."""
