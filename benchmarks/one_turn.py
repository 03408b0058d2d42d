"""One kind of turn in a process of its own, asked twice; what it took goes out as JSON.

    python -m benchmarks.one_turn WEIGHTS QUESTION [FILE]

The first turn finds everything but the language model still on disk, the second one finds
it loaded. Run by ``latency.py``.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from heliograph.agent import Assistant, Settings
from heliograph.graphs.events import MediumDone, MediumFailed, TextDelta, TurnEnd


def turn(assistant: Assistant, question: str, files: list[str]) -> dict[str, Any]:
    """Seconds from the end of loading to the first word, the first medium, and the end."""
    told: dict[str, Any] = {"first_text_s": None, "first_medium_s": None, "made": [], "failed": []}
    began = time.perf_counter()
    for event in assistant.stream(question, files=files):
        now = time.perf_counter() - began
        match event:
            case TextDelta() if told["first_text_s"] is None:
                told["first_text_s"] = now
            case MediumDone(media=media):
                told["made"].append(media.modality)
                if told["first_medium_s"] is None:
                    told["first_medium_s"] = now
            case MediumFailed(message=message):
                told["failed"].append(message)
            case TurnEnd():
                told["total_s"] = now
    return told


def peak_mb() -> float:
    """Most resident memory of this process so far, from Linux's own count."""
    status = Path("/proc/self/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) * 1024 / 1e6


def main() -> None:
    """Ask, ask again, print."""
    weights, question, *files = sys.argv[1:]
    with tempfile.TemporaryDirectory() as home:
        assistant = Assistant(Settings(weights=Path(weights), home=Path(home)))
        began = time.perf_counter()
        assistant.load()
        loaded = time.perf_counter() - began
        turns = [turn(assistant, question, files) for _ in range(2)]
    print(json.dumps({"load_s": loaded, "turns": turns, "peak_mb": peak_mb()}))


if __name__ == "__main__":
    main()
