"""Small cores of the real classes, for tests of whatever is built on the core.

``small_core`` makes an untrained one in a few milliseconds; ``learn_by_heart`` teaches it
a few conversations in seconds, so that a test can rely on what it answers:

    core = small_core()
    learn_by_heart(core, LESSONS)      # "draw a dog" -> "here: ", a picture, " and done"

Its media are bytes that nothing decodes, with made-up features (``features_of``); it has
no encoders and no decoders.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from heliograph.model.batching import TrainingSample
from heliograph.model.core import AnyToAny
from heliograph.model.language import LanguageModel
from heliograph.model.parts import Media, Message, Modality, Text, ToolCall
from heliograph.model.projections import InputProjectionConfig, OutputProjection
from heliograph.model.tokenizer import train_tokenizer

if TYPE_CHECKING:
    from transformers import LlamaConfig, PreTrainedModel

WIDTH = 48
FEATURES = (6, 12)
"""Tokens and width of the made-up features of a medium."""
CORPUS = (
    'what is this? a red dog on the left, blue background. calculate {"name": "args"}',
    "draw a cat and play a bell twice. here you are, and it sounds so. 0 1 2 3 4 5 6 7 8 9",
)


def user(*parts: str | Media) -> Message:
    """A user's message."""
    return Message("user", tuple(Text(p) if isinstance(p, str) else p for p in parts))


def assistant(*parts: str | Media | ToolCall) -> Message:
    """An assistant's message."""
    return Message("assistant", tuple(Text(p) if isinstance(p, str) else p for p in parts))


def shown(modality: Modality, name: str) -> Media:
    """A medium that a user shows, known by its name."""
    return Media(modality, "application/x-test", name.encode())


def made(modality: Modality, caption: str) -> Media:
    """A medium that the assistant made from these words."""
    return Media(modality, "application/x-test", b"", caption)


DOG, BELL = shown("image", "dog"), shown("audio", "bell")
LESSONS: tuple[tuple[Message, ...], ...] = (
    (user("draw a dog"), assistant("here: ", made("image", "a red dog"), " and done")),
    (user("play a bell"), assistant(made("audio", "a bell, twice"))),
    (user("film a cat"), assistant("ok ", made("video", "a cat moves left"), "!")),
    (
        user("draw and play"),
        assistant("A ", made("image", "a cat"), " B ", made("audio", "a bell"), " C"),
    ),
    (user("what is this? ", DOG), assistant("a red dog")),
    (user("what is this? ", BELL), assistant("it is a bell")),
    (
        user("and 12 + 30?"),
        assistant(ToolCall("calculate", {"expression": "12 + 30"}, "42"), "it is 42"),
    ),
)


def features_of(media: Media) -> Tensor:
    """Features that differ with the bytes, (n, We)."""
    generator = torch.Generator().manual_seed(int(media.sha256[:8], 16))
    return torch.randn(*FEATURES, generator=generator)


def sample_of(messages: Sequence[Message]) -> TrainingSample:
    """A conversation as a training sample, with the features of what is shown in it."""
    media = [
        part
        for message in messages
        if message.role != "assistant"
        for part in message.parts
        if isinstance(part, Media)
    ]
    return TrainingSample(tuple(messages), [(m.modality, features_of(m)) for m in media])


def small_config(vocab_size: int, tied: bool = True, context: int = 256) -> LlamaConfig:
    """A Llama of 2 layers for a tokenizer of ``train_tokenizer``."""
    from transformers import LlamaConfig

    from heliograph.model.tokenizer import END_ID, PAD_ID

    return LlamaConfig(
        vocab_size=vocab_size,
        hidden_size=WIDTH,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=96,
        max_position_embeddings=context,
        tie_word_embeddings=tied,
        bos_token_id=None,
        eos_token_id=END_ID,
        pad_token_id=PAD_ID,
    )


def small_language(tied: bool = True, context: int = 256) -> LanguageModel:
    """An untrained language model with the signal table; the same at each call."""
    from transformers import LlamaForCausalLM

    tokenizer = train_tokenizer(CORPUS * 10, 400)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return LanguageModel(
            LlamaForCausalLM(small_config(len(tokenizer), tied, context)), tokenizer
        ).eval()


FAMILIES = ("Llama", "Qwen2", "Qwen3", "Mistral", "Gemma", "Gemma2", "Gemma3")
"""Classes of language models in the table of docs/models.md."""


def small_family(family: str, vocab_size: int, tied: bool = True, **more: Any) -> PreTrainedModel:
    """An untrained causal LM of one of ``FAMILIES``, for a tokenizer of ``train_tokenizer``.

    Two layers, with fewer heads for keys and values than for queries; it differs at each call.
    """
    import transformers

    from heliograph.model.tokenizer import END_ID, PAD_ID

    text = "Text" if family == "Gemma3" else ""  # there is one that sees, too
    sizes: dict[str, Any] = {
        "vocab_size": vocab_size,
        "hidden_size": WIDTH,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 12,
        "intermediate_size": 64,
        "max_position_embeddings": 256,
        "tie_word_embeddings": tied,
        "initializer_range": 0.1,
        "bos_token_id": None,
        "eos_token_id": END_ID,
        "pad_token_id": PAD_ID,
    }
    config = getattr(transformers, f"{family}{text}Config")(**(sizes | more))
    model: PreTrainedModel = getattr(transformers, f"{family}ForCausalLM")(config)
    return model.eval()


def small_core(context: int = 256) -> AnyToAny:
    """An untrained core that sees and makes all three modalities; the same at each call."""
    language = small_language(context=context)
    inputs: dict[Modality, InputProjectionConfig] = {
        "image": InputProjectionConfig("resampler", 12, 6, WIDTH, tokens=3, hidden=32),
        "audio": InputProjectionConfig("linear", 12, 6, WIDTH),
        "video": InputProjectionConfig("mlp", 12, 6, WIDTH, hidden=32),
    }
    with torch.random.fork_rng():
        torch.manual_seed(0)
        outputs: dict[Modality, OutputProjection] = {
            spec.modality: OutputProjection(
                WIDTH, 10, 5, spec.count, hidden=16, layers=1, heads=2, ff=32
            )
            for spec in language.table.specs
        }
        built = {modality: config.build() for modality, config in inputs.items()}
    return AnyToAny.build(language, built, outputs).eval()


def learn_by_heart(core: AnyToAny, lessons: Sequence[Sequence[Message]] = LESSONS) -> None:
    """Train on conversations until each answer is the likeliest (seconds for a few)."""
    core.train()
    batch = core.collate([sample_of(lesson) for lesson in lessons])
    optimizer = torch.optim.AdamW(core.parameters(), lr=4e-3, weight_decay=0.0)
    for _ in range(400):
        outputs = core(batch)
        optimizer.zero_grad()
        outputs.loss.backward()
        optimizer.step()
        if outputs.loss < 0.01:
            break
    core.eval()
