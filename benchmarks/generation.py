"""Words of an answer by our loop, over the same words by the plain ``generate`` of transformers.

Both answer the same question greedily, with the same language model, and give the same text, from
the question to the end: the chat template, the forward passes, the words. Ours looks after signal
tokens, stops and rows of their own state, and hands out each word as it comes; ``generate`` gives
the whole at the end.

Measured on the core's own language model, and on an untrained one of a size at which the loop
counts for less.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from benchmarks.harness import Figure, Settings, figure, ratio, seconds

if TYPE_CHECKING:
    from heliograph.model.core import AnyToAny
    from heliograph.model.language import LanguageModel

QUESTION = "What can you do?"
TOKENS = 96
ROWS = (1, 8)
AIM = 1 / 0.95
"""At least 95 % of the words in the same time."""
WIDTH, LAYERS = 512, 12
"""Of the larger one."""


def measure(settings: Settings) -> list[Figure]:
    """Time both on each language model, for one row and for several."""
    from heliograph.model.core import AnyToAny

    own = AnyToAny.from_pretrained(settings.weights)
    figures = []
    for name, core in (("its own", own), (f"{LAYERS} layers of {WIDTH}", larger(own.language))):
        for rows in ROWS:
            ways = {"ours": ours(core, rows), "generate": plain(core.language, rows)}
            said = ways["generate"]()
            assert ways["ours"]() == said
            taken = seconds(ways, settings.repeats)
            count = rows * len(core.language.encode_text(said[0]))
            speed = [count / t for t in taken["ours"]]
            title = f"{name}, rows: {rows}"
            figures += [
                ratio("generation", f"{title}: ours / generate", taken, "ours", "generate", AIM),
                figure("generation", f"{title}: ours", "tokens/s", speed),
            ]
    return figures


def larger(language: LanguageModel) -> AnyToAny:
    """A core of an untrained language model that never says a special token."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from heliograph.model.core import AnyToAny
    from heliograph.model.language import LanguageModel

    config = LlamaConfig(
        vocab_size=language.model.config.vocab_size,
        hidden_size=WIDTH,
        intermediate_size=3 * WIDTH,
        num_hidden_layers=LAYERS,
        num_attention_heads=WIDTH // 64,
        max_position_embeddings=language.context,
        tie_word_embeddings=False,
        bos_token_id=None,
        eos_token_id=language.tokenizer.eos_token_id,
        pad_token_id=language.pad,
    )
    torch.manual_seed(0)
    model = LlamaForCausalLM(config)
    with torch.no_grad():  # the likeliest of thousands is above nothing
        model.lm_head.weight[~language.plain_ids] = 0.0
    return AnyToAny.build(LanguageModel(model, language.tokenizer), {}, {}).eval()


def ours(core: AnyToAny, rows: int, tokens: int = TOKENS) -> Callable[[], list[str]]:
    """Answers to the question by our loop."""
    from heliograph.model.generation import GenerationOptions
    from heliograph.model.parts import Message, Text
    from heliograph.model.signals import TextDelta

    asked = [[Message("user", (Text(QUESTION),))]] * rows

    def answers() -> list[str]:
        said = [""] * rows
        for event in core.generate(asked, GenerationOptions(max_new_tokens=tokens)):
            if isinstance(event, TextDelta):
                said[event.row] += event.text
        return said

    return answers


def plain(language: LanguageModel, rows: int, tokens: int = TOKENS) -> Callable[[], list[str]]:
    """Answers to the question by the ``generate`` of transformers."""
    import torch

    def answers() -> list[str]:
        asked = [[{"role": "user", "content": QUESTION}]] * rows
        inputs = language.tokenizer.apply_chat_template(
            asked, add_generation_prompt=True, return_dict=True, return_tensors="pt", padding=True
        ).to(language.device)
        with torch.no_grad():
            ids = language.model.generate(
                **inputs,
                do_sample=False,
                max_new_tokens=tokens,
                eos_token_id=sorted(language.stop_ids),
                pad_token_id=language.pad,
            )
        new = ids[:, inputs["input_ids"].shape[1] :].tolist()
        return [language.decode(row) for row in new]

    return answers
