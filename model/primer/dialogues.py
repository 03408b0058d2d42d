"""Dialogues about the primer world: what a user says and shows, and the right answer.

``sample`` draws one, of any task in English, French or Arabic; media stay scenes until
somebody renders them. Answers are terse and canonical (one sentence form for each scene
and language), requests are worded freely. Scenes and phrasings each have a part that
training never sees: ask for it with ``"held_out"``. A held-out dialogue is one whose
last picture or film is a held-out scene; one without any (sounds, sums) counts as both.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache

from heliograph.model.primer import scenes
from heliograph.model.primer.grammar import grammar, making, plain, reading, talking
from heliograph.model.primer.grammar.speech import DEFAULT_BACKGROUND
from heliograph.model.primer.grammar.teller import Teller
from heliograph.model.primer.grammar.turns import Called, Dialogue, Made, Shown, Turn
from heliograph.model.primer.scenes import Scene, SoundOf, Split
from heliograph.model.primer.vocabulary import LANGUAGES, Language, load

__all__ = [
    "LANGUAGE_WEIGHTS",
    "TASKS",
    "WEIGHTS",
    "Called",
    "Dialogue",
    "Made",
    "Shown",
    "Turn",
    "describe",
    "read_description",
    "sample",
    "texts",
]

LANGUAGE_WEIGHTS: Mapping[Language, int] = {"en": 2, "fr": 1, "ar": 1}


def _translate(t: Teller) -> list[Turn]:
    return talking.translate(t, {language: grammar(language) for language in LANGUAGES})


_TASKS: Mapping[str, tuple[float, Callable[[Teller], list[Turn]]]] = {
    # reading
    "describe_picture": (8, reading.describe_picture),
    "describe_sound": (6, reading.describe_sound),
    "describe_film": (6, reading.describe_film),
    "describe_both": (3, reading.describe_both),
    "ask_what": (3, reading.ask_what),
    "ask_count": (3, reading.ask_count),
    "ask_where": (3, reading.ask_where),
    "ask_background": (2, reading.ask_background),
    "ask_size": (1.5, reading.ask_size),
    "ask_yes_no": (5, reading.ask_yes_no),
    "ask_sound": (3, reading.ask_sound),
    "ask_film": (3, reading.ask_film),
    "ask_more": (4, reading.ask_more),
    # making
    "draw": (9, making.draw),
    "play": (6, making.play),
    "film": (6, making.film),
    # crossing over
    "sound_of_picture": (3, making.sound_of_picture),
    "no_sound": (2, making.no_sound_of),
    "draw_heard": (3, making.draw_heard),
    "animate": (3, making.animate),
    "last_scene": (3, making.last_scene),
    # editing
    "edit_background": (3, making.edit_background),
    "edit_more": (2, making.edit_more),
    "edit_object": (3, making.edit_object),
    "edit_size": (2, making.edit_size),
    "edit_place": (2, making.edit_place),
    # talking
    "mix": (6, talking.mix),
    "converse": (10, talking.converse),
    "translate": (5, _translate),
    "calculate": (10, talking.calculate),
    "decline": (8, talking.decline),
    "greet": (2, talking.greet),
    # never drawn for training: only where it is asked for
    "in_other_words": (0, plain.in_other_words),
}
WEIGHTS: Mapping[str, float] = {task: weight for task, (weight, _) in _TASKS.items()}
"""How often each task comes up when none is asked for."""
TASKS: tuple[str, ...] = tuple(task for task, weight in WEIGHTS.items() if weight)
"""What training draws from."""


def sample(
    rng: random.Random,
    *,
    tasks: Sequence[str] | None = None,
    language: Language | None = None,
    scenes: Split = "train",
    phrasings: Split = "train",
) -> Dialogue:
    """Draw a dialogue of one of the tasks (``TASKS`` by default, by their weights).

    The same generator state gives the same dialogue. ``KeyError`` for an unknown task.
    """
    names = TASKS if tasks is None else tasks
    weights = [WEIGHTS[name] for name in names]
    task = rng.choices(names, weights if any(weights) else None)[0]
    if language is None:
        language = rng.choices(LANGUAGES, [LANGUAGE_WEIGHTS[x] for x in LANGUAGES])[0]
    tell = _TASKS[task][1]
    while True:
        teller = Teller(rng, grammar(language), scenes, phrasings)
        turns = tell(teller)
        if _belongs(teller.seen, scenes):
            return Dialogue(task, language, tuple(turns))


def _belongs(seen: Sequence[Scene], split: Split) -> bool:
    if split == "train":
        return not any(map(scenes.is_held_out, seen))
    seen = [scene for scene in seen if not isinstance(scene, SoundOf)]
    return not seen or scenes.is_held_out(seen[-1])


def describe(scene: Scene, language: Language) -> str:
    """The one sentence with which the assistant describes a scene."""
    return grammar(language).describe(scene)


def read_description(text: str, language: Language) -> Scene | None:
    """The scene that ``describe`` would put like that, or ``None``."""
    text = " ".join(text.split())
    known = _by_description(language)
    for colour, tail in _tails(language).items():
        if text.endswith(tail):
            scene = known.get(text.removesuffix(tail))
            return None if scene is None else scenes.on_background(scene, colour) or scene
    return known.get(text)


@cache
def _tails(language: Language) -> dict[str, str]:
    """How a description ends, by the background's colour."""
    return {colour: grammar(language).ending(colour) for colour in load().backgrounds}


@cache
def _by_description(language: Language) -> dict[str, Scene]:
    """Sounds by their descriptions, pictures and films by theirs without the background."""
    tails, say = _tails(language), grammar(language).describe
    return {
        say(s) if isinstance(s, SoundOf) else say(s).removesuffix(tails[s.background]): s
        for s in scenes.every_scene()
        if isinstance(s, SoundOf) or s.background == DEFAULT_BACKGROUND
    }


def texts(rng: random.Random) -> Iterator[str]:
    """Plain text about the world without end, for tokenizers and language models.

    Sentences, requests and whole conversations of the training split, in all languages,
    with a description where a medium would be.
    """
    while True:
        dialogue = sample(rng)
        parts = [p for turn in dialogue.turns for p in (*turn.user, *turn.assistant)]
        yield "\n".join(_in_words(p, dialogue.language) for p in parts)


def _in_words(part: str | Shown | Made | Called, language: Language) -> str:
    match part:
        case Shown() | Made():
            return describe(part.scene, language)
        case Called():
            return f"{part.args['expression']} = {part.result}"
    return part
