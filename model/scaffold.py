"""What a chat template writes around the messages of a conversation, as ids.

The template is rendered with marks in place of the messages, and each piece between them is
encoded apart from what people wrote, so that their words are never read as special tokens.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from heliograph.model.errors import WeightsError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# Two private-use characters mark the place of a message's content, one that of a medium before it.
_SLOT = re.compile("\ue000(\\d+)\ue001")
_MEDIUM = "\ue002"
_WORD = "a"
"""Stands for the words before a piece, where it is encoded."""
_MARK = "\u2581"
"""What SentencePiece writes for the space before a word."""


def scaffold(
    tokenizer: PreTrainedTokenizerBase,
    roles: Sequence[str],
    reply: bool,
    edges: Sequence[tuple[bool, bool]],
    heads: Sequence[str],
    swallows: bool,
    placeholder: str = "",
    lead: str = "",
) -> list[list[int]]:
    """The pieces before, between and after the messages; see ``LanguageModel.scaffold``.

    ``swallows``: the media's tokens take the white space on both sides (``dialects.py``).
    ``placeholder``: what the template writes for a medium with which a message begins, where it
    writes another scaffold then; ``lead``: what is left of it to words (``senses.Frame``).
    """
    # What stands before and after each piece: nothing, words (False), or a medium (True).
    before = [None, *(end for _, end in edges)]
    after = [*(start for start, _ in edges), None]
    pieces = _rendered(tokenizer, roles, reply, after, placeholder)
    return [
        _encode(
            tokenizer,
            (piece.removesuffix(lead) if right is False else piece) + head,
            left,
            right,
            swallows,
        )
        for piece, head, left, right in zip(pieces, [*heads, ""], before, after, strict=True)
    ]


def _rendered(
    tokenizer: PreTrainedTokenizerBase,
    roles: Sequence[str],
    reply: bool,
    begins: Sequence[bool | None],
    placeholder: str,
) -> list[str]:
    """The pieces as text, each up to the placeholder in it; ``begins``: which message begins so."""
    from jinja2 import TemplateError

    shown = [
        bool(placeholder and medium and role != "assistant")
        for role, medium in zip(roles, begins, strict=False)
    ]
    messages: list[dict[str, Any]] = [
        {"role": role, "content": f"{_MEDIUM * shown[index]}\ue000{index}\ue001"}
        for index, role in enumerate(roles)
    ]
    trouble = "leaves messages out or reorders them"
    voices = (messages, _in_two_voices(messages))
    # Templates of models that see or hear may want the parts of a message one by one.
    for laid_out in (*(() if placeholder else voices), *map(_in_parts, voices)):
        try:
            text = tokenizer.apply_chat_template(
                laid_out, tokenize=False, add_generation_prompt=reply
            )
        except TemplateError as error:
            trouble = f"refuses a conversation of {', '.join(roles)} ({error})"
            continue
        except TypeError:  # of text and a list
            continue
        pieces = _SLOT.split(str(text))  # scaffold, index, scaffold, index, …, scaffold
        if pieces[1::2] == [str(index) for index in range(len(roles))]:
            found = pieces[0::2]
            if not placeholder:
                return found
            for index in range(1, len(roles)):  # a medium that it makes begins a reply
                if begins[index] and roles[index] == "assistant":
                    reply_to = _rendered(tokenizer, roles[:index], True, begins, placeholder)
                    found[index] = reply_to[-1]
            return [piece.partition(placeholder)[0] for piece in found]
    raise WeightsError(f"The chat template {trouble}.")


def _in_two_voices(messages: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same messages as turns of a user and an assistant, those of one side joined."""
    turns: list[dict[str, Any]] = []
    for message in messages:
        role = "assistant" if message["role"] == "assistant" else "user"
        if turns and turns[-1]["role"] == role:
            turns[-1]["content"] += "\n\n" + message["content"]
        else:
            turns.append({"role": role, "content": message["content"]})
    return turns


def _in_parts(messages: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same messages, the content of each a list: its words, and a picture before them."""
    return [{**m, "content": _parts_of(m["content"])} for m in messages]


def _parts_of(content: str) -> list[dict[str, str]]:
    before, medium, words = content.rpartition(_MEDIUM)
    parts = [{"type": "image"}] if medium else []
    said = [{"type": "text", "text": before}] if before else []
    return [*said, *parts, {"type": "text", "text": words}]


def _encode(
    tokenizer: PreTrainedTokenizerBase,
    piece: str,
    before: bool | None,
    after: bool | None,
    swallows: bool,
) -> list[int]:
    """Encode a piece, special tokens included.

    Tokenizers of the SentencePiece kind mark words by the space before them, and put a mark
    before each text. So a piece that follows words is encoded as going on with them, and a
    space before words is left to their own mark.

    Where tokens swallow white space, as in early 2023, texts began anew after each token, and
    the beginning of a prompt was encoded apart.
    """

    def encode(text: str) -> list[int]:
        ids: list[int] = tokenizer(text, add_special_tokens=False, verbose=False).input_ids
        return ids

    word = encode(_WORD)
    if swallows:
        piece = piece.lstrip() if before else piece
        piece = piece.rstrip() if after else piece
        bos = str(tokenizer.bos_token or "")
        if before is None and bos and piece.startswith(bos):
            return [*encode(bos), *encode(piece.removeprefix(bos))]
        if before:
            return encode(piece)
    elif after is False and tokenizer.convert_ids_to_tokens(word)[0].startswith(_MARK):
        piece = piece.removesuffix(" ")
    joined = encode(_WORD + piece)
    goes_on = before is not None and joined[: len(word)] == word
    return joined[len(word) :] if goes_on else encode(piece)
