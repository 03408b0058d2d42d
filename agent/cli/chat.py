"""``heliograph chat``: a conversation in the terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from heliograph.model.errors import Cancelled, HeliographError, InputError, StoreError

if TYPE_CHECKING:
    from rich.console import Console

    from heliograph.agent.assistant import Assistant

Device = Annotated[
    str, typer.Option(help="cpu, cuda, or auto: where there is room, see `heliograph plan`.")
]
GpuMemory = Annotated[
    float | None,
    typer.Option(
        help="GB of each GPU that --device auto may fill. (default: what is free)",
        show_default=False,
    ),
]
Llm = Annotated[
    str | None,
    typer.Option(
        metavar="PROVIDER:NAME",
        help="A LangChain chat model that speaks in place of the core's own language model, and "
        "asks the core's decoders for media by tools.",
        show_default=False,
    ),
]
HELP = """\
/file PATH    show a picture, a sound or a film with the next question
/save DIR     write the conversation's page and media to a folder
/history      tell the conversation again
/new [NAME]   begin another conversation, or go on with one
/seed N       another seed, other media
/steps N      denoising steps of the decoders
/help         this
/quit         leave (so does Ctrl-D)"""


def chat(
    thread: Annotated[
        str | None, typer.Option(help="Conversation to go on with. (default: a new one)")
    ] = None,
    weights: Annotated[
        Path | None, typer.Option(help="Directory of a core. (default: the bundled one)")
    ] = None,
    device: Device = "cpu",
    gpu_memory: GpuMemory = None,
    llm: Llm = None,
    compiled: Annotated[
        bool,
        typer.Option(
            "--compile",
            help="Translate decoders by torch.compile: minutes when one is first used, faster "
            "from then on, on a GPU.",
        ),
    ] = False,
) -> None:
    """Talk; /help tells what else can be typed. Ctrl-C stops an answer."""
    from rich.console import Console

    from heliograph.agent.assistant import Assistant
    from heliograph.agent.settings import Settings

    check_auto(device, gpu_memory)
    console = Console()
    settings = Settings.of(
        weights=weights, device=device, gpu_memory=gpu_memory, llm=llm, compiled=compiled
    )
    assistant = Assistant(settings)
    talk = Chat(assistant, console, thread or _new_name())
    console.print(f"Conversation {talk.thread}; /help tells what can be typed.", style="dim")
    for line in _lines(assistant.settings.home / "chat_history", console):
        try:
            if not talk.take(line):
                return
        except Cancelled as error:
            console.print(str(error), style="yellow", markup=False)
        except HeliographError as error:
            console.print(str(error), style="red", markup=False)
        except KeyboardInterrupt:
            console.print("\nStopped.", style="yellow")


@dataclass
class Chat:
    """What a chat keeps between lines."""

    assistant: Assistant
    console: Console
    thread: str
    files: list[Path] = field(default_factory=list)
    options: dict[str, Any] = field(default_factory=dict)

    def take(self, line: str) -> bool:
        """Answer a line, or do what it commands; false ends the chat.

        Raises:
            HeliographError: what was asked can't be done.
        """
        line = line.strip()
        if not line and not self.files:
            return True
        if line.startswith("/"):
            name, _, argument = line[1:].partition(" ")
            return self._command(name, argument.strip())
        self._ask(line)
        return True

    def _ask(self, line: str) -> None:
        from heliograph.agent.cli import output

        save = output.saver(None, self.assistant.settings.home / "artifacts")
        events = self.assistant.stream(line, files=self.files, thread=self.thread, **self.options)
        output.show(events, self.console, save)
        self.files = []

    def _command(self, name: str, argument: str) -> bool:
        match name:
            case "file":
                self._add_file(Path(argument).expanduser())
            case "save":
                self._save(Path(argument or "conversation").expanduser())
            case "history":
                self._history()
            case "new":
                self.thread, self.files = argument or _new_name(), []
                self.console.print(f"Conversation {self.thread}.", style="dim", markup=False)
            case "seed" | "steps":
                if not argument.isdecimal():
                    raise InputError(f"/{name} wants a number.")
                self.options[name] = int(argument)
            case "help":
                self.console.print(HELP, markup=False, highlight=False)
            case "quit" | "exit":
                return False
            case _:
                raise InputError(f"There is no command /{name}; /help names them.")
        return True

    def _add_file(self, path: Path) -> None:
        from heliograph.agent.terminal import shown
        from heliograph.model.media import load

        media = load(path, self.assistant.settings.limits)
        self.files.append(path)
        if self.console.is_terminal:
            self.console.print(shown(media), end="")
        self.console.print(f"{path}: {media.mime_type}", style="dim", markup=False)

    def _save(self, directory: Path) -> None:
        from heliograph.agent.cli import output
        from heliograph.agent.page import write_page
        from heliograph.model.parts import Media

        entries = self.assistant.history(self.thread)
        save = output.saver(directory, self.assistant.settings.home / "artifacts")
        for entry in entries:
            for part in entry.parts:
                if isinstance(part, Media):
                    save(part)
        page = directory / "index.html"
        try:
            write_page(page, [(self.thread, entries)])
        except OSError as error:
            raise StoreError(f"{page} can't be written: {error.strerror}.") from error
        self.console.print(f"Saved {page}", style="dim", markup=False)

    def _history(self) -> None:
        from heliograph.model.parts import Media, Text

        for entry in self.assistant.history(self.thread):
            words = [
                part.text
                if isinstance(part, Text)
                else f"[{part.modality}: {part.caption or part.sha256[:12]}]"
                if isinstance(part, Media)
                else f"[{part}]"
                for part in entry.parts
            ]
            style = "bold" if entry.role == "user" else ""
            self.console.print(" ".join(words), style=style, markup=False, highlight=False)


def check_auto(device: str, gpu_memory: float | None) -> None:
    """Check that what a GPU may give is said to a plan.

    Raises:
        InputError: there is none that would heed it.
    """
    if gpu_memory is not None and device != "auto":
        raise InputError("--gpu-memory is for --device auto, which plans what goes to a GPU.")


def _new_name() -> str:
    return f"chat-{datetime.now():%Y%m%d-%H%M%S}"


def _lines(history: Path, console: Console) -> Iterator[str]:
    """The lines that a person types, remembered from one chat to the next."""
    if not sys.stdin.isatty():
        yield from sys.stdin
        return
    import readline

    if history.is_file():
        readline.read_history_file(history)
    try:
        while True:
            try:
                yield input("> ")
            except (EOFError, KeyboardInterrupt):
                console.print()
                return
    finally:
        try:
            history.parent.mkdir(parents=True, exist_ok=True)
            readline.set_history_length(1000)
            readline.write_history_file(history)
        except OSError:
            console.print("The lines typed could not be remembered.", style="dim")
