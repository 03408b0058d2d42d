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
import os
import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from heliograph.model.errors import WeightsError

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
) -> Outcome:
    """Train what has ``requires_grad`` until the schedule ends or the time is up.

    ``batch(step)`` makes the data of a step (and must depend on nothing else), ``step_loss``
    gives its losses; the generator it gets is seeded by the step. With ``schedule.ema`` the
    modules hold the averaged weights when the run has finished; while it hasn't, ``averaged``
    reads them from the checkpoint. Interrupting (Ctrl-C) saves and returns.

    Raises ``WeightsError`` for a checkpoint that doesn't belong to these modules.
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
    checkpoint = folder / "last.safetensors"
    step = _resume(checkpoint, parameters, average, optimizer) if checkpoint.exists() else 0
    if not quiet:
        print(f"{title}: {share(modules)}")
    first, began = step, time.monotonic()
    recent: list[float] = []
    with _log(folder, step) as write, _bar(title, quiet) as progress:
        task = progress.add_task(title, total=schedule.steps, completed=step, note="")
        try:
            while step < schedule.steps and (seconds is None or time.monotonic() - began < seconds):
                losses = step_loss(batch(step), torch.Generator().manual_seed(step))
                losses["loss"].backward()
                nn.utils.clip_grad_norm_(parameters.values(), schedule.clip)
                for group in optimizer.param_groups:
                    group["lr"] = schedule.rate(step)
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
                step += 1
                if schedule.ema:
                    _average(average, parameters, min(schedule.ema, step / (step + 10)))
                values = {k: float(v.detach()) for k, v in losses.items()}
                recent = [*recent[-99:], values["loss"]]
                if step % 20 == 0 or step == schedule.steps:
                    passed = time.monotonic() - began
                    write(step, passed, values)
                    speed = (step - first) / passed
                    note = f"loss {sum(recent) / len(recent):.4f}, {speed:.1f} steps/s"
                    progress.update(task, completed=step, note=note)
                if step % schedule.checkpoint_every == 0:
                    _save(checkpoint, step, parameters, average, optimizer)
        except KeyboardInterrupt:
            progress.print(f"{title}: stopped at step {step}; run it again to go on")
        _save(checkpoint, step, parameters, average, optimizer)
    finished = step >= schedule.steps
    if finished and schedule.ema:
        with torch.no_grad():
            for name, value in average.items():
                parameters[name].copy_(value)
    mean = sum(recent) / len(recent) if recent else float("nan")
    return Outcome(step, finished, mean, time.monotonic() - began)


def averaged(folder: Path, modules: Mapping[str, nn.Module]) -> int:
    """Load a run's averaged weights (or its plain ones) into the modules; gives its step.

    Raises ``WeightsError`` where there is no such run or it doesn't fit.
    """
    parameters = {
        f"{n}.{k}": p for n, module in modules.items() for k, p in module.named_parameters()
    }
    with _opened(folder / "last.safetensors") as file:
        keys = set(file.keys())
        wanted = "ema" if any(k.startswith("ema/") for k in keys) else "parameter"
        for key in keys:
            kind, _, name = key.partition("/")
            if kind == wanted:
                _copy(file, key, parameters, name, folder)
        return int(file.get_tensor("step"))


def rng(seed: int, step: int) -> random.Random:
    """The generator of a step's data: a function of seed and step alone."""
    return random.Random(f"{seed}/{step}")


@torch.no_grad()
def _average(
    average: dict[str, Tensor], parameters: Mapping[str, nn.Parameter], decay: float
) -> None:
    torch._foreach_lerp_(list(average.values()), list(parameters.values()), 1 - decay)


def _save(
    file: Path,
    step: int,
    parameters: Mapping[str, nn.Parameter],
    average: Mapping[str, Tensor],
    optimizer: torch.optim.Optimizer,
) -> None:
    tensors = {"step": torch.tensor(step)}
    for name, parameter in parameters.items():
        tensors[f"parameter/{name}"] = parameter.detach().contiguous()
        for key, value in optimizer.state.get(parameter, {}).items():
            tensors[f"{key}/{name}"] = value.contiguous()
    for name, value in average.items():
        tensors[f"ema/{name}"] = value.contiguous()
    temporary = file.with_suffix(".partial")
    save_file(tensors, temporary)
    os.replace(temporary, file)  # a kill while writing leaves the checkpoint before it whole


def _resume(
    file: Path,
    parameters: Mapping[str, nn.Parameter],
    average: dict[str, Tensor],
    optimizer: torch.optim.Optimizer,
) -> int:
    with _opened(file) as opened:
        for key in opened.keys():
            kind, _, name = key.partition("/")
            if kind == "parameter":
                _copy(opened, key, parameters, name, file)
            elif kind == "ema" and average:
                _copy(opened, key, average, name, file)
            elif kind != "ema" and name in parameters:  # a moment of the optimizer
                optimizer.state[parameters[name]][kind] = opened.get_tensor(key)
        missing = set(parameters) - {k.partition("/")[2] for k in opened.keys()}
        if missing:
            raise WeightsError(f"{file} has no {sorted(missing)[0]}: it is of another run.")
        return int(opened.get_tensor("step"))


@contextmanager
def _opened(file: Path) -> Iterator[Any]:
    try:
        with safe_open(file, framework="pt") as opened:
            yield opened
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{file} can't be read as a training checkpoint: {error}.") from error


@torch.no_grad()
def _copy(file: Any, key: str, into: Mapping[str, Tensor], name: str, where: Path) -> None:
    value = file.get_tensor(key)
    if name not in into or into[name].shape != value.shape:
        raise WeightsError(f"{where} holds a {name} that these parts don't have: another run's?")
    into[name].copy_(value)


@contextmanager
def _log(folder: Path, step: int) -> Iterator[Callable[[int, float, Mapping[str, float]], None]]:
    """CSV always, TensorBoard where it is installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter

        board = SummaryWriter(str(folder))
    except ImportError:
        board = None
    path = folder / "log.csv"
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


def _bar(title: str, quiet: bool) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:.0f}/{task.total:.0f}"),
        TextColumn("{task.fields[note]}"),
        TimeRemainingColumn(),
        disable=quiet,
    )
