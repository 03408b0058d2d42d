"""The words and things of the primer world, read from ``vocabulary.json``.

Everything is keyed by its English name ("dog", "left of", "moves up"); ``names`` gives
the same thing in French and Arabic.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Literal, TypeAlias

Language: TypeAlias = Literal["en", "fr", "ar"]
LANGUAGES: tuple[Language, ...] = ("en", "fr", "ar")


@dataclass(frozen=True)
class Object:
    """One of the 72 things that a picture can show."""

    emoji: str
    name: str
    plural: str
    fr: str
    fr_gender: Literal["m", "f"]
    ar: str
    sound: str | None
    """Key of the sound that it makes, if it makes one."""


@dataclass(frozen=True)
class Sound:
    """One of the 20 synthesised sounds."""

    name: str
    en: str
    fr: str
    ar: str
    attribute: Literal["count", "direction"] | None
    """What varies about it besides chance: how often it is heard, or where its pitch goes."""


@dataclass(frozen=True)
class Vocabulary:
    """The whole world: see ``load``."""

    objects: tuple[Object, ...]
    sounds: tuple[Sound, ...]
    backgrounds: dict[str, tuple[int, int, int]]
    """Name of the colour to its RGB value, 0-255."""
    motions: tuple[str, ...]
    places: tuple[str, ...]
    relations: tuple[str, ...]
    names: dict[str, dict[Language, str]]
    """Backgrounds and motions by their English name, in each language."""

    def object(self, name: str) -> Object:
        """The object of that English name; ``KeyError`` if there is none."""
        return _by_name()[name]

    def sound(self, name: str) -> Sound:
        """The sound of that key; ``KeyError`` if there is none."""
        return _sounds_by_name()[name]


@cache
def load() -> Vocabulary:
    """Read the vocabulary once."""
    raw: dict[str, Any] = json.loads(
        resources.files(__package__).joinpath("vocabulary.json").read_text(encoding="utf-8")
    )
    image, video, audio = raw["image"], raw["video"], raw["audio"]
    colours = image["backgrounds"]
    motions = video["motions"]
    names: dict[str, dict[Language, str]] = {}
    for table in (colours, motions):
        for i, name in enumerate(table["en"]):
            names[name] = {language: table[language][i] for language in LANGUAGES}
    return Vocabulary(
        objects=tuple(
            Object(
                emoji=o["emoji"],
                name=o["en"],
                plural=o["en_plural"],
                fr=o["fr"],
                fr_gender=o["fr_gender"],
                ar=o["ar"],
                sound=o["sound"],
            )
            for o in raw["objects"]
        ),
        sounds=tuple(
            Sound(
                name=s["name"],
                en=s["en"],
                fr=s["fr"],
                ar=s["ar"],
                attribute={"count": "count", "rising or falling": "direction", None: None}[
                    s.get("attribute")
                ],
            )
            for s in audio["sounds"]
        ),
        backgrounds={
            name: (int(r), int(g), int(b))
            for name, (r, g, b) in zip(colours["en"], colours["rgb"], strict=True)
        },
        motions=tuple(motions["en"]),
        places=tuple(image["places"]),
        relations=tuple(image["relations"]),
        names=names,
    )


@cache
def _by_name() -> dict[str, Object]:
    return {o.name: o for o in load().objects}


@cache
def _sounds_by_name() -> dict[str, Sound]:
    return {s.name: s for s in load().sounds}
