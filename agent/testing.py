"""A core that says what it is told to, for tests of what is built on the assistant.

    core = ScriptedCore(["Here: ", Say("image", "a dog"), " Done."], ["It barks."])
    assistant = Assistant(settings, core=core)

gives the first reply to the first question and the second to the second; the last one is
repeated. It loads no weights, decodes real (flat, tiny) pictures, sounds and films, and
counts what it was asked to do.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from heliograph.model import signals
from heliograph.model.conditions import SEQUENCE, Condition
from heliograph.model.errors import Cancelled
from heliograph.model.parts import Media, Message, Modality, Text, ToolCall

if TYPE_CHECKING:
    from torch import Tensor

    from heliograph.model.generation import GenerationOptions
    from heliograph.model.media import Clip

WIDTH = 4
TOKENS = 2


@dataclass(frozen=True)
class Say:
    """A signal in a scripted reply."""

    modality: Modality
    caption: str = ""


Reply: TypeAlias = Sequence[str | Say | ToolCall]


class ScriptedCore:
    """Replies in order, or what a function makes of each conversation.

    Attributes:
        asked: each conversation that the core was asked to go on with.
        encoded: SHA-256 of each medium that was encoded.
        decoded: modality and seeds of each batch that was decoded.
        decode_errors: raised by the next decodings, one each, and dropped.
        remote: whether it stands for a model on another machine.
    """

    remote = False

    def __init__(
        self,
        *replies: Reply | Callable[[Sequence[Message]], Reply],
        decode_errors: Sequence[Exception] = (),
        steps: int = 2,
    ) -> None:
        """Take replies in order, or one function; ``steps`` is each decoder's default."""
        self.asked: list[Sequence[Message]] = []
        self.encoded: list[str] = []
        self.decoded: list[tuple[Modality, tuple[int, ...]]] = []
        self.decode_errors = list(decode_errors)
        self.steps = steps
        self._replies = replies

    def generate(
        self,
        conversations: Sequence[Sequence[Message]],
        options: GenerationOptions | None = None,
        features: Mapping[str, Tensor] | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> Iterator[signals.Event]:
        """Say the next reply in each conversation, word by word."""
        for row, conversation in enumerate(conversations):
            for event in self._events(row, self._reply(conversation)):
                if cancelled is not None and cancelled():
                    yield signals.End(row, "cancelled")
                    return
                yield event

    def encode(self, media: Media) -> Tensor:
        """Two tokens of the medium's hash."""
        import torch

        self.encoded.append(media.sha256)
        return torch.full((TOKENS, WIDTH), float(int(media.sha256[:4], 16)))

    def condition(self, signal: signals.Signal) -> Condition:
        """The signal's hidden states as they are, of one row."""
        return Condition({SEQUENCE: signal.hidden.unsqueeze(0)})

    def decoder(self, modality: Modality) -> ScriptedDecoder:
        """A decoder that paints the condition's colour."""
        return ScriptedDecoder(self, modality)

    def _reply(self, conversation: Sequence[Message]) -> Reply:
        reply = self._replies[min(len(self.asked), len(self._replies) - 1)]
        self.asked.append(conversation)
        return reply(conversation) if callable(reply) else reply

    def _events(self, row: int, reply: Reply) -> Iterator[signals.Event]:
        for part in reply:
            match part:
                case str():
                    for word in re.findall(r"\s*\S+\s*", part):
                        yield signals.TextDelta(row, word)
                case Say():
                    yield signals.SignalStarted(row, part.modality)
                    yield signals.SignalReady(row, _signal(part))
                case ToolCall():
                    yield signals.CallReady(row, part)
        yield signals.End(row, "stop")


@dataclass(frozen=True, eq=False)
class ScriptedDecoder:
    """Paints flat colours, hums, and films what gets brighter; each clip depends on its
    condition and seed alone."""

    core: ScriptedCore
    modality: Modality

    def encode_condition(self, captions: Sequence[str]) -> Condition:
        """What signals with the same words give."""
        said = [_signal(Say(self.modality, caption)) for caption in captions]
        return Condition.stack([self.core.condition(signal) for signal in said])

    def decode(
        self,
        condition: Condition,
        *,
        seeds: Sequence[int],
        steps: int | None = None,
        guidance: float | None = None,
        progress: Callable[[int, int], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> list[Clip]:
        """One clip for each row of the condition."""
        if self.core.decode_errors:
            raise self.core.decode_errors.pop(0)
        total = steps or self.core.steps
        for step in range(1, total + 1):
            if cancelled is not None and cancelled():
                raise Cancelled("Decoding was cancelled.")
            if progress is not None:
                progress(step, total)
        self.core.decoded.append((self.modality, tuple(seeds)))
        return [
            self._clip([int(v) for v in row[0, :3]], seed)
            for row, seed in zip(condition[SEQUENCE], seeds, strict=True)
        ]

    def _clip(self, colour: list[int], seed: int) -> Clip:
        import numpy as np

        from heliograph.model.media import Film, Image, Sound

        pixels = np.full((16, 16, 3), colour, dtype=np.uint8)  # (H, W, 3)
        pixels[0, 0] = seed % 256
        if self.modality == "image":
            return Image(pixels)
        if self.modality == "video":
            return Film(np.stack([pixels // (4 - i) for i in range(4)]), fps=8.0)  # (4, H, W, 3)
        time = np.arange(1600) / 16000
        wave = 0.3 * np.sin(2 * np.pi * (200 + 4 * colour[0] + seed) * time)
        return Sound(wave.astype(np.float32), 16000)


def _signal(part: Say) -> signals.Signal:
    import torch

    digest = hashlib.sha256(part.caption.encode()).digest()
    hidden = torch.tensor([float(byte) for byte in digest[:WIDTH]]).repeat(TOKENS, 1)  # (n, W)
    return signals.Signal(part.modality, part.caption, hidden, torch.zeros_like(hidden))


def said(conversation: Sequence[Message]) -> str:
    """The words of the last message of a conversation, for scripted functions."""
    return "".join(part.text for part in conversation[-1].parts if isinstance(part, Text))
