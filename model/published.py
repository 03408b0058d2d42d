"""Parts of the presets at their published sizes, without their weights.

Sizes are those of ``config.json`` in the repositories that ``presets.py`` names, ImageBind's those
of its code. On the meta device the parts say what fits what and how much it takes; on another one
they have random weights, which compute in the same time as trained ones. Tokenizers know a few
words.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import diffusers
import torch
import transformers as tf

from heliograph.model.decoders.testing import small_scheduler, small_tokenizer
from heliograph.model.encoders.config import ImageBindConfig
from heliograph.model.encoders.pooled import PooledEncoder
from heliograph.model.encoders.published import PublishedImageBind
from heliograph.model.encoders.transformers import TransformersEncoder
from heliograph.model.quiet import quiet

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from heliograph.model.encoders import Encoder

CLIP_TOKENS = 77
"""What the tokenizers of CLIP pad captions to."""
_SIDE: dict[str, Any] = {"block_out_channels": (128, 256, 512, 512), "layers_per_block": 2}
_CLIP_L = {"hidden_size": 768, "intermediate_size": 3072, "num_attention_heads": 12}
_CLIP_H = {
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_hidden_layers": 23,
    "num_attention_heads": 16,
}
_XXL = {
    "d_model": 4096,
    "d_kv": 64,
    "d_ff": 10240,
    "num_layers": 24,
    "num_heads": 64,
    "feed_forward_proj": "gated-gelu",
}


def vicuna_7b(dtype: torch.dtype = torch.float32) -> PreTrainedModel:
    """Vicuna-7B v0, with the token that it pads by."""
    return _causal(tf.LlamaConfig(vocab_size=32001, max_position_embeddings=2048), dtype)


def qwen25_7b(dtype: torch.dtype = torch.float32) -> PreTrainedModel:
    """Qwen2.5-7B."""
    config = tf.Qwen2Config(
        vocab_size=152064,
        hidden_size=3584,
        intermediate_size=18944,
        num_hidden_layers=28,
        num_attention_heads=28,
        num_key_value_heads=4,
    )
    return _causal(config, dtype)


def qwen3_06b(dtype: torch.dtype = torch.float32) -> PreTrainedModel:
    """Qwen3-0.6B."""
    config = tf.Qwen3Config(
        vocab_size=151936,
        hidden_size=1024,
        intermediate_size=3072,
        num_hidden_layers=28,
        num_attention_heads=16,
        num_key_value_heads=8,
        head_dim=128,
        tie_word_embeddings=True,
    )
    return _causal(config, dtype)


def imagebind_huge() -> Encoder:
    """ImageBind-Huge as NExT-GPT's first version reads it: one vector for each medium."""
    published = PublishedImageBind(ImageBindConfig.huge(), scaled=False).eval()
    return PooledEncoder(published, published.config.joint)


def siglip_base() -> Encoder:
    """SigLIP-base of 224 pixels."""
    return _siglip(224, {}, {})


def siglip_so400m() -> Encoder:
    """SigLIP-so400m of 384 pixels."""
    sizes = {
        "hidden_size": 1152,
        "intermediate_size": 4304,
        "num_hidden_layers": 27,
        "num_attention_heads": 16,
    }
    return _siglip(384, sizes, {**sizes, "image_size": 384, "patch_size": 14})


def clap_htsat() -> Encoder:
    """CLAP with HTSAT-tiny, unfused."""
    extractor = tf.ClapFeatureExtractor(truncation="rand_trunc")
    return TransformersEncoder(tf.ClapModel(tf.ClapConfig()).eval(), extractor)


def sd15() -> Any:
    """Stable Diffusion 1.5."""
    return _pipeline(
        diffusers.StableDiffusionPipeline,
        vae=_autoencoder(),
        text_encoder=tf.CLIPTextModel(tf.CLIPTextConfig(**_CLIP_L)),
        unet=diffusers.UNet2DConditionModel(
            sample_size=64, cross_attention_dim=768, attention_head_dim=8
        ),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def audioldm_l() -> Any:
    """AudioLDM-L."""
    widths = (256, 512, 768, 1280)
    return _pipeline(
        diffusers.AudioLDMPipeline,
        vae=_autoencoder(1, block_out_channels=(128, 256, 512), latent_channels=8),
        text_encoder=tf.ClapTextModelWithProjection(tf.ClapTextConfig()),
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
    """Zeroscope v2 576w."""
    return _pipeline(
        diffusers.TextToVideoSDPipeline,
        vae=_autoencoder(),
        text_encoder=tf.CLIPTextModel(tf.CLIPTextConfig(**_CLIP_H)),
        unet=diffusers.UNet3DConditionModel(
            sample_size=32, cross_attention_dim=1024, attention_head_dim=64
        ),
    )


def flux_schnell() -> Any:
    """FLUX.1-schnell."""
    return _pipeline(
        diffusers.FluxPipeline,
        vae=_autoencoder(latent_channels=16, shift_factor=0.1),
        text_encoder=tf.CLIPTextModel(tf.CLIPTextConfig(**_CLIP_L)),
        text_encoder_2=tf.T5EncoderModel(tf.T5Config(vocab_size=32128, **_XXL)),
        tokenizer_2=_tokenizer(),
        transformer=diffusers.FluxTransformer2DModel(),  # its defaults are FLUX.1-schnell's
        scheduler=_on_cpu(diffusers.FlowMatchEulerDiscreteScheduler),
    )


def wan_13b() -> Any:
    """Wan 2.1 T2V 1.3B."""
    return _pipeline(
        diffusers.WanPipeline,
        text_encoder=tf.UMT5EncoderModel(tf.UMT5Config(vocab_size=256384, **_XXL)),
        vae=diffusers.AutoencoderKLWan(),
        scheduler=_on_cpu(diffusers.FlowMatchEulerDiscreteScheduler),
        transformer=diffusers.WanTransformer3DModel(
            num_attention_heads=12, num_layers=30, ffn_dim=8960
        ),
    )


def _causal(config: Any, dtype: torch.dtype) -> PreTrainedModel:
    model: PreTrainedModel = tf.AutoModelForCausalLM.from_config(config, dtype=dtype)
    return model.eval()


def _siglip(side: int, text: dict[str, Any], vision: dict[str, Any]) -> Encoder:
    config = tf.SiglipConfig(text_config=text, vision_config=vision)
    processor = tf.SiglipImageProcessorPil(size={"height": side, "width": side})
    return TransformersEncoder(tf.SiglipModel(config).eval(), processor)


def _autoencoder(channels: int = 3, **sizes: Any) -> Any:
    sizes = _SIDE | sizes
    halvings = len(sizes["block_out_channels"])
    return diffusers.AutoencoderKL(
        in_channels=channels,
        out_channels=channels,
        down_block_types=("DownEncoderBlock2D",) * halvings,
        up_block_types=("UpDecoderBlock2D",) * halvings,
        **sizes,
    )


def _pipeline(kind: Any, **parts: Any) -> Any:
    """A pipeline of these parts, its models ready to compute."""
    parts = {"tokenizer": _tokenizer(), "scheduler": _on_cpu(small_scheduler), **parts}
    with quiet("diffusers"):
        pipeline = kind(**parts)
    for part in pipeline.components.values():
        if isinstance(part, torch.nn.Module):
            part.eval()
    return pipeline


def _tokenizer() -> Any:
    tokenizer = small_tokenizer()
    tokenizer.model_max_length = CLIP_TOKENS
    return tokenizer


def _on_cpu(build: Any) -> Any:
    """Schedulers look into their numbers with numpy."""
    with torch.device("cpu"):
        return build()
