"""The processes that train together: one for each device, started by torchrun or accelerate.

Both set the same environment (``RANK``, ``WORLD_SIZE``, the same two with ``LOCAL_`` for each
machine, and the address of the first), and that is all that is read. Without it there is a team of
one, which costs nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from heliograph.model.machine import device_here


@dataclass(frozen=True)
class Team:
    """Which of the processes this is."""

    rank: int = 0
    size: int = 1
    device: torch.device = torch.device("cpu")

    @property
    def leads(self) -> bool:
        """Whether this one writes files and speaks."""
        return self.rank == 0

    def total(self, value: Tensor) -> Tensor:
        """The sum over all processes, on each of them; without gradient."""
        if self.size == 1:
            return value.detach()
        summed = value.detach().clone()
        torch.distributed.all_reduce(summed)
        return summed

    def any(self, happened: bool) -> bool:
        """Whether it happened to one of the processes."""
        if self.size == 1:
            return happened
        return bool(self.total(torch.tensor(float(happened), device=self.device)))

    def wait(self) -> None:
        """Until all are here."""
        if self.size > 1:
            torch.distributed.barrier()


ALONE = Team()


def processes_here() -> int:
    """How many of the processes are on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


@contextmanager
def joined(device: str | None = None) -> Iterator[Team]:
    """The team that the environment tells of.

    A process group that is there already, such as accelerate's, is used and left open.

    Args:
        device: where to compute; each process's own CUDA device, or the processor, if left out.

    Raises:
        InputError: there is no such device here.
    """
    size, local = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("LOCAL_RANK", "0"))
    if device is None:
        device = f"cuda:{local}" if torch.cuda.is_available() else "cpu"
    elif device == "cuda":
        device = f"cuda:{local}"
    place = device_here(device)
    if place.type == "cuda":
        torch.cuda.set_device(place)
    if size == 1:
        yield Team(device=place)
        return
    given = torch.distributed.is_initialized()
    if not given:
        torch.distributed.init_process_group("nccl" if place.type == "cuda" else "gloo")
    try:
        yield Team(int(os.environ["RANK"]), size, place)
    finally:
        if not given:
            torch.distributed.destroy_process_group()
