"""``heliograph eval``: measure a core on the primer world, row by row.

``heliograph eval SET`` measures it on a standard set (``standard.py``). Each set is a command of
its own below this one, so that its help names its files and only the options that it has.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from heliograph.agent.cli.chat import Device

if TYPE_CHECKING:
    from heliograph.model.core import AnyToAny
    from heliograph.model.evaluation.run import Told


app = typer.Typer(invoke_without_command=True)

Preset = Annotated[str | None, typer.Option(help="Bundled weights, by name; primer if left out.")]
Weights = Annotated[Path | None, typer.Option(help="A core directory instead.")]
Steps = Annotated[
    int | None, typer.Option(min=1, help="Denoising steps, instead of the decoders' own.")
]
Guidance = Annotated[
    float | None, typer.Option(help="Guidance scale, instead of the decoders' own.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print results.json on standard output.")]
Captions = Annotated[
    bool,
    typer.Option("--captions", help="Condition decoders on the captions said, not on the signals."),
]


@app.callback()
def evaluate(
    context: typer.Context,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for the table, the JSON and the pictures; has to be given."),
    ] = None,
    preset: Preset = None,
    weights: Weights = None,
    cases: Annotated[int, typer.Option(min=1, help="Cases of each row.")] = 100,
    quick: Annotated[bool, typer.Option("--quick", help="Only 20 cases of each row.")] = False,
    even: Annotated[
        bool, typer.Option("--even", help="As many in the rows of films, which take long.")
    ] = False,
    rows: Annotated[
        str | None, typer.Option(help="Only these, apart by commas; a wrong name lists them all.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Another seed draws other cases.")] = 0,
    steps: Steps = None,
    guidance: Guidance = None,
    batch: Annotated[int, typer.Option(min=1, help="Cases that are worked on side by side.")] = 16,
    captions: Captions = False,
    words_only: Annotated[
        bool, typer.Option("--words-only", help="Decode nothing: judge captions, not media.")
    ] = False,
    emoji: Annotated[
        Path | None,
        typer.Option(help="Another emoji set, PNG files such as 1f436.png, for a row of its own."),
    ] = None,
    device: Device = "cpu",
    as_json: AsJson = False,
) -> None:
    """Measure the weights on held-out scenes and phrasings of the primer world; Ctrl-C writes
    what there is. The commands below measure on standard sets, from their files on disk."""
    from heliograph.model.errors import InputError

    if context.invoked_subcommand is not None:
        _refuse_options(context)
        return
    if out is None:
        raise InputError("Say where the report goes, with --out.")
    from heliograph.model.evaluation import report
    from heliograph.model.evaluation.run import QUICK, Settings
    from heliograph.model.evaluation.run import evaluate as run

    settings = Settings(
        cases=QUICK if quick else cases,
        even=even,
        rows=tuple(name.strip() for name in rows.split(",")) if rows is not None else None,
        seed=seed,
        batch=batch,
        steps=steps,
        guidance=guidance,
        path="caption" if captions else "signal",
        media=not words_only,
        emoji=emoji,
    )
    folder = weights_folder(preset, weights)
    core = load(folder, device)
    began = time.monotonic()
    with bar(quiet=not sys.stderr.isatty()) as tell:
        outcome = run(core, settings, tell)
    seconds = round(time.monotonic() - began, 1)
    try:
        found = report.write(outcome, out, {"weights": str(folder), "seconds": seconds})
    except OSError as error:
        raise InputError(f"{out} can't be written: {error.strerror}.") from error
    if as_json:
        print(json.dumps(found, ensure_ascii=False))
    else:
        _show(found)
        print(f"{out / 'index.html'}")
    if not outcome.complete:
        print("Stopped before the end.", file=sys.stderr)
        raise typer.Exit(130)


def weights_folder(preset: str | None, weights: Path | None) -> Path:
    """The directory of the core that was named.

    Raises:
        InputError: there is no such preset, or both were named.
        WeightsError: it is named by an id of the hub, and can't be had.
    """
    from heliograph.model.errors import InputError
    from heliograph.model.sources import core_folder

    if weights is not None:
        if preset is not None:
            raise InputError("Give --preset or --weights, not both.")
        return core_folder(weights)
    if preset not in (None, "primer"):
        raise InputError(f"There are no bundled weights {preset!r}; there is primer.")
    from heliograph.model.primer import weights_dir

    return weights_dir()


def load(folder: Path, device: str) -> AnyToAny:
    """The core, whose encoders and decoders are loaded when a row needs them.

    Raises:
        TooLittleMemory: this machine has too little for it.
        WeightsError: a file is missing or damaged.
    """
    from heliograph.agent.loading import whole_core
    from heliograph.agent.settings import Settings

    return whole_core(Settings.of(weights=folder, device=device))


@contextmanager
def bar(quiet: bool) -> Iterator[Told]:
    """A line on standard error for each row or step, with its time."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description:>20}"), BarColumn(), MofNCompleteColumn())
    with Progress(
        *columns, TimeElapsedColumn(), console=Console(stderr=True), disable=quiet
    ) as progress:
        tasks: dict[str, Any] = {}

        def tell(name: str, done: int, total: int) -> None:
            if name not in tasks:
                tasks[name] = progress.add_task(name, total=total)
            progress.update(tasks[name], completed=done)
            if quiet and done == total:
                print(f"{name}: {done} cases", file=sys.stderr, flush=True)

        yield tell


def _refuse_options(context: typer.Context) -> None:
    """Options before the name of a set would be those of the primer world, and do nothing."""
    from heliograph.model.errors import InputError

    for name in context.params:
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            raise InputError(
                f"Options of `heliograph eval {context.invoked_subcommand}` come after its name."
            )


def _show(found: dict[str, Any]) -> None:
    """The table in the terminal: the share of right cases of each row."""
    from rich.console import Console
    from rich.table import Table

    from heliograph.model.evaluation.figures import Share

    table = Table("row", "cases", "right")
    for part in ("rows", "pooled", "foreign", "parts"):
        for row in found[part].values():
            if row["count"]:
                share = Share(row["right"], row["count"])
                table.add_row(row["title"], str(row["count"]), share.text())
        table.add_section()
    Console().print(table)
