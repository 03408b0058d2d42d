"""The ``heliograph`` command.

Commands are in files of their own; nothing heavy is imported until one of them runs.
A deliberate error is one sentence on standard error and the exit code of its class
(``heliograph.model.errors``); a wrong use of the command line is exit code 2.
"""

from __future__ import annotations

import atexit
import gc
import logging
import os
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from heliograph.agent.cli import (
    ask,
    batch,
    chat,
    compare,
    compose,
    data,
    demo,
    doctor,
    eval,
    imports,
    plan,
    standard,
    train,
)
from heliograph.model.errors import Cancelled, HeliographError, in_one_line

QUIET = {
    "TRANSFORMERS_VERBOSITY": "error",
    "DIFFUSERS_VERBOSITY": "error",
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TOKENIZERS_PARALLELISM": "false",
}
"""Environment of the libraries below, unless the user has set it."""


class Commands(TyperGroup):
    """Commands that Ctrl-C ends with exit code 130."""

    def invoke(self, ctx: Any) -> Any:
        """Run the chosen command."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise Cancelled("Stopped.") from None


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="An any-to-any assistant: text, pictures, sound and film in and out, offline.",
)
app.command()(ask.ask)
app.command()(chat.chat)
app.command()(batch.batch)
app.command()(demo.demo)
app.command()(doctor.doctor)
app.add_typer(train.app, name="train")
app.add_typer(imports.app, name="import")
app.command()(compose.compose)
app.command()(compose.inspect)
app.command()(plan.plan)
app.command()(compose.push)
app.add_typer(data.app, name="data")
standard.register(eval.app)
app.add_typer(eval.app, name="eval")
app.command()(compare.compare)


def _version(value: bool) -> None:
    if value:
        from importlib.metadata import version

        print(f"heliograph {version('heliograph')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", help="Say which version this is.", callback=_version)
    ] = False,
) -> None:
    """What comes before the command."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit; ``arguments`` are the process's own unless given."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # of what it could be faster with
    if arguments is None:
        _collect_seldom()
    try:
        app(None if arguments is None else list(arguments), prog_name="heliograph")
    except HeliographError as error:
        _fail(str(error), error.exit_code)
    except Exception as error:  # a bug of ours, told as one sentence all the same
        if os.environ.get("HELIOGRAPH_DEBUG"):
            raise
        what = in_one_line(error, None)
        _fail(
            f"Something went wrong inside ({type(error).__name__}: {what}); "
            "HELIOGRAPH_DEBUG=1 shows where.",
            1,
        )


def _collect_seldom() -> None:
    """Keep the garbage collector away from what libraries make while they are imported.

    It would look through a million lasting objects again and again, and once more at the
    end: 2 of the 7 seconds of a first question.
    """
    gc.set_threshold(50_000, 50, 50)
    atexit.register(gc.freeze)


def _fail(sentence: str, code: int) -> None:
    text = f"heliograph: {sentence}".encode("utf-8", "replace").decode()
    print(text, file=sys.stderr, flush=True)
    raise SystemExit(code)
