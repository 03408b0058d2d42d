"""``heliograph plan``: where the parts of a core go, and what that takes."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from heliograph.model.plan import Plan

MOST = 1e6
"""GB: a petabyte, which keeps what isn't finite out."""


def plan(
    directory: Annotated[Path, typer.Argument(help="A core directory, or its id on the hub.")],
    gpu_memory: Annotated[
        list[float] | None,
        typer.Option(
            min=0,
            max=MOST,
            help="GB of a GPU, there or not; 0 is none; again for a second. "
            "(default: what is free)",
            show_default=False,
        ),
    ] = None,
    memory: Annotated[
        float | None, typer.Option(min=0, max=MOST, help="GB besides it. (default: what is free)")
    ] = None,
    context: Annotated[
        int | None, typer.Option(min=1, help="Tokens that a conversation may take. (default: 8192)")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object on standard output.")
    ] = False,
) -> None:
    """Tell where each part of a core goes: device, precision, memory at rest and at work.

    Nothing is loaded. Exit code 10 where the memory is too little.
    """
    from rich.console import Console

    from heliograph.model.machine import cpu_memory, half_here, memory_here
    from heliograph.model.needs import needs
    from heliograph.model.plan import CONTEXT, GB, Memory
    from heliograph.model.plan import plan as planned

    with Console(stderr=True).status("reading the parts"):
        needed = needs(directory)
    gpus = memory_here().gpus
    if gpu_memory:
        gpus = tuple(round(gpu * GB) for gpu in gpu_memory if gpu)
    cpu = cpu_memory() if memory is None else round(memory * GB)
    found = planned(needed, Memory(cpu, gpus), half=half_here(), context=context or CONTEXT)
    if as_json:
        sums = {
            "gpu_peaks": found.gpu_peaks,
            "cpu_peak": found.cpu_peak,
            "concessions": found.concessions,
        }
        print(json.dumps(asdict(found) | sums))
    else:
        show(found, Console())


def show(found: Plan, console: Console) -> None:
    """Print a plan as a table, and what it comes to."""
    from rich.table import Table

    from heliograph.model.plan import in_gb

    table = Table("part", "rests on", "computes on", "precision", "at rest", "at work")
    for column in table.columns[4:]:
        column.justify = "right"
    for place in found.placements:
        sizes = in_gb(place.weights), "" if not place.working else f"+ {in_gb(place.working)}"
        table.add_row(
            place.part,
            place.rest,
            place.device if not place.in_turn else f"{place.device}, in turn",
            place.precision,
            *sizes,
        )
    console.print(table)
    memory = found.memory
    told = [f"{in_gb(found.cpu_peak)} of {in_gb(memory.cpu)} of memory at its peak"]
    gpus = zip(found.devices, found.gpu_peaks, memory.gpus, strict=True)
    for i, (device, peak, size) in enumerate(gpus):
        busiest = found.busiest(device)
        name = "the GPU" if len(found.devices) == 1 else device
        at = f"while {busiest.part} computes" if busiest else "unused"
        told.insert(i, f"{in_gb(peak)} of {in_gb(size)} of {name}, {at}")
    console.print("; ".join(told) + ".", highlight=False)
    said = ", ".join(found.concessions) or "none"
    console.print(f"Concessions: {said}. Context: {found.context} tokens.", highlight=False)
