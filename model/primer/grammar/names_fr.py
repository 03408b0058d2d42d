"""French names: gender, plurals, elision and contraction."""

from __future__ import annotations

import re

from heliograph.model.primer.grammar.names import Names
from heliograph.model.primer.scenes import Size
from heliograph.model.primer.vocabulary import load

_PLURALS = {
    "cheval": "chevaux",
    "hôpital": "hôpitaux",
    "oiseau": "oiseaux",
    "gâteau": "gâteaux",
    "feu": "feux",
    "bus": "bus",
    "maïs": "maïs",
    "grappe de raisin": "grappes de raisin",
    "nuage de pluie": "nuages de pluie",
    "visage heureux": "visages heureux",
    "visage triste": "visages tristes",
    "rond rouge": "ronds rouges",
    "carré bleu": "carrés bleus",
    "applaudissements": "applaudissements",
}
_NUMBERS = {0: "aucun", 1: "un", 2: "deux", 3: "trois"}
_ALWAYS_PLURAL = {"applaudissements"}
_HYPHEN = re.compile(r" -(?=(?:le|la|moi)\b)")
_VOWEL = "aeiouâéèêîïôûœAEIOUÂÉÈÊÎÔŒ"
_SOUNDS_LIKE_VOWEL = re.compile(rf"[{_VOWEL}]|hô|ho[mr]|hi[vs]|hé[lr]|hui")
_CONTRACT = re.compile(r"\b(?:[Dd]e (?:le|les|des)|[Àà] (?:le|les))(?= )")
_CONTRACTED = {"de le": "du", "de les": "des", "de des": "de", "à le": "au", "à les": "aux"}
_ELIDE = re.compile(rf"\b([Dd]|[Qq]u)e (?=[{_VOWEL}])")


def elides(word: str) -> bool:
    """Whether "le", "la", "de" and "que" lose their vowel in front of the word."""
    return _SOUNDS_LIKE_VOWEL.match(word) is not None


class French(Names):
    """French."""

    language = "fr"
    languages = {"en": "anglais", "fr": "français", "ar": "arabe"}
    places = {
        "left": ("à gauche", "sur la gauche", "du côté gauche"),
        "right": ("à droite", "sur la droite", "du côté droit"),
        "top": ("en haut", "tout en haut", "en haut de l'image"),
        "bottom": ("en bas", "tout en bas", "en bas de l'image"),
        "centre": ("au centre", "au milieu", "au centre de l'image"),
    }
    short_places = {
        "left": ("gauche",),
        "right": ("droite",),
        "top": ("haut",),
        "bottom": ("bas",),
        "centre": ("centre", "milieu"),
    }
    sizes = {"small": ("petit",), "big": ("grand", "gros")}
    relations = {
        "left of": ("à gauche de", "sur la gauche de"),
        "right of": ("à droite de", "sur la droite de"),
        "above": ("au-dessus de",),
        "below": ("en dessous de", "au-dessous de"),
    }
    together = ("et", "à côté de", "avec")
    times = {
        1: ("une fois", "une seule fois", "1 fois"),
        2: ("deux fois", "2 fois"),
        3: ("trois fois", "3 fois"),
    }
    directions = {"rising": ("montante", "qui monte"), "falling": ("descendante", "qui descend")}
    with_background = (
        " sur un fond $background",
        ", fond $background",
        " sur fond $background",
        " avec un fond $background",
        " devant un fond $background",
        " ; fond : $background",
    )
    before_background = (
        "sur un fond $background, ",
        "sur fond $background : ",
        "fond $background, ",
    )
    moving = {
        "moves left": ("qui va à gauche", "qui se déplace vers la gauche", "qui part à gauche"),
        "moves right": ("qui va à droite", "qui se déplace vers la droite", "qui part à droite"),
        "moves up": ("qui monte", "qui va vers le haut", "en train de monter"),
        "moves down": ("qui descend", "qui va vers le bas", "en train de descendre"),
        "grows": ("qui grandit", "qui devient plus grand", "en train de grandir"),
        "shrinks": ("qui rapetisse", "qui devient plus petit", "en train de rapetisser"),
        "spins": ("qui tourne", "qui tourne sur lui-même", "en train de tourner"),
        "bounces": ("qui rebondit", "qui saute", "en train de rebondir"),
        "blinks": ("qui clignote", "en train de clignoter"),
    }
    to_move = {
        "moves left": ("aller à gauche", "se déplacer vers la gauche", "bouger à gauche"),
        "moves right": ("aller à droite", "se déplacer vers la droite", "bouger à droite"),
        "moves up": ("monter", "aller vers le haut"),
        "moves down": ("descendre", "aller vers le bas"),
        "grows": ("grandir", "devenir plus grand"),
        "shrinks": ("rapetisser", "devenir plus petit"),
        "spins": ("tourner", "tourner sur place"),
        "bounces": ("rebondir", "sauter"),
        "blinks": ("clignoter",),
    }
    conjunction = " et "

    def noun(self, name: str) -> str:
        return load().object(name).fr

    def _feminine(self, name: str) -> bool:
        return load().object(name).fr_gender == "f"

    def a(self, name: str) -> str:
        noun = self.noun(name)
        if noun in _ALWAYS_PLURAL:
            return f"des {noun}"
        return f"{'une' if self._feminine(name) else 'un'} {noun}"

    def the(self, name: str) -> str:
        noun = self.noun(name)
        if noun in _ALWAYS_PLURAL:
            return f"les {noun}"
        if elides(noun):
            return f"l'{noun}"
        return f"{'la' if self._feminine(name) else 'le'} {noun}"

    def plural(self, name: str) -> str:
        noun = self.noun(name)
        return _PLURALS.get(noun, f"{noun}s")

    def counted(self, name: str, count: int, *, asked: bool = False) -> str:
        return f"{_NUMBERS[count]} {self.plural(name)}"

    def some(self, name: str) -> str:
        return f"des {self.plural(name)}"

    def number(self, name: str, count: int) -> str:
        return _NUMBERS[count] + ("e" if count < 2 and self._feminine(name) else "")

    def sized(self, name: str, size: Size, adjective: str | None = None) -> str:
        noun, word = self.noun(name), adjective or self.sizes[size][0]
        if noun in _ALWAYS_PLURAL:
            return f"de {word}{'' if word.endswith('s') else 's'} {noun}"
        if self._feminine(name):
            return f"une {'grosse' if word == 'gros' else word + 'e'} {noun}"
        return f"un {word} {noun}"

    def size(self, name: str, size: Size) -> str:
        return self.sizes[size][0] + ("e" if self._feminine(name) else "")

    def motion(self, name: str, motion: str) -> str:
        verb = load().names[motion]["fr"]
        if self.noun(name) not in _ALWAYS_PLURAL:
            return verb
        first, _, rest = verb.partition(" ")
        stem = {"va": "vont", "descend": "descendent"}.get(first)
        if stem is None:
            stem = first[:-1] + "ssent" if first.endswith("it") else first + "nt"
        return f"{stem} {rest}".rstrip()

    def background(self, colour: str) -> str:
        return load().names[colour]["fr"]

    def sound(self, name: str) -> str:
        return load().sound(name).fr

    def it(self, name: str) -> str:
        if self.noun(name) in _ALWAYS_PLURAL:
            return "ils "
        return "elle " if self._feminine(name) else "il "

    def fix(self, text: str) -> str:
        text = _HYPHEN.sub("-", text).replace(" de sur ", " : sur ")
        text = _CONTRACT.sub(lambda m: _contracted(m.group()), text)
        return _ELIDE.sub(r"\1'", text)


def _contracted(words: str) -> str:
    short = _CONTRACTED[words.lower()]
    return short.capitalize() if words[0].isupper() else short
