"""Training batches: conversations laid out as right-padded rows, and what a step gives.

``collate`` runs in data workers, on the processor; ``AnyToAny.forward`` runs the batch.
Rows may have different numbers of media and signals. B rows, T positions.

A row may hold several samples one after the other (packing). Their positions start again at 0,
which is how transformers knows that none of them sees another.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from heliograph.model.axes import numbered, on_axes
from heliograph.model.errors import InputError
from heliograph.model.language import LanguageModel
from heliograph.model.parts import Media, Message, Modality
from heliograph.model.prompts import Place, Row, build_row


@dataclass(frozen=True, eq=False)
class TrainingSample:
    """A conversation and the features of the media that the core is shown in it."""

    messages: tuple[Message, ...]
    features: Sequence[tuple[Modality, Tensor]] = ()
    """(n, We) for each medium outside the assistant's messages, in order of appearance."""


@dataclass(frozen=True, eq=False)
class MediaGroup:
    """All media of one modality in a batch that are of one length; k of them."""

    modality: Modality
    features: Tensor
    """(k, n, We)."""
    rows: Tensor
    """(k, 1) long: the row of each."""
    columns: Tensor
    """(k, m) long: the positions of its projected tokens."""
    captions: tuple[str, ...]
    """What is known of each, for training; "" where nothing is."""


@dataclass(frozen=True, eq=False)
class RunGroup:
    """All signal runs of one modality in a batch; k of them."""

    modality: Modality
    captions: tuple[str, ...]
    rows: Tensor
    """(k, 1) long."""
    columns: Tensor
    """(k, n) long: positions whose *input* is a token of the run."""


@dataclass(frozen=True, eq=False)
class Batch:
    """A training batch."""

    ids: Tensor
    """(B, T) long, padded on the right; padding ids at the places of media."""
    mask: Tensor
    """(B, T) long, 1 at real positions."""
    target_rows: Tensor
    """(N,) long: rows of the learned ids."""
    target_columns: Tensor
    """(N,) long: the positions *before* them, where they are predicted."""
    targets: Tensor
    """(N,) long: the learned ids."""
    media: tuple[MediaGroup, ...]
    runs: tuple[RunGroup, ...]
    positions: Tensor | None = None
    """(B, T) long where a row holds several samples: counted from the start of each; the padding
    counts as a sample of its own. (4, B, T) where media are numbered on three axes: these, then
    time, row and column."""

    def to(self, device: torch.device | str) -> Batch:
        """The same batch on another device."""
        media = tuple(
            replace(
                g,
                features=g.features.to(device),
                rows=g.rows.to(device),
                columns=g.columns.to(device),
            )
            for g in self.media
        )
        runs = tuple(
            replace(g, rows=g.rows.to(device), columns=g.columns.to(device)) for g in self.runs
        )
        return Batch(
            self.ids.to(device),
            self.mask.to(device),
            self.target_rows.to(device),
            self.target_columns.to(device),
            self.targets.to(device),
            media,
            runs,
            None if self.positions is None else self.positions.to(device),
        )


class SignalStates(NamedTuple):
    """One signal run of a batch, as its output projection reads it."""

    row: int
    modality: Modality
    hidden: Tensor
    """(n, W)."""
    embeddings: Tensor
    """(n, W)."""
    caption: str


class StackedSignals(NamedTuple):
    """All signal runs of one modality."""

    rows: list[int]
    hidden: Tensor
    """(k, n, W)."""
    embeddings: Tensor
    """(k, n, W)."""
    captions: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Outputs:
    """What a training step's forward pass gives."""

    loss: Tensor
    """Mean cross-entropy over the learned ids, in nats; 0 where there are none."""
    correct: Tensor
    """How many learned ids are the most likely ones (a count, without gradient)."""
    count: int
    """How many ids are learned."""
    stacked: dict[Modality, StackedSignals]
    """The signal runs, for the condition loss; only modalities that occur."""

    @property
    def signals(self) -> list[SignalStates]:
        """The same runs one by one, row by row."""
        states = [
            SignalStates(row, modality, group.hidden[i], group.embeddings[i], group.captions[i])
            for modality, group in self.stacked.items()
            for i, row in enumerate(group.rows)
        ]
        return sorted(states, key=lambda state: state.row)


def collate(
    language: LanguageModel,
    length: Callable[[Modality, int], int],
    samples: Sequence[TrainingSample],
    captioned: bool = True,
) -> Batch:
    """Lay samples out as one batch.

    Args:
        language: whose tokenizer, template and signal table are used.
        length: how many tokens n features of a modality are projected to.
        samples: B of them.
        captioned: the assistant says a caption before each signal run.

    Raises:
        InputError: features don't match the media, or a row is longer than the context.
    """
    return batch_of(language, [[row_of(language, length, s, captioned)] for s in samples])


def batch_of(language: LanguageModel, bins: Sequence[Sequence[Row]]) -> Batch:
    """A batch whose rows hold the samples of one bin each.

    Raises:
        InputError: a row is longer than the context.
    """
    rows = [_joined(rows) for rows in bins]
    longest = max(len(row.ids) for row in rows)
    if longest > language.context:
        raise InputError(
            f"A training sample has {longest} tokens; the model reads {language.context}."
        )
    ids = torch.full((len(rows), longest), language.pad)
    mask = torch.zeros(len(rows), longest, dtype=torch.long)
    where: list[tuple[int, int]] = []
    targets: list[int] = []
    for index, row in enumerate(rows):
        ids[index, : len(row.ids)] = torch.tensor(row.ids)
        mask[index, : len(row.ids)] = 1
        learned = [column for column, learn in enumerate(row.learn) if learn and column > 0]
        where += [(index, column - 1) for column in learned]
        targets += [row.ids[column] for column in learned]
    positions = torch.tensor(where, dtype=torch.long).view(-1, 2)
    return Batch(
        ids=ids,
        mask=mask,
        target_rows=positions[:, 0],
        target_columns=positions[:, 1],
        targets=torch.tensor(targets, dtype=torch.long),
        media=media_groups(rows),
        runs=_run_groups(language, rows),
        positions=_positions(bins, longest),
    )


def _joined(rows: Sequence[Row]) -> Row:
    """Samples one after the other; what stands first in one is not predicted from the last."""
    whole = Row()
    for row in rows:
        shift = len(whole.ids)
        whole.places += [replace(place, start=place.start + shift) for place in row.places]
        whole.runs += [replace(run, start=run.start + shift) for run in row.runs]
        whole.ids += row.ids
        whole.learn += [False, *row.learn[1:]]
    return whole


def _positions(bins: Sequence[Sequence[Row]], longest: int) -> Tensor | None:
    """Each sample's positions and those of the padding behind them, where ``Batch`` has them."""
    axes = any(map(on_axes, bins))
    if not axes and all(len(rows) == 1 for rows in bins):
        return None
    counted = []
    for rows in bins:
        samples = [*rows, Row([0] * (longest - sum(len(row.ids) for row in rows)))]
        each = [numbered(row) if axes else torch.arange(len(row.ids)) for row in samples]
        counted.append(torch.cat(each, dim=-1))  # (4, T) or (T,)
    return torch.stack(counted, dim=-2)


def media_groups(
    rows: Sequence[Row], shifts: Sequence[int] | None = None
) -> tuple[MediaGroup, ...]:
    """Gather the media of all rows, those of one modality and one length together.

    Args:
        rows: laid-out conversations.
        shifts: how far each row stands from the left, for rows padded on the left.
    """
    shifts = shifts or [0] * len(rows)
    groups: list[MediaGroup] = []
    places = [(index, place) for index, row in enumerate(rows) for place in row.places]
    kinds = [(place.modality, place.length, len(place.features)) for _, place in places]
    for kind in dict.fromkeys(kinds):
        modality = kind[0]
        ours = [found for found, its in zip(places, kinds, strict=True) if its == kind]
        columns = [place.start + shifts[index] + _offsets(place) for index, place in ours]
        groups.append(
            MediaGroup(
                modality,
                torch.stack([place.features for _, place in ours]).float(),  # (k, n, We)
                torch.tensor([index for index, _ in ours]).unsqueeze(1),  # (k, 1)
                torch.stack(columns),  # (k, m)
                tuple(place.caption for _, place in ours),
            )
        )
    return tuple(groups)


def _offsets(place: Place) -> Tensor:
    return torch.arange(place.length) if place.offsets is None else place.offsets


def row_of(
    language: LanguageModel,
    length: Callable[[Modality, int], int],
    sample: TrainingSample,
    captioned: bool = True,
) -> Row:
    """One sample laid out; the arguments are those of ``collate``.

    Raises:
        InputError: its features don't match its media.
    """
    left = iter(sample.features)

    def look(media: Media) -> Tensor:
        modality, features = next(left, (None, None))
        if features is None or modality != media.modality:
            raise InputError("A training sample's features don't match its media.")
        return features

    row = build_row(language, sample.messages, look, length, reply=False, captioned=captioned)
    if next(left, None) is not None:
        raise InputError("A training sample has more features than media.")
    return row


def _run_groups(language: LanguageModel, rows: Sequence[Row]) -> tuple[RunGroup, ...]:
    groups: list[RunGroup] = []
    runs = [(index, run) for index, row in enumerate(rows) for run in row.runs]
    for modality, tokens in language.table.runs.items():
        ours = [(index, run) for index, run in runs if run.modality == modality]
        if ours:
            starts = torch.tensor([run.start for _, run in ours])
            groups.append(
                RunGroup(
                    modality,
                    tuple(run.caption for _, run in ours),
                    torch.tensor([index for index, _ in ours]).unsqueeze(1),  # (k, 1)
                    starts.unsqueeze(1) + torch.arange(len(tokens)),  # (k, n)
                )
            )
    return tuple(groups)
