"""Requests as people put them, in words that no grammar of the world makes.

Held-out phrasings are made of the same templates as those of training, so they can't show what a
person meets who writes differently. These were written by hand, are never trained on, and none is
a phrasing of the tables (a test sees to that).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from string import Template

from heliograph.model.primer.grammar.making import make
from heliograph.model.primer.grammar.speech import DEFAULT_BACKGROUND
from heliograph.model.primer.grammar.teller import Teller, turn
from heliograph.model.primer.grammar.turns import Turn
from heliograph.model.primer.scenes import Film, One, Pair, Several, SoundOf
from heliograph.model.primer.vocabulary import Language

WORDINGS: Mapping[Language, Mapping[str, tuple[str, ...]]] = {
    "en": {
        "one": (
            "Hey, draw $a for me",
            "I'd really like to see $a",
            "Come on, draw $a",
            "$a!",
            "Could I have a drawing of $a?",
            "One $noun please",
            "Do a quick sketch of $a",
            "My daughter wants a picture of $a",
            "Let's see $a",
            "Would you mind drawing $a?",
            "Try drawing $a",
            "Hi! Draw $a.",
            "Picture of $a pls",
            "What I want is a picture of $a",
        ),
        "small": ("Draw $a, a very small one", "Make me a really small $noun"),
        "coloured": (
            "Draw $a and make the background $background",
            "$a, but the background should be $background",
            "Paint $a with $background behind it",
        ),
        "several": (
            "I need $counted in one picture",
            "Can I get $counted?",
            "Put $counted in a picture",
            "Draw me a picture with $counted in it",
        ),
        "pair": (
            "Put $a $relation $b",
            "I'd like $a, and it should be $relation $b",
            "A drawing where $a is $relation $b",
        ),
        "film": (
            "Show $a $moving in a short video",
            "I want to watch $a $moving",
            "Make a little movie of $a $moving",
            "An animation of $a $moving",
        ),
        "sound": (
            "I'd like to listen to $sound",
            "Give me some sound: $sound",
            "Can I hear $sound?",
            "Let's listen to $sound",
        ),
        "outside": (
            "Hey, draw $thing for me",
            "I'd really like to see $thing",
            "Come on, draw $thing",
            "$thing!",
            "Do a quick sketch of $thing",
            "My daughter wants a picture of $thing",
            "Try drawing $thing",
        ),
    },
    "fr": {
        "one": (
            "Salut, dessine $a pour moi",
            "J'aimerais bien avoir $a",
            "$a !",
            "Fais-moi vite $a",
            "Tu peux me faire $a ?",
            "Ma fille veut une image avec $a",
            "Essaie de dessiner $a",
            "Ce que je veux, c'est $a",
        ),
        "small": ("Dessine $a, mais tout petit", "Je voudrais $a en tout petit"),
        "coloured": (
            "Dessine $a et mets un fond $background",
            "$a, mais le fond doit être $background",
        ),
        "several": ("Il me faut $counted sur une image", "Mets $counted dans un dessin"),
        "pair": ("Mets $a $relation $b", "Je veux $a, et ça doit être $relation $b"),
        "film": (
            "Montre $a $moving dans une petite vidéo",
            "Je veux regarder $a $moving",
            "Une petite animation : $a $moving",
        ),
        "sound": (
            "On peut écouter $sound ?",
            "Mets-moi $sound, le son",
            "J'ai envie d'écouter $sound",
        ),
        "outside": (
            "Salut, dessine $thing pour moi",
            "J'aimerais bien avoir $thing",
            "$thing !",
            "Ma fille veut une image avec $thing",
            "Essaie de dessiner $thing",
        ),
    },
    "ar": {
        "one": (
            "مرحبا، ارسم لي $a",
            "$a!",
            "بنتي تريد صورة فيها $a",
            "حاول أن ترسم $a",
            "ممكن ترسم $a؟",
            "الذي أريده هو $a",
            "أحب أن أرى $a",
        ),
        "small": ("ارسم $a وليكن الحجم صغيرا", "أريد $a بحجم صغير جدا"),
        "coloured": ("ارسم $a واجعل الخلفية $background", "$a ولكن الخلفية تكون $background"),
        "several": ("أحتاج $counted في صورة", "ضع $counted في رسم"),
        "pair": ("ضع $a $relation $b", "أريد $a ويكون $relation $b"),
        "film": ("أرني $a $moving في فيديو قصير", "أريد أن أشاهد $a $moving"),
        "sound": ("ممكن أسمع $sound؟", "أحب أن أستمع إلى $sound"),
        "outside": (
            "مرحبا، ارسم لي $thing",
            "$thing!",
            "بنتي تريد صورة فيها $thing",
            "حاول أن ترسم $thing",
        ),
    },
}
WEIGHTS = {
    "one": 6,
    "small": 1,
    "coloured": 2,
    "several": 2,
    "pair": 2,
    "film": 3,
    "sound": 2,
    "outside": 3,
}
"""How often each kind is asked for."""


def in_other_words(t: Teller) -> list[Turn]:
    """A request for one medium, or for something outside the world."""
    n, rng = t.grammar.names, t.rng
    kind = rng.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
    template = Template(rng.choice(WORDINGS[n.language][kind]))

    def said(**slots: str) -> str:
        text = n.fix(template.substitute(slots))
        return text[:1].upper() + text[1:]

    match kind:
        case "several":
            several = t.scene(Several)
            several = replace(several, background=DEFAULT_BACKGROUND)
            counted = n.counted(several.object, several.count, asked=True)
            return [make(t, said(counted=counted), several)]
        case "pair":
            pair = replace(t.scene(Pair), background=DEFAULT_BACKGROUND)
            relation = n.relations[pair.relation][0]
            words = said(a=n.a(pair.first), relation=relation, b=n.a(pair.second))
            return [make(t, words, pair)]
        case "film":
            film = replace(t.scene(Film), background=DEFAULT_BACKGROUND)
            words = said(a=n.a(film.object), moving=t.grammar.moving(film, rng))
            return [make(t, words, film)]
        case "sound":
            words, sound = t.grammar.request(t.scene(SoundOf), rng, mentioned=0.0)
            return [make(t, said(sound=words), sound)]
        case "outside":
            return [turn(said(thing=t.outside("thing")), t.reply("decline"))]
    one: One = t.scene(One)
    one = One(
        one.object,
        "small" if kind == "small" else "big",
        "centre",
        one.background if kind == "coloured" else DEFAULT_BACKGROUND,
    )
    background = n.background(one.background)
    words = said(a=n.a(one.object), noun=n.noun(one.object), background=background)
    return [make(t, words, one)]
