"""``heliograph ask``: one turn."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from heliograph.agent.cli.chat import Device, GpuMemory, Llm, check_auto
from heliograph.model.errors import InputError, ToolFailed


def ask(
    text: Annotated[str, typer.Argument(help="The question; - reads it from standard input.")],
    file: Annotated[
        list[Path] | None, typer.Option(help="A picture, sound or film; may be given again.")
    ] = None,
    thread: Annotated[
        str | None, typer.Option(help="Conversation to go on with. (default: a new one)")
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Another seed, other media.")] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, max=1000, help="Denoising steps of the decoders.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the media. (default: the data directory)")
    ] = None,
    weights: Annotated[
        Path | None, typer.Option(help="Directory of a core. (default: the bundled one)")
    ] = None,
    device: Device = "cpu",
    gpu_memory: GpuMemory = None,
    llm: Llm = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object on standard output.")
    ] = False,
) -> None:
    """Ask one question, and get an answer in text, pictures, sound and film."""
    from heliograph.agent.assistant import Assistant
    from heliograph.agent.cli import output
    from heliograph.agent.settings import Settings

    if text == "-":
        try:
            text = sys.stdin.buffer.read().decode()
        except UnicodeDecodeError as error:
            raise InputError("The text on standard input is not UTF-8.") from error
    check_auto(device, gpu_memory)
    settings = Settings.of(weights=weights, device=device, gpu_memory=gpu_memory, llm=llm)
    assistant = Assistant(settings)
    given = {"seed": seed, "steps": steps}
    options: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    save = output.saver(out, settings.home / "artifacts")
    events = assistant.stream(text, files=file or (), thread=thread, **options)
    if as_json:
        *_, end = events
        answer = end.answer  # type: ignore[union-attr]
        print(json.dumps(output.as_json(answer, save), ensure_ascii=False))
    else:
        from rich.console import Console

        answer = output.show(events, Console(), save)
    if answer.failures:
        raise ToolFailed(answer.failures[0].message)
