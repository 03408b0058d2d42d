"""The one training loop: every stage of Heliograph runs through ``fit``.

A batch is a function of the step alone, so a run that was stopped, at whatever moment,
goes on to the same loss curve: what a checkpoint has to hold is the parameters, the
optimizer's moments, the averaged weights and the step. Random numbers inside a step
come from generators seeded by the step.

Files of a run, in its folder: ``last.safetensors`` (parameters, moments, step),
``log.csv`` (step, seconds, loss and the stage's own figures), ``events.*`` for
TensorBoard where it is installed.
"""

from __future__ import annotations

import csv
import math
import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from heliograph.model.errors import HeliographError, TrainingError
from heliograph.model.training import checkpoints
from heliograph.model.training.checkpoints import averaged as averaged
from heliograph.model.training.team import ALONE, Team

B = TypeVar("B")
Losses = Mapping[str, Tensor]
"""What a step returns: ``loss`` is minimised, the others are only written down."""


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to train."""

    steps: int
    """Optimizer steps in all."""
    learning_rate: float
    warmup: int = 100
    """Steps over which the rate rises from nothing."""
    final: float = 0.05
    """Share of the rate that is left at the end of the cosine."""
    weight_decay: float = 0.01
    clip: float = 1.0
    """Largest norm of the gradients."""
    ema: float | None = None
    """Decay of the averaged weights, or ``None`` for no average."""
    checkpoint_every: int = 200
    log_every: int = 20
    betas: tuple[float, float] = (0.9, 0.99)

    def rate(self, step: int) -> float:
        """Learning rate at a step: linear warm-up, then a cosine."""
        if step < self.warmup:
            return self.learning_rate * (step + 1) / self.warmup
        done = min(1.0, (step - self.warmup) / max(1, self.steps - self.warmup))
        cosine = 0.5 * (1 + math.cos(math.pi * done))
        return self.learning_rate * (self.final + (1 - self.final) * cosine)


@dataclass(frozen=True)
class Outcome:
    """How a run ended."""

    step: int
    finished: bool
    """False when the time was up first; call again to go on."""
    loss: float
    """Mean over the last hundred steps."""
    seconds: float


def trainable(modules: Mapping[str, nn.Module]) -> dict[str, nn.Parameter]:
    """Every parameter that has ``requires_grad``, under ``module.parameter``."""
    return {
        f"{name}.{key}": parameter
        for name, module in modules.items()
        for key, parameter in module.named_parameters()
        if parameter.requires_grad
    }


def share(modules: Mapping[str, nn.Module]) -> str:
    """What trains and what doesn't, in one line."""
    trained = sum(p.numel() for p in trainable(modules).values())
    total = sum(p.numel() for m in modules.values() for p in m.parameters())
    names = ", ".join(n for n, m in modules.items() if any(p.requires_grad for p in m.parameters()))
    return f"trains {names}: {trained:,} of {total:,} parameters ({100 * trained / total:.2f} %)"


def fit(
    modules: Mapping[str, nn.Module],
    batch: Callable[[int], B],
    step_loss: Callable[[B, torch.Generator], Losses],
    schedule: Schedule,
    folder: Path,
    *,
    title: str,
    seconds: float | None = None,
    quiet: bool = False,
    team: Team = ALONE,
    describe: Callable[[B], str] = lambda batch: "",
) -> Outcome:
    """Train what has ``requires_grad`` until the schedule ends or the time is up.

    ``batch(step)`` makes the data of a step (and must depend on nothing else), ``step_loss``
    gives its losses; the generator it gets is seeded by the step. With ``schedule.ema`` the
    modules hold the averaged weights when the run has finished; while it hasn't, ``averaged``
    reads them from the checkpoint. Interrupting (Ctrl-C) saves and returns, and so does data
    that can't be used, except that its error goes on.

    Several processes of a ``team`` call this side by side; then ``step_loss`` gives each the
    same values, and sees to it that the gradients are those of the whole team.

    Raises:
        WeightsError: a checkpoint doesn't belong to these modules.
        TrainingError: a loss or its gradient is not a finite number. The weights are not changed
            by it, the checkpoint stays as it was, and ``describe`` names the batch.
    """
    folder.mkdir(parents=True, exist_ok=True)
    parameters = trainable(modules)
    optimizer = torch.optim.AdamW(
        parameters.values(),
        lr=schedule.learning_rate,
        betas=schedule.betas,
        weight_decay=schedule.weight_decay,
    )
    average = {n: p.detach().clone() for n, p in parameters.items()} if schedule.ema else {}
    checkpoint = folder / checkpoints.LAST
    step = 0
    if checkpoint.exists():
        step = checkpoints.resume(checkpoint, parameters, average, optimizer)
    quiet = quiet or not team.leads
    if not quiet:
        print(f"{title}: {share(modules)}")

    def save() -> None:
        checkpoints.save(checkpoint, step, parameters, average, optimizer, team.leads)

    def late() -> bool:
        return seconds is not None and team.any(time.monotonic() - began >= seconds)

    first, began = step, time.monotonic()
    recent: list[float] = []
    with _log(folder, step, team.leads) as write, _bar(title, quiet) as progress:
        task = progress.add_task(title, total=schedule.steps, completed=step, note="")
        try:
            while step < schedule.steps and not late():
                made = batch(step)
                losses = step_loss(made, torch.Generator().manual_seed(step))
                values = {k: float(v.detach()) for k, v in losses.items()}
                _check("loss", values["loss"], title, step, describe(made))
                losses["loss"].backward()
                norm = nn.utils.clip_grad_norm_(parameters.values(), schedule.clip)
                norm = norm.full_tensor() if isinstance(norm, DTensor) else norm
                _check("gradient", float(norm), title, step, describe(made))
                for group in optimizer.param_groups:
                    group["lr"] = schedule.rate(step)
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
                step += 1
                if schedule.ema:
                    _average(average, parameters, min(schedule.ema, step / (step + 10)))
                recent = [*recent[-99:], values["loss"]]
                if step % schedule.log_every == 0 or step == schedule.steps:
                    passed = time.monotonic() - began
                    write(step, passed, values)
                    speed = (step - first) / passed
                    note = f"loss {sum(recent) / len(recent):.4f}, {speed:.1f} steps/s"
                    progress.update(task, completed=step, note=note)
                if step % schedule.checkpoint_every == 0:
                    save()
        except KeyboardInterrupt:
            if team.size > 1:  # the others may be at another step: the last checkpoint holds
                raise
            progress.print(f"{title}: stopped at step {step}; run it again to go on")
        except TrainingError:
            raise
        except HeliographError:
            if team.size == 1 and step > first:
                save()
            raise
        save()
    finished = step >= schedule.steps
    if finished and schedule.ema:
        with torch.no_grad():
            for name, value in average.items():
                parameters[name].copy_(value)
    recent = recent or _logged(folder / "log.csv", step)
    mean = sum(recent) / len(recent) if recent else float("nan")
    return Outcome(step, finished, mean, time.monotonic() - began)


def rng(seed: int, step: int) -> random.Random:
    """The generator of a step's data: a function of seed and step alone."""
    return random.Random(f"{seed}/{step}")


@torch.no_grad()
def _average(
    average: dict[str, Tensor], parameters: Mapping[str, nn.Parameter], decay: float
) -> None:
    torch._foreach_lerp_(list(average.values()), list(parameters.values()), 1 - decay)


def _check(what: str, value: float, title: str, step: int, batch: str) -> None:
    if not math.isfinite(value):
        raise TrainingError(
            f"{title}: at step {step} the {what} is {value}; training stopped, and the last "
            f"checkpoint is kept.{batch and f' The batch: {batch}.'}"
        )


@contextmanager
def _log(
    folder: Path, step: int, leads: bool
) -> Iterator[Callable[[int, float, Mapping[str, float]], None]]:
    """CSV always, TensorBoard where it is installed; only by the process that leads."""
    if not leads:
        yield lambda step, seconds, values: None
        return
    try:
        from torch.utils.tensorboard import SummaryWriter

        board = SummaryWriter(str(folder))
    except ImportError:
        board = None
    path = folder / "log.csv"
    if step:
        _cut(path, step)
    with path.open("a" if step else "w", newline="") as file:
        writer = csv.writer(file)

        def write(step: int, seconds: float, values: Mapping[str, float]) -> None:
            if file.tell() == 0:
                writer.writerow(["step", "seconds", *values])
            writer.writerow([step, f"{seconds:.1f}", *(f"{v:.6g}" for v in values.values())])
            file.flush()
            if board:
                for key, value in values.items():
                    board.add_scalar(key, value, step)

        try:
            yield write
        finally:
            if board:
                board.close()


def _cut(path: Path, step: int) -> None:
    """Drop what a run wrote down after its last checkpoint, and half a line that a kill left."""
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    kept = [x for x in lines[1:] if x.endswith("\n") and int(x.partition(",")[0]) <= step]
    path.write_text("".join([*lines[:1], *kept]))


def _logged(path: Path, step: int) -> list[float]:
    """The losses of the last hundred steps that were written down, for a run that takes none."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    return [float(row["loss"]) for row in rows if int(row["step"]) > step - 100]


def _bar(title: str, quiet: bool) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:.0f}/{task.total:.0f}"),
        TextColumn("{task.fields[note]}"),
        TimeRemainingColumn(),
        disable=quiet,
    )
