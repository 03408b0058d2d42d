"""A run: from settings to a core with its card.

    train(Settings("encode", Path("core"), Path("mix.json"), Path("prepared"), Path("run")))

Several processes call it side by side (``team.py``). Run again, it goes on where it stopped.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn
from torch.distributed.fsdp import FSDPModule

from heliograph.model.checkpoint import core_config, read_json, write_json
from heliograph.model.core import AnyToAny
from heliograph.model.data.examples import BadRow
from heliograph.model.data.prepared import Prepared
from heliograph.model.errors import InputError, TrainingError
from heliograph.model.training.alignment import memory
from heliograph.model.training.alignment.card import check_licences, write_card
from heliograph.model.training.alignment.parts import load, named, shard
from heliograph.model.training.alignment.publish import publish
from heliograph.model.training.alignment.rows import NewRows
from heliograph.model.training.alignment.settings import Settings
from heliograph.model.training.alignment.steps import Forward, Steps
from heliograph.model.training.alignment.stream import Stream
from heliograph.model.training.loop import Outcome, fit
from heliograph.model.training.stages import condition_loss
from heliograph.model.training.team import Team, joined

FIGURES = "figures.json"
"""Beside the run: what was measured when it finished."""
LOSS = "loss, mean of the last hundred steps"


@dataclass(frozen=True, eq=False)
class Run:
    """All that a run needs, ready to go."""

    team: Team
    core: AnyToAny
    modules: dict[str, nn.Module]
    prepared: Prepared
    stream: Stream
    steps: Steps


@contextmanager
def opened(
    settings: Settings,
    device: str | None = None,
    bad: Callable[[BadRow], None] = lambda row: None,
) -> Iterator[Run]:
    """Join the team and load what a run needs.

    Raises:
        TrainingError: there is too little memory, now or for what is done with the run.
        WeightsError: files of the core are missing or damaged.
        DataError: data is missing, damaged, or of no use to the stage.
        InputError: settings don't fit the core or the team.
        MissingExtra: 4 bits were asked for, and bitsandbytes isn't installed.
    """
    with joined(device) as team, _enough(team.device):
        _check_trains(settings)
        check_licences(settings)
        memory.check(settings, team.device, team.size)
        core, rows = load(settings, team)
        prepared = Prepared.open(settings.prepared, settings.core)
        yield assembled(settings, team, core, rows, prepared, bad)


def assembled(
    settings: Settings,
    team: Team,
    core: AnyToAny,
    rows: NewRows | None,
    prepared: Prepared,
    bad: Callable[[BadRow], None] = lambda row: None,
) -> Run:
    """A run of a core that ``parts.choose`` made ready, ``rows`` being what that gave.

    Raises:
        DataError, InputError: as ``opened``.
    """
    stream = Stream(core, prepared, settings, team, bad)
    far_from = None
    if settings.recipe.outputs:
        far_from = condition_loss(core, {m: prepared.conditioner(m) for m in core.makes})
    forward = Forward(core, rows, settings, far_from, team)
    if settings.divided(team.size):
        shard(forward, core, team)
    if settings.packs:
        forward.check_packing()
        if isinstance(forward, FSDPModule):  # whose own parameters stay until a backward pass
            forward.reshard()
    steps = Steps(forward, settings, team)
    return Run(team, core, named(core, rows), prepared, stream, steps)


def train(
    settings: Settings,
    *,
    device: str | None = None,
    seconds: float | None = None,
    quiet: bool = False,
    bad: Callable[[BadRow], None] = lambda row: None,
) -> tuple[Outcome, Path | None]:
    """Train, or go on; gives how it ended, and the core's directory when it has finished.

    Args:
        settings: what to do.
        device: where to compute; each process's own CUDA device or the processor if left out.
        seconds: when to stop, wherever it is.
        quiet: show no progress.
        bad: told each row that is left out (``settings.skip_bad``).

    Raises:
        TrainingError: too little memory, or a number that is not finite.
        WeightsError, DataError, InputError, MissingExtra: as ``opened``.
    """
    with opened(settings, device, bad) as run:
        team = run.team
        if team.leads:
            settings.keep(run.prepared)
        team.wait()
        outcome = fit(
            run.modules,
            run.stream,
            run.steps,
            settings.schedule(),
            settings.out,
            title=f"{settings.stage}, {settings.recipe.title}",
            seconds=seconds,
            quiet=quiet,
            team=team,
            describe=str,
        )
        leads, facts = team.leads, _facts(run, outcome)
        facts["precision"] = "bfloat16, float32 of what trains" if settings.bf16 else "float32"
        new = run.stream.tokens > 0
        del run
    if not outcome.finished or not leads:
        return outcome, None
    gc.collect()  # the language model is read again: one of them in memory is enough
    facts = _kept(settings.out / FIGURES, facts, new)
    outcome = replace(outcome, loss=float(facts[LOSS]))
    parts = memory.parts(settings)
    directory = publish(settings)
    write_card(settings, directory, parts, facts)
    return outcome, directory


@contextmanager
def _enough(device: torch.device) -> Iterator[None]:
    """Say in a sentence that memory ended, while a core is opened or while it trains."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise TrainingError(
            f"There was too little memory on {device}; the last checkpoint is kept: go on with "
            "fewer samples --at-once, --checkpointing or --bf16."
        ) from error


def _check_trains(settings: Settings) -> None:
    """See that there is something to train, before minutes are spent on reading weights.

    Raises:
        InputError: there isn't.
        WeightsError: the core's ``config.json`` is missing or damaged.
    """
    recipe = settings.recipe
    inputs = core_config(settings.core).get("inputs", {}).values()
    trains = recipe.outputs or recipe.language or any(i["kind"] != "own" for i in inputs)
    if not trains:
        raise InputError(
            f"The stage {settings.stage} has nothing to train in this core, which has no input "
            "projection: what its language model sees or hears by itself needs none."
        )


def _facts(run: Run, outcome: Outcome) -> dict[str, str]:
    stream, team = run.stream, run.team
    facts = {
        "steps": f"{outcome.step:,}",
        LOSS: f"{outcome.loss:.4f}",
        "seconds, since it was last started": f"{outcome.seconds:,.0f}",
        "tokens read, since it was last started": f"{stream.tokens:,}",
        "samples cut to the longest length": f"{stream.cut:,}",
        "processes": str(team.size),
        "device": _device(team.device),
    }
    for reason, count in stream.left_out.items():
        facts[f"rows left out because {reason}"] = f"{count:,}"
    return facts


def _kept(path: Path, facts: dict[str, str], new: bool) -> dict[str, str]:
    """What was measured when a run finished, for its card: one that is only started again measures
    nothing."""
    if new:
        write_json(path, facts)
    elif path.exists():
        return {name: str(value) for name, value in read_json(path).items()}
    return facts


def _device(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
