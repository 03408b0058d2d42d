"""What a data set is read as: frozen values that hold no bytes of media until they are asked for.

An ``Example`` is a conversation in the project's own messages. Its media stand where they were
said, as ``Media`` without bytes; beside them lie, in order of appearance, where the bytes are
(``shown``, what a user sends) and what is known of those that the assistant makes (``made``).
So a row can be read, counted and trained on by keys without opening a film.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from heliograph.model.errors import DataError, MediaError
from heliograph.model.media import DEFAULT_LIMITS, MediaLimits, read_bytes, sniff
from heliograph.model.media.values import NOUNS
from heliograph.model.parts import MODALITIES, Media, Message, Modality


@dataclass(frozen=True)
class Origin:
    """Where a row comes from."""

    file: Path
    index: int
    """Its place among the rows of the file, from 0."""
    line: int | None = None
    """The line on which it starts, from 1, where the file is text."""
    name: str | None = None
    """What the file itself calls it, as the samples of a tar shard are named."""

    def __str__(self) -> str:
        if self.line is not None:
            shared = self.line <= self.index  # rows of an array may stand on one line
            return f"{self.file}, line {self.line}" + (f", row {self.index}" if shared else "")
        return f"{self.file}, {f'row {self.index}' if self.name is None else self.name}"


@dataclass(frozen=True)
class BadRow:
    """A row that can't be used, and why."""

    origin: Origin
    reason: str
    """One sentence."""

    def __str__(self) -> str:
        return f"{self.origin}: {self.reason}"


@dataclass(frozen=True)
class MediaFile:
    """A medium whose bytes lie in a file, or came with the row."""

    modality: Modality
    path: Path | None = None
    data: bytes | None = field(default=None, repr=False)
    """The bytes, where there is no file to read them from again."""

    def bytes(self, limits: MediaLimits = DEFAULT_LIMITS) -> bytes:
        """What the medium's file holds.

        Raises:
            MediaError: it can't be read.
        """
        if self.data is not None:
            return self.data
        assert self.path is not None
        return read_bytes(self.path, limits)

    def load(self, limits: MediaLimits = DEFAULT_LIMITS) -> Media:
        """The medium, known by its first bytes but not decoded.

        Raises:
            MediaError: it can't be read, or is of another modality than the data set says.
        """
        data = self.bytes(limits)
        modality, mime_type = sniff(data)
        if modality != self.modality:
            raise MediaError(
                f"{self.path or 'The medium'} should be a {NOUNS[self.modality]}, but is a "
                f"{NOUNS[modality]}."
            )
        return Media(modality, mime_type, data)


@dataclass(frozen=True)
class Made:
    """What a data set has of a medium that the assistant makes, beyond its caption."""

    file: MediaFile | None = None
    embedding: Path | None = None
    """An ``.npy`` file of what a decoder's text encoder gave for the caption."""


@dataclass(frozen=True)
class Example:
    """One conversation of a data set."""

    messages: tuple[Message, ...]
    """Media in them have captions where the data has any, and no bytes; see ``loaded``."""
    shown: tuple[MediaFile, ...]
    """For each medium outside the assistant's messages, in order of appearance."""
    made: tuple[Made, ...]
    """For each medium in the assistant's messages, in order of appearance."""
    origin: Origin

    def media(self, made: bool) -> list[Media]:
        """The media that the assistant makes, or those that it is shown, in order."""
        return [
            part
            for message in self.messages
            for part in message.parts
            if isinstance(part, Media) and (message.role == "assistant") == made
        ]

    @property
    def task(self) -> str:
        """What goes in and what comes out, such as "text + image → text"."""
        return f"{self._kinds(made=False)} → {self._kinds(made=True)}"

    def loaded(self, limits: MediaLimits = DEFAULT_LIMITS) -> tuple[Message, ...]:
        """The messages with the bytes of their media, as far as there are files.

        Raises:
            MediaError: a file can't be read, or is not what the data set says.
        """
        shown = iter(self.shown)
        made = iter(entry.file for entry in self.made)
        return tuple(
            _filled(message, made if message.role == "assistant" else shown, limits)
            for message in self.messages
        )

    def _kinds(self, made: bool) -> str:
        found = {medium.modality for medium in self.media(made)}
        words = any(m.text.strip() for m in self.messages if (m.role == "assistant") == made)
        kinds = ["text"] * words + [modality for modality in MODALITIES if modality in found]
        return " + ".join(kinds)


def _filled(message: Message, files: Iterator[MediaFile | None], limits: MediaLimits) -> Message:
    parts = []
    for part in message.parts:
        if isinstance(part, Media) and (file := next(files)) is not None:
            part = replace(file.load(limits), caption=part.caption)
        parts.append(part)
    return Message(message.role, tuple(parts))


def medium(modality: Modality, caption: str | None) -> Media:
    """A medium's place in a message, without its bytes.

    Raises:
        DataError: the caption is no text: it has a lone surrogate.
    """
    try:
        (caption or "").encode()
    except UnicodeEncodeError:
        raise DataError("The caption is no valid text.") from None
    return Media(modality, "", b"", caption)
