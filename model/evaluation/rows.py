"""What is asked: the rows of the evaluation, and the cases of each.

A case is a dialogue of the primer world with the answers that are right. Rows draw from
scenes and phrasings that training never sees, unless they say otherwise.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from heliograph.model.errors import InputError
from heliograph.model.primer.dialogues import TASKS, Dialogue, Made, sample
from heliograph.model.primer.scenes import One, Pair, Scene, Several, Split


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    name: str
    title: str
    tasks: tuple[str, ...]
    """Of ``dialogues.TASKS``, drawn by their weights."""
    kind: type[Scene] | None = None
    """Only dialogues whose answer makes a scene of this kind."""
    about: tuple[str, ...] | None = None
    """The attributes that make a case of this row right; ``None`` is all of them."""
    scenes: Split = "held_out"
    phrasings: Split = "held_out"
    share: float = 1.0
    """Of the number of cases, for rows that take long: a film costs as much as ten pictures."""
    change: str | None = None
    """How the media that are shown differ from those of training (``foreign.foreign``)."""


QUESTIONS = ("ask_what", "ask_count", "ask_where", "ask_background", "ask_size", "ask_yes_no")
EDITS = ("edit_background", "edit_more", "edit_object", "edit_size", "edit_place")
FILMS, LONG = 0.3, 0.6

ROWS: tuple[Row, ...] = (
    Row("describe-picture", "picture described", ("describe_picture",)),
    Row("ask-picture", "questions about pictures", QUESTIONS),
    Row("ask-more", "four questions about one picture, all right", ("ask_more",)),
    Row("describe-sound", "sound described", ("describe_sound",)),
    Row(
        "describe-film",
        "film described (object and motion)",
        ("describe_film",),
        about=("object", "motion"),
    ),
    Row("ask-sound-film", "questions about sounds and films", ("ask_sound", "ask_film")),
    Row("describe-both", "two media described in order", ("describe_both",)),
    Row(
        "draw-one",
        "picture drawn, one object (kind, count, background)",
        ("draw",),
        One,
        about=("kind", "object", "background"),
    ),
    Row("draw-several", "picture drawn, several of a kind", ("draw",), Several),
    Row("draw-pair", "picture drawn, two in a relation", ("draw",), Pair),
    Row("play", "sound made", ("play",)),
    Row("film", "film made (object, motion, background)", ("film",), share=FILMS),
    Row("picture-to-sound", "cross over: what a picture sounds like", ("sound_of_picture",)),
    Row("no-sound", "says what makes no sound", ("no_sound",)),
    Row("sound-to-picture", "cross over: what is heard, drawn", ("draw_heard",)),
    Row("picture-to-film", "cross over: a picture set in motion", ("animate",), share=FILMS),
    Row("film-to-picture", "cross over: a film's last scene, drawn", ("last_scene",)),
    Row("edit", "editing", EDITS),
    Row("mix", "several media in one answer, in order", ("mix",), share=LONG),
    Row("converse", "four turns, every turn right", ("converse",), share=LONG),
    Row("translate", "translation", ("translate",)),
    Row("calculate", "calculator called with the right expression", ("calculate",)),
    Row("decline", "outside the world: says so, invents nothing", ("decline",)),
    Row("greet", "greetings and thanks", ("greet",)),
    Row("known-phrasings", "all tasks, phrasings of training", TASKS, phrasings="train"),
    Row("known-scenes", "all tasks, scenes of training", TASKS, scenes="train"),
)
"""In the order of the table. Languages come by their weights, and have pooled rows of
their own (``figures.POOLS``)."""


def _foreign(what: str, title: str, change: str) -> Row:
    # Trained phrasings: what is asked here is whether the medium is understood.
    return Row(
        f"{what}-{change}",
        f"{what}, {title}",
        (f"describe_{what}",),
        about=("object", "motion") if what == "film" else None,
        phrasings="train",
        change=change,
    )


FOREIGN: tuple[Row, ...] = (
    _foreign("picture", "other sizes and shapes", "size"),
    _foreign("picture", "JPEG of quality 60", "jpeg"),
    _foreign("picture", "turned by up to 8 degrees", "turned"),
    _foreign("picture", "on a textured background", "texture"),
    _foreign("picture", "as the core's own autoencoder draws it", "rebuilt"),
    _foreign("picture", "of another emoji set", "emoji"),
    _foreign("sound", "at 8, 22.05, 44.1 and 48 kHz", "rate"),
    _foreign("sound", "in stereo", "stereo"),
    _foreign("sound", "quiet", "quiet"),
    _foreign("sound", "with noise", "noise"),
    _foreign("film", "other sizes and shapes", "size"),
    _foreign("film", "at 4, 12, 24 and 30 frames a second", "frame-rate"),
    Row("words", "requests in words of no grammar", ("in_other_words",), scenes="train"),
)
"""Someone else's media described, and someone else's words; apart from the other rows, in the
table and in its pools."""
NEEDS_EMOJI = "picture-emoji"


@dataclass(frozen=True)
class Case:
    """One dialogue of a row."""

    row: str
    index: int
    dialogue: Dialogue
    seeds: tuple[int, ...]
    """For the decoders: the n-th medium of the dialogue is made with the n-th seed."""


def chosen(
    names: tuple[str, ...] | None, ceilings: tuple[str, ...], emoji: bool = False
) -> list[str]:
    """The names of the rows that were asked for, all that can be had by default.

    Args:
        names: of rows or of ceilings.
        ceilings: the names that are neither in ``ROWS`` nor in ``FOREIGN``.
        emoji: there is another set of emoji, for the row that needs one.

    Raises:
        InputError: a name that there isn't.
    """
    known = [*(row.name for row in (*ROWS, *FOREIGN)), *ceilings]
    for name in names or ():
        if name not in known:
            raise InputError(f"There is no row {name!r}; there are {', '.join(known)}.")
    if names is None:
        return [name for name in known if emoji or name != NEEDS_EMOJI]
    return [name for name in known if name in names]


def draw_case(row: Row, index: int, seed: int) -> Case:
    """The case of that number: a function of its arguments alone."""
    chance = random.Random(f"evaluation/{seed}/{row.name}/{index}")
    while True:
        dialogue = sample(chance, tasks=row.tasks, scenes=row.scenes, phrasings=row.phrasings)
        made = [part for turn in dialogue.turns for part in turn.assistant]
        scenes = [part.scene for part in made if isinstance(part, Made)]
        if row.kind is None or (scenes and isinstance(scenes[-1], row.kind)):
            seeds = tuple(chance.randrange(2**31) for _ in scenes)
            return Case(row.name, index, dialogue, seeds)
