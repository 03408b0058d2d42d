"""Small untrained cores on language models of several families, some with sliding windows."""

from __future__ import annotations

import torch

from heliograph.model.core import AnyToAny
from heliograph.model.language import LanguageModel
from heliograph.model.projections import InputProjectionConfig, OutputProjection
from heliograph.model.testing import CORPUS, WIDTH, small_family
from heliograph.model.tokenizer import train_tokenizer

FAMILIES = ("Llama", "Qwen2", "Mistral", "Gemma3")


def core_of(family: str, tied: bool = True, attention: str = "sdpa") -> AnyToAny:
    """Sees pictures, makes all three; Mistral and Gemma 3 look back 8 positions in some layers."""
    tokenizer = train_tokenizer(CORPUS * 10, 400)
    sliding = {"sliding_window": 8} if family in ("Mistral", "Gemma3") else {}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        language = LanguageModel(
            small_family(family, len(tokenizer), tied, attn_implementation=attention, **sliding),
            tokenizer,
        )
        outputs = {
            spec.modality: OutputProjection(
                WIDTH, 10, 5, spec.count, hidden=16, layers=1, heads=2, ff=32
            )
            for spec in language.table.specs
        }
        inputs = {"image": InputProjectionConfig("linear", 12, 6, WIDTH).build()}
    return AnyToAny.build(language, inputs, outputs).eval()
