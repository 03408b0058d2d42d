"""From a row of the published JSON to an ``Example``.

Five kinds of rows, told apart by their keys (M is image, audio or video):

    pair           M_name, caption; no conversation
    comprehension  input_M, conversations with <M> in a human's turn
    T2M            output_M, M_captions, M_caption_embeddings, <M> in an answer
    MosIT          M_captions: [], M_caption_embeddings: [], <M> in answers, or in its place a
                   turn's own caption and output_modality
    raw MosIT      M_list: [{M_name, caption}], conversation with <M>name</M>
    LLaVA          image, conversations with <image> in a human's turn

The first five are those of NExT-GPT (arXiv 2309.05519, section 5), the last is that of LLaVA
(arXiv 2304.08485). Keys may be mixed: each says the same wherever it stands. What a human shows
stays in its place; a turn that shows something without a file makes its row a bad one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from heliograph.model.data.examples import Example, Made, MediaFile, Origin, medium
from heliograph.model.data.pairs import PairStyle, pair
from heliograph.model.data.roots import Roots
from heliograph.model.errors import DataError
from heliograph.model.media.values import NOUNS
from heliograph.model.parts import MODALITIES, Media, Message, Modality, Part, Role, Text

ROLES: dict[str, Role] = {
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "system": "system",
}
_TAG = re.compile(r"<(image|audio|video)>(?:([^<>]*)</\1>)?", re.IGNORECASE)


def examples(
    value: Mapping[str, Any], roots: Roots, origin: Origin, style: PairStyle
) -> Iterator[Example]:
    """The examples of a row: one, or one for each caption of a pair.

    Raises:
        DataError: the row can't be used; the message is the reason.
    """
    turns = value.get("conversations", value.get("conversation"))
    if turns is None:
        yield from _pairs(value, roots, origin, style)
    elif not isinstance(turns, list) or not turns:
        raise DataError("The row's conversations are not a list of turns.")
    else:
        yield _Reading(value, roots).example(turns, origin)


def _pairs(
    value: Mapping[str, Any], roots: Roots, origin: Origin, style: PairStyle
) -> Iterator[Example]:
    named = {m: _strings(value, f"{m}_name") or _strings(value, m) for m in MODALITIES}
    found = [(m, name) for m, names in named.items() for name in names]
    captions = _strings(value, "caption") or _strings(value, "captions")
    if len(found) != 1 or not captions:
        raise DataError("The row has neither conversations nor one medium and its caption.")
    modality, name = found[0]
    find = roots.existing if style.direction == "describe" else roots.found
    path = find(modality, name)
    file = None if path is None else MediaFile(modality, path)
    for caption in captions:
        yield pair(modality, file, caption, origin, style)


def _strings(value: Mapping[str, Any], key: str) -> list[str]:
    """The strings under a key that may hold one, a list of them, or nothing."""
    found = value.get(key)
    if found is None or found == "":
        return []
    found = [found] if isinstance(found, str) else found
    if not isinstance(found, list) or not all(isinstance(entry, str) for entry in found):
        raise DataError(f'"{key}" is neither a string nor a list of strings.')
    return list(found)  # a copy: it is taken from


@dataclass
class _Queues:
    """What a row lists of one modality, taken in order by the places in its turns."""

    files: list[str]
    """Of media that are shown."""
    outputs: list[str]
    captions: list[str]
    embeddings: list[str]
    listed: dict[str, str] = field(default_factory=dict)
    """Raw MosIT: captions by the names of files."""

    @classmethod
    def of(cls, value: Mapping[str, Any], modality: Modality) -> _Queues:
        listed: dict[str, str] = {}
        entries = value.get(f"{modality}_list") or []
        try:
            for entry in entries:
                listed[str(entry[f"{modality}_name"])] = str(entry.get("caption") or "")
        except (KeyError, TypeError, AttributeError):
            raise DataError(f'"{modality}_list" is not a list of named files.') from None
        return cls(
            _strings(value, f"input_{modality}")
            or _strings(value, modality)
            or _strings(value, f"{modality}_name"),
            _strings(value, f"output_{modality}"),
            _strings(value, f"{modality}_captions"),
            _strings(value, f"{modality}_caption_embeddings"),
            listed,
        )


class _Reading:
    """One row on its way to an example."""

    def __init__(self, value: Mapping[str, Any], roots: Roots) -> None:
        self.roots = roots
        self.queues = {m: _Queues.of(value, m) for m in MODALITIES}
        self.shown: list[MediaFile] = []
        self.made: list[Made] = []

    def example(self, turns: list[Any], origin: Origin) -> Example:
        messages: list[Message] = []
        for number, turn in enumerate(turns, 1):
            try:
                role, said = ROLES[turn["from"]], turn["value"]
                said.encode()  # a lone surrogate is no text
            except (KeyError, TypeError, AttributeError, UnicodeEncodeError):
                raise DataError(
                    f'Turn {number} lacks a "from" (human, gpt or system) or a "value" of text.'
                ) from None
            parts = list(self._parts(turn, said, role))
            if not parts:
                raise DataError(f"Turn {number} is empty.")
            messages.append(Message(role, tuple(parts)))
        messages = self._shown_nowhere(messages)
        _check_roles([message.role for message in messages])
        self._check_left()
        return Example(tuple(messages), tuple(self.shown), tuple(self.made), origin)

    def _parts(self, turn: Mapping[str, Any], said: str, role: Role) -> Iterator[Part]:
        """A turn's parts in order: words, and media at their tags."""
        tags = list(_TAG.finditer(said))
        told = {tag[1].lower() for tag in tags}
        files = {tag[1].lower() for tag in tags if self._is_listed(tag)}
        wanted = [m for m in _modalities(turn, role) if m not in told]
        if role == "user":
            yield from (self._show(m, None) for m in wanted)
        at = 0
        for tag in tags:
            if words := _trimmed(said[at : tag.start()], at == 0, False):
                yield Text(words)
            at = tag.end()
            modality = next(m for m in MODALITIES if m == tag[1].lower())
            inside = (tag[2] or "").strip()
            if role != "assistant":
                yield self._show(modality, inside or None)
            # Words beside a file of the same kind only describe it.
            elif not inside or self._is_listed(tag) or modality not in files:
                yield self._make(modality, inside, turn)
        if words := _trimmed(said[at:], at == 0, True):
            yield Text(words)
        if role == "assistant":
            yield from (self._make(m, "", turn) for m in wanted)

    def _is_listed(self, tag: re.Match[str]) -> bool:
        modality = next(m for m in MODALITIES if m == tag[1].lower())
        return (tag[2] or "").strip() in self.queues[modality].listed

    def _show(self, modality: Modality, name: str | None) -> Media:
        queue = self.queues[modality]
        caption = None
        if name is None:
            if not queue.files:
                raise DataError(f"A turn shows a {NOUNS[modality]} of which no file is named.")
            name = queue.files.pop(0)
        else:
            names = [n for n, words in queue.listed.items() if name in (n, words)]
            name = names[0] if len(names) == 1 else name
            caption = queue.listed.get(name) or None
        self.shown.append(MediaFile(modality, self.roots.existing(modality, name)))
        return medium(modality, caption)

    def _make(self, modality: Modality, inside: str, turn: Mapping[str, Any]) -> Media:
        queue = self.queues[modality]
        output = queue.outputs.pop(0) if queue.outputs else None
        if inside in queue.listed:
            output, caption = inside, queue.listed[inside]
        elif inside:
            caption = inside
        elif queue.captions:
            caption = queue.captions.pop(0)
        else:
            caption = str(turn.get("caption") or "")
        if not caption.strip():
            raise DataError(f"An answer has a {NOUNS[modality]} without a caption.")
        file = None if output is None else self.roots.found(modality, output)
        name = queue.embeddings.pop(0) if queue.embeddings else None
        embedding = None if name is None else self.roots.found("embeddings", name)
        self.made.append(Made(None if file is None else MediaFile(modality, file), embedding))
        return medium(modality, caption.strip())

    def _shown_nowhere(self, messages: list[Message]) -> list[Message]:
        """Put media that no turn has a place for before the first question."""
        placed = {file.modality for file in self.shown}
        free = [m for m in MODALITIES if self.queues[m].files and m not in placed]
        first = next((i for i, message in enumerate(messages) if message.role == "user"), None)
        if free and first is not None:
            later, self.shown = self.shown, []
            media = [self._show(m, None) for m in free for _ in list(self.queues[m].files)]
            self.shown += later
            messages[first] = Message("user", (*media, *messages[first].parts))
        return messages

    def _check_left(self) -> None:
        for modality, queue in self.queues.items():
            noun = NOUNS[modality]
            for left, where in ((queue.files, "shows"), (queue.captions, "makes")):
                if left:
                    raise DataError(
                        f"The row names {len(left)} more {noun}{'s' * (len(left) > 1)} than its "
                        f"conversation {where}."
                    )
            for left, key in (
                (queue.outputs, f"output_{modality}"),
                (queue.embeddings, f"{modality}_caption_embeddings"),
            ):
                if left:
                    raise DataError(
                        f'The row has {len(left)} more in "{key}" than its conversation makes '
                        f"{noun}s."
                    )


def _modalities(turn: Mapping[str, Any], role: Role) -> list[Modality]:
    """What a turn says that it takes or gives besides text."""
    told = turn.get("output_modality" if role == "assistant" else "input_modality") or ""
    words = " ".join(map(str, told)) if isinstance(told, list) else str(told)
    return [m for m in MODALITIES if m in words.lower()]


def _trimmed(words: str, first: bool, last: bool) -> str:
    """Words beside a medium, without the line breaks that only set it apart."""
    words = words.lstrip() if first else words.lstrip("\r\n")
    words = words.rstrip() if last else words.rstrip("\r\n")
    return words if words.strip() else ""


def _check_roles(roles: list[Role]) -> None:
    spoken = roles[1:] if roles[0] == "system" else roles
    expected = ["user" if i % 2 == 0 else "assistant" for i in range(len(spoken))]
    if not spoken or spoken != expected or spoken[-1] != "assistant":
        raise DataError("The turns are not question and answer by turns.")
