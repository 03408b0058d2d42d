"""``heliograph train stage``: a stage on a core of one's own, with data of one's own."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from heliograph.agent.cli.telling import Teller, note

if TYPE_CHECKING:
    from heliograph.model.training.alignment.measure import Measured
    from heliograph.model.training.alignment.settings import Settings


def stage(
    name: Annotated[
        str,
        typer.Argument(help="encode, decode, instruct, llava-align or llava-instruct."),
    ],
    data: Annotated[
        Path, typer.Option(help="A mixture (JSON or YAML), or one data set as `data check` reads.")
    ],
    prepared: Annotated[
        Path, typer.Option(help="Folder that `data prepare` wrote to for this data and core.")
    ],
    out: Annotated[Path, typer.Option(help="Folder of the run; the finished core is core/ in it.")],
    core: Annotated[
        Path | None,
        typer.Option(help="Directory of the core to begin with. (default: the bundled one)"),
    ] = None,
    steps: Annotated[int, typer.Option(min=1, help="Optimizer steps.")] = 1000,
    batch: Annotated[
        int | None, typer.Option(min=1, help="Samples of a step. (default: the stage's own)")
    ] = None,
    at_once: Annotated[
        int, typer.Option(min=1, help="Samples of a forward pass; gradients are accumulated.")
    ] = 8,
    length: Annotated[int, typer.Option(min=1, help="Cut samples after so many tokens.")] = 2048,
    learning_rate: Annotated[
        float | None, typer.Option(min=0, help="Learning rate. (default: the stage's own)")
    ] = None,
    pack: Annotated[
        bool | None,
        typer.Option(
            "--pack/--no-pack",
            help="Pack short samples into shared rows. (default: where the language model trains)",
        ),
    ] = None,
    bf16: Annotated[bool, typer.Option("--bf16", help="Compute in bfloat16.")] = False,
    checkpointing: Annotated[
        bool, typer.Option("--checkpointing", help="Gradient checkpointing: less memory, slower.")
    ] = False,
    shard: Annotated[
        bool, typer.Option("--shard", help="FSDP2 rather than DDP, under torchrun.")
    ] = False,
    condition_weight: Annotated[
        float, typer.Option(min=0, help="Weight of the condition loss beside the answers'.")
    ] = 1.0,
    captions: Annotated[
        bool, typer.Option(help="The assistant says a caption before each signal run.")
    ] = True,
    checkpoint_every: Annotated[int, typer.Option(min=1, help="Steps between checkpoints.")] = 200,
    rank: Annotated[int, typer.Option(min=1, help="Rank of LoRA.")] = 32,
    dropout: Annotated[float, typer.Option(min=0, max=1, help="Dropout of LoRA.")] = 0.0,
    lora_targets: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES",
            help="Layers that get LoRA, such as qkv_proj,o_proj. (default: those of attention)",
        ),
    ] = None,
    full: Annotated[
        bool, typer.Option("--full", help="Train the whole language model, not LoRA.")
    ] = False,
    qlora: Annotated[
        bool, typer.Option("--qlora", help="Keep the frozen language model in 4 bits.")
    ] = False,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave out rows that can't be used.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Of the data's order and of what starts fresh.")] = 0,
    minutes: Annotated[float | None, typer.Option(min=0, help="Stop after so many.")] = None,
    device: Annotated[
        str | None, typer.Option(help="Such as cuda. (default: the GPU if there is one)")
    ] = None,
    licence: Annotated[
        list[str] | None,
        typer.Option(metavar="PART=TEXT", help="Licence of a part, for the card: language=MIT."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Measure a few steps, print tables, change nothing.")
    ] = False,
    price: Annotated[
        float | None, typer.Option(min=0, help="Of an hour of one device, for the dry run.")
    ] = None,
) -> None:
    """Run a stage on any core, with data prepared by `heliograph data prepare`.

    It can be stopped or killed and goes on where its last checkpoint is. Under torchrun, with
    `--no-python heliograph train stage …`, the processes share the work.
    """
    from heliograph.agent.settings import Settings as Places
    from heliograph.model.training.alignment.settings import Settings

    settings = Settings(
        name,
        Places.of(weights=core).weights_dir(),
        data,
        prepared,
        out,
        steps=steps,
        batch=batch,
        at_once=at_once,
        length=length,
        learning_rate=learning_rate,
        pack=pack,
        bf16=bf16,
        checkpointing=checkpointing,
        shard=shard,
        condition_weight=condition_weight,
        captioned=captions,
        checkpoint_every=checkpoint_every,
        rank=rank,
        dropout=dropout,
        lora_targets=tuple(filter(None, map(str.strip, (lora_targets or "").split(",")))),
        full=full,
        qlora=qlora,
        skip_bad=skip_bad,
        seed=seed,
        licences=tuple(_stated(licence or [])),
    )
    if dry_run:
        from heliograph.model.training.alignment.measure import measure

        measured = measure(settings, device)
        if os.environ.get("RANK", "0") == "0":
            _print(settings, measured, price)
        return
    from heliograph.model.training.alignment.run import train

    told = Teller(100, aside=True)
    seconds = None if minutes is None else 60 * minutes
    outcome, made = train(settings, device=device, seconds=seconds, bad=told)
    told.end()
    if os.environ.get("RANK", "0") == "0":
        state = f"the core is in {made}" if made else "stopped; the same command goes on"
        note(f"{name}: step {outcome.step}, loss {outcome.loss:.4f}, {state}.")


def _stated(given: list[str]) -> list[tuple[str, str]]:
    from heliograph.model.errors import InputError

    stated = []
    for text in given:
        part, equals, licence = text.partition("=")
        if not part or not licence or not equals:
            raise InputError(f"--licence takes PART=TEXT and the like, not {text!r}.")
        stated.append((part, licence))
    return stated


def _print(settings: Settings, measured: Measured, price: float | None) -> None:
    from rich.console import Console
    from rich.table import Table

    width = Console().width
    console = Console(file=sys.stdout, width=max(width, 110))  # a table of seven columns
    table = Table("part", title=f"{settings.stage}: {settings.recipe.title}")
    for column in ("frozen", "trained", "share", "weights", "gradients", "moments"):
        table.add_column(column, justify="right")
    for part in measured.parts:
        table.add_row(
            part.name,
            *_cells(part.numbers, part.trained),
            *_sizes(part.weights, part.gradients, part.moments),
        )
    table.add_section()
    parts = measured.parts
    numbers, trained = sum(p.numbers for p in parts), sum(p.trained for p in parts)
    sums = (sum(p.weights for p in parts), sum(p.gradients for p in parts))
    table.add_row("all", *_cells(numbers, trained), *_sizes(*sums, sum(p.moments for p in parts)))
    console.print(table)
    steps, seconds = settings.steps, measured.seconds(settings.steps)
    console.print(
        f"A step of {settings.samples} samples, {measured.tokens:,.0f} tokens, takes "
        f"{measured.step_seconds:.3g} s on {measured.processes} process(es); at most "
        f"{measured.peak / 1e6:,.0f} MB were in use in one."
    )
    console.print(f"{steps:,} steps take {_time(seconds)}.")
    if price is not None:
        console.print(f"At {price:g} an hour that costs {measured.cost(steps, price):,.2f}.")


def _cells(numbers: int, trained: int) -> tuple[str, str, str]:
    return f"{numbers - trained:,}", f"{trained:,}", f"{trained / max(numbers, 1):.2%}"


def _sizes(*counts: int) -> list[str]:
    return [f"{count / 1e6:,.1f} MB" for count in counts]


def _time(seconds: float) -> str:
    minutes, left = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {left:02} s"
