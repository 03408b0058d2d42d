"""``heliograph train``: the parts, the three stages, and the core that they make."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from heliograph.agent.cli.stage import stage

if TYPE_CHECKING:
    from heliograph.model.training.presets import Preset

app = typer.Typer(
    help="Train a core. Everything can be stopped (Ctrl-C) and goes on where it stopped.",
    no_args_is_help=True,
)
app.command()(stage)

Work = Annotated[
    Path | None,
    typer.Option(
        help="Folder of checkpoints and logs. (default: ~/.cache/heliograph/train, or "
        "HELIOGRAPH_HOME/train)",
        show_default=False,
    ),
]
PresetName = Annotated[
    str,
    typer.Option(
        "--preset",
        help="Sizes and schedules: primer or tiny; or the primer without one of its choices: "
        "pooled, no-slots, no-captions, published.",
    ),
]
Base = Annotated[
    Path | None,
    typer.Option(
        help="A core of the primer's parts: the stages start from its encoders, language model "
        "and decoders, not from those of the work folder.",
        show_default=False,
    ),
]
Minutes = Annotated[float | None, typer.Option(min=0, help="Stop after so many minutes.")]
Steps = Annotated[
    int | None, typer.Option(min=1, help="Length of the schedule, if not the preset's.")
]
Threads = Annotated[
    int | None, typer.Option(min=1, help="Processor threads. (default: torch's own choice)")
]


@app.command()
def parts(
    name: Annotated[
        str | None,
        typer.Argument(
            help="One of them: image-vae, objects, scenes, motion, films, polish, audio-vae, "
            "sounds, details, encoders, steady, language. All in their order if left out.",
            show_default=False,
        ),
    ] = None,
    work: Work = None,
    preset: PresetName = "primer",
    minutes: Minutes = None,
    steps: Steps = None,
    threads: Threads = None,
) -> None:
    """Train encoders, autoencoders and decoders, and the base language model."""
    from heliograph.model.errors import InputError
    from heliograph.model.training import pipeline

    if name is not None and name not in pipeline.PARTS:
        raise InputError(f"There is no part {name!r}; there are {', '.join(pipeline.PARTS)}.")
    for part in [name] if name else pipeline.PARTS:
        _run(part, work, preset, minutes, steps, threads)


def _stage(name: str, text: str) -> None:
    """Register a training that can start from a finished core; all take the same options."""

    @app.command(name, help=text)
    def stage(
        work: Work = None,
        preset: PresetName = "primer",
        minutes: Minutes = None,
        steps: Steps = None,
        threads: Threads = None,
        base: Base = None,
    ) -> None:
        _run(name, work, preset, minutes, steps, threads, base)


_stage(
    "details",
    "Pictures that the referee doesn't recognise; with --base on the decoders of a finished core, "
    "which needs no other training after it.",
)
_stage(
    "steady",
    "Encoders past blur, light and noise; with --base those of a finished core, which needs no "
    "other training after it.",
)
_stage("encode", "Stage 1, encoding-side alignment: only the input projections.")
_stage(
    "decode",
    "Stage 2, decoding-side alignment: only the output projections and the new token rows.",
)
_stage("instruct", "Stage 3, MosIT: LoRA and every projection.")
_stage(
    "signals", "After the stages: output projections alone, on a language model that stands still."
)


@app.command()
def assemble(
    out: Annotated[Path, typer.Option(help="Where the core directory goes.")],
    work: Work = None,
    preset: PresetName = "primer",
    base: Base = None,
) -> None:
    """Put what is trained together: a core directory in half precision."""
    from heliograph.model.training import pipeline

    pipeline.assemble(_folder(work), _settings(preset, None, base), out)
    typer.echo(f"The core is in {out}.", err=True)


@app.command(name="all")
def everything(
    work: Work = None,
    preset: PresetName = "primer",
    out: Annotated[
        Path | None,
        typer.Option(help="Where the core directory goes. (default: core/ in the work folder)"),
    ] = None,
    budget_minutes: Annotated[
        float | None,
        typer.Option(min=0.1, help="Shorten every schedule so that all end within this time."),
    ] = None,
    share: Annotated[
        float | None,
        typer.Option(min=0.001, max=1, help="Shorten every schedule to this share of its steps."),
    ] = None,
    threads: Threads = None,
    base: Base = None,
) -> None:
    """Train the parts and the three stages, and put the core together; with --base only the
    stages."""
    from heliograph.model.training import pipeline

    folder = _folder(work)
    settings = _settings(preset, threads, base)
    pipeline.train_all(folder, settings, out or folder / "core", budget_minutes, share)
    typer.echo(f"The core is in {out or folder / 'core'}.", err=True)


def _run(
    name: str,
    work: Path | None,
    preset: str,
    minutes: float | None,
    steps: int | None,
    threads: int | None,
    base: Path | None = None,
) -> None:
    from heliograph.model.training import pipeline

    settings = _settings(preset, threads, base)
    seconds = None if minutes is None else 60 * minutes
    outcome = pipeline.train(name, _folder(work), settings, seconds=seconds, steps=steps)
    state = "finished" if outcome.finished else "stopped; the same command goes on"
    typer.echo(f"{name}: step {outcome.step}, loss {outcome.loss:.4f}, {state}.", err=True)


def _settings(name: str, threads: int | None, base: Path | None = None) -> Preset:
    from dataclasses import replace

    import torch

    from heliograph.model.training.presets import preset

    if threads is not None:
        torch.set_num_threads(threads)
    torch.set_flush_denormal(True)  # Adam's moments of rows that are never seen get tiny
    return replace(preset(name), base=base)


def _folder(work: Path | None) -> Path:
    if work is not None:
        return work
    home = os.environ.get("HELIOGRAPH_HOME")
    return Path(home) / "train" if home else Path.home() / ".cache" / "heliograph" / "train"
