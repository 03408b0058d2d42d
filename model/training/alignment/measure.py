"""A dry run: a few real steps that change nothing, and what a whole run will take by them."""

from __future__ import annotations

import resource
import statistics
import time
from dataclasses import dataclass

import torch

from heliograph.model.training.alignment import memory
from heliograph.model.training.alignment.run import Run, opened
from heliograph.model.training.alignment.settings import Settings
from heliograph.model.training.loop import trainable

STEPS = 4
"""Steps of a dry run; the first only warms up."""


@dataclass(frozen=True)
class Measured:
    """What a dry run found."""

    parts: list[memory.Part]
    step_seconds: float
    """Median of the steps."""
    tokens: float
    """Tokens of a step, padding not counted."""
    peak: int
    """Bytes in use at most: of the device, or of the process where that is the processor."""
    processes: int

    def seconds(self, steps: int) -> float:
        """What so many steps take."""
        return steps * self.step_seconds

    def cost(self, steps: int, price: float) -> float:
        """What so many steps cost at a price for an hour of one process's device."""
        return self.seconds(steps) / 3600 * price * self.processes


def measure(settings: Settings, device: str | None = None) -> Measured:
    """Load everything, run a few steps on the data, and write nothing.

    Raises:
        TrainingError, WeightsError, DataError, InputError, MissingExtra: as a run does.
    """
    with opened(settings, device) as run:
        taken = timed(run, STEPS)
        return Measured(
            memory.parts(settings),
            statistics.median(taken[1:]),
            run.stream.tokens / STEPS,
            peak(run.team.device),
            run.team.size,
        )


def timed(run: Run, steps: int) -> list[float]:
    """Take steps that change no weight; the seconds of each, its data included."""
    place = run.team.device
    parameters = trainable(run.modules)
    # A rate of nothing: Adam's moments take their memory, and no weight changes.
    optimizer = torch.optim.AdamW(parameters.values(), lr=0.0, weight_decay=0.0)
    taken = []
    for step in range(steps):
        began = time.perf_counter()
        losses = run.steps(run.stream(step), torch.Generator().manual_seed(step))
        losses["loss"].backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if place.type == "cuda":
            torch.cuda.synchronize(place)
        taken.append(time.perf_counter() - began)
    return taken


def peak(place: torch.device) -> int:
    """Bytes in use at most so far: of a device, or of the process where that is the processor."""
    if place.type == "cuda":
        return torch.cuda.max_memory_allocated(place)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
