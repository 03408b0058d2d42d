"""Seconds and peak memory of composing a core, and of loading all of one, in fresh processes.

The parts are those of the bundled weights, 57 MB. Composing loads none of them: its peak is held
against that of a process which only imports the libraries, and against that of loading the core.
"""

from __future__ import annotations

import json
import tempfile
from typing import Any

from benchmarks.harness import Figure, Settings, figure, python

WAYS = ("nothing", "compose", "copy", "load")
NAMES = {"compose": "compose", "copy": "compose --copy", "load": "load all parts"}


def measure(settings: Settings) -> list[Figure]:
    """Each way in turn, a few times."""
    ran: dict[str, list[dict[str, Any]]] = {way: [] for way in WAYS}
    for _ in range(max(settings.repeats // 3, 1)):
        with tempfile.TemporaryDirectory() as folder:
            for way in WAYS:
                output = python("-m", "benchmarks.one_composed", way, folder)
                ran[way].append(json.loads(output))
    figures = []
    for way, name in NAMES.items():
        rounds = list(zip(ran[way], ran["nothing"], strict=True))
        over = [run["peak_mb"] - bare["peak_mb"] for run, bare in rounds]
        figures += [
            figure("composing", name, "s", [run["seconds"] for run in ran[way]]),
            figure("composing", f"{name}: peak memory", "MB", [run["peak_mb"] for run in ran[way]]),
            figure("composing", f"{name}: peak memory over imports alone", "MB", over),
        ]
    return figures
