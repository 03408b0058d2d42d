"""How each language names the things of the world: nouns, articles, places, numbers.

``Names`` is what the phrasing tables and the answers are built on; ``English`` is here,
French and Arabic have a file of their own because their nouns inflect. Objects, sounds,
backgrounds and motions come in by their English name, as scenes hold them.
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

from heliograph.model.primer.scenes import (
    COUNT_WORDS,
    NUMBER_WORDS,
    PLACE_PHRASES,
    Place,
    Relation,
    Size,
    with_article,
)
from heliograph.model.primer.vocabulary import Language, load

Wordings = Mapping[str, Sequence[str]]


class Names(ABC):
    """Names of one language; the tables list the ways in which a user may word a thing.

    The first wording of each table entry is the one that answers use.
    """

    language: ClassVar[Language]
    languages: ClassVar[Mapping[Language, str]]
    """What the three languages are called."""
    places: ClassVar[Wordings]
    short_places: ClassVar[Wordings]
    sizes: ClassVar[Wordings]
    """Neutral (masculine) adjectives."""
    relations: ClassVar[Wordings]
    together: ClassVar[Sequence[str]]
    """Between two objects whose relation is left open."""
    times: ClassVar[Mapping[int, Sequence[str]]]
    directions: ClassVar[Wordings]
    with_background: ClassVar[Sequence[str]]
    """Ways to add the background behind a scene, around ``$background``."""
    before_background: ClassVar[Sequence[str]]
    """Ways to say the background first."""
    moving: ClassVar[Wordings]
    """Motions behind the noun: "moving left", "that moves left"."""
    moving_before: ClassVar[Wordings] = {}
    """Motions as adjectives, where the language has such: "a spinning dog"."""
    to_move: ClassVar[Wordings]
    """Motions behind a verb of making: "(make it) move left"."""
    joiner: ClassVar[str] = ", "
    conjunction: ClassVar[str]

    @abstractmethod
    def noun(self, name: str) -> str:
        """The bare noun."""

    @abstractmethod
    def a(self, name: str) -> str:
        """The noun with its indefinite article."""

    @abstractmethod
    def the(self, name: str) -> str:
        """The noun with its definite article."""

    @abstractmethod
    def plural(self, name: str) -> str:
        """The bare plural."""

    @abstractmethod
    def counted(self, name: str, count: int, *, asked: bool = False) -> str:
        """Two or three of them; ``asked`` gives the form behind a verb or a preposition."""

    @abstractmethod
    def number(self, name: str, count: int) -> str:
        """The answer to "how many?", 0 to 3."""

    @abstractmethod
    def sized(self, name: str, size: Size, adjective: str | None = None) -> str:
        """The noun with article and size, the adjective taken from ``sizes``."""

    @abstractmethod
    def size(self, name: str, size: Size) -> str:
        """The size alone, as an answer to "how big is it?"."""

    @abstractmethod
    def motion(self, name: str, motion: str) -> str:
        """The verb, agreeing with the object."""

    @abstractmethod
    def background(self, colour: str) -> str:
        """The colour as an adjective of the word for background."""

    @abstractmethod
    def sound(self, name: str) -> str:
        """A sound with its article."""

    @abstractmethod
    def it(self, name: str) -> str:
        """The pronoun for the object as a subject, with a space, or nothing."""

    def the_plural(self, name: str) -> str:
        """The plural behind "the number of"."""
        return self.plural(name)

    @abstractmethod
    def some(self, name: str) -> str:
        """The plural, with what it takes behind a verb."""

    def asked(self, name: str, rng: random.Random) -> str:
        """The noun as a request's object, with its indefinite article."""
        return self.a(name)

    def place(self, place: Place) -> str:
        """Where something is, as an answer says it."""
        return self.places[place][0]

    def relation(self, relation: Relation, second: str) -> str:
        """Where the first is, relative to the second (which brings its article)."""
        return self.fix(f"{self.relations[relation][0]} {second}")

    def agree(self, name: str, words: str) -> str:
        """Words for a motion, agreeing with the object where the language wants it."""
        return words

    def fix(self, text: str) -> str:
        """Contractions and elisions that only show once a sentence is put together."""
        return text


class English(Names):
    """English."""

    language = "en"
    languages = {"en": "English", "fr": "French", "ar": "Arabic"}
    places = {
        "left": (PLACE_PHRASES["left"], "on the left side", "to the left", "at the left"),
        "right": (PLACE_PHRASES["right"], "on the right side", "to the right", "at the right"),
        "top": (PLACE_PHRASES["top"], "on top", "at the top of the picture", "up at the top"),
        "bottom": (PLACE_PHRASES["bottom"], "at the bottom of the picture", "down at the bottom"),
        "centre": (PLACE_PHRASES["centre"], "in the middle", "in the center", "at the centre"),
    }
    short_places = {
        "left": ("left",),
        "right": ("right",),
        "top": ("top",),
        "bottom": ("bottom",),
        "centre": ("centre", "middle", "center"),
    }
    sizes = {"small": ("small", "little", "tiny"), "big": ("big", "large", "huge")}
    relations = {
        "left of": ("left of", "to the left of", "on the left of"),
        "right of": ("right of", "to the right of", "on the right of"),
        "above": ("above", "over"),
        "below": ("below", "under", "beneath"),
    }
    together = ("and", "next to", "beside", "with")
    times = {
        1: (COUNT_WORDS[1], "one time", "a single time"),
        2: (COUNT_WORDS[2], "two times", "2 times"),
        3: (COUNT_WORDS[3], "3 times", "thrice"),
    }
    directions = {"rising": ("rising", "going up"), "falling": ("falling", "going down")}
    with_background = (
        " on a $background background",
        ", $background background",
        " on $background",
        " with a $background background",
        " against a $background background",
        " in front of a $background background",
        "; background: $background",
    )
    before_background = (
        "on a $background background, ",
        "on $background: ",
        "on a $background background: ",
        "$background background, ",
    )
    moving = {
        "moves left": ("that moves left", "moving left", "moving to the left", "going left"),
        "moves right": ("that moves right", "moving right", "moving to the right", "going right"),
        "moves up": ("that moves up", "moving up", "going up", "rising"),
        "moves down": ("that moves down", "moving down", "going down", "sinking"),
        "grows": ("that grows", "growing", "getting bigger", "that gets bigger"),
        "shrinks": ("that shrinks", "shrinking", "getting smaller", "that gets smaller"),
        "spins": ("that spins", "spinning", "turning around", "rotating", "that turns"),
        "bounces": ("that bounces", "bouncing", "that jumps up and down", "hopping", "jumping"),
        "blinks": ("that blinks", "blinking", "flashing", "that flashes"),
    }
    moving_before = {
        "moves up": ("rising",),
        "moves down": ("sinking",),
        "grows": ("growing",),
        "shrinks": ("shrinking",),
        "spins": ("spinning", "rotating", "turning"),
        "bounces": ("bouncing", "hopping", "jumping"),
        "blinks": ("blinking", "flashing"),
    }
    to_move = {
        "moves left": ("move left", "move to the left", "go left"),
        "moves right": ("move right", "move to the right", "go right"),
        "moves up": ("move up", "go up", "rise"),
        "moves down": ("move down", "go down", "sink"),
        "grows": ("grow", "get bigger"),
        "shrinks": ("shrink", "get smaller"),
        "spins": ("spin", "turn around", "rotate"),
        "bounces": ("bounce", "jump up and down", "hop"),
        "blinks": ("blink", "flash"),
    }
    conjunction = " and "

    def some(self, name: str) -> str:
        plural = self.plural(name)
        return f"some {plural}" if plural == name else plural

    def noun(self, name: str) -> str:
        return name

    def a(self, name: str) -> str:
        return with_article(name)

    def the(self, name: str) -> str:
        return f"the {name}"

    def plural(self, name: str) -> str:
        return load().object(name).plural

    def counted(self, name: str, count: int, *, asked: bool = False) -> str:
        return f"{NUMBER_WORDS[count]} {self.plural(name)}"

    def number(self, name: str, count: int) -> str:
        return NUMBER_WORDS[count] if count else "none"

    def sized(self, name: str, size: Size, adjective: str | None = None) -> str:
        return f"a {adjective or size} {name}"

    def size(self, name: str, size: Size) -> str:
        return size

    def motion(self, name: str, motion: str) -> str:
        return motion

    def background(self, colour: str) -> str:
        return colour

    def sound(self, name: str) -> str:
        return load().sound(name).en

    def it(self, name: str) -> str:
        return "it "

    def fix(self, text: str) -> str:
        # "a picture of" in front of a scene whose background comes first
        return text.replace(" of on ", ": on ")
