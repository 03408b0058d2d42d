"""The primer's language model: a small Llama, trained from scratch on the primer world."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import LlamaConfig


def primer_language_config(vocab_size: int) -> LlamaConfig:
    """Sizes of the primer's Llama, for a tokenizer of ``tokenizer.train_tokenizer``.

    6.2 million parameters at 4,096 tokens; embeddings and head are tied.
    """
    from transformers import LlamaConfig

    from heliograph.model.tokenizer import END_ID, PAD_ID

    return LlamaConfig(
        vocab_size=vocab_size,
        hidden_size=256,
        num_hidden_layers=6,
        num_attention_heads=4,
        num_key_value_heads=4,
        intermediate_size=704,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=END_ID,
        pad_token_id=PAD_ID,
    )
