"""After stage 3: output projections alone, on a language model that stands still.

In stages 2 and 3 the states of a signal run move while its projection learns to read them, and
what a decoder is given stays a little off what its own text encoder would have given. Here only the
condition loss is left, and only the projections train, so that a step is a forward pass of the
language model without gradients.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Mapping

import torch

from heliograph.model.batching import Batch
from heliograph.model.core import AnyToAny
from heliograph.model.encoders import Encoder
from heliograph.model.parts import Modality
from heliograph.model.primer import dialogues
from heliograph.model.primer.dialogues import Dialogue
from heliograph.model.training.conversations import Looker, batches_of, length_in, media_lengths
from heliograph.model.training.decode import TASKS as ASKED
from heliograph.model.training.loop import Losses
from heliograph.model.training.stages import Conditioner, condition_loss

IN_WORDS = 0.5
"""Share of the requests that are words alone, which take no encoder."""
MADE: Mapping[str, tuple[Modality, ...]] = {
    "draw": ("image",),
    "play": ("audio",),
    "film": ("video",),
    "sound_of_picture": ("audio",),
    "draw_heard": ("image",),
    "animate": ("video",),
    "last_scene": ("image",),
    **{f"edit_{what}": ("image",) for what in ("background", "more", "object", "size", "place")},
    "mix": ("image", "audio", "video"),
    "converse": ("image", "audio", "video"),
}
"""What the answers of each task make."""


def batches(
    core: AnyToAny,
    encoder: Encoder,
    modalities: Collection[Modality],
    size: int,
    seed: int,
    captioned: bool = True,
) -> Callable[[int], Batch]:
    """Dialogues in which one of the modalities is made."""
    looker = Looker(encoder)
    tasks = [task for task, made in MADE.items() if not set(made).isdisjoint(modalities)]
    asked = [task for task in tasks if task in ASKED]

    def draw(chance: random.Random) -> Dialogue:
        return dialogues.sample(chance, tasks=asked if chance.random() < IN_WORDS else tasks)

    drawn = batches_of(draw, length_in(core.language, media_lengths(core, encoder)), size, seed)
    return lambda step: core.collate(looker.samples(drawn(step)), captioned)


def signal_loss(
    core: AnyToAny,
    conditioners: Mapping[Modality, Conditioner],
    modalities: Collection[Modality],
) -> Callable[[Batch, torch.Generator], Losses]:
    """The condition loss of these modalities."""
    far_from = condition_loss(core, conditioners)

    def loss(batch: Batch, generator: torch.Generator) -> Losses:
        with torch.no_grad():
            outputs = core(batch)
        far = far_from(outputs)
        each = [far[m] for m in modalities if m in far]
        total = torch.stack(each).mean() if each else _nothing(core, modalities)
        return {"loss": total, **{str(m): far.get(m, torch.tensor(torch.nan)) for m in modalities}}

    return loss


def choose(core: AnyToAny, modalities: Collection[Modality]) -> None:
    """Let these output projections train."""
    core.requires_grad_(False)
    for modality in modalities:
        core.outputs[modality].requires_grad_(True)


def _nothing(core: AnyToAny, modalities: Collection[Modality]) -> torch.Tensor:
    """Zero, with gradients of zero: a batch in which none of the modalities is made."""
    found = (p for m in modalities for p in core.outputs[m].parameters())
    return 0.0 * torch.stack([p.sum() for p in found]).sum()
