"""Tasks of talk: go on over four turns, mix media, translate, calculate, decline."""

from __future__ import annotations

import random
from dataclasses import replace
from fractions import Fraction

from heliograph.model.primer import scenes
from heliograph.model.primer.grammar.making import (
    animation,
    edit,
    make,
    no_sound,
    pictured,
    sound_of,
    sounds_of,
)
from heliograph.model.primer.grammar.speech import Grammar
from heliograph.model.primer.grammar.teller import Teller, turn
from heliograph.model.primer.grammar.turns import Answered, Called, Made, Turn
from heliograph.model.primer.scenes import Film, One, Pair, Scene, Several, SoundOf
from heliograph.model.primer.vocabulary import LANGUAGES, load

CONVERSATION_TURNS = 4


def converse(t: Teller) -> list[Turn]:
    """Four turns about one thing that changes as the user says."""
    first, state = _beginning(t)
    turns, before = [first], ""
    while len(turns) < CONVERSATION_TURNS:
        kind = t.rng.choice([k for k in _going_on(state) if k != before])
        step = _step(t, state, kind)
        if step is not None:
            going_on, state = step
            turns.append(going_on)
            before = kind
    return turns


def _beginning(t: Teller) -> tuple[Turn, Scene]:
    if t.rng.random() < 0.25:
        shown = t.shown(t.sight())
        return turn(
            t.ask(shown, t.say("describe_picture")), t.grammar.describe(shown.scene)
        ), shown.scene
    intent = t.rng.choices(("draw", "film", "play"), (6, 1, 1.5))[0]
    wanted: Scene
    if intent == "draw":
        wanted = t.picture()
    else:
        wanted = t.scene(Film) if intent == "film" else t.scene(SoundOf)
    words, scene = t.grammar.request(wanted, t.rng)
    return make(t, t.say(intent, scene=words, sound=words), scene), scene


def _going_on(state: Scene) -> list[str]:
    """What can be asked next."""
    match state:
        case SoundOf():
            return ["what", "times", "times", "draw", "play"]
        case Film():
            return ["background", "object", "what", "sound", "last", "last"]
        case One():
            kinds = ["background", "object", "what", "sound", "animate", "more", "place"]
            return [*kinds, "size", "size"]
        case Several():
            return ["background", "object", "what", "sound", "more"]
        case Pair():
            return ["background", "object", "what", "sound", "animate"]


def _step(t: Teller, state: Scene, kind: str) -> tuple[Turn, Scene] | None:
    """The next turn and what it leaves to speak of; nothing where it can't be asked."""
    match kind, state:
        case "what", _:
            intent = "go_heard" if isinstance(state, SoundOf) else "go_what"
            return turn(t.say(intent), t.grammar.describe(state)), state
        case "sound", _:
            the = t.grammar.names.the(scenes.objects(state)[0])
            user, heard = t.say("go_sound", the=the), sounds_of(state)
            if not heard:
                return turn(user, no_sound(t, state)), state
            return turn(user, t.reply("here"), *map(Made, heard)), state
        case "draw", SoundOf():
            picture = pictured(state)
            return make(t, t.say("go_draw"), picture), picture
        case "play", SoundOf():
            words, sound = t.grammar.request(t.scene(SoundOf), t.rng)
            return make(t, _opened(t, t.raw("play", sound=words)), sound), sound
        case "times", SoundOf():
            return _again(t, state)
        case "last", Film():
            return make(t, t.say("last_only"), state.last()), state.last()
        case "animate", One() | Pair():
            words, film = animation(t, state)
            return make(t, words, film), film
        case _, One() | Several() | Pair() | Film():
            change = edit(t, state, kind)
            if change is None:
                return None
            return make(t, _opened(t, change[0]), change[1]), change[1]
    return None


def _again(t: Teller, sound: SoundOf) -> tuple[Turn, Scene] | None:
    """The same sound another number of times, or in the other direction."""
    n = t.grammar.names
    if sound.count is not None:
        count = t.rng.choice([c for c in n.times if c != sound.count])
        new, words = replace(sound, count=count), t.rng.choice(n.times[count])
    elif sound.direction is not None:
        new = replace(sound, direction="falling" if sound.direction == "rising" else "rising")
        words = t.rng.choice(n.directions[str(new.direction)])
    else:
        return None
    return make(t, _opened(t, t.raw("edit_times", times=words)), new), new


def _opened(t: Teller, words: str) -> str:
    """With "now" or the like in front, at times."""
    if t.rng.random() < 0.5:
        return words
    return t.written(f"{t.raw('opener')} {words[:1].lower()}{words[1:]}")


def mix(t: Teller) -> list[Turn]:
    """Two or three things in one answer, in the order in which they are asked for."""
    return t.rng.choice((_mix_about, _mix_apart, _mix_shown))(t)


def _listed(t: Teller, asked: list[str]) -> str:
    slots = dict(zip(("first", "second", "third"), asked, strict=False))
    return t.raw("mix_two" if len(asked) == 2 else "mix_three", **slots)


def _mix_apart(t: Teller) -> list[Turn]:
    """Media that have nothing to do with each other."""
    asked: list[str] = []
    answer: list[Answered] = []
    for kind in t.rng.sample(("draw", "play", "film"), t.rng.choice((2, 2, 3))):
        wanted: Scene
        if kind == "play":
            wanted = t.scene(SoundOf)
        else:
            wanted = t.scene(Film) if kind == "film" else t.scene(One)
        words, scene = t.grammar.request(wanted, t.rng)
        asked.append(t.raw(f"mix_{kind}", scene=words, sound=words))
        answer.append(Made(t.see(scene)))
    return [turn(t.written(_listed(t, asked)), *answer)]


def _mix_about(t: Teller) -> list[Turn]:
    """Several media of one scene, which is worded first."""
    name = t.object(lambda o: o.sound is not None)
    words, scene = t.grammar.request(replace(t.scene(One), object=name), t.rng)
    assert isinstance(scene, One)
    t.see(scene)  # in words, even where the answer doesn't draw it
    asked, answer = _of_one(t, scene, ("draw", "play", "film", "say"))
    return [turn(t.say("mix_about", scene=words, list=_listed(t, asked)), *answer)]


def _mix_shown(t: Teller) -> list[Turn]:
    """Several media about a picture that the user shows."""
    name = t.object(lambda o: o.sound is not None)
    scene = replace(t.scene(One), object=name)
    asked, answer = _of_one(t, scene, ("put", "play", "film", "say"))
    return [turn(t.ask(t.shown(scene), t.written(_listed(t, asked))), *answer)]


def _of_one(t: Teller, scene: One, kinds: tuple[str, ...]) -> tuple[list[str], list[Answered]]:
    asked: list[str] = []
    answer: list[Answered] = []
    for kind in t.rng.sample(kinds, t.rng.choice((2, 2, 3))):
        slots: dict[str, str] = {}
        match kind:
            case "draw":
                answer.append(Made(t.see(scene)))
            case "put":
                colour = t.colour(but=scene.background)
                slots["background"] = t.grammar.names.background(colour)
                answer.append(Made(t.see(replace(scene, background=colour))))
            case "play":
                answer.append(Made(sound_of(scene.object)))
            case "film":
                new = Film(scene.object, t.rng.choice(load().motions), scene.background)
                slots["moving"] = t.grammar.moving(new, t.rng)
                answer.append(Made(t.see(new)))
            case _:
                answer.append(t.grammar.describe(t.see(scene)))
        asked.append(t.raw(f"mix_{kind}_it", **slots))
    return asked, answer


def translate(t: Teller, grammars: dict[str, Grammar]) -> list[Turn]:
    """A sentence about the world from one language to another, asked for in any."""
    source, target = t.rng.sample(LANGUAGES, 2)
    kind = t.rng.choice(("picture", "picture", "film", "sound", "noun"))
    names = t.grammar.names
    if kind == "noun":
        name = t.object()
        text = grammars[source].names.a(name)
        answer = grammars[target].sentence(grammars[target].names.a(name))
    else:
        scene: Scene
        if kind == "picture":
            scene = t.picture()
        else:
            scene = t.scene(Film) if kind == "film" else t.scene(SoundOf)
        text = grammars[source].describe(t.see(scene))
        answer = grammars[target].describe(scene)
    return [turn(t.say("translate", text=text, target=names.languages[target]), answer)]


def calculate(t: Teller) -> list[Turn]:
    """A sum, worked out by the tool."""
    expression, value = _expression(t.rng)
    asked = expression
    style = t.rng.random()
    if style < 0.25:
        asked = asked.replace(" ", "")
    elif style < 0.4:
        asked = asked.replace("*", "×").replace("/", "÷")
    elif style < 0.6:
        for sign in "+-*/":
            words = t.grammar.signs[sign]
            asked = asked.replace(f" {sign} ", f" {t.rng.choice(words)} ")
    result = str(value)
    return [
        turn(
            t.say("calculate", expression=asked),
            Called("calculate", {"expression": expression}, result),
            t.reply("result", result=result),
        )
    ]


def _expression(rng: random.Random) -> tuple[str, int]:
    """One to three operations on whole numbers up to 999 that come out even, below a million."""
    while True:
        top = rng.choice((10, 20, 100, 1000))
        a, b, c = (rng.randrange(1, top) for _ in range(3))
        p, q = rng.choice("+-*/"), rng.choice("+-*/")
        pattern = rng.choice(("{a} {p} {b}",) * 4 + ("{a} {p} {b} {q} {c}",) * 2 + _NESTED)
        if "/" in (p, q) and rng.random() < 0.8:
            a = b * rng.randrange(1, max(2, 1000 // b))
        expression = pattern.format(a=a, b=b, c=c, p=p, q=q)
        value = evaluate(expression)
        if value is not None and value.denominator == 1 and abs(value) < 1_000_000:
            return expression, int(value)


_NESTED = ("({a} {p} {b}) {q} {c}", "{c} {q} ({a} {p} {b})")


def evaluate(expression: str) -> Fraction | None:
    """The exact value of ``+ - * /`` and parentheses; ``None`` where it divides by zero."""
    tokens = expression.replace("(", " ( ").replace(")", " ) ").split()
    try:
        return _sum(tokens)
    except ZeroDivisionError:
        return None


def _sum(tokens: list[str]) -> Fraction:
    value = _product(tokens)
    while tokens and tokens[0] in "+-":
        sign = tokens.pop(0)
        value = value + _product(tokens) if sign == "+" else value - _product(tokens)
    return value


def _product(tokens: list[str]) -> Fraction:
    value = _atom(tokens)
    while tokens and tokens[0] in "*/":
        sign = tokens.pop(0)
        value = value * _atom(tokens) if sign == "*" else value / _atom(tokens)
    return value


def _atom(tokens: list[str]) -> Fraction:
    token = tokens.pop(0)
    if token != "(":
        return Fraction(int(token))
    value = _sum(tokens)
    tokens.pop(0)
    return value


def greet(t: Teller) -> list[Turn]:
    """A greeting, thanks, a farewell, or "what can you do?"."""
    kind = t.rng.choice(("hello", "hello", "thanks", "bye", "help"))
    return [turn(t.say(kind), t.reply(kind))]


def decline(t: Teller) -> list[Turn]:
    """Something outside the world; at times with a medium that doesn't matter."""
    kinds = ("decline", "decline", "decline_draw", "decline_play", "decline_film")
    n, name = t.grammar.names, t.object()
    slots = {
        "object": n.a(name),
        "many": n.plural(name),
        "noun": n.noun(name),
        "thing": t.outside("thing"),
        "topic": t.outside("topic"),
        "oddsound": t.outside("sound"),
        "oddmotion": t.outside("motion"),
        "colour": t.outside("colour"),
        "number": t.outside("number"),
    }
    kind = t.rng.choice(kinds)
    words = t.say(kind, **slots)
    with_picture = kind == "decline" and t.rng.random() < 0.15
    user = t.ask(t.shown(t.picture()), words) if with_picture else (words,)
    return [turn(user, t.reply("decline"))]
