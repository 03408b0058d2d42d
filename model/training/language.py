"""Training of the base language model: every task of the world, on text alone.

Media that a user shows are their captions in words, media that the assistant makes are
whole spans. So the model knows how to answer before it sees or makes anything: stage 1
has only to turn media into embeddings that it reads as such words, and stage 2 to turn
the runs' states into conditions. For that the states have to carry the caption, and the
next words don't ask it of them: a small head (``Recall``), thrown away after training,
reads the caption's words back from each run.

Shape legend: k runs of n tokens, W the model's width, L words of a caption.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from heliograph.model.batching import Batch
from heliograph.model.core import AnyToAny
from heliograph.model.language import LanguageModel
from heliograph.model.parts import Modality
from heliograph.model.primer import dialogues, scenes
from heliograph.model.primer.dialogues import Dialogue, Turn
from heliograph.model.primer.grammar import grammar
from heliograph.model.primer.vocabulary import LANGUAGES, Language, load
from heliograph.model.training.conversations import batches_of, length_in, worded
from heliograph.model.training.decoders import LENGTH, caption_tokenizer
from heliograph.model.training.loop import Losses
from heliograph.model.training.presets import LanguageSizes

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


def fresh(tokenizer: PreTrainedTokenizerFast, sizes: LanguageSizes, seed: int) -> LanguageModel:
    """An untrained Llama (Touvron et al. 2023) over a copy of the tokenizer."""
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
    return LanguageModel(LlamaForCausalLM(config), copy.deepcopy(tokenizer))


COPIES, COMPARISONS = 0.03, 0.1
"""Shares of the conversations that only repeat, and that only say whether two things are one."""
FOCUS: Mapping[str, float] = {
    "ask_more": 6,
    "ask_yes_no": 3,
    "ask_where": 3,
    "ask_what": 3,
    "ask_count": 3,
    "ask_sound": 1.5,
    "ask_film": 1.5,
    "describe_both": 2,
    "no_sound": 1.5,
    "sound_of_picture": 3,
    "draw": 6,
    "film": 2,
    "animate": 1,
    "edit_object": 2,
    "mix": 5,
    "converse": 8,
    "decline": 14,
    "greet": 1,
    "translate": 1.5,
    "calculate": 1.5,
}
"""Tasks that take comparing, copying, or telling two things apart, by how often each comes
up among the ``FOCUSED`` share of the conversations; the rest is of all tasks alike."""
FOCUSED = 0.6
ALIKE = 5
"""Comparisons of a conversation."""
REPEAT: Mapping[Language, str] = {"en": "Repeat: ", "fr": "Répète : ", "ar": "كرّر: "}


def conversations(
    language: LanguageModel, lengths: Mapping[Modality, int], size: int, seed: int
) -> Callable[[int], Batch]:
    """The batches of each step: all tasks in all languages, the hard ones more often, and copies.

    The world's tasks hardly ask to copy anything token by token, so a model trained on them
    alone guesses the digits of a sum. Repeating numbers and signs lets induction heads form
    (Olsson et al. 2022, arXiv 2209.11895).

    Args:
        language: what is trained.
        lengths: tokens that stand for a medium, by modality.
        size: conversations of a batch.
        seed: of the whole training.
    """

    def draw(chance: random.Random) -> Dialogue:
        kind = chance.random()
        if kind < COPIES:
            return copied(chance)
        if kind < COPIES + COMPARISONS:
            return compared(chance)
        if kind < COPIES + COMPARISONS + FOCUSED:
            return dialogues.sample(chance, tasks=hard(chance))
        return dialogues.sample(chance)

    drawn = batches_of(draw, length_in(language, lengths), size, seed)
    return lambda step: worded(language, drawn(step), lengths)


def hard(chance: random.Random) -> list[str]:
    """One task of ``FOCUS``, by its weight."""
    return chance.choices(list(FOCUS), list(FOCUS.values()))


def copied(chance: random.Random) -> Dialogue:
    """Numbers and signs to repeat as they are."""
    space = chance.choice(("", " "))
    numbers = [
        str(chance.randrange(10 ** chance.randint(1, 4))) for _ in range(chance.randint(2, 6))
    ]
    text = numbers[0]
    for number in numbers[1:]:
        text += f"{space}{chance.choice('+-*/')}{space}{number}"
    spoken = chance.choice(LANGUAGES)
    return Dialogue("repeat", spoken, (Turn((REPEAT[spoken] + text,), (text,)),))


def compared(chance: random.Random) -> Dialogue:
    """Whether what is asked is what is the case, said of two things without a medium."""
    spoken = chance.choice(LANGUAGES)
    speech, names = grammar(spoken), grammar(spoken).names
    things = [o.name for o in load().objects]

    def phrases() -> list[str]:
        name, other = chance.sample(things, 2)
        several = [names.counted(name, n) for n in (2, 3)]
        kinds: list[list[str]] = [
            [names.background(colour) for colour in load().backgrounds],
            [names.place(place) for place in scenes.PLACE_PHRASES],
            [names.size(name, size) for size in ("small", "big")],
            [names.relation(relation, names.the(other)) for relation in scenes.OPPOSITES],
            [names.a(thing) for thing in chance.sample(things, 4)],
            [names.sound(sound.name) for sound in chance.sample(load().sounds, 4)],
            several,
        ]
        return chance.choice(kinds)

    def said(key: str, fact: str) -> str:
        return speech.replies[key].replace("$fact", fact)

    turns = []
    for _ in range(ALIKE):
        asked, told = chance.sample(phrases(), 2)
        same = chance.random() < 0.5
        fact = said("fact", asked if same else told)
        turns.append(
            Turn((f"{said('fact', asked)}? {fact}?",), (said("so_yes" if same else "so_no", fact),))
        )
    return Dialogue("compare", spoken, tuple(turns))


class Recall(nn.Module):
    """Reads the words of a caption back from the states of its signal run."""

    def __init__(self, language: LanguageModel) -> None:
        super().__init__()
        words = caption_tokenizer()
        width = language.width
        self._tokenizer = words
        self.queries = nn.ParameterDict(
            {m: nn.Parameter(torch.randn(LENGTH, width)) for m in language.table.runs}
        )
        self.positions = nn.ParameterDict(
            {m: nn.Parameter(torch.randn(len(r), width)) for m, r in language.table.runs.items()}
        )
        self.words = nn.Linear(width, len(words))

    def forward(self, modality: Modality, hidden: Tensor, captions: Sequence[str]) -> Tensor:
        """States (k, n, W) -> the mean cross-entropy of the captions' words."""
        keys = hidden + self.positions[modality]
        weights = self.queries[modality] @ keys.transpose(1, 2) * hidden.shape[-1] ** -0.5
        read = weights.softmax(-1) @ keys  # (k, L, W)
        logits = self.words(read).flatten(0, 1)  # (k L, words)
        ids: Tensor = self._tokenizer(
            list(captions), padding="max_length", max_length=LENGTH, return_tensors="pt"
        ).input_ids  # (k, L), 0 where there is no word
        return F.cross_entropy(logits, ids.flatten(), ignore_index=0)


def language_loss(
    language: LanguageModel, recall: Recall, weight: float = 0.3
) -> Callable[[Batch, torch.Generator], Losses]:
    """Cross-entropy on what the assistant says, and ``weight`` times that of the recall."""
    core = AnyToAny(language, {}, {})

    def loss(batch: Batch, generator: torch.Generator) -> Losses:
        outputs = core(batch)
        found = outputs.stacked.items()
        lost = [recall(modality, group.hidden, group.captions) for modality, group in found]
        recalled = torch.stack(lost).mean() if lost else torch.zeros(())
        right: Tensor = outputs.correct / outputs.count
        total = outputs.loss + weight * recalled
        return {"loss": total, "words": outputs.loss, "recall": recalled, "right": right}

    return loss
