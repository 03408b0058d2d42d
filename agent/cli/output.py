"""Answers on standard output: as JSON, or for people."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from heliograph.graphs.events import (
    Answer,
    DecoderProgress,
    Failure,
    MediumDone,
    MediumFailed,
    SignalStarted,
    TextDelta,
    ToolCalled,
    ToolResult,
    TurnEnd,
    TurnEvent,
)
from heliograph.model.parts import Media, Text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from rich.console import Console

NOUNS = {"image": "picture", "audio": "sound", "video": "film"}


def saver(directory: Path | None, artifacts: Path, prefix: str = "") -> Callable[[Media], Path]:
    """What gives each medium's file: written to a directory, or where the store has it.

    Args:
        directory: made where it is missing.
        artifacts: root of the artifact store.
        prefix: begins the files' names; the medium's hash ends them.
    """

    def save_to(media: Media) -> Path:
        from heliograph.memory.artifacts import ArtifactStore
        from heliograph.model.media import save

        if directory is None:
            return ArtifactStore(artifacts).path(f"sha256:{media.sha256}").absolute()
        return save(media, directory, f"{prefix}{media.modality}-{media.sha256[:12]}")

    return save_to


def as_json(answer: Answer, save: Callable[[Media], Path]) -> dict[str, Any]:
    """The answer as the object that ``--json`` prints, its media saved."""
    parts: list[dict[str, Any]] = []
    for part in answer.parts:
        match part:
            case Text(text=text):
                parts.append({"type": "text", "text": text})
            case Media():
                parts.append(
                    {
                        "type": part.modality,
                        "path": str(save(part)),
                        "mime_type": part.mime_type,
                        "sha256": part.sha256,
                        "caption": part.caption,
                    }
                )
            case Failure():
                parts.append(
                    {
                        "type": "error",
                        "modality": part.modality,
                        "caption": part.caption,
                        "message": part.message,
                    }
                )
    calls = [
        {"name": call.name, "args": dict(call.args), "result": call.result}
        for call in answer.tool_calls
    ]
    timing = answer.timing
    return {
        "thread": answer.thread,
        "text": answer.text,
        "parts": parts,
        "tool_calls": calls,
        "timing": {
            "load_s": round(timing.load_s, 3),
            "first_token_s": None
            if timing.first_token_s is None
            else round(timing.first_token_s, 3),
            "total_s": round(timing.total_s, 3),
        },
    }


def show(events: Iterable[TurnEvent], console: Console, save: Callable[[Media], Path]) -> Answer:
    """Tell a turn to a person as it happens: words as they come, media as they are done.

    Where a medium was said stands its number; the medium follows when it is made.
    """
    from rich.progress import Progress

    from heliograph.agent.terminal import shown

    names: dict[int, str] = {}
    at_line_start = True

    def line() -> None:
        nonlocal at_line_start
        if not at_line_start:
            console.print()
        at_line_start = True

    with Progress(transient=True, console=console, disable=not console.is_terminal) as bars:
        tasks: dict[int, Any] = {}
        for event in events:
            match event:
                case TextDelta(text=text):
                    console.print(text, end="", markup=False, highlight=False, soft_wrap=True)
                    at_line_start = text.endswith("\n")
                case SignalStarted(index=index, modality=modality):
                    names[index] = f"{NOUNS[modality]} {index + 1}"
                    console.print(f"[{names[index]}]", end=" ", style="dim", markup=False)
                    at_line_start = False
                case DecoderProgress(index=index, step=step, total=total):
                    if index not in tasks:
                        line()
                        tasks[index] = bars.add_task(names[index], total=total)
                    bars.update(tasks[index], completed=step)
                case MediumDone(index=index, media=media):
                    line()
                    if index in tasks:
                        bars.remove_task(tasks.pop(index))
                    if console.is_terminal:
                        console.print(shown(media), end="")
                    console.print(
                        f"[{names[index]}] {media.caption}: {save(media)}",
                        style="dim",
                        markup=False,
                        highlight=False,
                        soft_wrap=True,
                    )
                case MediumFailed(index=index, message=message):
                    line()
                    if index in tasks:
                        bars.remove_task(tasks.pop(index))
                    console.print(f"[{names[index]}] {message}", style="red", markup=False)
                case ToolCalled(name=name, args=args):
                    line()
                    given = ", ".join(f"{key}={value!r}" for key, value in args.items())
                    console.print(f"[{name}: {given}]", style="dim", markup=False, end=" ")
                    at_line_start = False
                case ToolResult(result=result):
                    console.print(result, style="dim", markup=False)
                    at_line_start = True
                case TurnEnd(answer=answer):
                    line()
                    return answer
    raise AssertionError("a turn ends with TurnEnd")
