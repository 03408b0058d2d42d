"""A whole turn of the graph over calling the core and its decoders by hand.

The turn stores media, writes checkpoints and runs in threads; the aim is that none of it is
felt. By hand means ``AnyToAny`` alone: generate, condition, decode, and write the file.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.harness import Figure, Settings, figure, ratio, seconds

if TYPE_CHECKING:
    from heliograph.model.core import AnyToAny
    from heliograph.model.parts import Media

AIM = 1.05
QUESTIONS = {
    "text": "What can you do?",
    "picture": "Draw a small dog on the left.",
    "sound": "Play a bell, three times.",
    "film": "Film a dog that moves left on a white background.",
}


def measure(settings: Settings) -> list[Figure]:
    """Time both on one core that has everything loaded."""
    from heliograph import agent
    from heliograph.graphs.computing import computed
    from heliograph.model.core import AnyToAny

    # Both compute in one thread, or the thread pools of the one would slow down the other.
    core = computed(AnyToAny.from_pretrained, settings.weights)
    figures = []
    with tempfile.TemporaryDirectory() as home:
        assistant = agent.Assistant(agent.Settings(home=Path(home)), core=core)
        for name, question in QUESTIONS.items():
            taken = seconds(
                {
                    "turn": lambda question=question: assistant.invoke(question),  # type: ignore[misc]
                    "by hand": lambda question=question: computed(by_hand, core, question),  # type: ignore[misc]
                },
                settings.repeats,
            )
            figures += [
                ratio("turn_overhead", f"{name}, turn / by hand", taken, "turn", "by hand", AIM),
                figure("turn_overhead", f"{name}, turn", "s", taken["turn"]),
            ]
    return figures


def by_hand(core: AnyToAny, question: str) -> list[str | Media]:
    """The parts of an answer, with nothing around the core."""
    from heliograph.model.generation import GenerationOptions
    from heliograph.model.media import write
    from heliograph.model.parts import Message, Text
    from heliograph.model.signals import SignalReady, TextDelta

    parts: list[str | Media] = []
    conversation = [Message("user", (Text(question),))]
    for event in core.generate([conversation], GenerationOptions()):
        match event:
            case TextDelta(text=text):
                parts.append(text)
            case SignalReady(signal=signal):
                condition = core.condition(signal)
                clip = core.decoder(signal.modality).decode(condition, seeds=[len(parts)])[0]
                parts.append(write(clip, caption=signal.caption))
    return parts
