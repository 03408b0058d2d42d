"""Stage 2, decoding-side alignment: only the output projections and the new rows train.

Texts alone, no media: a request, and an answer with its signal. Cross-entropy on the
answer, and the distance between the projected signal and what the decoder's own text
encoder makes of the caption.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping

import torch

from heliograph.model.batching import Batch
from heliograph.model.core import AnyToAny
from heliograph.model.parts import Modality
from heliograph.model.primer import dialogues
from heliograph.model.primer.dialogues import Dialogue
from heliograph.model.training.conversations import batches_of, length_in, worded
from heliograph.model.training.loop import Losses
from heliograph.model.training.stages import Conditioner, condition_loss, train_new_rows

TASKS = ("draw", "play", "film")


def batches(core: AnyToAny, size: int, seed: int, captioned: bool = True) -> Callable[[int], Batch]:
    """Requests for pictures, sounds and films in words."""

    def draw(chance: random.Random) -> Dialogue:
        return dialogues.sample(chance, tasks=TASKS)

    drawn = batches_of(draw, length_in(core.language, {}), size, seed)
    return lambda step: worded(core.language, drawn(step), {}, captioned)


def decode_loss(
    core: AnyToAny, conditioners: Mapping[Modality, Conditioner], weight: float
) -> Callable[[Batch, torch.Generator], Losses]:
    """Cross-entropy plus ``weight`` times the condition loss."""
    far_from = condition_loss(core, conditioners)

    def loss(batch: Batch, generator: torch.Generator) -> Losses:
        outputs = core(batch)
        far = far_from(outputs)
        condition = torch.stack(list(far.values())).mean() if far else torch.zeros(())
        figures = {str(m): far.get(m, torch.tensor(torch.nan)) for m in core.makes}
        return {
            "loss": outputs.loss + weight * condition,
            "words": outputs.loss,
            "condition": condition,
            "right": outputs.correct / outputs.count,
            **figures,
        }

    return loss


def choose(core: AnyToAny) -> int:
    """Let the output projections and the new rows train; gives how many numbers the rows are."""
    core.requires_grad_(False)
    core.outputs.requires_grad_(True)
    return train_new_rows(core.language)
