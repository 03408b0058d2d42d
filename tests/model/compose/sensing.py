"""Language models that see or hear by themselves, tiny, as their own classes save them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers as tf

from heliograph.model.testing import CORPUS, small_config
from heliograph.model.tokenizer import PAD_ID, train_tokenizer

LLAVA_TEMPLATE = (  # LLaVA 1.5's own
    "{% for message in messages %}"
    "{% if message['role'] != 'system' %}{{ message['role'].upper() + ': '}}{% endif %}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'image') %}"
    "{{ '<image>\n' }}{% endfor %}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'text') %}"
    "{{ content['text'] + ' '}}{% endfor %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)
INTERNVL_TEMPLATE = (  # of its class
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' }}"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for content in message['content'] %}"
    "{% if content['type'] == 'image' %}{{ '<IMG_CONTEXT>\n' }}"
    "{% elif content['type'] == 'text' %}{{ content['text'] }}{% endif %}"
    "{% endfor %}{% endif %}{{ '<|im_end|>\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
IDEFICS3_TEMPLATE = (  # of its class
    "{% for message in messages %}"
    "{{ message['role'].capitalize() }}"
    "{% if message['content'][0]['type'] == 'image' %}{{ ':' }}{% else %}{{ ': ' }}{% endif %}"
    "{% for line in message['content'] %}"
    "{% if line['type'] == 'text' %}{{ line['text'] }}"
    "{% elif line['type'] == 'image' %}{{ '<image>' }}{% endif %}"
    "{% endfor %}<end_of_utterance>\n"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
)
MISTRAL3_TEMPLATE = (  # as that of Mistral Small 3.1
    "{% for message in messages %}"
    "{% if message['role'] == 'user' %}{{ '[INST]' }}{% endif %}"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for block in message['content'] %}"
    "{% if block['type'] == 'text' %}{{ block['text'] }}"
    "{% elif block['type'] == 'image' %}{{ '[IMG]' }}{% endif %}"
    "{% endfor %}{% endif %}"
    "{{ '[/INST]' if message['role'] == 'user' else eos_token }}"
    "{% endfor %}"
)
GEMMA3_TEMPLATE = (  # what Gemma 3's own makes of a user and an assistant who take turns
    "{% for message in messages %}"
    "<start_of_turn>{{ 'model' if message['role'] == 'assistant' else 'user' }}\n"
    "{% set content = message['content'] %}"
    "{% for part in ([{'text': content}] if content is string else content) %}"
    "{{ '<start_of_image>' if part['type'] == 'image' else part['text'] | trim }}"
    "{% endfor %}<end_of_turn>\n"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
)
ONEVISION_TEMPLATE = (  # of its class
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + ' ' }}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'image') %}"
    "{{ '<image>' }}{% endfor %}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'text') %}"
    "{{ '\n' + content['text'] }}{% endfor %}"
    "{{ '<|im_end|>' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
VISION = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 32,
    "patch_size": 8,
}
TEXT = {
    "hidden_size": 48,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "bos_token_id": None,
    "pad_token_id": PAD_ID,
}


def save_llava(folder: Path, tower: str = "CLIP", tied: bool = False) -> Path:
    """A LLaVA that sees 32x32 pixels as 16 embeddings; its template is the processor's alone."""
    tokenizer = _tokenizer("<image>")
    tokenizer.chat_template = None
    config = tf.LlavaConfig(
        vision_config=getattr(tf, f"{tower}VisionConfig")(**VISION),
        text_config=small_config(len(tokenizer), tied),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        vision_feature_select_strategy="default" if tower == "CLIP" else "full",
        tie_word_embeddings=tied,
    )
    torch.manual_seed(0)
    tf.LlavaForConditionalGeneration(config).save_pretrained(folder)
    if tower == "CLIP":
        crop = {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}}
        pixels: Any = tf.CLIPImageProcessorPil(**crop)
    else:
        pixels = tf.SiglipImageProcessorPil(size={"height": 32, "width": 32})
    tf.LlavaProcessor(
        pixels,
        tokenizer,
        patch_size=8,
        vision_feature_select_strategy=config.vision_feature_select_strategy,
        num_additional_image_tokens=int(tower == "CLIP"),
        chat_template=LLAVA_TEMPLATE,
    ).save_pretrained(folder)
    return folder


def save_llava_next(folder: Path) -> Path:
    """A LLaVA-NeXT of tiles of 32x32 pixels, 16 embeddings each, up to two of them on a side."""
    tokenizer = _tokenizer("<image>")
    grids = [[32, 64], [64, 32], [64, 64]]
    config = tf.LlavaNextConfig(
        vision_config=tf.CLIPVisionConfig(**VISION),
        text_config=small_config(len(tokenizer)),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        image_grid_pinpoints=grids,
        image_seq_length=16,
    )
    torch.manual_seed(0)
    tf.LlavaNextForConditionalGeneration(config).save_pretrained(folder)
    size = {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}}
    tf.LlavaNextProcessor(
        tf.LlavaNextImageProcessorPil(**size, image_grid_pinpoints=grids),
        tokenizer,
        patch_size=8,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=LLAVA_TEMPLATE,
    ).save_pretrained(folder)
    return folder


def save_onevision(folder: Path) -> Path:
    """A LLaVA-OneVision of tiles of 32x32 pixels, 16 embeddings each, of which it takes about 4."""
    tokenizer = _tokenizer("<image>", "<|im_start|>", "<|im_end|>", "<|endoftext|>")
    tokenizer.eos_token = "<|im_end|>"
    tokenizer.chat_template = ONEVISION_TEMPLATE
    grids = [[32 * rows, 32 * columns] for rows in (1, 2, 3) for columns in (1, 2, 3)]
    config = tf.LlavaOnevisionConfig(
        vision_config=tf.SiglipVisionConfig(**VISION | {"vision_use_head": False}),
        text_config=tf.Qwen2Config(
            vocab_size=len(tokenizer), eos_token_id=tokenizer.eos_token_id, **TEXT
        ),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        video_token_index=len(tokenizer) + 1,
        image_grid_pinpoints=grids,
        vision_aspect_ratio="anyres_max_4",
    )
    torch.manual_seed(0)
    tf.LlavaOnevisionForConditionalGeneration(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    size = {"height": 32, "width": 32}
    pixels: Any = tf.LlavaOnevisionImageProcessorPil(size=size, image_grid_pinpoints=grids)
    pixels.save_pretrained(folder)
    return folder


def save_qwen2_audio(folder: Path) -> Path:
    """A Qwen2-Audio that hears a second as 25 embeddings, with the template of its class."""
    marks = ("<|AUDIO|>", "<|audio_bos|>", "<|audio_eos|>", "<|im_start|>", "<|im_end|>")
    tokenizer = _tokenizer(*marks, "<|endoftext|>")
    tokenizer.chat_template = None
    tokenizer.eos_token = "<|im_end|>"
    config = tf.Qwen2AudioConfig(
        audio_config={
            "num_mel_bins": 16,
            "encoder_layers": 2,
            "encoder_attention_heads": 2,
            "encoder_ffn_dim": 32,
            "d_model": 16,
            "max_source_positions": 50,
        },
        text_config=tf.Qwen2Config(
            vocab_size=len(tokenizer), eos_token_id=tokenizer.eos_token_id, **TEXT
        ),
        audio_token_index=tokenizer.convert_tokens_to_ids("<|AUDIO|>"),
    )
    torch.manual_seed(0)
    tf.Qwen2AudioForConditionalGeneration(config).save_pretrained(folder)
    extractor = tf.WhisperFeatureExtractor(feature_size=16, chunk_length=1)
    tf.Qwen2AudioProcessor(extractor, tokenizer).save_pretrained(folder)
    return folder


def save_internvl(folder: Path) -> Path:
    """An InternVL that sees a tile of 32x32 pixels as 4 embeddings, up to 4 tiles of a picture."""
    marks = ("<img>", "</img>", "<IMG_CONTEXT>", "<|im_start|>", "<|im_end|>")
    tokenizer = _tokenizer(*marks, "<|endoftext|>")
    tokenizer.eos_token = "<|im_end|>"
    tokenizer.chat_template = INTERNVL_TEMPLATE
    config = tf.InternVLConfig(
        vision_config=tf.InternVLVisionConfig(**VISION),
        text_config=tf.Qwen2Config(
            vocab_size=len(tokenizer), eos_token_id=tokenizer.eos_token_id, **TEXT
        ),
        image_token_id=tokenizer.convert_tokens_to_ids("<IMG_CONTEXT>"),
        image_seq_length=4,
        tie_word_embeddings=False,
    )
    torch.manual_seed(0)
    tf.InternVLForConditionalGeneration(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    size = {"height": 32, "width": 32}
    tf.GotOcr2ImageProcessorPil(size=size, max_patches=4).save_pretrained(folder)
    return folder


def save_mistral3(folder: Path) -> Path:
    """A Mistral 3 that sees 8x8 pixels as an embedding, of pictures of up to 64 pixels."""
    tokenizer = _tokenizer("[IMG]", "[IMG_BREAK]", "[IMG_END]", "[INST]", "[/INST]", "</s>")
    tokenizer.eos_token = "</s>"
    tokenizer.chat_template = MISTRAL3_TEMPLATE
    config = tf.Mistral3Config(
        vision_config=tf.PixtralVisionConfig(**VISION | {"image_size": 64, "patch_size": 4}),
        text_config=tf.MistralConfig(
            vocab_size=len(tokenizer),
            eos_token_id=tokenizer.eos_token_id,
            rms_norm_eps=1e-3,
            head_dim=12,
            **TEXT,
        ),
        image_token_index=tokenizer.convert_tokens_to_ids("[IMG]"),
        tie_word_embeddings=False,
    )
    torch.manual_seed(0)
    tf.Mistral3ForConditionalGeneration(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    size = {"longest_edge": 64}
    tf.PixtralImageProcessorPil(size=size, patch_size=4).save_pretrained(folder)
    return folder


def save_idefics3(folder: Path, name: str = "Idefics3") -> Path:
    """An Idefics 3 of tiles of 32x32 pixels, 4 embeddings each, up to two of them on a side."""
    tokenizer = _tokenizer(
        "<fake_token_around_image>",
        "<image>",
        "<end_of_utterance>",
        "<global-img>",
        *(f"<row_{i + 1}_col_{j + 1}>" for i in range(6) for j in range(6)),
    )
    tokenizer.eos_token = "<end_of_utterance>"
    tokenizer.chat_template = IDEFICS3_TEMPLATE
    config = getattr(tf, f"{name}Config")(
        vision_config=getattr(tf, f"{name}VisionConfig")(**VISION),
        text_config=tf.LlamaConfig(
            vocab_size=len(tokenizer), eos_token_id=tokenizer.eos_token_id, **TEXT
        ),
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        scale_factor=2,
        pad_token_id=PAD_ID,
    )
    torch.manual_seed(0)
    getattr(tf, f"{name}ForConditionalGeneration")(config).save_pretrained(folder)
    sizes = {"size": {"longest_edge": 64}, "max_image_size": {"longest_edge": 32}}
    pixels = getattr(tf, f"{name}ImageProcessorPil")(**sizes)
    if name == "Idefics3":
        processor = tf.Idefics3Processor(
            pixels, tokenizer, image_seq_len=4, chat_template=IDEFICS3_TEMPLATE
        )
        processor.save_pretrained(folder)
    else:  # that of the class isn't made without torchvision
        pixels.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    return folder


def save_smolvlm(folder: Path) -> Path:
    """The same as a SmolVLM."""
    return save_idefics3(folder, "SmolVLM")


QWEN_TEMPLATE = (  # of Qwen2-VL and Qwen2.5-VL, but for films and for numbers of pictures
    "{% for message in messages %}"
    "{% if loop.first and message['role'] != 'system' %}"
    "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
    "{% endif %}"
    "<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}<|im_end|>\n"
    "{% else %}"
    "{% for content in message['content'] %}"
    "{% if content['type'] == 'image' %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% elif 'text' in content %}{{ content['text'] }}{% endif %}"
    "{% endfor %}<|im_end|>\n"
    "{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def save_qwen2_vl(folder: Path, tied: bool = False) -> Path:
    """A Qwen2-VL that sees pictures of 128 to 2048 pixels, 64 of them as one embedding."""
    tower = {"embed_dim": 16, "hidden_size": 48, "mlp_ratio": 2}
    return _save_qwen_vl("Qwen2VL", folder, tower, tied)


def save_qwen2_5_vl(folder: Path, tied: bool = False) -> Path:
    """A Qwen2.5-VL, likewise, whose tower looks within windows of 16x16 pixels."""
    tower = {
        "hidden_size": 16,
        "out_hidden_size": 48,
        "intermediate_size": 32,
        "window_size": 16,
        "fullatt_block_indexes": [1],
    }
    return _save_qwen_vl("Qwen2_5_VL", folder, tower, tied)


def _save_qwen_vl(kind: str, folder: Path, tower: dict[str, Any], tied: bool) -> Path:
    places = ("image", "video", "vision_start", "vision_end")
    marks = ("<|image_pad|>", "<|video_pad|>", "<|vision_start|>", "<|vision_end|>")
    tokenizer = _tokenizer(*marks, "<|im_start|>", "<|im_end|>", "<|endoftext|>")
    tokenizer.chat_template = QWEN_TEMPLATE
    tokenizer.eos_token = "<|im_end|>"
    ids = tokenizer.convert_tokens_to_ids(list(marks))
    patches = {"patch_size": 4, "temporal_patch_size": 2}
    config = getattr(tf, f"{kind}Config")(
        vision_config={"depth": 2, "num_heads": 2, "spatial_merge_size": 2, **patches, **tower},
        text_config={
            "vocab_size": len(tokenizer),
            "eos_token_id": tokenizer.eos_token_id,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 10_000.0,
                "mrope_section": [2, 2, 2],
            },
            **TEXT,
        },
        tie_word_embeddings=tied,
        **{f"{name}_token_id": token for name, token in zip(places, ids, strict=True)},
    )
    torch.manual_seed(0)
    getattr(tf, f"{kind}ForConditionalGeneration")(config).save_pretrained(folder)
    size = {"shortest_edge": 128, "longest_edge": 2048}
    tf.Qwen2VLImageProcessorPil(merge_size=2, size=size, **patches).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


class QwenVLProcessor(tf.Qwen2VLProcessor):  # type: ignore[misc]
    """The class's own without that of films, which torchvision would be needed for."""

    @classmethod
    def get_attributes(cls) -> list[str]:
        return ["image_processor", "tokenizer"]

    @classmethod
    def of(cls, folder: Path) -> QwenVLProcessor:
        tokenizer = tf.AutoTokenizer.from_pretrained(folder)
        pixels = tf.AutoImageProcessor.from_pretrained(folder, backend="pil")
        return cls(pixels, tokenizer, None, tokenizer.chat_template)


def save_gemma3(folder: Path) -> Path:
    """A Gemma 3 that sees 64x64 pixels as 16 embeddings, of which a window lets 8 look back.

    Its tokenizer has tokens for several new lines, as Gemma's.
    """
    marks = ("<image_soft_token>", "<start_of_image>", "<end_of_image>")
    tokenizer = _tokenizer(*marks, "<start_of_turn>", "<end_of_turn>")
    tokenizer.add_tokens(["\n" * count for count in range(2, 6)])
    tokenizer = tf.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer.backend_tokenizer,
        pad_token=tokenizer.pad_token,
        eos_token="<end_of_turn>",
        extra_special_tokens=dict(
            zip(("image_token", "boi_token", "eoi_token"), marks, strict=True)
        ),
        chat_template=GEMMA3_TEMPLATE,
    )
    seen, begins, ends = tokenizer.convert_tokens_to_ids(list(marks))
    config = tf.Gemma3Config(
        vision_config=tf.SiglipVisionConfig(**(VISION | {"image_size": 64})),
        text_config=tf.Gemma3TextConfig(
            vocab_size=len(tokenizer),
            head_dim=12,
            query_pre_attn_scalar=12,
            sliding_window=8,
            layer_types=["sliding_attention", "full_attention"],
            eos_token_id=tokenizer.eos_token_id,
            **TEXT,
        ),
        mm_tokens_per_image=16,
        image_token_index=seen,
        boi_token_index=begins,
        eoi_token_index=ends,
    )
    torch.manual_seed(0)
    model = tf.Gemma3ForConditionalGeneration(config)
    torch.nn.init.normal_(model.model.multi_modal_projector.mm_input_projection_weight)
    model.save_pretrained(folder)
    pixels: Any = tf.Gemma3ImageProcessorPil(size={"height": 64, "width": 64})
    tf.Gemma3Processor(
        pixels, tokenizer, chat_template=GEMMA3_TEMPLATE, image_seq_length=16
    ).save_pretrained(folder)
    return folder


def _tokenizer(*marks: str) -> Any:
    tokenizer = train_tokenizer(CORPUS * 10, 400)
    tokenizer.add_tokens(list(marks), special_tokens=True)
    return tokenizer


SAVED = {
    "llava": save_llava,
    "qwen2_audio": save_qwen2_audio,
    "llava_next": save_llava_next,
    "llava_onevision": save_onevision,
    "internvl": save_internvl,
    "mistral3": save_mistral3,
    "idefics3": save_idefics3,
    "smolvlm": save_smolvlm,
    "gemma3": save_gemma3,
    "qwen2_vl": save_qwen2_vl,
    "qwen2_5_vl": save_qwen2_5_vl,
}
"""What saves a small one of each of ``SENSES``, by the ``model_type``."""
