"""Lets the core answer, and scores; stopped at any time, it goes on later."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from heliograph.model import media
from heliograph.model.core import AnyToAny
from heliograph.model.errors import Cancelled, InputError, MediaError
from heliograph.model.evaluation.asking import Answer, Sent, decode, encode, replies
from heliograph.model.evaluation.standard.items import Answered, Case, Found, Item
from heliograph.model.evaluation.standard.journal import Journal, claim
from heliograph.model.evaluation.standard.making import Told
from heliograph.model.evaluation.standard.selection import Selection, Settings, number_of
from heliograph.model.evaluation.standard.sets import Scoring, StandardSet
from heliograph.model.media.values import NOUNS
from heliograph.model.parts import Message, Part, Text


@dataclass
class Outcome:
    """What has been found so far."""

    selection: Selection
    cases: list[Case]
    """Those that were answered."""
    failed: dict[str, str]
    """Why others were not, by key."""
    found: Found
    complete: bool


def evaluate(
    load: Callable[[], AnyToAny],
    fingerprint: str,
    chosen: StandardSet,
    selection: Selection,
    settings: Settings,
    scoring: Scoring,
    tell: Told = lambda *_: None,
) -> Outcome:
    """Let the core answer what has no answer yet, then score all answers.

    ``KeyboardInterrupt`` ends the answering early; what there is is scored, and the outcome
    isn't ``complete``.

    Args:
        load: gives the core; not called where all is answered.
        fingerprint: of the weights.
        chosen: the set.
        selection: of it.
        settings: how to answer.
        scoring: how to score; its folder keeps the answers.
        tell: what is told about the progress.

    Raises:
        InputError: the folder holds answers of other settings, the weights lack a modality,
            or no case could be answered.
        Cancelled: it was stopped before the first answer.
    """
    folder = scoring.folder
    claim(
        folder,
        {
            "set": chosen.name,
            "cases": selection.digest,
            "weights": fingerprint,
            "prompt": settings.prompt or chosen.prompt,
            "longest": settings.longest or chosen.longest,
            "seed": settings.seed,
            **(
                {"steps": settings.steps, "guidance": settings.guidance, "path": settings.path}
                if chosen.makes
                else {}
            ),
        },
    )
    complete = True
    with Journal.open(folder / "answers.jsonl") as journal:
        # What failed is tried again: the file may be there now.
        done = {key for key, row in journal.rows.items() if "error" not in row}
        pending = [item for item in selection.items if item.key not in done]
        try:
            if pending:
                _answer_all(load(), chosen, pending, settings, journal, folder, tell)
        except KeyboardInterrupt:
            complete = False
        rows = journal.rows
    answered = {
        item.key: Answered(**{n: rows[item.key][n] for n in _FIELDS if n in rows[item.key]})
        for item in selection.items
        if item.key in rows
    }
    cases = [
        Case(item, answered[item.key])
        for item in selection.items
        if item.key in answered and answered[item.key].error is None
    ]
    failed = {key: answer.error for key, answer in answered.items() if answer.error is not None}
    if not cases and not complete:
        raise Cancelled("Stopped before the first answer.")
    if not cases:
        raise InputError(f"No case of {chosen.title} was answered: {next(iter(failed.values()))}")
    return Outcome(selection, cases, failed, chosen.score(cases, scoring), complete)


_FIELDS = ("key", "text", "made", "error")


def _answer_all(
    core: AnyToAny,
    chosen: StandardSet,
    pending: Sequence[Item],
    settings: Settings,
    journal: Journal,
    folder: Path,
    tell: Told,
) -> None:
    if chosen.shows and any(item.media for item in pending) and chosen.shows not in core.sees:
        raise InputError(f"These weights can't read a {NOUNS[chosen.shows]}.")
    if chosen.makes and chosen.makes not in core.makes:
        raise InputError(f"These weights can't make a {NOUNS[chosen.makes]}.")
    tell("answering", 0, len(pending))
    for start in range(0, len(pending), settings.batch):
        some = pending[start : start + settings.batch]
        for answered in _answer(core, chosen, some, settings, folder):
            journal.add(answered.json())
        tell("answering", start + len(some), len(pending))


def _answer(
    core: AnyToAny,
    chosen: StandardSet,
    items: Sequence[Item],
    settings: Settings,
    folder: Path,
) -> list[Answered]:
    """Answers of one batch, in any order; what is wrong with one item touches no other."""
    asked: list[tuple[Item, Message]] = []
    failed: list[Answered] = []
    for item in items:
        try:
            asked.append((item, _question(chosen, item, settings)))
        except (InputError, MediaError) as error:
            failed.append(Answered(item.key, error=str(error)))
    return [*failed, *_reply(core, chosen, asked, settings, folder)]


def _reply(
    core: AnyToAny,
    chosen: StandardSet,
    asked: Sequence[tuple[Item, Message]],
    settings: Settings,
    folder: Path,
) -> list[Answered]:
    if not asked:
        return []
    try:
        features = encode(core, [message for _, message in asked])
        longest = settings.longest or chosen.longest
        said = replies(core, [[message] for _, message in asked], features, longest)
    except (InputError, MediaError) as error:
        if len(asked) == 1:
            return [Answered(asked[0][0].key, error=str(error))]
        # One of them is too long for the context, or can't be decoded: find out which.
        return [a for one in asked for a in _reply(core, chosen, [one], settings, folder)]
    items = [item for item, _ in asked]
    made = _make(core, chosen, items, said, settings, folder) if chosen.makes else {}
    return [
        Answered(item.key, "".join(p for p in answer if isinstance(p, str)), made.get(item.key))
        for item, answer in zip(items, said, strict=True)
    ]


def _question(chosen: StandardSet, item: Item, settings: Settings) -> Message:
    """What the core is asked, files first.

    Raises:
        InputError: the medium is missing.
        MediaError: it is damaged.
    """
    parts: list[Part] = []
    if chosen.shows and item.media:
        path = settings.place.medium(item.media)
        if path is None:
            raise InputError(f"{settings.place.root / item.media[0]} is missing.")
        found = media.load(path)
        if found.modality != chosen.shows:
            raise InputError(f"{path} is no {NOUNS[chosen.shows]}.")
        parts.append(found)
    prompt = settings.prompt or chosen.prompt
    # Not str.format: a prompt or a question may have braces of its own.
    return Message("user", (*parts, Text(prompt.replace("{question}", item.question))))


def _make(
    core: AnyToAny,
    chosen: StandardSet,
    items: Sequence[Item],
    said: Sequence[Answer],
    settings: Settings,
    folder: Path,
) -> dict[str, str]:
    """Decode the first medium of the wanted kind in each answer; file names by key."""
    assert chosen.makes is not None
    signals: dict[str, Sent] = {}
    for item, answer in zip(items, said, strict=True):
        for part in answer:
            if isinstance(part, Sent) and part.signal.modality == chosen.makes:
                signals.setdefault(item.key, part)
    clips = decode(
        core,
        list(signals.values()),
        [number_of(f"{settings.seed}/{key}") for key in signals],
        steps=settings.steps,
        guidance=settings.guidance,
        words=settings.path == "caption",
        batch=settings.batch,
    )
    names = {}
    for key, sent in zip(signals, clips, strict=True):
        assert sent.clip is not None
        stem = re.sub(r"[^\w-]", "_", key)
        made = media.write(sent.clip, caption=sent.signal.caption)
        names[key] = f"media/{media.save(made, folder / 'media', stem).name}"
    return names
