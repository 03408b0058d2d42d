"""What fewer denoising steps cost and save: the referee's share beside the seconds.

Each decoder draws held-out scenes under its own text encoder, in 2 to 20 steps. Shares have
Wilson's 95 % interval in place of the middle half, and cases in place of rounds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.harness import Figure, Settings, figure, seconds

if TYPE_CHECKING:
    from heliograph.model.core import AnyToAny
    from heliograph.model.evaluation.ceilings import Ceiling

STEPS = (2, 4, 6, 8, 10, 20)
DECODERS = ("decoder-one", "decoder-pair", "decoder-sound", "decoder-film")
CASES = 100
BATCH = 20


def measure(settings: Settings) -> list[Figure]:
    """Draw, judge and time, decoder by decoder."""
    from heliograph.model.core import AnyToAny
    from heliograph.model.evaluation.ceilings import CEILINGS

    core = AnyToAny.from_pretrained(settings.weights)
    known = {ceiling.name: ceiling for ceiling in CEILINGS}
    return [f for name in DECODERS for f in _decoder(core, known[name], settings.repeats)]


def _decoder(core: AnyToAny, ceiling: Ceiling, repeats: int) -> list[Figure]:
    from heliograph.model.evaluation.ceilings import clips, draw_scene
    from heliograph.model.evaluation.figures import share
    from heliograph.model.evaluation.judging import look, same

    wanted = [draw_scene(ceiling, i, 0) for i in range(max(1, round(CASES * ceiling.share)))]

    def right(steps: int) -> Figure:
        marks: list[bool] = []
        for start in range(0, len(wanted), BATCH):
            some = wanted[start : start + BATCH]
            made = clips(core, "decoder", some, steps=steps, guidance=None)
            marks += [same(scene, look(clip)) for (scene, _), clip in zip(some, made, strict=True)]
        found = share(marks)
        name, (low, high) = f"{ceiling.title}, {steps} steps: right", found.interval
        return Figure("denoising", name, "", found.value, low, high, found.count)

    taken = seconds(
        {
            str(n): lambda n=n: clips(core, "decoder", wanted[:1], steps=n, guidance=None)  # type: ignore[misc]
            for n in STEPS
        },
        repeats,
    )
    figures: list[Figure] = []
    for steps in STEPS:
        figures.append(right(steps))
        name = f"{ceiling.title}, {steps} steps"
        figures.append(figure("denoising", name, "s", taken[str(steps)]))
    return figures
