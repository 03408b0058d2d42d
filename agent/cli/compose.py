"""``heliograph compose``, ``inspect`` and ``push``: cores from parts, and onto a hub."""

from __future__ import annotations

import json
from dataclasses import asdict, astuple, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from heliograph.model.compose import Parts
    from heliograph.model.inspect import Inspection
    from heliograph.model.parts import Modality
    from heliograph.model.sources import Size

PLACE = "a folder, or an id of the Hugging Face Hub (owner/name or owner/name@revision)"


def compose(
    out: Annotated[Path, typer.Option(help="The core's directory, new or empty.")],
    language: Annotated[
        str | None,
        typer.Option(
            metavar="PLACE", help=f"A causal language model, with eyes or ears or without: {PLACE}."
        ),
    ] = None,
    encoder: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MODALITY=PLACE",
            help="What reads image, audio or video, such as image=clip; given again for others. "
            "One place may read several; the published imagebind_huge.pth is a place too.",
        ),
    ] = None,
    decoder: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MODALITY=PLACE",
            help="What makes image, audio or video: a diffusion pipeline.",
        ),
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(
            help="Parts by name, of which those that are given too replace some: "
            "primer, nextgpt-7b, open-7b, open-small."
        ),
    ] = None,
    copy: Annotated[
        bool, typer.Option("--copy", help="Copy the parts instead of referring to them.")
    ] = False,
    projection: Annotated[
        str | None,
        typer.Option(help="Into the language model: resampler (unless said), mlp or linear."),
    ] = None,
    tokens: Annotated[
        int | None, typer.Option(min=1, help="Embeddings for each medium, 16 unless said.")
    ] = None,
    pooled: Annotated[
        bool, typer.Option("--pooled", help="One vector for each medium, not its patch tokens.")
    ] = False,
    template: Annotated[
        Path | None,
        typer.Option(help="Chat template (Jinja) for a tokenizer that has none; its own wins."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the fresh weights.")] = 0,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Tell what is to be downloaded; change nothing.")
    ] = False,
) -> None:
    """Make a core of a language model, encoders and decoders, with fresh projections.

    Ids are downloaded only with HF_HUB_OFFLINE=0. What the core can do begins with training;
    `heliograph inspect` tells what it is made of.
    """
    from rich.console import Console

    from heliograph.model.compose import compose as run
    from heliograph.model.compose import sizes
    from heliograph.model.errors import InputError

    given: dict[str, Any] = {"projection": projection, "tokens": tokens, "pooled": pooled or None}
    given = {name: value for name, value in given.items() if value is not None}
    if projection not in (None, "linear", "mlp", "resampler"):
        raise InputError(f"--projection {projection} is none of resampler, mlp, linear.")
    if template is not None:
        given["template"] = _text(template)
    parts = _parts(preset, language, named("--encoder", encoder), named("--decoder", decoder))
    if dry_run:
        _show_sizes(sizes(parts))
        return
    console = Console(stderr=True)
    with console.status("composing") as status:
        run(replace(parts, **given), out, copy, seed, status.update)
    typer.echo(f"The core is in {out}; its projections are fresh.", err=True)


def inspect(
    directory: Annotated[Path, typer.Argument(help="A core directory, or its id on the hub.")],
    verify: Annotated[
        bool, typer.Option("--verify", help="Also hash the parts that lie elsewhere.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object on standard output.")
    ] = False,
) -> None:
    """Tell what a core is made of: parts, shapes, sizes, licences, what is aligned or fresh.

    Exit code 1 where a part is missing.
    """
    from heliograph.model.inspect import inspect as run

    found = run(directory, verify)
    if as_json:
        entries = asdict(found) | {"directory": str(found.directory)}
        print(json.dumps(entries | {"parameters": found.parameters}, ensure_ascii=False))
    else:
        _show(found)
    if any(part.state == "missing" for part in found.parts):
        raise typer.Exit(1)


def push(
    directory: Annotated[Path, typer.Argument(help="A core directory.")],
    repository: Annotated[str, typer.Argument(help="owner/name; made where it is missing.")],
    public: Annotated[
        bool, typer.Option("--public", help="Show a new repository to everybody.")
    ] = False,
) -> None:
    """Upload a core to the Hugging Face Hub, with a model card that tells its parts.

    It needs HF_HUB_OFFLINE=0 and a token that may write (`hf auth login`).
    """
    from rich.console import Console

    from heliograph.model.hub import push_to_hub

    with Console(stderr=True).status("uploading"):
        address = push_to_hub(directory, repository, not public)
    print(address)


def _parts(
    preset: str | None,
    language: str | None,
    encoders: dict[Modality, str],
    decoders: dict[Modality, str],
) -> Parts:
    from heliograph.model.compose import Parts
    from heliograph.model.errors import InputError
    from heliograph.model.presets import preset as by_name

    if preset is None:
        if language is None:
            raise InputError("Give --language, or a --preset that has one.")
        return Parts(language, encoders, decoders)
    parts = by_name(preset)
    return replace(
        parts,
        language=language or parts.language,
        encoders={**parts.encoders, **encoders},
        decoders={**parts.decoders, **decoders},
    )


def named(option: str, given: list[str] | None) -> dict[Modality, str]:
    """Places by modality, as ``MODALITY=PLACE`` was given once or more for an option.

    Raises:
        InputError: one isn't of that form, or a modality is named twice.
    """
    from heliograph.model.errors import InputError
    from heliograph.model.parts import MODALITIES

    places: dict[Modality, str] = {}
    for text in given or ():
        name, _, place = text.partition("=")
        modality = next((m for m in MODALITIES if m == name), None)
        if modality is None or not place:
            raise InputError(
                f"{option} {text!r} is not understood: it is MODALITY=PLACE, where MODALITY is "
                f"{', '.join(MODALITIES)}."
            )
        if modality in places:
            raise InputError(f"{option} {modality} is given twice.")
        places[modality] = place
    return places


def _text(path: Path) -> str:
    from heliograph.model.errors import InputError

    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise InputError(f"The chat template {path} can't be read.") from error


def _show_sizes(found: dict[str, Size]) -> None:
    from rich.console import Console
    from rich.table import Table

    from heliograph.model.plan import in_gb

    table = Table("from", "files", "to download")
    for column in table.columns[1:]:
        column.justify = "right"
    for name, size in found.items():
        table.add_row(name, in_gb(size.whole), in_gb(size.missing) if size.missing else "")
    console = Console()
    console.print(table)
    whole, missing = (sum(sizes) for sizes in zip(*map(astuple, found.values()), strict=True))
    console.print(f"{in_gb(missing)} of {in_gb(whole)} are to be downloaded.", highlight=False)


def _show(found: Inspection) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    styles = {"fresh": "yellow", "fresh rows": "yellow", "missing": "red", "frozen": "dim"}
    table = Table("part", "class and shapes", "parameters", "state")
    table.columns[2].justify = "right"
    sources = Table("part", "from", "licence")
    for part in found.parts:
        what = Text.assemble(f"{part.kind}, {part.dtype}\n", (part.trouble or part.shape, "dim"))
        count = "?" if part.parameters is None else f"{part.parameters:,}"
        table.add_row(Text(part.part), what, count, Text(part.state, styles.get(part.state, "")))
        if part.source:
            place = part.source if part.referenced else f"{part.source} (copied)"
            sources.add_row(Text(part.part), Text(place), Text(part.licence or "unknown"))
    console.print(table)
    if sources.rows:
        console.print(sources)
    made = [f"{m} (no decoder)" if m in found.undecoded else m for m in found.makes]
    reads, makes = ", ".join(found.sees) or "nothing", ", ".join(made) or "nothing"
    told = f"Reads {reads}; makes {makes}; {found.parameters:,} parameters."
    console.print(told, highlight=False)
