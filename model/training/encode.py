"""Stage 1, encoding-side alignment: only the input projections train.

The language model, frozen, is asked about media and has to answer rightly: describe them,
or say what, how many, where. What it says depends on the projection alone. Answers tell a
projection little about each of its tokens, so a second loss says what each should be.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from heliograph.model.batching import Batch
from heliograph.model.core import AnyToAny
from heliograph.model.encoders import Encoder
from heliograph.model.primer import dialogues
from heliograph.model.training.conversations import Looker, batches_of, length_in, media_lengths
from heliograph.model.training.loop import Losses
from heliograph.model.training.stages import slot_loss

TASKS = (
    *(t for t in dialogues.TASKS if t.startswith(("describe_", "ask_"))),
    *("describe_picture",) * 4,
)
"""Descriptions and questions; pictures described are half, since they come in most kinds."""


def batches(core: AnyToAny, encoder: Encoder, size: int, seed: int) -> Callable[[int], Batch]:
    """Descriptions and questions about media, read by the encoder."""
    looker = Looker(encoder)
    drawn = batches_of(
        lambda chance: dialogues.sample(chance, tasks=TASKS),
        length_in(core.language, media_lengths(core, encoder)),
        size,
        seed,
    )
    return lambda step: core.collate(looker.samples(drawn(step)))


def encode_loss(
    core: AnyToAny, slot_weight: float = 1.0
) -> Callable[[Batch, torch.Generator], Losses]:
    """Cross-entropy on the answers, and what each projected token should be."""
    astray = slot_loss(core)

    def loss(batch: Batch, generator: torch.Generator) -> Losses:
        outputs, slots = core(batch), astray(batch)
        right = outputs.correct / outputs.count
        return {
            "loss": outputs.loss + slot_weight * slots,
            "words": outputs.loss,
            "slots": slots,
            "right": right,
        }

    return loss


def choose(core: AnyToAny) -> None:
    """Let the input projections train."""
    core.requires_grad_(False)
    core.inputs.requires_grad_(True)
