"""A round of training steps in a process of its own; what it took in memory goes out as JSON.

    python -m benchmarks.one_trained WAY DATA WEIGHTS FOLDER

``WAY`` is one of ``training.WAYS``, and ``FOLDER`` holds the data sets that ``training.py``
prepared, of which ``DATA`` is one.
"""

from __future__ import annotations

import json
import sys
from contextlib import ExitStack
from pathlib import Path

from benchmarks.one_turn import peak_mb
from benchmarks.training import way


def main() -> None:
    """Open it, forget the peak of that, train, print."""
    name, data, weights, folder = sys.argv[1:]
    with ExitStack() as stack:
        steps = way(name, data, Path(weights), Path(folder), stack)
        Path("/proc/self/clear_refs").write_text("5")  # the peak is counted anew, proc(5)
        rest = peak_mb()
        steps()
    print(json.dumps({"over_mb": peak_mb() - rest}))


if __name__ == "__main__":
    main()
