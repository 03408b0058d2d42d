"""Tasks that make a medium: draw, play, film, cross over from one to another, edit."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

from heliograph.model.primer import scenes
from heliograph.model.primer.grammar.speech import DEFAULT_BACKGROUND
from heliograph.model.primer.grammar.teller import Teller, turn
from heliograph.model.primer.grammar.turns import Made, Turn
from heliograph.model.primer.scenes import (
    PLACE_PHRASES,
    Film,
    One,
    Pair,
    Picture,
    Scene,
    Several,
    SoundOf,
)
from heliograph.model.primer.vocabulary import load


def make(t: Teller, user: tuple[object, ...] | str, scene: Scene) -> Turn:
    """The turn that ends in the scene being made."""
    return turn(user, t.reply("here"), Made(t.see(scene)))  # type: ignore[arg-type]


def draw(t: Teller) -> list[Turn]:
    words, scene = t.grammar.request(t.picture(), t.rng)
    return [make(t, t.say("draw", scene=words), scene)]


def play(t: Teller) -> list[Turn]:
    if t.rng.random() < 0.3:
        name = t.object(lambda o: o.sound is not None)
        slots = {"object": t.grammar.names.a(name), "the": t.grammar.names.the(name)}
        return [make(t, t.say("sound_of_object", **slots), sound_of(name))]
    words, scene = t.grammar.request(t.scene(SoundOf), t.rng)
    return [make(t, t.say("play", sound=words), scene)]


def film(t: Teller) -> list[Turn]:
    words, scene = t.grammar.request(t.scene(Film), t.rng)
    return [make(t, t.say("film", scene=words), scene)]


def sound_of(name: str, times: int = 1) -> SoundOf:
    """What an object that has a sound sounds like; as often as there are objects."""
    sound = load().object(name).sound
    assert sound is not None
    attribute = load().sound(sound).attribute
    return SoundOf(
        sound,
        count=times if attribute == "count" else None,
        direction="rising" if attribute == "direction" else None,
    )


def sounds_of(picture: Scene) -> list[SoundOf]:
    """The sounds of what is seen, in order; what has none is left out."""
    times = picture.count if isinstance(picture, Several) else 1
    heard = [n for n in scenes.objects(picture) if load().object(n).sound is not None]
    return [sound_of(name, times) for name in heard]


@cache
def sounding(sound: str) -> str:
    """The object that makes a sound: the first of them where there are two."""
    return next(o.name for o in load().objects if o.sound == sound)


def pictured(sound: SoundOf, background: str = DEFAULT_BACKGROUND) -> Picture:
    """The picture of a sound: its object, as often as it was heard."""
    name = sounding(sound.sound)
    if sound.count in (2, 3):
        return Several(name, sound.count, background)
    return One(name, "big", "centre", background)


def no_sound(t: Teller, picture: Scene) -> str:
    """What is said of objects that make no sound."""
    n = t.grammar.names
    return t.reply("no_sound", object=n.conjunction.join(map(n.the, scenes.objects(picture))))


def sound_of_picture(t: Teller) -> list[Turn]:
    scene = t.sight()
    while not sounds_of(scene):
        scene = t.sight()
    user = t.ask(t.shown(scene), t.say("sound_of_picture"))
    return [turn(user, t.reply("here"), *map(Made, sounds_of(scene)))]


def no_sound_of(t: Teller) -> list[Turn]:
    if t.rng.random() < 0.5:
        scene = t.sight()
        while sounds_of(scene):
            scene = t.sight()
        return [turn(t.ask(t.shown(scene), t.say("sound_of_picture")), no_sound(t, scene))]
    name = t.object(lambda o: o.sound is None)
    n = t.grammar.names
    user = t.say("sound_of_object", object=n.a(name), the=n.the(name))
    return [turn(user, t.reply("no_sound", object=n.the(name)))]


def draw_heard(t: Teller) -> list[Turn]:
    sound = t.scene(SoundOf)
    if t.rng.random() < 0.5:
        return [make(t, t.ask(t.shown(sound), t.say("draw_heard")), pictured(sound))]
    colour = t.colour()
    words = t.say("draw_heard_on", background=t.grammar.names.background(colour))
    return [make(t, t.ask(t.shown(sound), words), pictured(sound, colour))]


def animate(t: Teller) -> list[Turn]:
    picture: One | Pair = t.scene(One) if t.rng.random() < 0.75 else t.scene(Pair)
    return _on_picture(t, picture, *animation(t, picture))


def animation(t: Teller, picture: One | Pair) -> tuple[str, Film]:
    """Words that set the picture's object in motion, and the film."""
    name = t.rng.choice(scenes.objects(picture))
    motion = t.rng.choice(load().motions)
    new = Film(name, motion, picture.background)
    # Of two objects, the one that is meant has to be named.
    intent = "animate" if isinstance(picture, One) else "animate_object"
    return t.say(intent, the=t.grammar.names.the(name), move=t.grammar.to_move(new, t.rng)), new


def last_scene(t: Teller) -> list[Turn]:
    scene = t.scene(Film)
    if t.rng.random() < 0.35:
        return [make(t, t.ask(t.shown(scene), t.say("last_only")), scene.last())]
    user = t.ask(t.shown(scene), t.say("last_scene"))
    return [turn(user, t.grammar.describe(scene), Made(t.see(scene.last())))]


def edit_background(t: Teller) -> list[Turn]:
    return _edit(t, "background")


def edit_more(t: Teller) -> list[Turn]:
    return _edit(t, "more")


def edit_object(t: Teller) -> list[Turn]:
    return _edit(t, "object")


def edit_size(t: Teller) -> list[Turn]:
    return _edit(t, "size")


def edit_place(t: Teller) -> list[Turn]:
    return _edit(t, "place")


def _edit(t: Teller, kind: str) -> list[Turn]:
    while True:
        picture = t.scene(One) if kind in ("size", "place") else t.sight()
        change = edit(t, picture, kind)
        if change is not None:
            return _on_picture(t, picture, *change)


def _on_picture(t: Teller, picture: Picture, words: str, new: Scene) -> list[Turn]:
    """A change to a picture that the user shows, or that the assistant has just drawn."""
    if t.rng.random() < 0.6:
        return [make(t, t.ask(t.shown(picture), words), new)]
    asked, drawn = t.grammar.request(picture, t.rng, mentioned=1.0)
    return [make(t, t.say("draw", scene=asked), drawn), make(t, words, new)]


def edit(t: Teller, scene: Picture | Film, kind: str) -> tuple[str, Scene] | None:
    """Words for an edit of that kind and what comes of it, if it means anything here."""
    n = t.grammar.names
    first = scenes.objects(scene)[0]
    slots = {"the": n.the(first), "noun": n.noun(first)}
    new: Scene | None
    match kind:
        case "background":
            colour = t.colour(but=scene.background)
            slots["background"] = n.background(colour)
            new = scenes.on_background(scene, colour)
        case "more":
            new = scenes.one_more(scene)
        case "object":
            other = t.object()
            slots["object"] = n.a(other)
            new = scenes.with_object(scene, other)
            if isinstance(scene, Pair):
                kind = "object_named"
        case "size" if isinstance(scene, One):
            kind = "small" if scene.size == "big" else "big"
            new = replace(scene, size=kind)  # type: ignore[arg-type]
        case "place" if isinstance(scene, One):
            place = t.rng.choice(list(PLACE_PHRASES))
            slots["place"] = t.rng.choice(n.places[place])
            new = scenes.moved(scene, place)
        case _:
            new = None
    return None if new is None else (t.say(f"edit_{kind}", **slots), new)
