"""What the dialogues teach is true, in the right split, and sampled the same every time."""

from __future__ import annotations

import random
import re
from dataclasses import replace
from fractions import Fraction
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heliograph.model.primer import dialogues, scenes
from heliograph.model.primer.dialogues import TASKS, Called, Made, Shown, sample
from heliograph.model.primer.grammar import grammar, plain
from heliograph.model.primer.grammar.phrasings import expand, part
from heliograph.model.primer.grammar.talking import evaluate
from heliograph.model.primer.scenes import Film, One, Pair, Several, SoundOf
from heliograph.model.primer.vocabulary import LANGUAGES, Language, load

SEED = 20
PIECES = ("mix_", "opener")
"""Intents that are no requests by themselves."""


def dialogues_of(task: str, language: Language, n: int, **split: str) -> list[dialogues.Dialogue]:
    rng = random.Random(SEED)
    return [sample(rng, tasks=[task], language=language, **split) for _ in range(n)]  # type: ignore


def scenes_in(dialogue: dialogues.Dialogue) -> list[scenes.Scene]:
    parts = [p for turn in dialogue.turns for p in (*turn.user, *turn.assistant)]
    return [p.scene for p in parts if isinstance(p, (Shown, Made))]


def test_scenes_that_look_the_same_have_one_caption() -> None:
    below, above = Pair("dog", "below", "cat", "blue"), Pair("cat", "above", "dog", "blue")
    assert scenes.caption(below) == scenes.caption(above) == "a cat above a dog, blue background"
    assert scenes.phrase(below) == "a dog below a cat, blue background"
    assert scenes.parse(scenes.phrase(below)) == below
    assert scenes.is_held_out(below) == scenes.is_held_out(above)


def words(parts: tuple[object, ...]) -> str:
    return " ".join(p for p in parts if isinstance(p, str))


def test_expands_every_alternative() -> None:
    assert expand("{draw|paint} {me |}$scene") == [
        "draw me $scene",
        "draw $scene",
        "paint me $scene",
        "paint $scene",
    ]


def test_parts_the_same_way_whatever_the_order() -> None:
    wordings = [f"wording {i}" for i in range(40)]
    assert part(wordings) == part(reversed(wordings))
    assert len(part(wordings).held_out) == 6
    assert len(part(wordings[:3]).held_out) == 2


@pytest.mark.parametrize(("language", "least"), [("en", 30), ("fr", 12), ("ar", 12)])
def test_many_phrasings_of_each_intent(language: Language, least: int) -> None:
    for intent, p in grammar(language).phrasings.items():
        every = {t.template for t in (*p.train, *p.held_out)}
        assert len(p.held_out) >= 2, intent
        assert len(p.train) >= 2 * len(p.held_out), intent
        assert intent.startswith(PIECES) or len(every) >= least, intent


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_phrasing_is_trained_in_one_intent_and_held_out_of_another(language: Language) -> None:
    phrasings = grammar(language).phrasings.values()
    trained = {t.template.rstrip(" .!?؟") for p in phrasings for t in p.train}
    assert not trained & {t.template.rstrip(" .!?؟") for p in phrasings for t in p.held_out}


def test_the_outside_is_outside() -> None:
    least = {"en": (150, 80), "fr": (60, 40), "ar": (60, 40)}
    for language in LANGUAGES:
        g = grammar(language)
        known = {g.names.a(o.name) for o in load().objects}
        things = {*g.outside["thing"].train, *g.outside["thing"].held_out}
        sounds = {*g.outside["sound"].train, *g.outside["sound"].held_out}
        assert not things & known
        assert not sounds & (known | {g.names.sound(s.name) for s in load().sounds})
        shapes = [k for k in g.phrasings if k.startswith("decline")]
        n = sum(len(g.phrasings[k].train) + len(g.phrasings[k].held_out) for k in shapes)
        assert (len(things) >= least[language][0]) and n >= least[language][1]


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("task", TASKS)
def test_every_task_in_every_language(task: str, language: Language) -> None:
    for dialogue in dialogues_of(task, language, 20):
        assert (dialogue.task, dialogue.language) == (task, language)
        assert len(dialogue.turns) == (4 if task == "converse" else len(dialogue.turns))
        assert not any(map(scenes.is_held_out, scenes_in(dialogue)))
        for turn in dialogue.turns:
            assert words(turn.user).strip()
            assert turn.assistant
            text = words((*turn.user, *turn.assistant))
            assert not set(text) & set("${}|"), text
            assert "  " not in text, text


@pytest.mark.parametrize("task", TASKS)
def test_held_out_dialogues_end_in_a_held_out_scene(task: str) -> None:
    for dialogue in dialogues_of(task, "en", 3, scenes="held_out", phrasings="held_out"):
        seen = [s for s in scenes_in(dialogue) if not isinstance(s, SoundOf)]
        if seen and task == "mix":  # its last scene may only be spoken about
            assert any(map(scenes.is_held_out, seen))
        elif seen:
            assert scenes.is_held_out(seen[-1])


def test_the_same_seed_gives_the_same_dialogue() -> None:
    first, second = (
        [sample(rng) for _ in range(200)] for rng in (random.Random(3), random.Random(3))
    )
    assert first == second


def test_languages_and_tasks_come_in_their_shares() -> None:
    rng = random.Random(1)
    drawn = [sample(rng) for _ in range(4000)]
    english = sum(d.language == "en" for d in drawn) / len(drawn)
    assert 0.46 < english < 0.54
    assert {d.task for d in drawn} == set(TASKS)


def test_an_unknown_task_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        sample(random.Random(0), tasks=["fly"])


@pytest.mark.parametrize("language", LANGUAGES)
def test_descriptions_are_read_back(language: Language) -> None:
    every = scenes.every_scene()
    for scene in (*scenes.every_sound(), *random.Random(2).sample(every, 2000)):
        said = dialogues.describe(scene, language)
        assert dialogues.read_description(said, language) == scene
    assert dialogues.read_description("A dragon on the left.", language) is None


def test_descriptions_of_each_kind() -> None:
    said = {
        scene: [dialogues.describe(scene, language) for language in LANGUAGES]
        for scene in (
            One("cow", "small", "left", "blue"),
            Several("horse", 2, "green"),
            Pair("elephant", "above", "school", "white"),
            Film("cow", "spins", "pink"),
            SoundOf("bell", count=3),
            SoundOf("tune", direction="falling"),
        )
    }
    assert list(said.values()) == [
        [
            "A small cow on the left, blue background.",
            "Une petite vache à gauche, fond bleu.",
            "بقرة صغيرة على اليسار، خلفية زرقاء.",
        ],
        ["Two horses, green background.", "Deux chevaux, fond vert.", "حصانان، خلفية خضراء."],
        [
            "An elephant above a school, white background.",
            "Un éléphant au-dessus d'une école, fond blanc.",
            "فيل فوق مدرسة، خلفية بيضاء.",
        ],
        [
            "A cow spins, pink background.",
            "Une vache tourne, fond rose.",
            "بقرة تدور، خلفية وردية.",
        ],
        ["A bell, three times.", "Une cloche, trois fois.", "جرس، ثلاث مرات."],
        ["A tune, falling.", "Une mélodie, descendante.", "لحن، هابط."],
    ]


def test_french_contracts_and_elides() -> None:
    fix = grammar("fr").names.fix
    assert fix("le son de le tambour") == "le son du tambour"
    assert fix("une image de un arbre") == "une image d'un arbre"
    assert fix("à gauche de l'étoile") == "à gauche de l'étoile"
    assert fix("le bruit de des applaudissements") == "le bruit d'applaudissements"
    assert grammar("fr").names.the("hospital") == "l'hôpital"


def test_arabic_agrees() -> None:
    names = grammar("ar").names
    assert names.counted("cat", 2) == "قطتان"
    assert names.counted("cat", 2, asked=True) == "قطتين"
    assert names.counted("dog", 3) == "ثلاثة كلاب"
    assert names.counted("cat", 3) == "ثلاث قطط"
    assert names.counted("red circle", 2, asked=True) == "دائرتين حمراوين"
    assert names.the("ambulance") == "سيارة الإسعاف"
    assert names.fix("ارسم كلبا و شغل صوته") == "ارسم كلبا وشغل صوته"


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_a_request_leaves_out_falls_back(language: Language) -> None:
    rng = random.Random(4)
    wanted = One("dog", "small", "left", "blue")
    bare, meant = grammar(language).request(wanted, rng, mentioned=0.0)
    assert meant == One("dog", "big", "centre", "white")
    assert bare in (grammar(language).names.a("dog"), grammar(language).names.noun("dog"))
    assert grammar(language).request(wanted, rng, mentioned=1.0)[1] == wanted


@pytest.mark.parametrize("language", LANGUAGES)
def test_brief_requests_come_up_in_every_language(language: Language) -> None:
    """What somebody types first: "a dog", "a dog and a cat", "a film of a dog"."""
    rng, speech = random.Random(7), grammar(language)
    one = One("dog", "small", "left", "blue")
    pair = Pair("dog", "above", "cat", "blue")
    film = Film("dog", "spins", "blue")
    several = Several("dog", 2, "white")
    meant = {
        type(scene): [speech.request(scene, rng) for _ in range(300)]
        for scene in (one, pair, film, several)
    }
    default = One("dog", "big", "centre", "white")
    assert sum(found == default for _, found in meant[One]) > 20
    assert Pair("dog", "left of", "cat", "white") in [found for _, found in meant[Pair]]
    assert Film("dog", "moves right", "white") in [found for _, found in meant[Film]]
    asked = {words for words, found in meant[Several] if found == replace(several, count=3)}
    assert asked and all(speech.names.some("dog") in words for words in asked)


def test_motions_stand_before_the_noun_in_english() -> None:
    rng, speech = random.Random(7), grammar("en")
    film = Film("elephant", "spins", "white")
    asked = {speech.request(film, rng, mentioned=1.0)[0] for _ in range(200)}
    assert any(words.startswith("a spinning elephant") for words in asked)


def test_a_please_stands_before_the_question_mark_and_never_twice() -> None:
    for dialogue in dialogues_of("draw", "en", 1500):
        asked = words(dialogue.turns[0].user).lower()
        assert asked.count("please") <= 1
        assert "?, please" not in asked


@pytest.mark.parametrize("language", LANGUAGES)
def test_words_of_no_grammar_are_of_no_grammar(language: Language) -> None:
    """They show what the phrasings can't, as long as none of them is one."""
    slot = re.compile(r"\$\{?\w+\}?")

    def bare(text: str) -> str:
        return slot.sub("$", text.lower().rstrip(" .!?؟"))

    table = grammar(language).phrasings.values()
    known = {bare(t.template) for found in table for t in (*found.train, *found.held_out)}
    ours = [bare(text) for kind in plain.WORDINGS[language].values() for text in kind]
    assert not known.intersection(text for text in ours if text != "$")
    for dialogue in dialogues_of("in_other_words", language, 100):
        assert not set(words(dialogue.turns[0].user)) & set("${}")
        assert len(dialogue.turns) == 1


def test_yes_means_yes() -> None:
    answers = {"yes": 0, "no": 0}
    for dialogue in dialogues_of("ask_yes_no", "en", 400):
        (turn,) = dialogue.turns
        scene, question = scenes_in(dialogue)[0], words(turn.user).lower()
        truth = turn.assistant[0].endswith("so yes.")
        answers["yes" if truth else "no"] += 1
        assert not isinstance(scene, (SoundOf, Film))
        colours = [c for c in load().backgrounds if f" {c}" in question.replace("blue square", "")]
        if "back" in question and len(colours) == 1:
            assert truth == (colours[0] == scene.background), (question, scene)
    assert min(answers.values()) > 150


def test_more_questions_are_about_the_picture_that_was_shown_first() -> None:
    for dialogue in dialogues_of("ask_more", "en", 40):
        assert len(dialogue.turns) == 4 and len(scenes_in(dialogue)) == 1
        scene = scenes_in(dialogue)[0]
        assert not isinstance(scene, SoundOf)
        for turn in dialogue.turns:
            if "background" in words(turn.user).lower():
                assert scene.background in str(turn.assistant[0]).lower()


def test_sounds_are_those_of_what_is_seen() -> None:
    for dialogue in dialogues_of("sound_of_picture", "fr", 50):
        picture, *heard = scenes_in(dialogue)
        sounding = [load().object(name).sound for name in scenes.objects(picture)]
        assert [s.sound for s in heard if isinstance(s, SoundOf)] == [s for s in sounding if s]


def test_a_film_goes_on_to_its_last_scene() -> None:
    for dialogue in dialogues_of("last_scene", "ar", 30):
        film, last = scenes_in(dialogue)
        assert isinstance(film, Film)
        assert last == film.last()


def test_a_mixed_answer_has_two_or_three_parts() -> None:
    for language in LANGUAGES:
        for dialogue in dialogues_of("mix", language, 60):
            answer = dialogue.turns[0].assistant
            assert len(answer) in (2, 3)
            assert any(isinstance(part, Made) for part in answer)


def test_sums_are_right() -> None:
    for dialogue in dialogues_of("calculate", "en", 100):
        call, said = dialogue.turns[0].assistant
        assert isinstance(call, Called)
        assert evaluate(call.args["expression"]) == int(call.result)
        assert said == f"The result is {call.result}."


@settings(max_examples=60, deadline=None)
@given(
    st.recursive(
        st.integers(0, 999).map(str),
        lambda inner: st.tuples(inner, st.sampled_from("+-*/"), inner).map(
            lambda x: f"({x[0]} {x[1]} {x[2]})"
        ),
        max_leaves=6,
    )
)
def test_evaluates_as_fractions_do(expression: str) -> None:
    try:
        truth = eval(re.sub(r"(\d+)", r"Fraction(\1)", expression), {"Fraction": Fraction})
    except ZeroDivisionError:
        truth = None
    assert evaluate(expression) == truth


def test_translations_say_the_same() -> None:
    for dialogue in dialogues_of("translate", "en", 60):
        (answer,) = dialogue.turns[0].assistant
        read = [dialogues.read_description(str(answer), language) for language in LANGUAGES]
        nouns = {
            grammar(language).sentence(grammar(language).names.a(o.name))
            for language in LANGUAGES
            for o in load().objects
        }
        assert any(read) or answer in nouns


def test_texts_are_plain_and_in_all_scripts() -> None:
    lines = list(islice(dialogues.texts(random.Random(0)), 300))
    assert all(isinstance(line, str) and line.strip() for line in lines)
    together = "\n".join(lines)
    assert "background" in together and "fond" in together and "خلفية" in together
