"""Training of the base language model: every task of the world, on text alone.

Media that a user shows are their captions in words, media that the assistant makes are
whole spans. So the model knows how to answer before it sees or makes anything: stage 1
has only to turn media into embeddings that it reads as such words, and stage 2 to turn
the runs' states into conditions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from heliograph.model.batching import Batch
from heliograph.model.core import AnyToAny
from heliograph.model.language import LanguageModel
from heliograph.model.primer import dialogues
from heliograph.model.training.conversations import batches_of, length_in, worded
from heliograph.model.training.loop import Losses
from heliograph.model.training.presets import LanguageSizes

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


def fresh(tokenizer: PreTrainedTokenizerFast, sizes: LanguageSizes, seed: int) -> LanguageModel:
    """An untrained Llama (Touvron et al. 2023) with the signal tokens."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=sizes.hidden,
        intermediate_size=sizes.intermediate,
        num_hidden_layers=sizes.layers,
        num_attention_heads=sizes.heads,
        max_position_embeddings=sizes.context,
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
    )
    torch.manual_seed(seed)
    return LanguageModel(LlamaForCausalLM(config), tokenizer)


def conversations(language: LanguageModel, size: int, seed: int) -> Callable[[int], Batch]:
    """The batches of each step: all tasks by their weights, in all languages."""
    drawn = batches_of(dialogues.sample, length_in(language), size, seed)
    return lambda step: worded(language, drawn(step))


def language_loss(language: LanguageModel) -> Callable[[Batch, torch.Generator], Losses]:
    """Cross-entropy on what the assistant says."""
    core = AnyToAny(language, {}, {})

    def loss(batch: Batch, generator: torch.Generator) -> Losses:
        outputs = core(batch)
        right: Tensor = outputs.correct / outputs.count
        return {"loss": outputs.loss, "right": right}

    return loss
