"""The grammars of the primer world: how English, French and Arabic speak of scenes."""

from __future__ import annotations

from functools import cache

from heliograph.model.primer.grammar import ar, en, fr
from heliograph.model.primer.grammar.speech import Grammar
from heliograph.model.primer.vocabulary import Language


@cache
def grammar(language: Language) -> Grammar:
    """The grammar of one language, built once."""
    build = {"en": en.build, "fr": fr.build, "ar": ar.build}[language]
    return build()
