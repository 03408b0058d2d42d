"""Lets the core answer whole dialogues, turn by turn, many side by side.

The history of a turn is what the core itself said in the turns before, right or wrong.
Media that the user shows go through real files (png, wav, mp4), as a person's would.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TypeAlias

import torch
from torch import Tensor

from heliograph.model import media
from heliograph.model.conditions import Condition
from heliograph.model.core import AnyToAny
from heliograph.model.encoders import perceived
from heliograph.model.evaluation.foreign import NO_MEANS, Means, foreign
from heliograph.model.generation import GenerationOptions
from heliograph.model.media import Clip
from heliograph.model.parts import Media, Message, Modality, Part, Text, ToolCall
from heliograph.model.primer.dialogues import Dialogue, Shown, Turn
from heliograph.model.primer.render import render
from heliograph.model.primer.scenes import Scene
from heliograph.model.signals import CallReady, Signal, SignalReady, TextDelta

ROUNDS = 3
"""How often the core is asked in one turn, tool calls in between."""
LONGEST = 192
"""Tokens of an answer: the longest right one, three media with their captions, has 80."""
_SUM = re.compile(r"[0-9+\-*/() ]{1,100}")


@dataclass(frozen=True, eq=False)
class Sent:
    """A medium that the core signalled, and what the decoder made of it."""

    signal: Signal
    clip: Clip | None = None
    """``None`` where it was not decoded."""
    seen: Scene | None = None
    """What the referee reads in the clip."""


Came: TypeAlias = str | ToolCall | Sent
Answer: TypeAlias = tuple[Came, ...]


def answers(
    core: AnyToAny, dialogues: Sequence[Dialogue], shown: Sequence[Sequence[Sequence[Clip]]]
) -> list[list[Answer]]:
    """The core's answers to each turn of each dialogue.

    Args:
        core: the weights that are evaluated.
        dialogues: asked side by side, in one batch.
        shown: for each dialogue and turn, the media that the user sends in it.
    """
    said: list[list[Answer]] = [[] for _ in dialogues]
    history: list[list[Message]] = [[] for _ in dialogues]
    features: dict[str, Tensor] = {}
    for number in range(max((len(dialogue.turns) for dialogue in dialogues), default=0)):
        rows = [i for i, dialogue in enumerate(dialogues) if len(dialogue.turns) > number]
        for i in rows:
            history[i].append(_question(dialogues[i].turns[number], shown[i][number]))
        features |= encode(core, [history[i][-1] for i in rows])
        for i, answer in zip(
            rows, replies(core, [history[i] for i in rows], features), strict=True
        ):
            said[i].append(answer)
            history[i].append(Message("assistant", tuple(map(_part, answer))))
    return said


@torch.no_grad()
def encode(core: AnyToAny, questions: Sequence[Message]) -> dict[str, Tensor]:
    """Patch tokens by hash: what ``core.encode`` gives, for many media at once.

    Raises:
        InputError: the core can't read a modality.
        MediaError: a medium can't be decoded.
    """
    found: dict[Modality, dict[str, Media]] = {}
    for message in questions:
        for part in message.parts:
            if isinstance(part, Media):
                found.setdefault(part.modality, {})[part.sha256] = part
    known: dict[str, Tensor] = {}
    for modality, files in found.items():
        encoder = core.encoder(modality)
        prepared = [encoder.prepare(media.read(file)) for file in files.values()]
        rows = perceived(encoder, modality, prepared)  # (n, We) each
        known |= {name: row.float().cpu() for name, row in zip(files, rows, strict=True)}
    return known


def replies(
    core: AnyToAny,
    conversations: Sequence[Sequence[Message]],
    features: Mapping[str, Tensor],
    longest: int | None = None,
) -> list[Answer]:
    """One answer for each conversation, its tools called.

    Args:
        core: the weights that are evaluated.
        conversations: each ends where the core is to speak.
        features: of the media in them, from ``encode``.
        longest: tokens of an answer, ``None`` for ``LONGEST``.

    Raises:
        InputError: a conversation is longer than the context.
    """
    said: list[list[Came]] = [[] for _ in conversations]
    going = list(range(len(conversations)))
    options = GenerationOptions(max_new_tokens=longest or LONGEST)
    for _ in range(ROUNDS):
        asked = [
            [
                *conversations[i],
                *([Message("assistant", tuple(map(_part, said[i])))] * bool(said[i])),
            ]
            for i in going
        ]
        new: list[list[Came]] = [[] for _ in going]
        for event in core.generate(asked, options, features):
            match event:
                case TextDelta(row=row, text=text):
                    if new[row] and isinstance(new[row][-1], str):
                        text = str(new[row].pop()) + text
                    new[row].append(text)
                case SignalReady(row=row, signal=signal):
                    new[row].append(Sent(signal))
                case CallReady(row=row, call=call):
                    result = value(call.args.get("expression"))
                    told = "Error: this can't be worked out." if result is None else str(result)
                    new[row].append(replace(call, result=told))
        for i, parts in zip(going, new, strict=True):
            said[i] += parts
        called = [any(isinstance(part, ToolCall) for part in parts) for parts in new]
        going = [i for i, again in zip(going, called, strict=True) if again]
        if not going:
            break
    return [tuple(parts) for parts in said]


def clips_shown(
    dialogue: Dialogue, change: str | None = None, means: Means = NO_MEANS
) -> list[list[Clip]]:
    """The media that the user sends, turn by turn, changed by ``foreign``.

    Raises:
        InputError: the change takes means that aren't there.
    """

    def clip(part: Shown) -> Clip:
        if change is None:
            return render(part.scene, part.seed)
        return foreign(change, part.scene, part.seed, means)

    return [[clip(p) for p in turn.user if isinstance(p, Shown)] for turn in dialogue.turns]


def decode(
    core: AnyToAny,
    sent: Sequence[Sent],
    seeds: Sequence[int],
    *,
    steps: int | None,
    guidance: float | None,
    words: bool,
    batch: int,
) -> list[Sent]:
    """The same with their clips.

    Args:
        core: whose output projections and decoders make them.
        sent: k of them, of any modality.
        seeds: one for each.
        steps: denoising steps, ``None`` for each decoder's own.
        guidance: guidance scale, likewise.
        words: condition the decoders on the captions rather than the hidden states.
        batch: at most so many pictures or sounds at a time.
    """
    made = list(sent)
    for modality in dict.fromkeys(s.signal.modality for s in sent):
        ours = [i for i, s in enumerate(sent) if s.signal.modality == modality]
        size = per_batch(modality, batch)
        decoder = core.decoder(modality)
        for start in range(0, len(ours), size):
            rows = ours[start : start + size]
            if words:
                condition = decoder.encode_condition([sent[i].signal.caption for i in rows])
            else:
                condition = Condition.stack([core.condition(sent[i].signal) for i in rows])
            clips = decoder.decode(
                condition, seeds=[seeds[i] for i in rows], steps=steps, guidance=guidance
            )
            for i, clip in zip(rows, clips, strict=True):
                made[i] = replace(sent[i], clip=clip)
    return made


def per_batch(modality: Modality, batch: int) -> int:
    """How many media of a modality are decoded at a time: a film is eight pictures."""
    return max(1, batch // 8) if modality == "video" else batch


def value(expression: object) -> Fraction | None:
    """The exact value of a sum in ``+ - * /`` and parentheses; ``None`` of anything else."""
    if not isinstance(expression, str) or not _SUM.fullmatch(expression):
        return None
    try:
        return _value(ast.parse(expression.strip(), mode="eval").body)
    except (SyntaxError, ValueError, ZeroDivisionError, RecursionError, MemoryError):
        return None


def _value(node: ast.expr) -> Fraction:
    match node:
        case ast.Constant(value=int(number)):
            return Fraction(number)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_value(operand)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return _value(left) + _value(right)
        case ast.BinOp(left=left, op=ast.Sub(), right=right):
            return _value(left) - _value(right)
        case ast.BinOp(left=left, op=ast.Mult(), right=right):
            return _value(left) * _value(right)
        case ast.BinOp(left=left, op=ast.Div(), right=right):
            return _value(left) / _value(right)
    raise ValueError


def _question(turn: Turn, clips: Sequence[Clip]) -> Message:
    left = iter(clips)
    parts = [Text(p) if isinstance(p, str) else media.write(next(left)) for p in turn.user]
    return Message("user", tuple(parts))


def _part(came: Came) -> Part:
    match came:
        case str():
            return Text(came)
        case ToolCall():
            return came
    return Media(came.signal.modality, "", b"", came.signal.caption)
