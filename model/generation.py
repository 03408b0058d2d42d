"""Generation: one loop over a batch of rows, each with its own state.

    1  lay the conversations out, pad them on the left, run them through the model once
    2  choose a token for each row: greedily or sampled, among those that may come
    3  turn it into events; where a run of signal tokens was started, take the whole run
    4  feed what was chosen, one token or one run, to the model in one pass; rows with
       less to feed are padded on the left and masked
    5  give the states of runs out as signals, let go of rows that have ended, go to 2

A row's choices don't depend on the rows beside it: each has its own random numbers, and
its own mask and positions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from heliograph.model.axes import following, numbered, on_axes
from heliograph.model.batching import media_groups
from heliograph.model.errors import InputError
from heliograph.model.parts import Media, Message
from heliograph.model.prompts import Row, build_row
from heliograph.model.signals import Event, Splitter

if TYPE_CHECKING:
    from heliograph.model.core import AnyToAny
    from heliograph.model.language import LanguageModel


@dataclass(frozen=True)
class GenerationOptions:
    """How to answer."""

    max_new_tokens: int = 256
    """Longest answer of a row, its signal runs included."""
    temperature: float = 0.0
    """0 takes the most likely token."""
    top_p: float = 1.0
    """Sample among the most likely tokens that have this much probability together."""
    seed: int | tuple[int, ...] = 0
    """One for every row, or one for each."""
    captions: bool = True
    """False: a span goes straight to its run, without words."""
    max_caption: int = 48
    """Longest caption in tokens; then the run is forced."""

    def __post_init__(self) -> None:
        if self.max_new_tokens < 1:
            raise InputError("max_new_tokens has to be at least 1.")
        if self.temperature < 0:
            raise InputError("temperature can't be negative.")
        if not 0 < self.top_p <= 1:
            raise InputError("top_p has to lie above 0 and at most at 1.")
        if self.max_caption < 0:
            raise InputError("max_caption can't be negative.")


@dataclass
class _State:
    """One row on its way."""

    splitter: Splitter
    random: torch.Generator
    room: int
    """How many more tokens it may have."""
    position: int
    """The position id of its next token."""
    feed: list[int] = field(default_factory=list)
    """What was chosen and has not been fed yet."""
    ended: bool = False


def generate(
    core: AnyToAny,
    conversations: Sequence[Sequence[Message]],
    options: GenerationOptions,
    look: Callable[[Media], Tensor],
    cancelled: Callable[[], bool] | None = None,
) -> Iterator[Event]:
    """Answer conversations side by side; see ``AnyToAny.generate``.

    Args:
        core: the model; it is in ``eval`` mode while it generates.
        conversations: each ends where the assistant is to speak.
        options: lengths, sampling and seeds.
        look: gives a medium's features, (n, We).
        cancelled: asked before each step.
    """
    training: list[nn.Module] = []
    if core.training or core.language.training:  # going through hundreds of modules takes a while
        training = [module for module in core.modules() if module.training]
        core.eval()
    try:
        if conversations:
            yield from _generate(core, conversations, options, look, cancelled)
    finally:
        for module in training:
            module.training = True


def _generate(
    core: AnyToAny,
    conversations: Sequence[Sequence[Message]],
    options: GenerationOptions,
    look: Callable[[Media], Tensor],
    cancelled: Callable[[], bool] | None,
) -> Iterator[Event]:
    rows = [_fit(core, messages, options, look) for messages in conversations]
    states = [_start(core, index, row, options) for index, row in enumerate(rows)]
    chooser = _Chooser(core.language, options)
    batch = _Batch(core)
    core.shelf.clear()  # of the encoder that looked
    scores = batch.prefill(rows)  # (B, V)
    while states:
        if cancelled is not None and cancelled():
            for state in states:
                yield from state.splitter.end("cancelled")
            return
        scores = chooser.allowed(states, scores)
        likeliest = scores.argmax(-1).tolist()  # of all rows at once
        for state, row_scores, token in zip(states, scores, likeliest, strict=True):
            yield from _advance(core, chooser, state, row_scores, token, options)
        batch.keep([not state.ended for state in states])
        states = [state for state in states if not state.ended]
        if not states:
            return
        scores, runs = batch.feed(states)  # (B, V)
        for state, run in zip(states, runs, strict=True):
            if run is not None:
                yield state.splitter.finish_run(*run)


def _fit(
    core: AnyToAny,
    messages: Sequence[Message],
    options: GenerationOptions,
    look: Callable[[Media], Tensor],
) -> Row:
    """Lay a conversation out; where it is too long, its oldest exchanges are left out."""
    language = core.language
    reserve = min(options.max_new_tokens, language.context // 4)
    kept = list(messages)
    while True:
        row = build_row(language, kept, look, core.media_length, reply=True)
        if len(row.ids) + reserve <= language.context:
            return row
        first = next((i for i, message in enumerate(kept) if message.role != "system"), 0)
        users = [i for i, message in enumerate(kept) if message.role == "user" and i > first]
        if not users:
            raise InputError(
                f"The message is too long: it takes {len(row.ids)} tokens and the model reads "
                f"{language.context - reserve}; shorten it or show fewer files."
            )
        del kept[first : users[0]]


def _start(core: AnyToAny, index: int, row: Row, options: GenerationOptions) -> _State:
    seed = options.seed
    if isinstance(seed, tuple):
        if index >= len(seed):
            raise InputError("There are fewer seeds than conversations.")
        seed = seed[index]
    language = core.language
    makes = core.makes
    unmade = {i: m for i, m in language.openings.items() if m not in makes}
    return _State(
        splitter=Splitter(
            language.table,
            language.decode,
            index,
            makes,
            options.captions,
            language.stop_strings,
            unmade,
        ),
        random=torch.Generator().manual_seed(seed),
        room=min(options.max_new_tokens, language.context - len(row.ids)),
        position=following(row),
    )


def _advance(
    core: AnyToAny,
    chooser: _Chooser,
    state: _State,
    scores: Tensor,
    likeliest: int,
    options: GenerationOptions,
) -> Iterator[Event]:
    """Choose a row's next token, or its run, and put it in ``state.feed``.

    ``scores`` (V,) are those that ``chooser`` allowed, ``likeliest`` the highest of them.
    """
    splitter, runs = state.splitter, core.language.table.runs
    if state.room <= 0:
        state.ended = True
        yield from splitter.end("length")
        return
    span = splitter.span
    if span is not None and (
        splitter.inner_length >= options.max_caption or state.room <= len(runs[span])
    ):
        splitter.force_run()
        state.feed = list(runs[span])
        return
    token = likeliest if options.temperature == 0 else chooser.sample(state, scores)
    if token in chooser.stops:
        state.ended = True
        yield from splitter.end("stop")
        return
    yield from splitter.feed(token)
    if splitter.stopped:
        state.ended = True
        yield from splitter.end("stop")
        return
    state.feed = [token]
    if splitter.pending is not None:
        run = list(runs[splitter.pending])
        # A span without words is opened and run at once.
        state.feed = run if token == run[0] else [token, *run]


class _Chooser:
    """Picks tokens among those that may come."""

    def __init__(self, language: LanguageModel, options: GenerationOptions) -> None:
        self.stops = language.stop_ids
        self._options = options
        self._plain = language.plain_ids.to(language.device)  # (V,)
        self._masks: dict[frozenset[int], Tensor] = {}

    def allowed(self, states: Sequence[_State], scores: Tensor) -> Tensor:
        """The rows' scores, (B, V), with nothing for what may not come next."""
        masks = [self._forbidden(state) for state in states]
        same = all(mask is masks[0] for mask in masks)  # as a rule
        return scores.masked_fill(masks[0] if same else torch.stack(masks), -torch.inf)

    def sample(self, state: _State, scores: Tensor) -> int:
        """One id for a row's allowed scores, (V,)."""
        probabilities = (scores.float().cpu() / self._options.temperature).softmax(-1)
        if self._options.top_p < 1:
            sorted_, order = probabilities.sort(descending=True)
            before = sorted_.cumsum(-1) - sorted_
            probabilities[order[before >= self._options.top_p]] = 0.0
        return int(torch.multinomial(probabilities, 1, generator=state.random))

    def _forbidden(self, state: _State) -> Tensor:
        """(V,) bool."""
        splitter = state.splitter
        added = splitter.allows(state.room)
        if splitter.span is None and not splitter.in_call:
            added |= self.stops
        key = frozenset(added)
        if key not in self._masks:
            mask = ~self._plain
            mask[list(key)] = False
            self._masks[key] = mask
        return self._masks[key]


class _Batch:
    """The rows' keys and values, and which of them are padding."""

    def __init__(self, core: AnyToAny) -> None:
        from transformers import DynamicCache

        self._core = core
        self._device = core.language.device  # transformers looks for it among the parameters
        self._cache = DynamicCache(config=core.language.model.config)
        self._mask = torch.zeros(0)

    @torch.no_grad()
    def prefill(self, rows: Sequence[Row]) -> Tensor:
        """Read the prompts, padded on the left; scores of the next tokens, (B, V)."""
        language = self._core.language
        ids, mask = _pad_left([row.ids for row in rows], language.pad)  # (B, T) each
        shifts = [ids.shape[1] - len(row.ids) for row in rows]
        ids, media = ids.to(self._device), media_groups(rows, shifts)
        embeddings = self._core.embed(ids, media)
        positions = (mask.cumsum(-1) - 1).clamp(min=0)
        if on_axes(rows):
            each = zip(rows, shifts, strict=True)
            positions = torch.stack([F.pad(numbered(row), (n, 0)) for row, n in each], dim=1)
        self._mask = mask.to(self._device)
        blocks = self._core.blocks(ids, media)
        hidden = language.hidden(
            embeddings, self._mask, positions.to(self._device), self._cache, blocks
        )  # (B, T, W)
        return language.logits(hidden[:, -1])

    @torch.no_grad()
    def feed(self, states: Sequence[_State]) -> tuple[Tensor, list[tuple[Tensor, Tensor] | None]]:
        """Read what the rows chose in one pass, however much that is for each.

        Returns:
            Scores of the next tokens, (B, V), and for each row that is at the end of a
            run its states: hidden and embeddings, (n, W) each, float32 on the CPU.
        """
        language = self._core.language
        ids, mask = _pad_left([state.feed for state in states], language.pad)  # (B, K) each
        starts = torch.tensor([[state.position] for state in states])
        positions = ((mask.cumsum(-1) - 1).clamp(min=0) + starts) * mask
        self._mask = torch.cat([self._mask, mask.to(self._device)], dim=1)  # (B, past + K)
        embeddings = language.embed(ids.to(self._device))  # (B, K, W)
        hidden = language.hidden(
            embeddings, self._mask, positions.to(self._device), self._cache
        )  # (B, K, W)
        runs: list[tuple[Tensor, Tensor] | None] = []
        for row, state in enumerate(states):
            state.room -= len(state.feed)
            state.position += len(state.feed)
            pending = state.splitter.pending
            runs.append(None)
            if pending is not None:
                n = len(language.table.runs[pending])
                states_of_run = [t[row, -n:].float().cpu().clone() for t in (hidden, embeddings)]
                runs[-1] = (states_of_run[0], states_of_run[1])
        return language.logits(hidden[:, -1]), runs

    def keep(self, live: list[bool]) -> None:
        """Let go of the rows that have ended."""
        if not all(live):
            index = torch.tensor(live, device=self._mask.device).nonzero().squeeze(1)
            self._mask = self._mask[index]
            if len(index):
                self._cache.batch_select_indices(index)


def _pad_left(rows: Sequence[Sequence[int]], pad: int) -> tuple[Tensor, Tensor]:
    """Ids and mask, (B, T) long each."""
    longest = max(map(len, rows))
    missing = [longest - len(row) for row in rows]
    ids = torch.tensor([[pad] * n + list(row) for n, row in zip(missing, rows, strict=True)])
    mask = torch.tensor([[0] * n + [1] * (longest - n) for n in missing])
    return ids, mask
