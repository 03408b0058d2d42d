"""The whole evaluation, in chunks of one batch; stopped at any time, it keeps what it has."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Literal

from heliograph.model.core import AnyToAny
from heliograph.model.errors import InputError
from heliograph.model.evaluation import ceilings
from heliograph.model.evaluation.asking import Answer, Sent, answers, clips_shown, decode, per_batch
from heliograph.model.evaluation.ceilings import CEILINGS, Ceiling
from heliograph.model.evaluation.foreign import Means
from heliograph.model.evaluation.grids import CELLS, Cell, case_cell, ceiling_cell
from heliograph.model.evaluation.judging import Reading, Verdict, judge, look, paired, same
from heliograph.model.evaluation.rows import FOREIGN, ROWS, Case, Row, chosen, draw_case
from heliograph.model.media import Clip
from heliograph.model.primer import scenes
from heliograph.model.primer.atlas import others
from heliograph.model.primer.scenes import Scene

QUICK = 20
Told = Callable[[str, int, int], None]
"""Is given a row's name, how many of its cases are done, and how many there are."""


@dataclass(frozen=True)
class Settings:
    """What to evaluate and how."""

    cases: int = 100
    """Of each row; of those that take long a share, unless ``even``."""
    even: bool = False
    """As many cases in the rows that take long."""
    rows: tuple[str, ...] | None = None
    """Names of rows and ceilings; ``None`` is all of them."""
    seed: int = 0
    """Another seed draws other cases."""
    batch: int = 16
    """Dialogues, pictures and sounds that are worked on side by side."""
    steps: int | None = None
    """Denoising steps, ``None`` for each decoder's own."""
    guidance: float | None = None
    """Guidance scale, likewise."""
    path: Literal["signal", "caption"] = "signal"
    """What decoders are conditioned on: projected hidden states, or the captions said."""
    media: bool = True
    """False decodes nothing: captions are judged instead of media, which takes a tenth of
    the time."""
    emoji: Path | None = None
    """Another set of emoji, for the row that is drawn with one (``atlas.others``)."""
    workers: int = 2
    """Processes for the referees; 0 is this one."""

    def __post_init__(self) -> None:
        if self.cases < 1 or self.batch < 1:
            raise InputError("The number of cases and the batch have to be at least 1.")


@dataclass
class Outcome:
    """What has been found so far."""

    settings: Settings
    verdicts: dict[str, list[Verdict]] = field(default_factory=dict)
    cells: dict[str, list[Cell]] = field(default_factory=dict)
    """The first of each row, for its grid."""
    seconds: dict[str, float] = field(default_factory=dict)
    complete: bool = False


def evaluate(core: AnyToAny, settings: Settings, tell: Told = lambda *_: None) -> Outcome:
    """Ask, decode, look and judge, row by row.

    ``KeyboardInterrupt`` ends it early; the outcome then isn't ``complete``.

    Raises:
        InputError: there is no such row, or the weights lack what a row needs.
        WeightsError: a part can't be loaded.
    """
    names = chosen(settings.rows, tuple(c.name for c in CEILINGS), settings.emoji is not None)
    if not settings.media:
        names = [name for name in names if all(name != c.name for c in CEILINGS)]
    outcome = Outcome(settings)
    every: dict[str, Row | Ceiling] = {r.name: r for r in (*ROWS, *FOREIGN)}
    every |= {c.name: c for c in CEILINGS}
    changes = {row.change for name in names if isinstance(row := every[name], Row)}
    means = Means(
        core.decoder("image") if "rebuilt" in changes and "image" in core.makes else None,
        others(settings.emoji) if settings.emoji is not None else None,
    )
    try:
        with _referees(settings.workers if settings.media else 0) as pool:
            for name in names:
                _one(core, every[name], settings, means, pool, outcome, tell)
        outcome.complete = True
    except KeyboardInterrupt:
        pass
    return outcome


def _one(
    core: AnyToAny,
    row: Row | Ceiling,
    settings: Settings,
    means: Means,
    pool: Executor | None,
    outcome: Outcome,
    tell: Told,
) -> None:
    """All cases of one row, into the outcome."""
    share = 1.0 if settings.even else row.share
    total = max(1, round(share * settings.cases))
    verdicts = outcome.verdicts.setdefault(row.name, [])
    cells = outcome.cells.setdefault(row.name, [])
    began = time.monotonic()
    tell(row.name, 0, total)
    for start in range(0, total, settings.batch):
        numbers = range(start, min(total, start + settings.batch))
        if isinstance(row, Row):
            judged = _cases(core, row, settings, means, pool, numbers)
        else:
            judged = _scenes(core, row, settings, pool, numbers)
        for verdict, cell in judged:
            verdicts.append(verdict)
            if cell is not None and len(cells) < CELLS:
                cells.append(cell)
        outcome.seconds[row.name] = time.monotonic() - began
        tell(row.name, len(verdicts), total)


def _cases(
    core: AnyToAny,
    row: Row,
    settings: Settings,
    means: Means,
    pool: Executor | None,
    numbers: range,
) -> Iterator[tuple[Verdict, Cell | None]]:
    cases = [draw_case(row, i, settings.seed) for i in numbers]
    shown = [clips_shown(case.dialogue, row.change, means) for case in cases]
    said = answers(core, [case.dialogue for case in cases], shown)
    if settings.media:
        said = _decoded(core, cases, said, settings, pool)
    for case, clips, answer in zip(cases, shown, said, strict=True):
        verdict = judge(row, case, answer)
        yield verdict, case_cell(case, clips, answer, verdict)


def _decoded(
    core: AnyToAny,
    cases: Sequence[Case],
    said: Sequence[Sequence[Answer]],
    settings: Settings,
    pool: Executor | None,
) -> list[list[Answer]]:
    """The answers with clips for all media that stand for a scene that was asked for."""
    sent: list[Sent] = []
    seeds: list[int] = []
    for case, turns in zip(cases, said, strict=True):
        left = iter(case.seeds)
        for turn, answer in zip(case.dialogue.turns, turns, strict=True):
            for (_, medium), seed in zip(paired(turn, answer), left, strict=False):
                if medium is not None:
                    sent.append(medium)
                    seeds.append(seed)
    made = decode(
        core,
        sent,
        seeds,
        steps=settings.steps,
        guidance=settings.guidance,
        words=settings.path == "caption",
        batch=settings.batch,
    )
    seen = _look(pool, [medium.clip for medium in made if medium.clip is not None])
    new = {
        id(before): replace(after, seen=scene)
        for before, after, scene in zip(sent, made, seen, strict=True)
    }
    return [
        [tuple(new.get(id(part), part) for part in answer) for answer in turns] for turns in said
    ]


def _scenes(
    core: AnyToAny, ceiling: Ceiling, settings: Settings, pool: Executor | None, numbers: range
) -> Iterator[tuple[Verdict, Cell | None]]:
    wanted = [ceilings.draw_scene(ceiling, i, settings.seed) for i in numbers]
    size = per_batch(scenes.modality(wanted[0][0]), settings.batch)
    clips: list[Clip] = []
    for start in range(0, len(wanted), size):
        some = wanted[start : start + size]
        clips += ceilings.clips(
            core, ceiling.stage, some, steps=settings.steps, guidance=settings.guidance
        )
    for i, (scene, seed), clip, seen in zip(
        numbers, wanted, clips, _look(pool, clips), strict=True
    ):
        verdict = _part_verdict(ceiling, i, scene, seen)
        yield verdict, ceiling_cell(scene, seed, clip, verdict)


def _part_verdict(ceiling: Ceiling, index: int, scene: Scene, seen: Scene | None) -> Verdict:
    right = same(scene, seen)
    told = scenes.caption(seen) if seen is not None else "nothing known"
    return Verdict(
        row=ceiling.name,
        index=index,
        task=ceiling.stage,
        language="en",
        order=True,
        words=True,
        captions=None,
        media=right,
        right=right,
        exact=right,
        readings=(Reading(ceiling.stage, scene, seen),),
        turns=({"asked": [scenes.caption(scene)], "expected": [], "came": [told]},),
    )


def _look(pool: Executor | None, clips: Iterable[Clip]) -> list[Scene | None]:
    return list(map(look, clips) if pool is None else pool.map(look, clips))


def _referees(workers: int) -> AbstractContextManager[Executor | None]:
    return _processes(workers) if workers else nullcontext()


@contextmanager
def _processes(workers: int) -> Iterator[Executor]:
    """Referees beside this process; Ctrl-C is for this one to hear."""
    pool = ProcessPoolExecutor(workers, get_context("spawn"), signal.signal, _IGNORE)
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


_IGNORE = (signal.SIGINT, signal.SIG_IGN)
