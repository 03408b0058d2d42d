"""``heliograph demo``: the main job, on files that it renders from the primer world."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from heliograph.model.errors import StoreError, ToolFailed
from heliograph.model.primer.scenes import Film, One, Scene, SoundOf

if TYPE_CHECKING:
    from rich.console import Console

    from heliograph.agent.assistant import Assistant
    from heliograph.graphs.events import Entry


@dataclass(frozen=True)
class Ask:
    """One question, with the scene of its file."""

    text: str
    scene: Scene | None = None


DRUM = One("drum", "big", "left", "blue")  # no picture or film here was seen in training
DOG = One("dog", "big", "top", "blue")
BELL = SoundOf("bell", count=3)
CAR = Film("car", "moves right", "black")
CONVERSATIONS: tuple[tuple[str, tuple[Ask, ...]], ...] = (
    ("A picture in", (Ask("Describe the picture.", DRUM), Ask("And what does it sound like?"))),
    ("A sound in", (Ask("What do you hear?", BELL),)),
    ("A film in", (Ask("What happens in this film?", CAR), Ask("Draw its last scene."))),
    (
        "A picture out, changed twice",
        (
            Ask("Draw a small cat on the left on a green background."),
            Ask("Now make it bigger."),
            Ask("Now on a blue background."),
            Ask("Describe it."),
        ),
    ),
    ("A sound out", (Ask("Play a bell, three times."),)),
    ("A film out", (Ask("Film a dog that moves left on a white background."),)),
    (
        "A picture, a sound and a film in one answer",
        (
            Ask(
                "First draw a small cat on the left, then play a drum, "
                "then film a cat that moves up."
            ),
        ),
    ),
    ("En français, une image vue", (Ask("Décris l'image.", DOG),)),
    ("En français, une image faite", (Ask("Dessine deux pommes sur un fond rose."),)),
    ("بالعربية: صورة", (Ask("ماذا يوجد في هذه الصورة؟", DOG),)),
    ("بالعربية: رسم", (Ask("ارسم قطة صغيرة على اليسار."),)),
    ("A tool", (Ask("What is 12 * 7?"),)),
    ("What it can't do", (Ask("Who wrote Hamlet?"),)),
)


def demo(
    out: Annotated[Path, typer.Option(help="Folder for the media and index.html.")] = Path("out"),
    seed: Annotated[int, typer.Option(min=0, help="Another seed, other media.")] = 0,
    steps: Annotated[
        int | None, typer.Option(min=1, max=1000, help="Denoising steps of the decoders.")
    ] = None,
    weights: Annotated[
        Path | None, typer.Option(help="Directory of a core. (default: the bundled one)")
    ] = None,
) -> None:
    """Talk through example files: every kind of turn, in the terminal and on a page."""
    from rich.console import Console

    from heliograph.agent.assistant import Assistant
    from heliograph.agent.settings import Settings

    console = Console()
    # A home of its own, so that each demo begins anew and leaves nothing but ``out``.
    with tempfile.TemporaryDirectory(prefix="heliograph-") as home:
        settings = Settings.of(weights=weights, home=Path(home), seed=seed, steps=steps)
        failed = run(Assistant(settings), console, out, CONVERSATIONS)
    if failed:
        raise ToolFailed(failed)


def run(
    assistant: Assistant,
    console: Console,
    out: Path,
    conversations: Sequence[tuple[str, Sequence[Ask]]],
) -> str | None:
    """Have the conversations, and write ``out/index.html``.

    Returns:
        Why a medium could not be made, if one couldn't.
    """
    from heliograph.agent.cli import output
    from heliograph.agent.page import write_page
    from heliograph.agent.terminal import shown
    from heliograph.model.media import load

    failed: str | None = None
    told: list[tuple[str, list[Entry]]] = []
    save = output.saver(out, assistant.settings.home / "artifacts")
    for heading, questions in conversations:
        console.rule(heading)
        for question in questions:
            files = [] if question.scene is None else [_example(question.scene, out)]
            if files and console.is_terminal:
                console.print(shown(load(files[0])), end="")
            named = f" [{files[0]}]" if files else ""
            console.print(f"> {question.text}{named}", style="bold", markup=False, highlight=False)
            answer = output.show(
                assistant.stream(question.text, files=files, thread=heading), console, save
            )
            failed = failed or next((f.message for f in answer.failures), None)
        told.append((heading, assistant.history(heading)))
    page = out / "index.html"
    try:
        write_page(page, told, "A conversation with Heliograph")
    except OSError as error:
        raise StoreError(f"{page} can't be written: {error.strerror}.") from error
    console.rule()
    console.print(f"The page is {page}, and the media lie beside it.", highlight=False)
    return failed


def _example(scene: Scene, out: Path) -> Path:
    """A scene as a file that a person could have brought."""
    from heliograph.model.media import save, write
    from heliograph.model.primer.render import render
    from heliograph.model.primer.scenes import caption

    name = caption(scene).replace(",", "").replace(" ", "-")
    return save(write(render(scene, seed=1)), out / "examples", name)
