"""What one language can say: descriptions, requests worded freely, and fixed replies.

``describe`` is the one canonical sentence of a scene, the same every time, so that
answers can be learnt by a small model and compared by a checker. ``request`` words a
scene as a user may, leaving attributes out at times, and says which scene is then meant.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from string import Template

from heliograph.model.primer.grammar.names import Names
from heliograph.model.primer.grammar.phrasings import Parted
from heliograph.model.primer.scenes import (
    Film,
    One,
    Pair,
    Relation,
    Scene,
    Several,
    SoundOf,
    phrase,
)

DEFAULT_BACKGROUND = "white"
DEFAULT_RELATION: Relation = "left of"
DEFAULT_MOTION = "moves right"
DEFAULT_COUNT = 3
MENTIONED = 0.82
"""Chance that a request mentions an attribute that it could leave out."""
BRIEF, SELDOM = 0.4, 0.3
"""Share of the requests that are brief, and the same chance for them: "a dog", "a dog and a cat",
"two dogs", "a video of a dog"."""


@dataclass(frozen=True)
class Grammar:
    """One language: its names, its phrasings by intent, its replies by key."""

    names: Names
    phrasings: Mapping[str, Parted[Template]]
    replies: Mapping[str, str]
    frames: Mapping[str, str]
    """Patterns of the canonical descriptions, by kind of scene."""
    outside: Mapping[str, Parted[str]]
    """Words for what lies outside the world, by kind."""
    signs: Mapping[str, Sequence[str]]
    """Words for the signs of arithmetic."""
    please: Sequence[str]
    """Patterns that make a request polite, around ``$asked``."""
    stop: str = "."

    @cached_property
    def _frames(self) -> dict[str, Template]:
        return {key: Template(frame) for key, frame in self.frames.items()}

    def sentence(self, text: str) -> str:
        """Put together, begun with a capital and ended."""
        text = self.names.fix(text)
        return f"{text[:1].upper()}{text[1:]}{self.stop}"

    def describe(self, scene: Scene) -> str:
        """The canonical sentence of the scene."""
        if self.names.language == "en":
            return self.sentence(phrase(scene))
        return self.sentence(self.phrase(scene))

    def ending(self, colour: str) -> str:
        """How the description of a picture or a film on that background ends."""
        background = self.names.background(colour)
        return self._frames["background"].substitute(what="", background=background) + self.stop

    def phrase(self, scene: Scene) -> str:
        """The canonical sentence without its capital and stop."""
        n = self.names
        match scene:
            case SoundOf():
                tail = n.times[scene.count][0] if scene.count else ""
                tail = n.directions[scene.direction][0] if scene.direction else tail
                return n.sound(scene.sound) + (n.joiner + tail if tail else "")
            case One():
                what = f"{n.sized(scene.object, scene.size)} {n.place(scene.place)}"
            case Several():
                what = n.counted(scene.object, scene.count)
            case Pair():
                what = f"{n.a(scene.first)} {n.relation(scene.relation, n.a(scene.second))}"
            case Film():
                what = f"{n.a(scene.object)} {n.motion(scene.object, scene.motion)}"
        return self._frames["background"].substitute(
            what=what, background=n.background(scene.background)
        )

    def what(self, scene: Scene) -> str:
        """What is in a picture, a film or a sound, without any attribute."""
        n = self.names
        match scene:
            case Several():
                return n.counted(scene.object, scene.count)
            case Pair():
                return n.a(scene.first) + n.conjunction + n.a(scene.second)
            case SoundOf():
                return n.sound(scene.sound)
            case _:
                return n.a(scene.object)

    def request(
        self, scene: Scene, rng: random.Random, mentioned: float = MENTIONED
    ) -> tuple[str, Scene]:
        """Words for the scene, and the scene that they mean.

        What they leave out falls back to: big, in the centre, white background; once;
        rising. Brief ones also leave out how many there are (three), how a pair stands (in
        reading order), and how an object moves (to the right).
        """
        n = self.names
        brief = 0 < mentioned < 1 and rng.random() < BRIEF
        chance = SELDOM if brief else mentioned

        def leaves_out() -> bool:
            return rng.random() > chance

        place = ""
        match scene:
            case SoundOf():
                words = n.sound(scene.sound)
                if scene.count is not None:
                    if leaves_out():
                        return words, replace(scene, count=1)
                    return f"{words}{_gap(n, rng)}{rng.choice(n.times[scene.count])}", scene
                if scene.direction is not None:
                    if leaves_out():
                        return words, replace(scene, direction="rising")
                    return (
                        f"{words}{_gap(n, rng)}{rng.choice(n.directions[scene.direction])}",
                        scene,
                    )
                return words, scene
            case One():
                if leaves_out():
                    bare = rng.random() < 0.15
                    words = n.noun(scene.object) if bare else n.asked(scene.object, rng)
                    scene = replace(scene, size="big")
                else:
                    adjective = rng.choice(n.sizes[scene.size])
                    words = n.sized(scene.object, scene.size, adjective)
                if leaves_out():
                    scene = replace(scene, place="centre")
                elif rng.random() < 0.15:
                    place = n.joiner + rng.choice(n.short_places[scene.place])
                else:
                    place = _or_comma(n, rng) + rng.choice(n.places[scene.place])
            case Several() if brief and rng.random() < 0.3:
                words = n.some(scene.object)
                scene = replace(scene, count=DEFAULT_COUNT)
            case Several():
                words = n.counted(scene.object, scene.count, asked=True)
                if rng.random() < 0.15 and n.language != "ar":
                    words = f"{scene.count} {n.plural(scene.object)}"
            case Pair():
                relation = rng.choice(n.relations[scene.relation])
                if brief and leaves_out():
                    relation = rng.choice(n.together)
                    scene = replace(scene, relation=DEFAULT_RELATION)
                words = f"{n.asked(scene.first, rng)} {relation} {n.a(scene.second)}"
            case Film() if brief and leaves_out():
                words = n.asked(scene.object, rng)
                scene = replace(scene, motion=DEFAULT_MOTION)
            case Film() if scene.motion in n.moving_before and rng.random() < 0.25:
                adjective = rng.choice(n.moving_before[scene.motion])
                words = n.sized(scene.object, "big", adjective)
            case Film():
                words = f"{n.asked(scene.object, rng)} {self.moving(scene, rng)}"
        if leaves_out():
            return n.fix(words + place), replace(scene, background=DEFAULT_BACKGROUND)
        background = n.background(scene.background)
        if rng.random() < 0.15:
            before = rng.choice(n.before_background).replace("$background", background)
            return n.fix(before + words + place), scene
        behind = rng.choice(n.with_background).replace("$background", background)
        between = rng.random() < 0.25
        words = words + behind + place if between else words + place + behind
        return n.fix(words), scene

    def moving(self, film: Film, rng: random.Random) -> str:
        """Words for the motion behind the object's noun."""
        return self.names.agree(film.object, rng.choice(self.names.moving[film.motion]))

    def to_move(self, film: Film, rng: random.Random) -> str:
        """Words for the motion behind "make it"."""
        return self.names.agree(film.object, rng.choice(self.names.to_move[film.motion]))


def _gap(names: Names, rng: random.Random) -> str:
    return names.joiner if rng.random() < 0.3 else " "


def _or_comma(names: Names, rng: random.Random) -> str:
    return names.joiner if rng.random() < 0.1 else " "
