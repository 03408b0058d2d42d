"""From the world's dialogues to rows of a training batch.

A dialogue's media stay scenes until here: the base language model reads each as its
caption in words between the markers of a medium, the later stages as the encoder's patch
tokens. Dialogues of about the same length share a batch.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from heliograph.model.batching import Batch, RunGroup, TrainingSample
from heliograph.model.core import AnyToAny
from heliograph.model.decoders import DiffusionDecoder
from heliograph.model.decoders.autoencoding import rebuilt
from heliograph.model.encoders import Encoder
from heliograph.model.encoders.preprocess import stack
from heliograph.model.language import LanguageModel
from heliograph.model.media import Clip
from heliograph.model.parts import Media, Message, Modality, Part, Text, ToolCall
from heliograph.model.primer import scenes
from heliograph.model.primer.dialogues import Called, Dialogue, Made, Shown
from heliograph.model.primer.render import render
from heliograph.model.prompts import Row, build_row
from heliograph.model.training.loop import rng

GROUP = 8
"""So many batches are drawn together and sorted by length."""
REBUILT = 0.25
"""Share of the shown pictures that look as a decoder would draw them."""


def batches_of(
    draw: Callable[[random.Random], Dialogue],
    length: Callable[[Dialogue], int],
    size: int,
    seed: int,
) -> Callable[[int], list[Dialogue]]:
    """The dialogues of each step: a function of ``seed`` and the step alone.

    Args:
        draw: gives a dialogue.
        length: its length in tokens; see ``length_in``.
        size: dialogues of a batch.
        seed: of the whole training.
    """
    drawn: dict[int, list[list[Dialogue]]] = {}

    def batch(step: int) -> list[Dialogue]:
        group, index = divmod(step, GROUP)
        if group not in drawn:
            chance = rng(seed, group)
            dialogues = sorted((draw(chance) for _ in range(GROUP * size)), key=length)
            batches = [dialogues[i * size : (i + 1) * size] for i in range(GROUP)]
            chance.shuffle(batches)
            drawn.clear()
            drawn[group] = batches
        return drawn[group][index]

    return batch


def messages(dialogue: Dialogue) -> tuple[Message, ...]:
    """The dialogue as a conversation; its media have captions but no bytes."""
    said: list[Message] = []
    for turn in dialogue.turns:
        said.append(Message("user", tuple(map(_part, turn.user))))
        said.append(Message("assistant", tuple(map(_part, turn.assistant))))
    return tuple(said)


def shown(dialogue: Dialogue) -> list[Shown]:
    """The media that the user sends, in order."""
    return [part for turn in dialogue.turns for part in turn.user if isinstance(part, Shown)]


def slots(language: LanguageModel, caption: str, length: int) -> list[int]:
    """A caption as the ``length`` ids that stand for its medium, padded behind."""
    ids = language.encode_text(caption)[:length]
    return ids + [language.pad] * (length - len(ids))


def worded_row(
    language: LanguageModel,
    dialogue: Dialogue,
    lengths: Mapping[Modality, int],
    captioned: bool = True,
) -> Row:
    """A dialogue on text alone: ``<Img>a small dog …</Img>`` stands for the medium.

    It takes as many tokens as the embeddings of the medium will (``lengths``).
    """
    row = build_row(
        language,
        messages(dialogue),
        lambda media: torch.tensor(slots(language, media.caption or "", lengths[media.modality])),
        lambda modality, length: length,
        reply=False,
        captioned=captioned,
    )
    for place in row.places:
        row.ids[place.start : place.start + place.length] = place.features.tolist()
    return row


def media_lengths(core: AnyToAny, encoder: Encoder) -> dict[Modality, int]:
    """How many tokens stand for a medium of each modality that the encoder reads."""
    return {m: core.media_length(m, encoder.tokens(m)) for m in encoder.modalities}


def length_in(
    language: LanguageModel, lengths: Mapping[Modality, int]
) -> Callable[[Dialogue], int]:
    """How many tokens a dialogue has."""
    return lambda dialogue: len(worded_row(language, dialogue, lengths).ids)


def worded(
    language: LanguageModel,
    dialogues: Sequence[Dialogue],
    lengths: Mapping[Modality, int],
    captioned: bool = True,
) -> Batch:
    """A batch on text alone, cut at the end of the context."""
    rows = [worded_row(language, dialogue, lengths, captioned) for dialogue in dialogues]
    longest = min(language.context, max(len(row.ids) for row in rows))
    ids = torch.full((len(rows), longest), language.pad)
    mask = torch.zeros(len(rows), longest, dtype=torch.long)
    where: list[tuple[int, int]] = []
    for index, row in enumerate(rows):
        kept = row.ids[:longest]
        ids[index, : len(kept)] = torch.tensor(kept)
        mask[index, : len(kept)] = 1
        where += [(index, at - 1) for at in range(1, len(kept)) if row.learn[at]]
    at = torch.tensor(where)  # (N, 2)
    targets = ids[at[:, 0], at[:, 1] + 1]
    return Batch(ids, mask, at[:, 0], at[:, 1], targets, (), _runs(language, rows, longest))


class Looker:
    """Renders what dialogues show and reads it with a frozen encoder.

    Args:
        encoder: reads it.
        drawer: a picture decoder. A ``REBUILT`` share of the pictures goes through its
            autoencoder, since users also show what the assistant drew: softer edges than any
            that the encoder was trained on.
    """

    def __init__(self, encoder: Encoder, drawer: DiffusionDecoder | None = None) -> None:
        self.encoder = encoder
        self.drawer = drawer

    @torch.no_grad()
    def samples(self, dialogues: Sequence[Dialogue]) -> list[TrainingSample]:
        """Conversations with the features of their media."""
        clips: dict[Modality, list[tuple[tuple[int, int], Tensor]]] = {}
        for i, dialogue in enumerate(dialogues):
            for j, part in enumerate(shown(dialogue)):
                prepared = self.encoder.prepare(self._shown(part))
                clips.setdefault(scenes.modality(part.scene), []).append(((i, j), prepared))
        features: dict[tuple[int, int], tuple[Modality, Tensor]] = {}
        for modality, found in clips.items():
            read = self.encoder.patches(modality, stack([x for _, x in found]))  # (k, n, We)
            features |= {at: (modality, x) for (at, _), x in zip(found, read, strict=True)}
        return [
            TrainingSample(
                messages(dialogue), [features[i, j] for j in range(len(shown(dialogue)))]
            )
            for i, dialogue in enumerate(dialogues)
        ]

    def _shown(self, part: Shown) -> Clip:
        clip = render(part.scene, part.seed)
        drawn = scenes.modality(part.scene) == "image" and part.seed % 100 < 100 * REBUILT
        if self.drawer is not None and drawn:
            (clip,) = rebuilt(self.drawer.pipeline, [clip])
        return clip


def _part(part: str | Shown | Made | Called) -> Part:
    match part:
        case str():
            return Text(part)
        case Called():
            return ToolCall(part.name, part.args, part.result)
    return Media(scenes.modality(part.scene), "", b"", scenes.caption(part.scene))


def _runs(language: LanguageModel, rows: Sequence[Row], longest: int) -> tuple[RunGroup, ...]:
    """The signal runs that lie within the context, by modality."""
    groups: list[RunGroup] = []
    for modality, tokens in language.table.runs.items():
        found = [
            (index, run)
            for index, row in enumerate(rows)
            for run in row.runs
            if run.modality == modality and run.start + len(tokens) <= longest
        ]
        if found:
            starts = torch.tensor([[run.start] for _, run in found])  # (k, 1)
            captions = tuple(run.caption for _, run in found)
            where = torch.tensor([[index] for index, _ in found])
            columns = starts + torch.arange(len(tokens))  # (k, n)
            groups.append(RunGroup(modality, captions, where, columns))
    return tuple(groups)
