"""The core that a run leaves: the one that it began with, and what it trained put in place.

What wasn't trained is copied file by file, so it keeps its precision to the last bit, and data
that was prepared for the first core serves the next stage too. Parts that the first core refers to
stay where they are.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from heliograph.model.checkpoint import read_tensors
from heliograph.model.core import AnyToAny
from heliograph.model.files import as_readable
from heliograph.model.origins import LANGUAGE
from heliograph.model.shelf import Shelf
from heliograph.model.training.alignment.parts import choose, named, stored_precision
from heliograph.model.training.alignment.settings import Settings
from heliograph.model.training.checkpoints import averaged


def publish(settings: Settings) -> Path:
    """Write the core of a run's last checkpoint; gives its directory.

    The language model is read once more in the precision of its files, on the processor.

    Raises:
        WeightsError: files of the core or of the run are missing or damaged.
    """
    from safetensors.torch import save_file

    out, partial = settings.out / "core", settings.out / ".core.partial"
    shutil.rmtree(partial, ignore_errors=True)
    shutil.copytree(settings.core, partial, ignore=shutil.ignore_patterns("README.md", "curve.svg"))
    origins = Shelf.from_pretrained(settings.core).origins
    base = origins.place(settings.core, LANGUAGE, "language", hashed=False)
    precision = stored_precision(base)
    core = AnyToAny.from_pretrained(settings.core, dtype=precision)
    rows = choose(core, settings)
    averaged(settings.out, named(core, rows))
    if rows is not None:
        rows.write(core.language)
    if rows is not None or settings.recipe.language:
        shutil.rmtree(partial / "language")
        core.save_language(partial, precision)
        core.save_config(partial)  # which says whether the language model lies there
    path = partial / "projections.safetensors"
    trained = {name: p.detach() for name, p in core.named_parameters() if p.requires_grad}
    state = {
        name: trained.get(name, stored).to(stored.dtype).contiguous()
        for name, stored in read_tensors(path).items()
    }
    path.unlink()
    save_file(state, path, {"format": "pt"})
    as_readable(partial)
    shutil.rmtree(out, ignore_errors=True)
    os.replace(partial, out)
    return out
