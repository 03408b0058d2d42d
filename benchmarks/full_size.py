"""What the preset ``nextgpt-7b`` takes at full size on one GPU: stages, words, turns, memory.

    python -m benchmarks full_size --device cuda
    python -m benchmarks full_size --device cpu --tiny

Weights are random and in bfloat16 (``sized.py``). The stages go through the code of a real run,
from rows and prepared features to the optimizer's step: the settings are its defaults, at the
recipe's samples in a step and at many. Words are those of ``generation.py``. Turns are the
assistant's, their decoders at their own steps. What can't be measured is told, and the rest goes
on.
"""

from __future__ import annotations

import gc
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import generation
from benchmarks.harness import ROOT, Figure, Missing, Settings, figure, ratio, seconds

if TYPE_CHECKING:
    import torch

    from benchmarks.sized import Size
    from heliograph.model.core import AnyToAny
    from heliograph.model.parts import Modality

REFERENCE = {"encode": 7.4, "decode": 5.6}
"""Samples in a second that each card of the reference takes in, by stage."""
MANY = {"encode": 128, "decode": 64, "instruct": 16}
"""Samples of a step, in one forward pass, besides those of the recipe."""
LIMIT = 420.0
"""Seconds after which nothing more is begun."""
GB = 1e9
KINDS: dict[str, tuple[Modality | None, Modality | None]] = {
    "text": (None, None),
    "picture in": ("image", None),
    "picture out": (None, "image"),
    "sound out": (None, "audio"),
    "film out": (None, "video"),
}
"""What is shown and what is made in each kind of turn."""
SHOWN = {"image": "dog.png"}
"""Of the examples."""


def measure(settings: Settings) -> Iterator[Figure | Missing]:
    """Everything, one after the other."""
    import torch

    from benchmarks.sized import FULL, TINY, write_data

    size = TINY if settings.tiny else FULL
    if settings.device.startswith("cuda") and not torch.cuda.is_available():
        yield Missing("full_size", "all", "there is no GPU of CUDA here")
        return
    if settings.device == "cpu" and not settings.tiny:
        yield Missing("full_size", "all", "a processor is only asked for it with --tiny")
        return
    device = torch.device(settings.device)
    if device.type == "cuda":
        memory = torch.cuda.get_device_properties(device).total_memory / GB
        print(f"{torch.cuda.get_device_name(device)}, {memory:.0f} GB", file=sys.stderr)
    rounds = max(settings.repeats // 3, 1)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_data(folder)
        ways: dict[str, Callable[[], Iterator[Figure]]] = {}
        for stage, many in MANY.items():
            for batch in (None, 2 if settings.tiny else many):
                title = f"stage {stage}{'' if batch is None else f', {batch} a step'}"
                ways[title] = partial(_stage, title, stage, batch, size, device, folder)
        ways["words"] = partial(_words, size, device, rounds)
        for kind in KINDS:
            ways[kind] = partial(_turns, kind, size, device, rounds, folder)
        for title, way in ways.items():
            if time.monotonic() - began > LIMIT:
                yield Missing("full_size", title, f"{LIMIT:.0f} s had passed before it began")
                continue
            yield from _tried(title, way, device)


def _tried(
    title: str, way: Callable[[], Iterator[Figure]], device: torch.device
) -> Iterator[Figure | Missing]:
    """What a way gives, and the memory that it took, or why it gave nothing more."""
    import torch

    from heliograph.model.errors import in_one_line
    from heliograph.model.training.alignment.measure import peak

    if device.type == "cuda":
        gc.collect()  # of the core before, which has to go first
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    try:
        yield from way()
    except Exception as error:  # one kind of card may lack what another has
        what = in_one_line(error)
        yield Missing("full_size", title, f"{type(error).__name__}: {what}")
        return
    yield figure("full_size", f"{title}: peak memory", "GB", [peak(device) / GB])


def _stage(
    title: str, stage: str, batch: int | None, size: Size, device: torch.device, folder: Path
) -> Iterator[Figure]:
    """Steps of a stage of alignment; ``None`` is the recipe's batch."""
    from benchmarks.sized import core_of, prepared
    from heliograph.model.training.alignment.measure import timed
    from heliograph.model.training.alignment.parts import choose
    from heliograph.model.training.alignment.run import assembled
    from heliograph.model.training.alignment.settings import Settings as Run
    from heliograph.model.training.team import Team

    core = core_of(size, device)
    places = (folder / "core", folder / f"{stage}.json", folder, folder / "run")
    run = Run(stage, *places, batch=batch, bf16=True)
    if batch is not None:
        run = replace(run, at_once=batch)
    made = assembled(run, Team(device=device), core, choose(core, run), prepared(core, folder))
    taken = timed(made, size.warm + size.steps)[size.warm :]
    samples = [run.samples / step for step in taken]
    tokens = made.stream.tokens / (size.warm + size.steps) / run.samples
    # Of all steps together: those that draw and lay out rows take longer than others.
    whole = run.samples * len(taken) / sum(taken)
    yield figure("full_size", f"{title}: each step", "samples/s", samples)
    yield figure("full_size", f"{title}: all steps", "samples/s", [whole])
    yield figure("full_size", f"{title}: a sample", "tokens", [tokens])
    if stage in REFERENCE:
        over = f"{title}: over the reference's {REFERENCE[stage]} samples/s"
        yield figure("full_size", over, "x", [whole / REFERENCE[stage]])


def _words(size: Size, device: torch.device, rounds: int) -> Iterator[Figure]:
    """Answers by our loop, over the same by the plain ``generate`` of transformers."""
    from benchmarks.sized import core_of

    core = core_of(size, device)
    for rows in generation.ROWS:
        ways = {
            "ours": generation.ours(core, rows, size.words),
            "generate": generation.plain(core.language, rows, size.words),
        }
        taken = seconds(ways, rounds)
        for way, spent in taken.items():
            speed = [rows * size.words / t for t in spent]
            yield figure("full_size", f"words, rows: {rows}: {way}", "tokens/s", speed)
        title = f"words, rows: {rows}: ours / generate"
        yield ratio("full_size", title, taken, "ours", "generate", generation.AIM)


def _turns(
    kind: str, size: Size, device: torch.device, rounds: int, folder: Path
) -> Iterator[Figure]:
    """Turns of one kind; each has a new assistant, so that a picture is read each time."""
    from benchmarks.one_turn import turn
    from benchmarks.sized import core_of
    from heliograph.agent import Assistant
    from heliograph.agent import Settings as Options

    shown, made = KINDS[kind]
    core = core_of(size, device, seen=shown is not None, made=() if made is None else (made,))
    files = [] if shown is None else [str(ROOT / "examples" / SHOWN[shown])]
    taken = []
    for _ in range(1 + rounds):
        assistant = Assistant(Options.of(home=folder / "home"), core=core)
        _tell(core, size, made)
        told = turn(assistant, "What can you do?", files)
        if told["made"] != ([] if made is None else [made]):
            raise RuntimeError(f"the turn made {told['made']}, {told['failed']}")
        taken.append(told["total_s"])
    yield figure("full_size", f"{kind}, first turn", "s", taken[:1])
    yield figure("full_size", f"{kind}, next turn", "s", taken[1:])


def _tell(core: AnyToAny, size: Size, made: Modality | None) -> None:
    """Have the core say some words, or make one medium from as many."""
    from benchmarks.sized import Scripted, captions
    from heliograph.model.tokenizer import END_ID

    language = core.language
    assert isinstance(language, Scripted)
    if made is None:
        said = language.encode_text(" ".join(captions(size.words)))
        language.script = [*said[: size.words], END_ID]
        return
    table, (caption,) = language.table, captions(1)
    language.script = [
        table.openers[made],
        *language.encode_text(caption),
        table.runs[made][0],
        END_ID,
    ]
