"""Each referee is shown to be right on true renders and to refuse what is none."""

import io
import random

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter

from heliograph.model.primer import films, pictures
from heliograph.model.primer.referees import read_film, read_picture, read_sound, same_picture
from heliograph.model.primer.referees.train_sounds import rebuilt
from heliograph.model.primer.scenes import (
    Film,
    One,
    Pair,
    Several,
    SoundOf,
    every_sound,
    is_held_out,
    sample,
)
from heliograph.model.primer.sounds import RATE, SAMPLES, play
from heliograph.model.primer.vocabulary import load

NAMES = [o.name for o in load().objects]
GROUNDS = list(load().backgrounds)


def noisy(picture, rng):
    deviation = rng.uniform(5, 20)
    noise = np.random.default_rng(rng.getrandbits(32)).normal(0, deviation, picture.shape)
    return np.clip(picture + noise, 0, 255).astype(np.uint8)


def soft(picture, rng):
    blur = ImageFilter.GaussianBlur(rng.uniform(0.5, 1.5))
    return np.asarray(Image.fromarray(picture).filter(blur))


def shifted(picture, rng):
    dx, dy = rng.randint(-2, 2), rng.randint(-2, 2)
    wide = np.pad(picture, ((2, 2), (2, 2), (0, 0)), "edge")
    return wide[2 + dy : 66 + dy, 2 + dx : 66 + dx]


def compressed(picture, rng):
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=rng.randint(40, 90))
    return np.asarray(Image.open(file).convert("RGB"))


def pale(picture, rng):
    ground = picture[0, 0].astype(float)
    return np.clip(ground + rng.uniform(0.75, 1) * (picture - ground), 0, 255).astype(np.uint8)


def clean(picture, rng):
    return picture


def all_of_it(picture, rng):
    return noisy(soft(shifted(picture, rng), rng), rng)


DISTURBED = [clean, noisy, soft, shifted, compressed, pale, all_of_it]


def any_picture(rng):
    return sample(rng, rng.choice([One, Several, Pair]), rng.choice(["train", "held_out"]))


def test_pictures_are_read_right():
    rng = random.Random(1)
    wrong = []
    for seed in range(154):
        scene = any_picture(rng)
        disturb = DISTURBED[seed % len(DISTURBED)]
        read = read_picture(disturb(pictures.draw(scene, seed), rng))
        if not same_picture(read, scene):
            wrong.append((disturb.__name__, scene, read))
    assert len(wrong) <= 1, wrong


@pytest.mark.parametrize("size", [96, 128, 200])
def test_pictures_of_other_sizes_are_read(size):
    rng = random.Random(size)
    for seed in range(5):
        scene = any_picture(rng)
        assert same_picture(read_picture(pictures.draw(scene, seed, size)), scene)


def test_each_attribute_of_a_picture_counts():
    """What differs in one thing alone is read as what it is, not as what was asked."""
    for scene in (
        One("dog", "small", "left", "blue"),
        One("cat", "small", "left", "blue"),
        One("dog", "big", "left", "blue"),
        One("dog", "small", "centre", "blue"),
        One("dog", "small", "left", "green"),
        Several("dog", 2, "blue"),
        Several("dog", 3, "blue"),
        Pair("dog", "left of", "cat", "blue"),
        Pair("cat", "left of", "dog", "blue"),
        Pair("dog", "above", "cat", "blue"),
    ):
        assert read_picture(pictures.draw(scene, 4)) == scene


def test_a_pair_looks_the_same_told_from_either_side():
    pair = Pair("dog", "right of", "cat", "pink")
    assert same_picture(pair, Pair("cat", "left of", "dog", "pink"))
    assert same_picture(read_picture(pictures.draw(pair, 0)), pair)
    assert not same_picture(pair, Pair("dog", "left of", "cat", "pink"))
    assert not same_picture(pair, Pair("cat", "above", "dog", "pink"))
    assert not same_picture(pair, None)


def composed(ground, *placed):
    picture = pictures.canvas(ground, 64)
    for name, side, centre in placed:
        pictures.put(picture, name, side, centre)
    return np.asarray(picture)


def no_pictures():
    rng = np.random.default_rng(3)
    blank = composed("blue")
    yield "blank", blank
    yield "faint noise", noisy(blank, random.Random(0))
    for deviation in (40, 60):
        noise = rng.normal(0, deviation, blank.shape)
        yield "loud noise", np.clip(blank + noise, 0, 255).astype(np.uint8)
    yield "only noise", rng.integers(0, 256, blank.shape, dtype=np.uint8)
    yield "a ramp", np.linspace(0, 255, 64 * 64 * 3).reshape(64, 64, 3).astype(np.uint8)
    grey = np.full_like(blank, 128)
    yield "no background of ours", grey
    patch = blank.copy()
    patch[20:44, 20:44] = (90, 160, 60)
    yield "a patch", patch
    for name in ("dog", "tractor", "rose"):
        yield "in a corner", composed("white", (name, 22, (52, 52)))
        yield "too big", composed("white", (name, 60, (32, 32)))
        yield "one above the other", composed("pink", (name, 26, (32, 16)), (name, 26, (32, 48)))
        four = [(name, 26, (x, y)) for x in (16, 48) for y in (16, 48)]
        yield "four", composed("green", *four)
        yield "upside down", pictures.draw(One(name, "big", "centre", "blue"), 0)[::-1]
    three = [(n, 19, (x, 32)) for n, x in zip(("cat", "bus", "key"), (11, 32, 53), strict=True)]
    yield "three different", composed("black", *three)
    yield "two sizes", composed("white", ("cat", 22, (20, 20)), ("dog", 26, (46, 46)))


@pytest.mark.parametrize(("what", "picture"), list(no_pictures()))
def test_no_scene_is_read_into_a_picture(what, picture):
    assert read_picture(picture) is None


def test_films_are_read_right():
    rng = random.Random(2)
    wrong = []
    for seed in range(45):
        motion = load().motions[seed % 9]
        scene = Film(rng.choice(NAMES), motion, rng.choice(GROUNDS))
        disturb = DISTURBED[seed % len(DISTURBED)]
        frames = np.stack([disturb(f, rng) for f in films.film(scene, seed)])
        if read_film(frames) != scene:
            wrong.append((disturb.__name__, scene, read_film(frames)))
    assert not wrong


def test_a_film_backwards_moves_the_other_way():
    frames = films.film(Film("bus", "moves left", "white"), 0)
    assert read_film(frames[::-1]) == Film("bus", "moves right", "white")
    frames = films.film(Film("bus", "grows", "white"), 0)
    assert read_film(frames[::-1]) == Film("bus", "shrinks", "white")


def test_films_of_other_lengths_and_sizes_are_read():
    scene = Film("frog", "bounces", "yellow")
    assert read_film(films.film(scene, 0, size=96)) == scene
    assert read_film(films.film(scene, 0, frames=12)) == scene


def no_films():
    rng = np.random.default_rng(4)
    for side in (22, 26, 38):
        yield "stands still", np.stack([composed("blue", ("dog", side, (32, 32)))] * 8)
    yield "blank", np.stack([composed("white")] * 8)
    yield "noise", rng.integers(0, 256, (8, 64, 64, 3), dtype=np.uint8)
    yield "one frame", films.film(Film("dog", "grows", "blue"), 0)[:1]
    moving = films.film(Film("dog", "moves left", "blue"), 0)
    yield "jumps about", moving[[3, 0, 6, 2, 7, 1, 5, 4]]
    other = films.film(Film("tractor", "moves left", "blue"), 0)
    yield "becomes another", np.concatenate([moving[:4], other[4:]])
    ground = films.film(Film("dog", "moves left", "white"), 0)
    yield "changes its background", np.concatenate([moving[:4], ground[4:]])


@pytest.mark.parametrize(("what", "frames"), list(no_films()))
def test_no_motion_is_read_into_a_film(what, frames):
    assert read_film(frames) is None


def hissing(wave, rng):
    return wave + rng.normal(0, rng.uniform(0.002, 0.012), SAMPLES).astype(np.float32)


def late(wave, rng):
    return np.roll(wave, int(rng.integers(0, 800)))


def faint(wave, rng):
    return wave * np.float32(rng.uniform(0.05, 0.3))


def as_played(wave, rng):
    return wave


def test_sounds_are_read_right():
    rng = np.random.default_rng(5)
    wrong = []
    for scene in every_sound():
        for i, disturb in enumerate((as_played, as_played, hissing, late, faint)):
            read = read_sound(disturb(play(scene, 20000 + i), rng), RATE)
            if read != scene:
                wrong.append((disturb.__name__, scene, read))
    assert len(wrong) <= 1, wrong


def test_sounds_rebuilt_from_a_mel_spectrogram_are_read_right():
    scenes = every_sound()[::2]
    waves = torch.from_numpy(np.stack([play(scene, 30000) for scene in scenes]))
    again = rebuilt(waves, torch.Generator().manual_seed(6)).numpy()
    wrong = [s for s, wave in zip(scenes, again, strict=True) if read_sound(wave, RATE) != s]
    assert not wrong


def test_sounds_at_other_rates_and_lengths_are_read():
    scene = SoundOf("phone", count=2)
    wave = play(scene, 1)
    doubled = np.interp(np.arange(2 * SAMPLES) / 2, np.arange(SAMPLES), wave).astype(np.float32)
    assert read_sound(doubled, 2 * RATE) == scene
    assert read_sound(wave[: int(1.8 * RATE)], RATE) == scene
    assert read_sound(np.pad(wave, (0, RATE)), RATE) == scene


def no_sounds():
    rng = np.random.default_rng(7)
    t = np.arange(SAMPLES) / RATE
    yield "nothing", np.zeros(0)
    yield "silence", np.zeros(SAMPLES)
    yield "one sample", np.ones(1)
    yield "a constant", np.full(SAMPLES, 0.3)
    yield "a click", np.eye(1, SAMPLES, 5000)[0]
    yield "a pitch pipe", 0.5 * np.sin(2 * np.pi * 440 * t)
    yield "a steady tone", 0.5 * np.sin(2 * np.pi * 1000 * t)
    yield "a long sweep", 0.5 * np.sin(2 * np.pi * (100 * t + 1500 * t * t))
    yield "white noise", rng.normal(0, 0.2, SAMPLES)
    yield "brown noise", np.cumsum(rng.normal(0, 0.001, SAMPLES))
    yield "chopped noise", rng.normal(0, 0.2, SAMPLES) * (np.sin(2 * np.pi * 8 * t) > 0)
    four = sum(np.roll(play(SoundOf("alarm", count=1), 0), i * 7000) for i in range(4))
    yield "an alarm, four times", four


@pytest.mark.parametrize(("what", "wave"), list(no_sounds()))
def test_no_scene_is_read_into_a_sound(what, wave):
    assert read_sound(wave.astype(np.float32), RATE) is None


def test_the_samples_hold_scenes_kept_out_of_training():
    rng = random.Random(1)
    assert any(is_held_out(any_picture(rng)) for _ in range(20))
