"""``heliograph import``: other people's checkpoints become cores."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from heliograph.agent.cli.compose import PLACE, named

app = typer.Typer(help="Make a core of somebody's checkpoint.", no_args_is_help=True)


@app.callback()
def group() -> None:
    """Keeps ``nextgpt`` a command of its own while it is the only one."""


@app.command()
def nextgpt(
    checkpoint: Annotated[
        Path, typer.Argument(help="A NExT-GPT checkpoint: its file, or the folder of its files.")
    ],
    language: Annotated[
        str,
        typer.Option(
            metavar="PLACE", help=f"The language model that it was trained on (Vicuna): {PLACE}."
        ),
    ],
    imagebind: Annotated[Path, typer.Option(help="The published imagebind_huge.pth.")],
    out: Annotated[Path, typer.Option(help="Where the core directory goes.")],
    decoder: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MODALITY=PLACE",
            help="A diffusion pipeline, such as image=stable-diffusion; may be given again. "
            "Without one, the modality is not made.",
        ),
    ] = None,
    copy: Annotated[
        bool,
        typer.Option(
            "--copy", help="Copy language model and decoders instead of referring to them."
        ),
    ] = False,
) -> None:
    """Import NExT-GPT, of its first version or of its rewrite."""
    from rich.console import Console

    from heliograph.model.checkpoints.assembly import import_nextgpt

    decoders = named("--decoder", decoder)
    console = Console(stderr=True)
    with console.status("importing") as status:
        done = import_nextgpt(checkpoint, language, imagebind, out, decoders, copy, status.update)
    reads = ", ".join(done.sees) or "nothing"
    makes = ", ".join(m if m in done.decoders else f"{m} (no decoder)" for m in done.makes)
    lora = "with" if done.lora else "without"
    typer.echo(
        f"The core is in {out}: NExT-GPT's {done.layout} layout, {lora} LoRA; "
        f"reads {reads}; makes {makes or 'nothing'}.",
        err=True,
    )
