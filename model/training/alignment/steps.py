"""A step's losses and gradients, over the pieces of a step and the processes of a team.

Each loss is a sum over what it is about, divided by the count of the *whole step*: learned tokens
for the cross-entropy, signal runs of a modality for the condition loss. So the gradients of the
pieces add up to those of the step as one batch, however it was divided.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from heliograph.model.batching import Batch, Outputs
from heliograph.model.core import AnyToAny
from heliograph.model.parts import MODALITIES
from heliograph.model.training.alignment.parts import check_packing
from heliograph.model.training.alignment.prefix import cut_hidden
from heliograph.model.training.alignment.rows import NewRows
from heliograph.model.training.alignment.settings import Settings
from heliograph.model.training.alignment.stream import StepData
from heliograph.model.training.loop import Losses
from heliograph.model.training.team import ALONE, Team

FIGURES = ("loss", "words", "condition", "right", *MODALITIES)
ANSWERS = ("loss", "words", "right")
"""What is written down of stages that only learn answers."""


class Forward(nn.Module):
    """The losses of one piece: what a wrapper for several processes wraps."""

    def __init__(
        self,
        core: AnyToAny,
        rows: NewRows | None,
        settings: Settings,
        far_from: Callable[[Outputs], dict[Any, Tensor]] | None,
        team: Team = ALONE,
    ) -> None:
        super().__init__()
        self.core, self.rows = core, rows
        self._settings, self._far_from = settings, far_from
        self._divided = team if settings.divided(team.size) else ALONE

    def forward(self, batch: Batch, counts: Tensor) -> Tensor:
        """Losses of a piece, (7,), in the order of ``FIGURES``.

        Args:
            batch: the piece.
            counts: (1 + 3,) of the whole step: learned tokens, and runs of each modality.
        """
        core = self.core
        with torch.autocast(core.device.type, torch.bfloat16, enabled=self._settings.bf16):
            embeddings = core.embed(batch.ids, batch.media)  # (B, T, W)
            blocks = core.blocks(batch.ids, batch.media)
            if self._settings.cuts:
                hidden = cut_hidden(
                    core.language,
                    embeddings,
                    batch.mask,
                    self._inputs(batch),
                    blocks,
                    batch.positions,
                    self._divided,
                )
            else:
                mask = batch.mask if batch.positions is None else None
                hidden = core.language.hidden(embeddings, mask, batch.positions, blocks=blocks)
            outputs = core.outputs_of(batch, embeddings, hidden)
            far = {} if self._far_from is None else self._far_from(outputs)
        tokens = counts[0].clamp(min=1)
        words = outputs.loss * outputs.count / tokens
        nothing = words.new_zeros(())
        each = [
            far[m] * len(outputs.stacked[m].rows) / counts[1 + i] if m in far else nothing
            for i, m in enumerate(MODALITIES)
        ]
        condition = torch.stack(each).sum() / (counts[1:] > 0).sum().clamp(min=1)
        loss = words + self._settings.condition_weight * condition
        absent = self._absent(batch)
        if absent:
            loss = loss + 0.0 * torch.stack([p.sum() for p in absent]).sum()
        return torch.stack([loss, words, condition, outputs.correct / tokens, *each])

    def _inputs(self, batch: Batch) -> Tensor:
        """(B, T) bool: where an input of the language model depends on what trains."""
        none = torch.zeros_like(batch.ids, dtype=torch.bool)
        trained = none if self.rows is None else self.rows.within(batch.ids)
        for group in batch.media if self._settings.recipe.inputs else ():
            trained = trained.index_put((group.rows, group.columns), none.new_ones(()))
        return trained

    def check_packing(self) -> None:
        """See that the language model keeps packed samples apart, on the device where it is.

        Raises:
            InputError: it doesn't.
        """
        check_packing(self.core)

    def _absent(self, batch: Batch) -> list[nn.Parameter]:
        """What trains and isn't used by this piece: projections of modalities that it has not.

        They take part with a gradient of nothing, because processes that add up gradients have
        to have the same ones, and one process goes the way that several go.
        """
        shown, made = ({g.modality for g in groups} for groups in (batch.media, batch.runs))
        return [
            getattr(module, name)
            for there, side in zip((shown, made), self._trained, strict=True)
            for modality, places in side.items()
            if modality not in there
            for module, name in places
        ]

    @cached_property
    def _trained(self) -> list[dict[str, list[tuple[nn.Module, str]]]]:
        """Where what trains of input and of output projections is, by modality.

        Looking for it takes long beside a step of a small core. Modules are kept and not their
        parameters, which FSDP changes for others.
        """
        return [
            {
                modality: [
                    (module, name)
                    for module in projection.modules()
                    for name, parameter in module.named_parameters(recurse=False)
                    if parameter.requires_grad
                ]
                for modality, projection in side.items()
            }
            for side in (self.core.inputs, self.core.outputs)
        ]


class Steps:
    """Called by ``fit`` with the data of a step: leaves gradients, gives the losses."""

    def __init__(self, forward: Forward, settings: Settings, team: Team) -> None:
        self._settings, self._team = settings, team
        self._forward: nn.Module = forward
        self._copied = team.size > 1 and not settings.shard
        if self._copied:
            self._forward = nn.parallel.DistributedDataParallel(
                forward,
                broadcast_buffers=False,
                init_sync=False,  # all have read the same files
            )

    def __call__(self, data: StepData, generator: torch.Generator) -> Losses:
        """Add up the gradients of all pieces but the last, which is the caller's.

        Each process gets the team's losses; the gradient of ``loss`` is that of its last piece,
        times the number of processes, because their gradients are averaged.
        """
        team, device = self._team, self._team.device
        counts = team.total(counted(data.pieces).to(device))
        summed = torch.zeros(len(FIGURES), device=device)
        for index, piece in enumerate(data.pieces):
            last = index == len(data.pieces) - 1
            # Dropout in a piece depends on the step, and on which piece of the team's it is.
            torch.manual_seed(generator.initial_seed() * 65_521 + index * team.size + team.rank)
            waits: Any = self._forward if self._copied and not last else None
            with nullcontext() if waits is None else waits.no_sync():
                values = self._forward(piece.to(device), counts)
                loss = values[0] * team.size
                if not last:
                    loss.backward()
            summed += values.detach()
        summed = team.total(summed)
        named = dict(zip(FIGURES, summed, strict=True))
        for index, modality in enumerate(MODALITIES):
            if counts[1 + index] == 0:
                named[modality] = torch.tensor(torch.nan)
        figures = {**named, "loss": named["loss"] + (loss - loss.detach())}
        wanted = FIGURES if self._settings.recipe.outputs else ANSWERS
        return {name: figures[name] for name in wanted}


def counted(pieces: Sequence[Batch]) -> Tensor:
    """(1 + 3,): learned tokens, and signal runs of each modality."""
    runs = [
        sum(len(group.captions) for piece in pieces for group in piece.runs if group.modality == m)
        for m in MODALITIES
    ]
    return torch.tensor([sum(len(piece.targets) for piece in pieces), *runs], dtype=torch.float)
