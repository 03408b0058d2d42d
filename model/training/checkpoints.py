"""What a training keeps so that it can go on: parameters, moments, averaged weights, the step.

One file of safetensors, replaced whole. Where parameters are shards of several processes
(``DTensor``), the file holds them whole, so a run may go on with another number of processes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor

from heliograph.model.errors import WeightsError
from heliograph.model.files import as_readable

LAST = "last.safetensors"


def averaged(folder: Path, modules: Mapping[str, nn.Module]) -> int:
    """Load a run's averaged weights (or its plain ones) into the modules; gives its step.

    Raises ``WeightsError`` where there is no such run or it doesn't fit.
    """
    parameters = {
        f"{n}.{k}": p for n, module in modules.items() for k, p in module.named_parameters()
    }
    with _opened(folder / LAST) as file:
        keys = set(file.keys())
        wanted = "ema" if any(k.startswith("ema/") for k in keys) else "parameter"
        for key in keys:
            kind, _, name = key.partition("/")
            if kind == wanted:
                _copy(file, key, parameters, name, folder)
        return int(file.get_tensor("step"))


def save(
    file: Path,
    step: int,
    parameters: Mapping[str, nn.Parameter],
    average: Mapping[str, Tensor],
    optimizer: torch.optim.Optimizer,
    leads: bool = True,
) -> None:
    """Write a checkpoint. All processes of a team call this, one of them ``leads`` and writes.

    Shards are gathered one tensor at a time, and only the one that leads keeps them, on the
    processor: no device holds more than one tensor whole.
    """
    tensors = {"step": torch.tensor(step)}
    for name, value in _kept(parameters, average, optimizer):
        whole = value.full_tensor() if isinstance(value, DTensor) else value  # with all others
        if leads:
            tensors[name] = whole.to("cpu").contiguous()
        del whole
    if not leads:
        return
    temporary = file.with_suffix(".partial")
    save_file(tensors, temporary)
    as_readable(temporary)
    os.replace(temporary, file)  # a kill while writing leaves the checkpoint before it whole


def resume(
    file: Path,
    parameters: Mapping[str, nn.Parameter],
    average: dict[str, Tensor],
    optimizer: torch.optim.Optimizer,
) -> int:
    """Read a checkpoint; gives its step.

    Raises:
        WeightsError: it can't be read, or doesn't belong to these parameters.
    """
    with _opened(file) as opened:
        for key in opened.keys():
            kind, _, name = key.partition("/")
            if kind == "parameter":
                _copy(opened, key, parameters, name, file)
            elif kind == "ema" and average:
                _copy(opened, key, average, name, file)
            elif kind != "ema" and name in parameters:  # a moment of the optimizer
                value = opened.get_tensor(key)
                optimizer.state[parameters[name]][kind] = _placed(value, parameters[name])
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
    into[name].copy_(_placed(value, into[name]))


def _kept(
    parameters: Mapping[str, nn.Parameter],
    average: Mapping[str, Tensor],
    optimizer: torch.optim.Optimizer,
) -> Iterator[tuple[str, Tensor]]:
    """What a checkpoint holds, by its names there, in the same order in each process."""
    for name, parameter in parameters.items():
        yield f"parameter/{name}", parameter.detach()
        for key, value in optimizer.state.get(parameter, {}).items():
            yield f"{key}/{name}", value
    for name, value in average.items():
        yield f"ema/{name}", value


def _placed(value: Tensor, like: Tensor) -> Tensor:
    """A stored tensor where its parameter is; the count of steps stays on the processor."""
    if value.dim() == 0:
        return value
    value = value.to(like.device)
    if not isinstance(like, DTensor):
        return value
    return distribute_tensor(value, like.device_mesh, like.placements)
