"""Conversations as rows of ids: what the language model reads, and what it learns.

    a user's medium         <Img> one place for each projected token </Img>, or in the frame that
                            the language model was trained with, where it sees or hears itself,
                            with what stood between its embeddings
    an assistant's medium   its span: <|image|> caption [IMG0] … [IMG3]
    a tool call             <|call|>{…}<|/call|>, its result as a message of role "tool"

Dialects without openers have the run alone, those without calls have them as JSON, and where
added tokens swallow white space, none is written beside them (``dialects.py``).

The places of media are counted here, once, on the expanded row: whatever is read later
(labels, signal runs) is read at expanded positions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from heliograph.model.axes import apart
from heliograph.model.language import LanguageModel
from heliograph.model.parts import Media, Message, Modality, Part, Text, ToolCall
from heliograph.model.signals import render_call


@dataclass(frozen=True, eq=False)
class Place:
    """Where a medium's projected tokens go."""

    start: int
    length: int
    modality: Modality
    features: Tensor
    """(n, We): the encoder's tokens."""
    caption: str
    """What is known to be seen or heard, for training; "" else."""
    offsets: Tensor | None = None
    """(length,) long: where each projected token goes, counted from the start; left out where
    nothing stands between them."""
    axes: Tensor | None = None
    """(n, 3) long: time, row and column of each token, where the language model numbers them."""


@dataclass(frozen=True)
class Run:
    """Where a run of signal tokens stands."""

    start: int
    modality: Modality
    caption: str


@dataclass
class Row:
    """One conversation as ids."""

    ids: list[int] = field(default_factory=list)
    learn: list[bool] = field(default_factory=list)
    """True at ids whose prediction is trained."""
    places: list[Place] = field(default_factory=list)
    runs: list[Run] = field(default_factory=list)

    def add(self, ids: Sequence[int], learn: bool) -> None:
        """Append ids that are all learned or all given."""
        self.ids.extend(ids)
        self.learn.extend([learn] * len(ids))


def build_row(
    language: LanguageModel,
    messages: Sequence[Message],
    look: Callable[[Media], Tensor],
    length: Callable[[Modality, int], int],
    reply: bool,
    captioned: bool = True,
) -> Row:
    """Lay a conversation out.

    Args:
        language: whose tokenizer, template and signal table are used.
        messages: the conversation in order.
        look: gives a medium's features, (n, We); called in order of appearance.
        length: how many tokens n features of a modality are projected to.
        reply: end where the assistant is to speak.
        captioned: put the caption into the spans of the assistant's media.
    """
    turns = [turn for message in messages for turn in _turns(message)]
    edges = [(_is_media(parts[:1]), _is_media(parts[-1:])) for _, parts in turns]
    heads = ["" if role == "assistant" else _head(language, parts) for role, parts in turns]
    scaffold = language.scaffold([role for role, _ in turns], reply, edges, heads)
    row = Row()
    row.add(scaffold[0], False)
    for (role, parts), after in zip(turns, scaffold[1:], strict=True):
        speaks = role == "assistant"
        for index, part in enumerate(parts):
            match part:
                case Text():
                    text = _beside(parts, index) if language.dialect.swallows else part.text
                    lead = "" if speaks else _tail(language, parts[:index])
                    if not index:
                        lead = language.start[1]
                        text = text.removeprefix(lead if speaks else "")  # an answer began with it
                    head = "" if speaks else _head(language, parts[index + 1 :])
                    row.add(language.encode_text(lead + text + head), speaks)
                case ToolCall():
                    _add_call(row, language, part, speaks)
                case Media() if speaks:
                    _add_span(row, language, part, captioned)
                case Media():
                    _add_medium(row, language, part, look(part), length)
                    behind = parts[index + 1 :]
                    if not _goes_on(language, part, behind):
                        between = _tail(language, parts[: index + 1]) + _head(language, behind)
                        row.add(language.encode_text(between), False)
        # The answer's end is part of the answer; the next speaker's marker isn't.
        end = language.end_length(after)
        row.add(after[:end], speaks)
        row.add(after[end:], False)
    return row


def _turns(message: Message) -> list[tuple[str, list[Part]]]:
    """One turn, or more where tool results came back in the middle of a message."""
    turns: list[tuple[str, list[Part]]] = []
    parts: list[Part] = []
    results: list[str] = []
    for part in message.parts:
        if results and not isinstance(part, ToolCall):
            turns += [(message.role, parts), *_tool_turns(results)]
            parts, results = [], []
        parts.append(part)
        if isinstance(part, ToolCall) and part.result is not None:
            results.append(part.result)
    return [*turns, (message.role, parts), *_tool_turns(results)]


def _is_media(parts: list[Part]) -> bool:
    return any(isinstance(part, Media) for part in parts)


def _beside(parts: list[Part], index: int) -> str:
    """A part's text without the white space that the media beside it swallow."""
    part = parts[index]
    assert isinstance(part, Text)
    text = part.text
    if _is_media(parts[:index][-1:]):
        text = text.lstrip()
    if _is_media(parts[index + 1 :][:1]):
        text = text.rstrip()
    return text


def _tail(language: LanguageModel, before: list[Part]) -> str:
    """What goes on after a medium, as one text with the words that follow."""
    match before[-1:]:
        case [Media() as media] if media.modality in language.frames:
            return language.frames[media.modality].tail
    return ""


def _head(language: LanguageModel, behind: list[Part]) -> str:
    """What goes before a medium, as one text with the words before it."""
    match behind[:1]:
        case [Media() as media] if media.modality in language.frames:
            return language.frames[media.modality].head
    return ""


def _goes_on(language: LanguageModel, media: Media, after: list[Part]) -> bool:
    """Whether what goes on after a medium is left to the words, or the medium, that follow."""
    frame = language.frames.get(media.modality)
    match after[:1]:
        case [Text()]:
            return True
        case [Media() as following] if frame is not None and frame.joined:
            return following.modality == media.modality
    return False


def _tool_turns(results: list[str]) -> list[tuple[str, list[Part]]]:
    return [("tool", [Text(result)]) for result in results]


def _add_call(row: Row, language: LanguageModel, call: ToolCall, learn: bool) -> None:
    table = language.table
    inner = language.encode_text(render_call(call))
    row.add([*_present(table.call_open), *inner, *_present(table.call_close)], learn)


def _add_span(row: Row, language: LanguageModel, media: Media, captioned: bool) -> None:
    run = language.table.runs.get(media.modality)
    caption = media.caption or ""
    if run is None:  # another core made it, earlier in the conversation
        row.add(language.encode_text(caption), learn=False)
        return
    opener = language.table.openers.get(media.modality)
    if opener is not None:
        row.add([opener, *(language.encode_text(caption) if captioned else [])], True)
    row.runs.append(Run(len(row.ids), media.modality, caption))
    row.add(run[:1], True)
    row.add(run[1:], False)  # one valid continuation: nothing to learn


def _add_medium(
    row: Row,
    language: LanguageModel,
    media: Media,
    features: Tensor,
    length: Callable[[Modality, int], int],
) -> None:
    frame = language.frames.get(media.modality)
    ids, offsets, axes = None, None, None
    if frame is not None and frame.marks:
        features, ids, offsets = _between_marks(language, frame.marks, features)
    if frame is not None and language.three_axes:
        features, axes = apart(features)
    count = length(media.modality, features.shape[0])
    if frame is None:
        before, after = _present(language.table.media_open), _present(language.table.media_close)
    else:
        number = 1 + sum(place.modality == media.modality for place in row.places)
        before = language.encode_marks(frame.opening.format(number))
        after = language.encode_marks(frame.closing)
    row.add(before, False)
    caption = media.caption or ""
    place = Place(len(row.ids), count, media.modality, features, caption, offsets, axes)
    row.places.append(place)
    row.add([language.pad] * count if ids is None else ids, False)
    row.add(after, False)


def _between_marks(
    language: LanguageModel, marks: Sequence[str], features: Tensor
) -> tuple[Tensor, list[int], Tensor]:
    """The embeddings in features, the ids with places for them, and where among these they go.

    Args:
        language: whose tokens the marks are.
        marks: what stands between embeddings.
        features: (n, We + 1), the last of each the number of a mark, or 0 for an embedding.
    """
    written = [[language.pad], *(language.encode_marks(mark) for mark in marks)]
    kinds = features[:, -1].round().long()  # (n,)
    pieces = [written[kind] for kind in kinds.tolist()]
    ends = torch.tensor([len(piece) for piece in pieces]).cumsum(0)  # (n,)
    ids = [token for piece in pieces for token in piece]
    return features[kinds == 0, :-1], ids, ends[kinds == 0] - 1


def _present(token: int | None) -> list[int]:
    return [] if token is None else [token]
