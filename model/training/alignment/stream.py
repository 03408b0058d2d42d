"""The rows of each step, a function of the seed and the step alone.

Some steps' rows are drawn together. Without packing they are sorted by length, so that those of
a step have about the same; with packing, samples stand behind each other in rows, as long as it
pays: longer rows hold less padding and more attention. A step's samples are divided into
*pieces*, each small enough for one forward pass, and the pieces among the processes: the samples
of a step, and so the curve, are the same however many processes there are.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from heliograph.model.batching import Batch, TrainingSample, batch_of, row_of
from heliograph.model.core import AnyToAny
from heliograph.model.data.examples import BadRow, Example, Origin
from heliograph.model.data.mixture import Source
from heliograph.model.data.prepared import Prepared
from heliograph.model.data.sets import examples
from heliograph.model.errors import DataError, HeliographError, InputError
from heliograph.model.prompts import Row
from heliograph.model.training.alignment.settings import Settings
from heliograph.model.training.loop import rng
from heliograph.model.training.team import ALONE, Team

GROUP = 8
"""So many steps are drawn together and sorted by length."""
AGAIN = 1000
"""Bad rows that come round again before one that is good: there will be none."""
NAMED = 4
"""So many rows of a batch are named where it has to be."""


@dataclass(frozen=True, eq=False)
class StepData:
    """What one process computes in one step."""

    pieces: tuple[Batch, ...]
    origins: tuple[str, ...]
    """Where the step's rows come from, those of all processes."""

    def __str__(self) -> str:
        more = len(self.origins) - NAMED
        named = "; ".join(self.origins[:NAMED])
        return f"{named} and {more} more" if more > 0 else named


@dataclass(frozen=True, eq=False)
class Drawn:
    """A sample laid out."""

    row: Row
    origin: str


class Stream:
    """Steps of a data set, by number."""

    _held: list[tuple[TrainingSample, str]]
    _steps: list[list[Drawn]] | None

    def __init__(
        self,
        core: AnyToAny,
        prepared: Prepared,
        settings: Settings,
        team: Team = ALONE,
        bad: Callable[[BadRow], None] = lambda row: None,
    ) -> None:
        """Look whether each source has a row that can be used.

        Args:
            core: whose tokenizer, template and projections' lengths are used.
            prepared: features and conditions.
            settings: of the run.
            team: this process takes its share of the pieces.
            bad: told each row that is left out because it can't be used.

        Raises:
            DataError: a source can't be read, or no row of it serves this stage.
            InputError: there are fewer samples in a step than processes.
        """
        self._core, self._prepared, self._settings, self._team = core, prepared, settings, team
        self._own = [m for m in core.sees if next(core.inputs[m].parameters(), None) is None]
        self._mixture = settings.mixture()
        self._told: set[Origin] = set()
        self._report = bad
        self._bad = self._once if settings.skip_bad else None
        self.left_out: Counter[str] = Counter()
        """Rows that don't serve this stage, by reason."""
        self.cut = 0
        """Samples that were longer than the limit."""
        self.tokens = 0
        """Tokens that were read, padding not counted."""
        self.limit = min(settings.length, core.language.context)
        self._layer = layer_work(core)
        if settings.samples < team.size:
            raise InputError(
                f"A step of {settings.samples} samples is too few for {team.size} processes."
            )
        for source in self._mixture.sources:
            self._look(source)
        self._restart()

    def __call__(self, step: int) -> StepData:
        """The data of a step.

        Raises:
            DataError: a row can't be used, and isn't to be skipped.
            InputError: what is to be learned lies behind the limit.
        """
        group, index = divmod(step, GROUP)
        if group < self._next - 1:
            self._restart()
        while self._next <= group:
            self._held = [next(self._drawn) for _ in range(GROUP * self._settings.samples)]
            self._steps = None
            self._next += 1
        if self._steps is None:
            self._steps = self._arranged(group)
        drawn = self._steps[index]
        pieces = self._pieces(drawn)[self._team.rank :: self._team.size]
        batches = tuple(batch_of(self._core.language, self._bins(piece)) for piece in pieces)
        self.tokens += sum(len(sample.row.ids) for sample in drawn)
        return StepData(batches, tuple(sample.origin for sample in drawn))

    def _once(self, row: BadRow) -> None:
        if row.origin not in self._told:  # a source is read again and again
            self._told.add(row.origin)
            self._report(row)

    def _look(self, source: Source) -> None:
        reasons: list[str] = []
        for example in examples(source, self._bad):
            reason = self._unfit(example)
            if reason is None:
                return
            if reason not in reasons:
                reasons.append(reason)
        why = ", ".join(reasons) or "there is none"
        raise DataError(
            f"{source.path} has no row that the stage {self._settings.stage} can use: {why}."
        )

    def _restart(self) -> None:
        self._drawn = self._draw()
        self._next = 0
        self._held = []
        self._steps = None

    def _draw(self) -> Iterator[tuple[TrainingSample, str]]:
        fruitless, again = set[Origin](), 0
        for _, example in self._mixture.stream(self._bad):
            if (reason := self._unfit(example)) is not None:
                self.left_out[reason] += 1
                continue
            try:
                sample = self._prepared.sample(example)
                self._check_conditions(example)
            except HeliographError as error:
                if self._bad is None:
                    raise
                self._bad(BadRow(example.origin, str(error)))
                again += example.origin in fruitless
                fruitless.add(example.origin)
                if again > AGAIN:
                    raise DataError(f"No row of {self._settings.data} can be used.") from None
                continue
            fruitless, again = set(), 0
            yield sample, str(example.origin)

    def _check_conditions(self, example: Example) -> None:
        if not self._settings.recipe.outputs:
            return
        for media in example.media(made=True):
            try:
                self._prepared.condition(media.modality, media.caption or "")
            except DataError as error:
                raise DataError(f"{example.origin}: {error}") from None

    def _unfit(self, example: Example) -> str | None:
        core = self._core
        return self._settings.recipe.unfit(example, core.sees, core.makes, self._own)

    def _arranged(self, group: int) -> list[list[Drawn]]:
        """The steps of a group."""
        size, chance = self._settings.samples, rng(self._settings.seed, group)
        drawn = [Drawn(self._row(sample), origin) for sample, origin in self._held]
        if group == 0 and not any(any(sample.row.learn[1:]) for sample in drawn):
            raise InputError(
                f"Cut to {self.limit} tokens, samples have nothing left to learn: give a larger "
                "--length, or a core whose media take fewer."
            )
        if self._settings.packs:
            chance.shuffle(drawn)
        else:
            drawn.sort(key=lambda sample: len(sample.row.ids))
        steps = [drawn[i * size : (i + 1) * size] for i in range(GROUP)]
        chance.shuffle(steps)
        return steps

    def _row(self, sample: TrainingSample) -> Row:
        core, captioned = self._core, self._settings.captioned
        row = row_of(core.language, core.media_length, sample, captioned)
        if len(row.ids) <= self.limit:
            return row
        self.cut += 1
        return shortened(row, self.limit, core)

    def _pieces(self, drawn: Sequence[Drawn]) -> list[list[Drawn]]:
        """A step's samples, longest first, for all processes in turn."""
        team = self._team.size
        count = -(-len(drawn) // (self._settings.at_once * team)) * team
        count = min(count, len(drawn) // team * team)
        ordered = sorted(drawn, key=lambda sample: -len(sample.row.ids))
        if self._settings.packs:  # each piece has long ones, and short ones to fill up with
            return [ordered[i::count] for i in range(count)]
        at = [round(i * len(ordered) / count) for i in range(count + 1)]
        return [ordered[a:b] for a, b in zip(at, at[1:], strict=False)]

    def _bins(self, piece: Sequence[Drawn]) -> list[list[Row]]:
        """Rows to be packed together."""
        rows = [sample.row for sample in piece]  # longest first
        if not self._settings.packs:
            return [[row] for row in rows]
        return packed(rows, self.limit, self._layer)


def packed(rows: Sequence[Row], limit: int, layer: float) -> list[list[Row]]:
    """Rows to be packed together, in as many bins as take the fewest operations.

    Args:
        rows: the longest first.
        limit: length of a bin at most.
        layer: what ``layer_work`` gives.
    """
    best, least = [[row] for row in rows], math.inf
    for count in range(1, len(rows) + 1):
        bins = _dealt(rows, count)
        longest = max(sum(len(row.ids) for row in bin) for bin in bins)
        work = count * longest * (layer + longest)
        if longest <= limit and work < least:
            best, least = bins, work
    return best


def _dealt(rows: Sequence[Row], count: int) -> list[list[Row]]:
    """Rows, the longest first, in so many bins of about the same length."""
    bins: list[list[Row]] = [[] for _ in range(count)]
    filled = [0] * count
    for row in rows:
        shortest = filled.index(min(filled))
        bins[shortest].append(row)
        filled[shortest] += len(row.ids)
    return bins


def layer_work(core: AnyToAny) -> float:
    """What the matrices of a layer take for one token, in units of its attention to another.

    A token's attention to another costs 4 W operations for width W, its matrices 8 W² + 6 W F for
    an inner width of F.
    """
    config = core.language.model.config.get_text_config()
    inner = getattr(config, "intermediate_size", None) or 4 * config.hidden_size
    return float(2 * config.hidden_size + 1.5 * inner)


def shortened(row: Row, limit: int, core: AnyToAny) -> Row:
    """The beginning of a row: a medium or a signal run that doesn't fit is left out whole."""
    counts = {m: len(run) for m, run in core.language.table.runs.items()}
    ends = [(place.start, place.start + place.length) for place in row.places]
    ends += [(run.start, run.start + counts[run.modality]) for run in row.runs]
    limit = min([limit, *(start for start, end in ends if end > limit)])
    return replace(
        row,
        ids=row.ids[:limit],
        learn=row.learn[:limit],
        places=[place for place in row.places if place.start < limit],
        runs=[run for run in row.runs if run.start < limit],
    )
