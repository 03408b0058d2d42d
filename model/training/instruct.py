"""Stage 3, modality-switching instruction tuning (MosIT): LoRA and every projection.

All tasks of the world in conversations of one or more turns, with the media that users
send and the signals that answer them; the losses of both sides together.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping

import torch

from heliograph.model.batching import Batch
from heliograph.model.core import AnyToAny
from heliograph.model.decoders import DiffusionDecoder
from heliograph.model.encoders import Encoder
from heliograph.model.parts import Modality
from heliograph.model.primer import dialogues
from heliograph.model.primer.dialogues import Dialogue
from heliograph.model.training import encode
from heliograph.model.training.conversations import Looker, batches_of, length_in, media_lengths
from heliograph.model.training.decode import decode_loss
from heliograph.model.training.language import hard
from heliograph.model.training.loop import Losses
from heliograph.model.training.stages import Conditioner, slot_loss, train_new_rows

READING, HARD = 0.3, 0.3
"""Shares of the conversations that are stage 1's alone, and of those that take comparing or
copying, beyond those among all tasks: what a model that knows the world in words has left to
learn is mostly to read media."""


def instruct_loss(
    core: AnyToAny,
    conditioners: Mapping[Modality, Conditioner],
    weight: float,
    slot_weight: float = 1.0,
) -> Callable[[Batch, torch.Generator], Losses]:
    """The losses of stages 1 and 2: here media come in too, and LoRA trains."""
    of_signals, of_media = decode_loss(core, conditioners, weight), slot_loss(core)

    def loss(batch: Batch, generator: torch.Generator) -> Losses:
        figures, slots = of_signals(batch, generator), of_media(batch)
        return {**figures, "loss": figures["loss"] + slot_weight * slots, "slots": slots}

    return loss


def batches(
    core: AnyToAny,
    encoder: Encoder,
    size: int,
    seed: int,
    captioned: bool = True,
    drawer: DiffusionDecoder | None = None,
) -> Callable[[int], Batch]:
    """All tasks, reading and the hard ones more often, with media read by the encoder.

    Args:
        core: what is trained.
        encoder: reads what is shown.
        size: conversations of a batch.
        seed: of the whole training.
        captioned: signal spans begin with their caption.
        drawer: through whose autoencoder some of the pictures go (``Looker``).
    """
    looker = Looker(encoder, drawer)

    def draw(chance: random.Random) -> Dialogue:
        kind = chance.random()
        if kind < READING:
            return dialogues.sample(chance, tasks=encode.TASKS)
        return dialogues.sample(chance, tasks=hard(chance) if kind < READING + HARD else None)

    drawn = batches_of(draw, length_in(core.language, media_lengths(core, encoder)), size, seed)
    return lambda step: core.collate(looker.samples(drawn(step)), captioned)


def choose(core: AnyToAny, rank: int) -> int:
    """Add LoRA and let it, the projections and the new rows train.

    LoRA is added first: adding it freezes all else. It has no dropout, so that a step
    depends on its number alone. Gives how many numbers the new rows are.
    """
    core.requires_grad_(False)
    core.language.add_lora(r=rank, alpha=rank, dropout=0.0)
    core.inputs.requires_grad_(True)
    core.outputs.requires_grad_(True)
    return train_new_rows(core.language)
