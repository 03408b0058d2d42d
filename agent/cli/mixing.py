"""``heliograph data mix``: what a mixture yields."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from heliograph.agent.cli.telling import Show, Teller, measure_of, plain, status_line

if TYPE_CHECKING:
    from heliograph.model.data.survey import Survey


def mix(
    spec: Annotated[Path, typer.Argument(help='JSON or YAML: {"sources": [{"path", "weight"}]}.')],
    tokenizer: Annotated[
        Path | None, typer.Option(help="Folder of a tokenizer, or a core, to count tokens with.")
    ] = None,
    page: Annotated[Path | None, typer.Option(help="Write samples as an HTML page.")] = None,
    samples: Annotated[int, typer.Option(min=1, max=1000, help="Samples on the page.")] = 12,
    seed: Annotated[
        int | None, typer.Option(help="Of the stream, instead of the mixture's own.")
    ] = None,
    show: Show = 20,
    as_json: Annotated[
        bool, typer.Option("--json", help="The figures as one JSON object.")
    ] = False,
) -> None:
    """Show what a mixture yields: rows, tasks, modalities, lengths, and samples as a page."""
    from heliograph.agent.data_page import write_samples
    from heliograph.model.data.mixture import Mixture
    from heliograph.model.data.survey import survey

    read = Mixture.read(spec)
    if seed is not None:
        read = read.model_copy(update={"seed": seed})
    measure = None if tokenizer is None else measure_of(tokenizer)
    told = Teller(show, aside=True)
    with status_line() as status:
        found = survey(read, measure, told, lambda title, rows: status(f"{title}: {rows:,} rows"))
    told.end()
    if page is not None:
        write_samples(page, read, samples)
    if as_json:
        print(json.dumps(_figures(found, measure is not None), ensure_ascii=False))
    else:
        _print(found, measure is not None)
        if page is not None:
            print(page)


QUANTILES = {"median": 0.5, "p95": 0.95, "max": 1.0}


def _figures(found: Survey, measured: bool) -> dict[str, Any]:
    sources = {
        title: {
            "rows": counts.rows,
            "bad": counts.bad,
            "share": counts.share,
            "tasks": dict(counts.tasks),
        }
        for title, counts in found.sources.items()
    }
    figures = {
        "sources": sources,
        "tasks": found.shares(lambda counts: counts.tasks),
        "shown": found.shares(lambda counts: counts.shown),
        "made": found.shares(lambda counts: counts.made),
    }
    if measured:
        figures["tokens"] = {name: found.length(at) for name, at in QUANTILES.items()}
    return figures


def _print(found: Survey, measured: bool) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    table = Table("source", "rows", "bad", "share of draws", "times around in 100,000 draws")
    for title, counts in found.sources.items():
        around = f"{100_000 * counts.share / counts.rows:,.2f}" if counts.rows else "no good row"
        cells = (f"{counts.rows:,}", f"{counts.bad:,}", f"{counts.share:.1%}", around)
        table.add_row(Text(plain(title)), *cells)
    console.print(table)
    table = Table("what is drawn", "share of rows", "tokens" if measured else "")
    for task, share in found.shares(lambda counts: counts.tasks).items():
        table.add_row(task, f"{share:.1%}")
    table.add_section()
    for verb, counted in (
        ("shown", found.shares(lambda counts: counts.shown)),
        ("made", found.shares(lambda counts: counts.made)),
    ):
        for modality, share in counted.items():
            table.add_row(f"{modality} {verb}", f"{share:.2f} a row")
    if measured:
        table.add_section()
        for name, at in QUANTILES.items():
            table.add_row(f"words of a row, {name}", "", f"{found.length(at):,}")
    console.print(table)
