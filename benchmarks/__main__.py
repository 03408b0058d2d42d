"""``python -m benchmarks``: run the benchmarks and write their figures.

python -m benchmarks                         all of them, to out/bench
python -m benchmarks imports signal_run      some
python -m benchmarks --weights DIR           of another core than the bundled one
python -m benchmarks full_size --device cuda the preset nextgpt-7b at full size on a GPU
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from benchmarks.harness import Benchmark, Figure, Missing, Settings, save, table

# What computes in the main thread comes last: its thread pool would slow down the turns.
NAMES = (
    "imports",
    "turn_overhead",
    "latency",
    "signal_run",
    "generation",
    "batch",
    "denoising",
    "composing",
    "importing",
    "training",
    "full_size",
)


def main(
    names: Annotated[list[str] | None, typer.Argument(help=f"Some of {', '.join(NAMES)}.")] = None,
    out: Annotated[Path, typer.Option(help="Where bench.json and bench.md go.")] = Path(
        "out/bench"
    ),
    weights: Annotated[
        Path | None, typer.Option(help="A core's directory, instead of the bundled one.")
    ] = None,
    repeats: Annotated[int, typer.Option(min=1, help="Rounds of each comparison.")] = 9,
    device: Annotated[str, typer.Option(help="Of full_size.")] = "cuda",
    tiny: Annotated[
        bool, typer.Option("--tiny", help="full_size at a size that a processor can do.")
    ] = False,
) -> None:
    """Measure, print a table, and write it."""
    from heliograph.model.primer import WEIGHTS

    settings = Settings(weights or WEIGHTS, repeats, device, tiny)
    console = Console(stderr=True)
    found: list[Figure | Missing] = []
    for name in names or NAMES:
        if name not in NAMES:
            raise typer.BadParameter(f"There is no benchmark {name!r}; there are {NAMES}.")
        console.print(f"[bold]{name}[/bold]")
        measure: Benchmark = importlib.import_module(f"benchmarks.{name}").measure
        for figure in measure(settings):
            found.append(figure)
            save(found, out)
    Console().print(table(found))


if __name__ == "__main__":
    typer.run(main)
