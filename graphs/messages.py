"""Between what LangChain keeps and what the core reads.

A conversation lies in the graph's state as LangChain messages whose media are content
blocks that *refer* to the artifact store; a block of bytes (base64) or a ``file://``
address is taken too, and becomes a reference in ``perceive``. The core reads the same
conversation as ``heliograph.model.parts`` messages.

A turn's answer is first a list of *said* items, in the order in which the core said them:

    {"type": "text", "text": …}
    {"type": "tool_call", "index": 0, "id": …, "name": "image",
     "args": {"caption": …, "signal": "sha256:…", "seed": 0}}
    {"type": "tool_call", "index": 1, "id": …, "name": "calculate", "args": {…}}

and ``to_messages`` makes LangChain messages of it once everything asked for has come.
"""

from __future__ import annotations

import base64
import binascii
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import unquote, urlsplit

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, SystemMessage, ToolMessage

from heliograph.graphs.events import AnswerPart, Entry, Failure
from heliograph.memory.artifacts import ArtifactStore
from heliograph.model import media as media_files
from heliograph.model.errors import InputError, MediaError
from heliograph.model.parts import MODALITIES, Media, Message, Part, Text, ToolCall

Block: TypeAlias = dict[str, Any]
"""A LangChain content block."""

MEDIA_BLOCKS = (*MODALITIES, "file")


def check_text(text: str, limit: int) -> str:
    """The text, where it can be used.

    Raises:
        InputError: it holds a NUL or a lone surrogate, or is longer than ``limit``.
    """
    if "\0" in text:
        raise InputError("The text holds a NUL character: remove it and ask again.")
    if any(unicodedata.category(character) == "Cs" for character in text):
        raise InputError("The text is not valid Unicode: it holds half of a surrogate pair.")
    if len(text) > limit:
        raise InputError(f"The text has {len(text):,} characters; at most {limit:,} can be read.")
    return text


def is_signal(item: Block) -> bool:
    """Whether a said item is a signal, and not a tool call or text."""
    return item["type"] == "tool_call" and "signal" in item["args"] and item["name"] in MODALITIES


def is_call(item: Block) -> bool:
    """Whether a said item calls a tool."""
    return item["type"] == "tool_call" and not is_signal(item)


def media_of(block: Block, store: ArtifactStore, limits: media_files.MediaLimits) -> Media:
    """The medium that a content block refers to or holds.

    Raises:
        MediaError: it can't be read, or the address is of a kind that is never fetched.
        StoreError: the artifact store doesn't have it.
    """
    url = block.get("url", "")
    if url.startswith("heliograph:"):
        return store.get_media(block)
    if url.startswith("file:"):
        return media_files.load(Path(unquote(urlsplit(url).path)), limits)
    if "base64" in block:
        try:
            data = base64.b64decode(block["base64"], validate=True)
        except binascii.Error as error:
            raise MediaError("A content block's base64 data is damaged.") from error
        return media_files.from_bytes(data, limits)
    raise MediaError(
        f"A medium must come as base64 data or from a file: or heliograph: address, not {url!r}."
    )


def blocks_of(content: str | Sequence[str | Block]) -> list[Block]:
    """A LangChain message's content as a list of blocks."""
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return [{"type": "text", "text": b} if isinstance(b, str) else b for b in content]


def failure_block(call: Block, message: str) -> Block:
    """What stands in the conversation for a medium that could not be made."""
    value = {"type": "failure", "modality": call["name"], "message": message, **call["args"]}
    return {"type": "non_standard", "value": value}


def made_block(call: Block, medium: Media, store: ArtifactStore) -> Block:
    """Store a made medium; the block that refers to it and says how it came to be."""
    return store.put_media(medium) | {"extras": dict(call["args"])}


def _failure(block: Block) -> Failure | None:
    value = block.get("value", {})
    if block["type"] != "non_standard" or value.get("type") != "failure":
        return None
    return Failure(value["modality"], value["caption"], value["message"])


def to_messages(
    said: Sequence[Block], made: Mapping[str, Block], results: Mapping[str, str]
) -> list[AnyMessage]:
    """One turn's answer as LangChain messages: an AI message up to each round of tool calls,
    the tools' messages, and so on; media stand where they were said."""
    messages: list[AnyMessage] = []
    content: list[Block] = []
    calls: list[Block] = []

    def close() -> None:
        if content or calls:
            tool_calls = [{k: call[k] for k in ("id", "name", "args")} for call in calls]
            messages.append(AIMessage(content=list(content), tool_calls=tool_calls))
            messages.extend(
                ToolMessage(results[call["id"]], tool_call_id=call["id"], name=call["name"])
                for call in calls
            )
        content.clear()
        calls.clear()

    for item in said:
        if is_call(item):
            calls.append(item)
            continue
        if calls:
            close()
        content.append(item if item["type"] == "text" else made[item["id"]])
    close()
    return messages


def answer_parts(
    said: Sequence[Block],
    made: Mapping[str, Block],
    results: Mapping[str, str],
    store: ArtifactStore,
) -> tuple[AnswerPart, ...]:
    """One turn's answer as values, in the order said."""
    parts: list[AnswerPart] = []
    for item in said:
        if item["type"] == "text":
            parts.append(Text(item["text"]))
        elif is_call(item):
            parts.append(ToolCall(item["name"], item["args"], results[item["id"]]))
        else:
            block = made[item["id"]]
            parts.append(_failure(block) or store.get_media(block))
    return tuple(parts)


def said_parts(said: Sequence[Block], results: Mapping[str, str]) -> tuple[Part, ...]:
    """What has been said so far as the core reads it: a signal is its caption."""
    parts: list[Part] = []
    for item in said:
        if item["type"] == "text":
            parts.append(Text(item["text"]))
        elif is_call(item):
            parts.append(ToolCall(item["name"], item["args"], results.get(item["id"])))
        else:
            parts.append(Media(item["name"], "", b"", caption=item["args"]["caption"]))
    return tuple(parts)


def to_conversation(
    messages: Sequence[AnyMessage], store: ArtifactStore, limits: media_files.MediaLimits
) -> list[Message]:
    """LangChain messages as the core reads them.

    An AI message, its tools' messages and the AI messages after them are one message of
    the assistant. Of media that the core said itself only the captions are read, so the
    bytes stay where they are.
    """
    results = {m.tool_call_id: str(m.content) for m in messages if isinstance(m, ToolMessage)}
    conversation: list[Message] = []
    for message in messages:
        blocks = blocks_of(message.content)
        if isinstance(message, HumanMessage | SystemMessage):
            parts = tuple(_part(block, store, limits) for block in blocks)
            role = "user" if isinstance(message, HumanMessage) else "system"
            conversation.append(Message(role, parts))  # type: ignore[arg-type]
        elif isinstance(message, AIMessage):
            parts = tuple(_part(block, store, limits) for block in blocks)
            parts += tuple(
                ToolCall(call["name"], call["args"], results.get(call["id"] or ""))
                for call in message.tool_calls
            )
            if conversation and conversation[-1].role == "assistant":
                parts = conversation.pop().parts + parts
            conversation.append(Message("assistant", parts))
    return conversation


def _part(block: Block, store: ArtifactStore, limits: media_files.MediaLimits) -> Part:
    if block["type"] == "text":
        return Text(block["text"])
    failure = _failure(block)
    if failure is not None:
        return Media(failure.modality, "", b"", caption=failure.caption)
    if block["type"] in MEDIA_BLOCKS:
        extras = block.get("extras", {})
        if "signal" in extras:
            return Media(block["type"], block["mime_type"], b"", caption=extras["caption"])
        return media_of(block, store, limits)
    raise InputError(f"A content block of type {block['type']!r} can't be read.")


def transcript(messages: Sequence[AnyMessage], store: ArtifactStore) -> list[Entry]:
    """LangChain messages as they are shown to people, media with their bytes."""
    results = {m.tool_call_id: str(m.content) for m in messages if isinstance(m, ToolMessage)}
    entries: list[Entry] = []
    for message in messages:
        if not isinstance(message, HumanMessage | AIMessage):
            continue
        parts: list[AnswerPart] = []
        for block in blocks_of(message.content):
            if block["type"] == "text":
                parts.append(Text(block["text"]))
            else:
                parts.append(_failure(block) or store.get_media(block))
        if isinstance(message, HumanMessage):
            entries.append(Entry("user", tuple(parts)))
            continue
        for call in message.tool_calls:
            parts.append(ToolCall(call["name"], call["args"], results.get(call["id"] or "")))
        if entries and entries[-1].role == "assistant":
            parts[:0] = entries.pop().parts
        entries.append(Entry("assistant", tuple(parts)))
    return entries
