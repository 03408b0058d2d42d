"""``Teller``: how the tasks put a dialogue together in one language and one split.

It draws scenes, chooses phrasings, varies how a user happens to write, and remembers
the scenes that a dialogue is about, so that held-out ones can be told from the others.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from heliograph.model.primer import scenes
from heliograph.model.primer.grammar.speech import Grammar
from heliograph.model.primer.grammar.turns import Answered, Said, Shown, Turn
from heliograph.model.primer.scenes import Picture, Scene, Split
from heliograph.model.primer.vocabulary import Object, load

S = TypeVar("S", bound=Scene)
PICTURES: tuple[type[Picture], ...] = (scenes.One, scenes.Several, scenes.Pair)
PICTURE_WEIGHTS = (5, 2, 3)
TERSE = 12
"""Of so many phrasings of training the shortest is taken, every other time."""
POLITE = 0.06
"""Share of the requests to which a "please" is added."""
COURTESIES = ("please", "plaît", "فضلك", "سمحت")
PLAIN = frozenset({"hello", "thanks", "bye", "help", "translate"})
"""Intents without a "please": there is nothing to ask for, or it would be translated too."""


@dataclass
class Teller:
    """One dialogue in the making."""

    rng: random.Random
    grammar: Grammar
    split: Split
    """Of scenes."""
    phrasings: Split
    seen: list[Scene] = field(default_factory=list)
    """Pictures and films that were shown, made or spoken about."""

    def scene(self, kind: type[S]) -> S:
        """A scene of the kind; of either split when held-out ones are wanted."""
        split: Split = "train"
        if self.split == "held_out" and self.rng.random() < 0.5:
            split = "held_out"
        scene = scenes.sample(self.rng, kind, split)  # type: ignore[arg-type]
        assert isinstance(scene, kind)
        return scene

    def picture(self) -> Picture:
        """A picture of any kind."""
        return self.scene(self.rng.choices(PICTURES, PICTURE_WEIGHTS)[0])

    def sight(self) -> Picture:
        """A picture to be looked at, a pair of objects in the order in which one reads."""
        return scenes.in_reading_order(self.picture())

    def object(self, fits: Callable[[Object], bool] = lambda o: True) -> str:
        """The English name of an object that fits."""
        while True:
            candidate = self.rng.choice(load().objects)
            if fits(candidate):
                return candidate.name

    def colour(self, but: str = "") -> str:
        """A background other than the given one."""
        return self.rng.choice([b for b in load().backgrounds if b != but])

    def see(self, scene: Scene) -> Scene:
        """Remember that the dialogue is about the scene."""
        self.seen.append(scene)
        return scene

    def shown(self, scene: Scene) -> Shown:
        """The scene as a medium that the user sends."""
        return Shown(self.see(scene), self.rng.randrange(2**31))

    def outside(self, kind: str) -> str:
        """A word for something outside the world, of the split that phrasings come from."""
        return self.rng.choice(self.grammar.outside[kind][self.phrasings])

    def raw(self, intent: str, **slots: str) -> str:
        """A phrasing of the intent, filled in; in training short ones more often, as people do."""
        known = self.grammar.phrasings[intent][self.phrasings]
        # Of the few that are held out one short one would be half of what is tested, and the
        # shortest refusals ("draw me") are about nothing.
        short = self.phrasings == "train" and not intent.startswith("decline")
        terse = short and self.rng.random() < 0.5
        drawn = [self.rng.choice(known) for _ in range(TERSE if terse else 1)]
        template = min(drawn, key=lambda phrasing: len(phrasing.template))
        return self.grammar.names.fix(template.substitute(slots))

    def say(self, intent: str, **slots: str) -> str:
        """A phrasing of the intent as a user might write it."""
        text = self.raw(intent, **slots)
        if intent not in PLAIN and self.rng.random() < POLITE:
            text = self._politely(text)
        return self.written(text)

    def _politely(self, text: str) -> str:
        """With "please" in front or behind, before the sign that ends a question."""
        if any(word in text for word in COURTESIES):
            return text
        ended = text[-1] if text[-1] in "?!.؟" else ""
        pattern = self.rng.choice(self.grammar.please)
        asked = text.removesuffix(ended).rstrip()
        return pattern.replace("$asked", asked) + ended

    def written(self, text: str) -> str:
        """Capital and full stop, or neither, or one of them."""
        chance = self.rng.random()
        if chance < 0.7:
            text = text[:1].upper() + text[1:]
        ended = text[-1] in "?!.؟"
        if ended and chance > 0.85:
            return text[:-1].rstrip() or text
        if not ended and (chance < 0.35 or chance > 0.9):
            text += "."
        return text

    def ask(self, medium: Shown, text: str) -> tuple[Said, ...]:
        """A medium with words, before them or behind."""
        return (medium, text) if self.rng.random() < 0.5 else (text, medium)

    def reply(self, key: str, **slots: str) -> str:
        """A fixed reply, filled in."""
        text = self.grammar.replies[key]
        for slot, value in slots.items():
            text = text.replace(f"${slot}", value)
        return self.grammar.names.fix(text)

    def answer(self, text: str) -> str:
        """A free answer as a sentence."""
        return self.grammar.sentence(text)


def turn(user: tuple[Said, ...] | str, *assistant: Answered) -> Turn:
    """A turn, its user's part given as words or as parts."""
    return Turn((user,) if isinstance(user, str) else user, assistant)
