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
    told = _Told(console, save)
    try:
        for event in events:
            if isinstance(event, TurnEnd):
                told.line()
                return event.answer
            told.take(event)
    finally:
        told.bars.stop()
    raise AssertionError("a turn ends with TurnEnd")


class _Told:
    """A turn on its way to a terminal, or to a file."""

    def __init__(self, console: Console, save: Callable[[Media], Path]) -> None:
        from rich.progress import Progress

        self._console, self._save = console, save
        self._names: dict[int, str] = {}
        self._tasks: dict[int, Any] = {}
        self._open_line = False
        # Shown only while decoders work: a live display would wipe a line that is half said.
        self.bars = Progress(transient=True, console=console, disable=not console.is_terminal)

    def line(self) -> None:
        """Begin a new line, if words stand on this one."""
        if self._open_line:
            self._console.print()
        self._open_line = False

    def take(self, event: TurnEvent) -> None:
        """Tell one event."""
        match event:
            case TextDelta(text=text):
                self._print(text, end="")
                self._open_line = not text.endswith("\n")
            case SignalStarted(index=index, modality=modality):
                self._names[index] = f"{NOUNS[modality]} {index + 1}"
                self._print(f"[{self._names[index]}]", end=" ", style="dim")
                self._open_line = True
            case DecoderProgress():
                self._progress(event)
            case MediumDone(index=index, media=media):
                self._finished(index)
                if self._console.is_terminal:
                    from heliograph.agent.terminal import shown

                    self._console.print(shown(media), end="")
                name = self._names[index]
                self._print(f"[{name}] {media.caption}: {self._save(media)}", style="dim")
            case MediumFailed(index=index, message=message):
                self._finished(index)
                self._print(f"[{self._names[index]}] {message}", style="red")
            case ToolCalled(name=name, args=args):
                self.line()
                given = ", ".join(f"{key}={value!r}" for key, value in args.items())
                self._print(f"[{name}: {given}]", style="dim", end=" ")
                self._open_line = True
            case ToolResult(result=result):
                self._print(result, style="dim")
                self._open_line = False

    def _progress(self, event: DecoderProgress) -> None:
        self.line()
        if not self._tasks:
            self.bars.start()
        if event.index not in self._tasks:
            name = self._names[event.index]
            self._tasks[event.index] = self.bars.add_task(name, total=event.total)
        self.bars.update(self._tasks[event.index], completed=event.step)

    def _finished(self, index: int) -> None:
        self.line()
        if index in self._tasks:
            self.bars.remove_task(self._tasks.pop(index))
            if not self._tasks:
                self.bars.stop()

    def _print(self, text: str, style: str = "", end: str = "\n") -> None:
        self._console.print(
            text, style=style, end=end, markup=False, highlight=False, soft_wrap=True
        )
