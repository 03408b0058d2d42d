"""One way to come to a core in a process of its own; what it took goes out as JSON.

    python -m benchmarks.one_composed compose|copy|load FOLDER
    python -m benchmarks.one_composed import FOLDER OUT

A core in ``FOLDER`` is composed of the parts of the bundled weights, or loaded; ``import`` imports
the NExT-GPT checkpoint that is in ``FOLDER``. Run by ``composing.py`` and ``importing.py``;
``nothing`` only imports what all of them import.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import diffusers  # noqa: F401
import torch  # noqa: F401
import transformers  # noqa: F401

from benchmarks.one_turn import peak_mb
from heliograph.model.checkpoints.assembly import import_nextgpt
from heliograph.model.compose import compose
from heliograph.model.core import AnyToAny
from heliograph.model.presets import preset


def main() -> None:
    """Do it, print."""
    way, folder = sys.argv[1], Path(sys.argv[2])
    began = time.perf_counter()
    if way in ("compose", "copy"):
        compose(preset("primer"), folder / way, copy=way == "copy")
    elif way == "load":
        core = AnyToAny.from_pretrained(folder / "compose")
        for modality in core.sees:
            core.encoder(modality)
        for modality in core.makes:
            core.decoder(modality)
    elif way == "import":
        imagebind, out = folder / "imagebind.pth", Path(sys.argv[3])
        import_nextgpt(folder / "nextgpt", folder / "vicuna", imagebind, out)
    print(json.dumps({"seconds": time.perf_counter() - began, "peak_mb": peak_mb()}))


if __name__ == "__main__":
    main()
