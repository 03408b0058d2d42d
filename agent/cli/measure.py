"""``heliograph eval media``: measure media that are there already; and how a report is shown."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from heliograph.agent.cli.eval import AsJson, bar

if TYPE_CHECKING:
    from heliograph.model.evaluation.standard.items import Case, Found

Features = Annotated[
    Path | None, typer.Option(help="Network of features for FID or FAD: CLIP, DINO, CLAP, ….")
]
Classifier = Annotated[Path | None, typer.Option(help="Classifier for IS: ViT, AST, ….")]
ClipModel = Annotated[Path | None, typer.Option("--clip", help="CLIP or SigLIP for CLIPSIM.")]


def measure_media(
    made: Annotated[Path, typer.Argument(help="Folder of pictures, sounds or films of one kind.")],
    out: Annotated[Path, typer.Option(help="Folder of the report.")],
    reference: Annotated[
        Path | None,
        typer.Option(help="Folder of real ones: for FID or FAD; of sounds by name for MCD."),
    ] = None,
    captions: Annotated[
        Path | None,
        typer.Option(help='JSON lines for CLIPSIM: {"name": file without suffix, "caption": …}.'),
    ] = None,
    features: Features = None,
    classifier: Classifier = None,
    clip: ClipModel = None,
    device: Annotated[str, typer.Option(help="Where to compute, such as cuda.")] = "cpu",
    as_json: AsJson = False,
) -> None:
    """Media that are there already, whoever made them: FID or FAD, IS, CLIPSIM, MCD."""
    from heliograph.model import media
    from heliograph.model.evaluation.standard import making, reading
    from heliograph.model.evaluation.standard.selection import require

    require("torchmetrics")
    of = making.media_files(made)
    modality = media.load(next(iter(of.values()))).modality
    networks = making.Networks.load(features, classifier, clip, device)
    networks.check(modality)
    said = (
        {
            str(reading.entry(row, "name", captions)): str(reading.entry(row, "caption", captions))
            for row in reading.lines(captions)
        }
        if captions
        else {}
    )
    real = making.media_files(reference) if reference else {}
    what = making.Made(modality, of, real, said, paired=True)
    with bar(quiet=not sys.stderr.isatty()) as tell:
        found = making.figures(what, networks, tell)
    about: dict[str, Any] = {"set": "media", "made": str(made), "count": len(of)}
    if reference is not None:
        about["reference"] = str(reference)
    write_report(out, found, about, [], as_json)


def write_report(
    out: Path,
    found: Found,
    about: dict[str, Any],
    cases: Sequence[Case],
    as_json: bool,
) -> None:
    """Write the report's folder, and show it on standard output.

    Raises:
        InputError: the folder can't be written.
    """
    from rich.console import Console
    from rich.table import Table

    from heliograph.model.errors import InputError
    from heliograph.model.evaluation.standard import report

    try:
        results = report.write(out, found, about, cases)
    except OSError as error:
        raise InputError(f"{out} can't be written: {error.strerror}.") from error
    if as_json:
        print(json.dumps(results, ensure_ascii=False))
        return
    table = Table(*report.HEADS)
    for figure in found.figures:
        table.add_row(*report.line(figure))
    if found.figures:
        Console().print(table)
    for reason in found.missing.values():
        print(reason)
    print(f"{out / 'table.md'}")
