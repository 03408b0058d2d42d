"""How much memory this machine has to give, and which devices."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from heliograph.model.errors import InputError, TooLittleMemory
from heliograph.model.plan import GB, Half, Memory, in_gb

if TYPE_CHECKING:
    import torch

_CGROUP = Path("/sys/fs/cgroup")


def device_here(name: str | torch.device) -> torch.device:
    """A device on which this machine can compute, by torch's name for it.

    Raises:
        InputError: torch knows no such device, or this machine lacks it.
    """
    import torch

    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()  # which `meta` can't do
    except Exception as error:  # each kind of device lacks in its own way
        raise InputError(
            f"There is no device {str(name)!r} to compute on here: take cpu, or cuda where there "
            "is a GPU for which torch was installed."
        ) from error
    return device


def memory_here(gpu_limit: float | None = None) -> Memory:
    """What is free now.

    Args:
        gpu_limit: in GB; no more of each GPU is taken.
    """
    import torch

    free = [torch.cuda.mem_get_info(i)[0] for i in range(torch.cuda.device_count())]
    if gpu_limit is not None:
        free = [min(gpu, round(gpu_limit * GB)) for gpu in free]
    return Memory(cpu_memory(), tuple(free))


def memory_of(device: torch.device) -> Memory:
    """What is free now besides a device, and of it where it is a GPU of CUDA."""
    import torch

    gpus = (torch.cuda.mem_get_info(device)[0],) if device.type == "cuda" else ()
    return Memory(cpu_memory(), gpus)


def cpu_memory() -> int:
    """Bytes that a new process may fill without pushing others out."""
    free = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        said = dict(line.split(":", 1) for line in lines)
        free = int(said["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        pass  # no Linux: all that there is
    try:  # of a container
        limit = int((_CGROUP / "memory.max").read_text())
        stat = dict(line.split() for line in (_CGROUP / "memory.stat").read_text().splitlines())
        cached = int(stat["active_file"]) + int(stat["inactive_file"])  # given back when asked for
        free = min(free, limit - int((_CGROUP / "memory.current").read_text()) + cached)
    except (OSError, KeyError, ValueError):  # "max" is no number
        pass
    return max(0, free)


def check_room(what: str, size: int) -> None:
    """Check that there is memory for something that is to be loaded.

    Args:
        what: it, as the beginning of a sentence.
        size: of its weights, in bytes.

    Raises:
        TooLittleMemory: there isn't.
    """
    free = cpu_memory()
    if size > free:
        raise TooLittleMemory(
            f"{what} takes {in_gb(size)} of memory where {in_gb(free)} can be had."
        )


def half_here() -> Half:
    """The 16 bits in which this machine's GPU computes as fast as it can."""
    import torch

    if not torch.cuda.is_available() or torch.cuda.is_bf16_supported(including_emulation=False):
        return "bfloat16"
    return "float16"
