"""How long one waits, and how much memory it takes, for each kind of turn.

Every kind is asked in a fresh process (``one_turn.py``), the kinds in turns. Seconds are
counted from the end of loading; the cold ``ask`` is the whole command, from its start to
its end.
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.harness import Figure, Settings, figure, python, seconds

MEMORY_AIM_MB = 1500
COLD_ASK_AIM_S = 6
KINDS: dict[str, tuple[str, str | None]] = {
    "text": ("What can you do?", None),
    "picture in": ("What is this?", "image"),
    "sound in": ("What is this?", "audio"),
    "film in": ("What is this?", "video"),
    "picture out": ("Draw a small dog on the left.", None),
    "sound out": ("Play a bell, three times.", None),
    "film out": ("Film a dog that moves left on a white background.", None),
    "picture in, sound out": ("What does this sound like?", "image"),
}
"""Question and modality of its file for each kind of turn."""
MEDIUM_AIM_S = {"picture out": 3.0, "film out": 8.0}


def measure(settings: Settings) -> list[Figure]:
    """Ask every kind a few times."""
    rounds = max(settings.repeats // 3, 1)
    ran: dict[str, list[dict[str, Any]]] = {kind: [] for kind in KINDS}
    with tempfile.TemporaryDirectory() as folder:
        shown = examples(Path(folder))
        for _ in range(rounds):
            for kind, (question, modality) in KINDS.items():
                files = [str(shown[modality])] if modality else []
                output = python(
                    "-m", "benchmarks.one_turn", str(settings.weights), question, *files
                )
                ran[kind].append(json.loads(output))
        ask = cold_ask(settings, Path(folder), rounds)
    figures = [figure("latency", "cold ask with text", "s", ask, COLD_ASK_AIM_S)]
    for kind, runs in ran.items():
        figures += of_kind(kind, runs, ran["text"])
    return figures


def of_kind(kind: str, runs: list[dict[str, Any]], text: list[dict[str, Any]]) -> list[Figure]:
    """Figures of one kind of turn, beside the turn of text alone."""
    figures = []
    for which, name in enumerate(("first turn", "next turn")):
        turns = [run["turns"][which] for run in runs]
        for key, what in (("first_text_s", "first word"), ("first_medium_s", "first medium")):
            samples = [turn[key] for turn in turns if turn[key] is not None]
            if samples:
                aim = MEDIUM_AIM_S.get(kind) if key == "first_medium_s" else None
                figures.append(figure("latency", f"{kind}, {name}: {what}", "s", samples, aim))
    over = [
        run["turns"][1]["total_s"] / beside["turns"][1]["total_s"]
        for run, beside in zip(runs, text, strict=True)
    ]
    figures.append(figure("latency", f"{kind}, next turn / that of text", "x", over))
    memory = [run["peak_mb"] for run in runs]
    figures.append(figure("latency", f"{kind}: peak memory", "MB", memory, MEMORY_AIM_MB))
    return figures


def cold_ask(settings: Settings, folder: Path, rounds: int) -> list[float]:
    """Seconds that ``heliograph ask`` takes from its start to its end."""
    os.environ["HELIOGRAPH_HOME"] = str(folder / "home")
    os.environ["HELIOGRAPH_WEIGHTS"] = str(settings.weights)
    arguments = ["ask", KINDS["text"][0], "--out", str(folder)]
    code = f"import sys; sys.argv[1:] = {arguments}; from heliograph.agent.cli import main; main()"
    return seconds({"ask": lambda: python("-c", code)}, rounds)["ask"]


def examples(folder: Path) -> dict[str, Path]:
    """A picture, a sound and a film of the primer world as files."""
    from heliograph.model.media import save, write
    from heliograph.model.primer.render import render
    from heliograph.model.primer.scenes import Film, One, Scene, SoundOf

    scenes: dict[str, Scene] = {
        "image": One("dog", "big", "centre", "blue"),
        "audio": SoundOf("bell", 2),
        "video": Film("dog", "moves left", "blue"),
    }
    return {
        modality: save(write(render(scene, seed=0)), folder, modality)
        for modality, scene in scenes.items()
    }
