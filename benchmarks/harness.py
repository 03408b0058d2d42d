"""How a benchmark measures, and what it hands back.

Ways to do the same thing are run in turns, one of each in every round and in another order
each time, so that a machine which slows down slows all of them. A ratio is taken within
each round; its median over the rounds is reported with the middle half of them (quartiles)
as its spread.
"""

from __future__ import annotations

import gc
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Settings:
    """What the command line sets."""

    weights: Path
    """Directory of the core to measure."""
    repeats: int
    """Rounds of each comparison."""
    device: str = "cuda"
    """Of ``full_size``, in torch's words."""
    tiny: bool = False
    """Whether ``full_size`` takes parts of a size that a processor can do."""


@dataclass(frozen=True)
class Figure:
    """One measured figure: the median of its samples, and their quartiles."""

    benchmark: str
    name: str
    unit: str
    """``x`` is a ratio, ``s`` are seconds, ``MB`` 10^6 bytes and ``GB`` 10^9, "" a share of 1."""
    median: float
    low: float
    high: float
    samples: int
    aim: float | None = None
    """What the median should be at most; None where nothing is aimed at."""

    @property
    def met(self) -> bool | None:
        """Whether the aim is reached."""
        return None if self.aim is None else self.median <= self.aim


@dataclass(frozen=True)
class Missing:
    """What could not be measured."""

    benchmark: str
    name: str
    reason: str


Benchmark = Callable[[Settings], Iterable[Figure | Missing]]


def figure(
    benchmark: str, name: str, unit: str, samples: Sequence[float], aim: float | None = None
) -> Figure:
    """Sum samples up."""
    if len(samples) == 1:
        low = high = samples[0]
    else:
        low, _, high = statistics.quantiles(samples, n=4, method="inclusive")
    return Figure(benchmark, name, unit, statistics.median(samples), low, high, len(samples), aim)


def seconds(
    ways: Mapping[str, Callable[[], object]], repeats: int, warm_up: int = 1
) -> dict[str, list[float]]:
    """Time ways to do the same thing in turns: seconds of each round for each way."""
    for _ in range(warm_up):
        for way in ways.values():
            way()
    taken: dict[str, list[float]] = {name: [] for name in ways}
    order = list(ways)
    gc.collect()
    gc.freeze()  # what is loaded by now is not searched for garbage again and again
    for _ in range(repeats):
        order = [*order[1:], order[0]]
        for name in order:
            gc.collect()
            began = time.perf_counter()
            ways[name]()
            taken[name].append(time.perf_counter() - began)
    gc.unfreeze()
    return taken


def ratio(
    benchmark: str,
    name: str,
    taken: Mapping[str, Sequence[float]],
    way: str,
    over: str,
    aim: float | None = None,
) -> Figure:
    """How much longer one way took than another, round by round."""
    rounds = zip(taken[way], taken[over], strict=True)
    return figure(benchmark, name, "x", [a / b for a, b in rounds], aim)


def python(*arguments: str) -> str:
    """Run this interpreter to its end, in the repository; what it wrote to standard output.

    Raises:
        RuntimeError: it failed; holds what it wrote to standard error.
    """
    path = os.pathsep.join([str(ROOT / ".links"), str(ROOT)])
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        raise RuntimeError(f"python {' '.join(arguments)} failed:\n{done.stderr}")
    return done.stdout


def save(found: Sequence[Figure | Missing], directory: Path) -> None:
    """Write ``bench.json`` and ``bench.md``."""
    directory.mkdir(parents=True, exist_ok=True)
    figures = [f for f in found if isinstance(f, Figure)]
    report: dict[str, Any] = {
        "machine": machine(),
        "figures": [{**asdict(f), "met": f.met} for f in figures],
        "missing": [asdict(m) for m in found if isinstance(m, Missing)],
    }
    (directory / "bench.json").write_text(json.dumps(report, indent=2) + "\n")
    rows = ["| benchmark | figure | median | middle half | rounds | aim |"]
    rows += ["| --- | --- | ---: | ---: | ---: | ---: |"]
    rows += [f"| {' | '.join(_cells(f))} |" for f in found]
    (directory / "bench.md").write_text("\n".join(rows) + "\n")


def machine() -> dict[str, Any]:
    """Where the figures come from."""
    import torch

    return {
        "system": platform.platform(),
        "processor": platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torch_threads": torch.get_num_threads(),
        "load_average": os.getloadavg()[0],
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def table(found: Sequence[Figure | Missing]) -> Table:
    """The figures for a terminal."""
    drawn = Table("benchmark", "figure")
    for column in ("median", "middle half", "rounds", "aim"):
        drawn.add_column(column, justify="right")
    for f in found:
        failed = isinstance(f, Missing) or f.met is False
        drawn.add_row(*_cells(f), style="red" if failed else None)
    return drawn


def _cells(f: Figure | Missing) -> tuple[str, ...]:
    if isinstance(f, Missing):
        return (f.benchmark, f"{f.name}: {f.reason}", "", "", "0", "")
    aim = "" if f.aim is None else f"≤ {f.aim:g}"
    return (
        f.benchmark,
        f.name,
        f"{f.median:.3g} {f.unit}".rstrip(),
        f"{f.low:.3g}-{f.high:.3g}",
        str(f.samples),
        aim,
    )
