"""Which diffusers pipelines a decoder may be made of, in one table.

A recipe says what a pipeline takes in place of a prompt, how its own text encoders make that
of captions, what it makes, and how its output becomes clips. ``RECIPES`` has one for each class;
an installed package may add others (``docs/models.md`` shows how):

    [project.entry-points."heliograph.decoders"]
    MyPipeline = "my_package.decoders:MyRecipe"
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import entry_points
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from heliograph.model.conditions import SEQUENCE, Shapes
from heliograph.model.decoders.recipe import POOLED, Recipe
from heliograph.model.errors import WeightsError
from heliograph.model.parts import Modality

ENTRY_POINTS = "heliograph.decoders"


class StableDiffusion(Recipe):
    """One sequence from CLIP's text encoder."""

    modality: Modality = "image"
    absent: tuple[str, ...] = ("safety_checker", "feature_extractor", "image_encoder")

    def shapes(self, pipe: Any, length: int) -> Shapes:
        return {SEQUENCE: (pipe.tokenizer.model_max_length, pipe.unet.config.cross_attention_dim)}

    def encode(self, pipe: Any, captions: list[str], length: int) -> Sequence[Tensor]:
        return (pipe.encode_prompt(captions, pipe._execution_device, 1, False)[0],)


class AnimateDiff(StableDiffusion):
    """The condition of the picture model that it moves."""

    modality = "video"
    absent = ("feature_extractor", "image_encoder")


class TextToVideoSD(StableDiffusion):
    """ModelScope's text to video and Zeroscope."""

    modality = "video"
    absent = ()
    callback = "callback"


class StableDiffusionXL(Recipe):
    """A sequence from two text encoders, and the pooled vector of the second."""

    modality = "image"
    absent = ("feature_extractor", "image_encoder")
    negatives = False

    def shapes(self, pipe: Any, length: int) -> Shapes:
        config = pipe.unet.config
        # The vector is embedded together with six numbers about sizes and crops.
        pooled = config.projection_class_embeddings_input_dim - 6 * config.addition_time_embed_dim
        tokens = pipe.tokenizer_2.model_max_length
        return {SEQUENCE: (tokens, config.cross_attention_dim), POOLED: (1, pooled)}

    def encode(self, pipe: Any, captions: list[str], length: int) -> Sequence[Tensor]:
        sequence, _, pooled, _ = pipe.encode_prompt(captions, do_classifier_free_guidance=False)
        return sequence, pooled


class StableDiffusion3(Recipe):
    """CLIP's tokens before T5's in one sequence, and the pooled vectors of both CLIP encoders."""

    modality = "image"
    absent = ("feature_extractor", "image_encoder")
    length = 256

    def shapes(self, pipe: Any, length: int) -> Shapes:
        config = pipe.transformer.config
        tokens = pipe.tokenizer_max_length + length
        return {
            SEQUENCE: (tokens, config.joint_attention_dim),
            POOLED: (1, config.pooled_projection_dim),
        }

    def encode(self, pipe: Any, captions: list[str], length: int) -> Sequence[Tensor]:
        sequence, _, pooled, _ = pipe.encode_prompt(
            captions, None, None, do_classifier_free_guidance=False, max_sequence_length=length
        )
        return sequence, pooled


class Flux(Recipe):
    """T5's sequence and CLIP's pooled vector.

    ``guidance`` is what a distilled checkpoint was taught; with ``true_cfg_scale`` among the
    settings' call there is classifier-free guidance besides.
    """

    modality = "image"
    absent = ("feature_extractor", "image_encoder")
    length = 512

    def shapes(self, pipe: Any, length: int) -> Shapes:
        config = pipe.transformer.config
        return {
            SEQUENCE: (length, config.joint_attention_dim),
            POOLED: (1, config.pooled_projection_dim),
        }

    def encode(self, pipe: Any, captions: list[str], length: int) -> Sequence[Tensor]:
        sequence, pooled, _ = pipe.encode_prompt(captions, max_sequence_length=length)
        return sequence, pooled


class Spectrogram(Recipe):
    """Our own: one sequence from CLIP's text encoder."""

    modality = "audio"
    module = "heliograph.model.decoders.spectrogram"
    output_type = None

    def shapes(self, pipe: Any, length: int) -> Shapes:
        return {SEQUENCE: (pipe.tokenizer.model_max_length, pipe.unet.config.cross_attention_dim)}

    def encode(self, pipe: Any, captions: list[str], length: int) -> Sequence[Tensor]:
        return (pipe.encode_prompt(captions),)

    def rate(self, pipe: Any, call: Mapping[str, Any]) -> float:
        return 16000


class AudioLDM(Recipe):
    """CLAP's vector of unit length, and nothing else."""

    modality = "audio"
    vectors = (SEQUENCE,)
    callback = "callback"

    def shapes(self, pipe: Any, length: int) -> Shapes:
        return {SEQUENCE: (1, pipe.unet.config.projection_class_embeddings_input_dim)}

    def encode(self, pipe: Any, captions: list[str], length: int) -> Sequence[Tensor]:
        return (pipe._encode_prompt(captions, pipe._execution_device, 1, False),)

    def rate(self, pipe: Any, call: Mapping[str, Any]) -> float:
        return float(pipe.vocoder.config.sampling_rate)


class AudioLDM2(Recipe):
    """T5's sequence with its mask, and what GPT-2 continues CLAP's and T5's states with."""

    modality = "audio"
    callback = "callback"
    tokens = 128
    """At most so many of T5's; the pipeline takes any number."""

    def shapes(self, pipe: Any, length: int) -> Shapes:
        tokens = min(self.tokens, pipe.tokenizer_2.model_max_length)
        generated = pipe.language_model.config
        return {
            SEQUENCE: (tokens, pipe.text_encoder_2.config.hidden_size),
            "attention_mask": (tokens, 1),
            "generated_prompt_embeds": (generated.max_new_tokens, generated.hidden_size),
        }

    def encode(self, pipe: Any, captions: list[str], length: int) -> Sequence[Tensor]:
        tokens = self.shapes(pipe, length)[SEQUENCE][0]
        pipe.register_modules(language_model=_with_head(pipe.language_model))
        rows = []
        for caption in captions:  # alone: GPT-2 would continue a padded row otherwise
            sequence, mask, generated = pipe.encode_prompt(
                [caption], pipe._execution_device, 1, False
            )
            missing = tokens - sequence.shape[1]  # below zero, the end is cut off
            rows.append((F.pad(sequence, (0, 0, 0, missing)), F.pad(mask, (0, missing)), generated))
        return [torch.cat(tensors) for tensors in zip(*rows, strict=True)]

    def rate(self, pipe: Any, call: Mapping[str, Any]) -> float:
        return float(pipe.vocoder.config.sampling_rate)


def _with_head(gpt2: Any) -> Any:
    """GPT-2 as the class whose methods the pipeline calls; it is released as the bare model."""
    from transformers import GPT2LMHeadModel, GPT2Model

    if not isinstance(gpt2, GPT2Model):
        return gpt2
    with torch.device("meta"):
        whole = GPT2LMHeadModel(gpt2.config)
    whole.transformer, whole.lm_head.weight = gpt2, gpt2.wte.weight
    return whole.eval()


class StableAudio(Recipe):
    """T5's sequence, before the pipeline projects it, and its mask."""

    modality = "audio"
    negatives = False
    callback = "callback"

    def shapes(self, pipe: Any, length: int) -> Shapes:
        tokens = pipe.tokenizer.model_max_length
        return {
            SEQUENCE: (tokens, pipe.projection_model.config.text_encoder_dim),
            "attention_mask": (tokens, 1),
        }

    def encode(self, pipe: Any, captions: list[str], length: int) -> Sequence[Tensor]:
        # The pipeline's own method gives what comes after the projection.
        text = pipe.tokenizer(
            captions,
            padding="max_length",
            max_length=pipe.tokenizer.model_max_length,
            truncation=True,
            return_tensors="pt",
        ).to(pipe._execution_device)
        return pipe.text_encoder(text.input_ids, text.attention_mask)[0], text.attention_mask

    def rate(self, pipe: Any, call: Mapping[str, Any]) -> float:
        return float(pipe.vae.config.sampling_rate)


class CogVideoX(Recipe):
    """T5's sequence, of a length that the transformer fixes."""

    modality = "video"

    def shapes(self, pipe: Any, length: int) -> Shapes:
        config = pipe.transformer.config
        return {SEQUENCE: (config.max_text_seq_length, config.text_embed_dim)}

    def encode(self, pipe: Any, captions: list[str], length: int) -> Sequence[Tensor]:
        tokens = pipe.transformer.config.max_text_seq_length
        encoded = pipe.encode_prompt(
            captions, do_classifier_free_guidance=False, max_sequence_length=tokens
        )
        return (encoded[0],)


class Wan(Recipe):
    """UMT5's sequence, zero after its end."""

    modality = "video"
    length = 512
    single = ("vae",)

    def shapes(self, pipe: Any, length: int) -> Shapes:
        transformer = pipe.transformer or pipe.transformer_2
        return {SEQUENCE: (length, transformer.config.text_dim)}

    def encode(self, pipe: Any, captions: list[str], length: int) -> Sequence[Tensor]:
        encoded = pipe.encode_prompt(
            captions, do_classifier_free_guidance=False, max_sequence_length=length
        )
        return (encoded[0],)

    def rate(self, pipe: Any, call: Mapping[str, Any]) -> float:
        return 16.0


class LTX(Recipe):
    """T5's sequence and its mask."""

    modality = "video"
    length = 128

    def shapes(self, pipe: Any, length: int) -> Shapes:
        width = pipe.transformer.config.caption_channels
        return {SEQUENCE: (length, width), "prompt_attention_mask": (length, 1)}

    def encode(self, pipe: Any, captions: list[str], length: int) -> Sequence[Tensor]:
        encoded = pipe.encode_prompt(
            captions, do_classifier_free_guidance=False, max_sequence_length=length
        )
        return encoded[0], encoded[1]

    def rate(self, pipe: Any, call: Mapping[str, Any]) -> float:
        return float(call.get("frame_rate", 25))


RECIPES: dict[str, Recipe] = {
    "StableDiffusionPipeline": StableDiffusion(),
    "StableDiffusionXLPipeline": StableDiffusionXL(),
    "StableDiffusion3Pipeline": StableDiffusion3(),
    "FluxPipeline": Flux(),
    "SpectrogramPipeline": Spectrogram(),
    "AudioLDMPipeline": AudioLDM(),
    "AudioLDM2Pipeline": AudioLDM2(),
    "StableAudioPipeline": StableAudio(),
    "AnimateDiffPipeline": AnimateDiff(),
    "TextToVideoSDPipeline": TextToVideoSD(),
    "CogVideoXPipeline": CogVideoX(),
    "WanPipeline": Wan(),
    "LTXPipeline": LTX(),
}


def recipe(class_name: str) -> Recipe:
    """The recipe of a pipeline class: the table's, or that of an installed package.

    Raises:
        WeightsError: there is none, or the package's can't be used.
    """
    if class_name in RECIPES:
        return RECIPES[class_name]
    added = {entry.name: entry for entry in entry_points(group=ENTRY_POINTS)}
    if class_name not in added:
        known = ", ".join(sorted({*RECIPES, *added}))
        raise WeightsError(
            f"No recipe for a decoder of class {class_name}; there are recipes for {known}."
        )
    entry = added[class_name]
    try:
        found = entry.load()
    except Exception as error:  # whatever somebody's module raises
        raise WeightsError(
            f"The recipe for {class_name}, {entry.value}, can't be imported: {error}."
        ) from error
    if not (isinstance(found, type) and issubclass(found, Recipe)):
        raise WeightsError(f"The recipe for {class_name}, {entry.value}, is no subclass of Recipe.")
    return found()
