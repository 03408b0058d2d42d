"""Small untrained cores on language models of several families, some with sliding windows."""

from __future__ import annotations

import torch
import transformers as tf

from heliograph.model.core import AnyToAny
from heliograph.model.language import LanguageModel
from heliograph.model.projections import InputProjectionConfig, OutputProjection
from heliograph.model.testing import CORPUS, WIDTH
from heliograph.model.tokenizer import END_ID, PAD_ID, train_tokenizer

FAMILIES = ("Llama", "Qwen2", "Mistral", "Gemma3")


def core_of(family: str, tied: bool = True, attention: str = "sdpa") -> AnyToAny:
    """Sees pictures, makes all three; Mistral and Gemma 3 look back 8 positions in some layers."""
    tokenizer = train_tokenizer(CORPUS * 10, 400)
    config = getattr(tf, f"{family}{'Text' if family == 'Gemma3' else ''}Config")(
        vocab_size=len(tokenizer),
        hidden_size=WIDTH,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=12,
        intermediate_size=64,
        max_position_embeddings=256,
        tie_word_embeddings=tied,
        initializer_range=0.1,
        bos_token_id=None,
        eos_token_id=END_ID,
        pad_token_id=PAD_ID,
        attn_implementation=attention,
        **({"sliding_window": 8} if family in ("Mistral", "Gemma3") else {}),
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        language = LanguageModel(getattr(tf, f"{family}ForCausalLM")(config), tokenizer)
        outputs = {
            spec.modality: OutputProjection(
                WIDTH, 10, 5, spec.count, hidden=16, layers=1, heads=2, ff=32
            )
            for spec in language.table.specs
        }
        inputs = {"image": InputProjectionConfig("linear", 12, 6, WIDTH).build()}
    return AnyToAny.build(language, inputs, outputs).eval()
