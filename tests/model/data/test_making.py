"""Making instruction data with a scripted model: what passes, what is refused, what is kept."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from heliograph.model.data.examples import BadRow
from heliograph.model.data.making.costs import EXPECTED, MESSAGE, by_length, estimate
from heliograph.model.data.making.prompts import KINDS, Kind, prompt
from heliograph.model.data.making.run import Ledger, MakeOptions, Reply, make, rejected_path
from heliograph.model.data.making.seeds import Seed, seeds
from heliograph.model.data.sets import DataSet, examples
from heliograph.model.errors import DataError

Messages = Sequence[tuple[str, str]]
LONG = " ".join(["The dog runs over the wet grass, and its ears fly behind it."] * 3)


class Scripted:
    """A chat model that answers by a function of the seed's notes and the number of the call."""

    def __init__(self, answer: Callable[[Messages], str]) -> None:
        self.asked: list[Messages] = []
        self._answer, self._lock = answer, threading.Lock()

    def __call__(self, messages: Messages) -> Reply:
        with self._lock:
            self.asked.append(messages)
            return Reply(self._answer(messages), 100, 10)


def talk(*turns: tuple[Any, Any]) -> str:
    return json.dumps({"turns": [{"user": u, "assistant": a} for u, a in turns]})


@pytest.fixture
def some(tmp_path: Path) -> Path:
    """Three seeds: a picture with boxes, a sound, and a topic with a picture."""
    rows = [
        {
            "image": "dog.jpg",
            "captions": ["A dog runs.", "Grass is wet."],
            "boxes": [{"label": "dog", "box": [0.1, 0.2, 0.5, 0.9]}],
        },
        {"audio_name": "bell.wav", "caption": "A bell rings twice."},
        {"id": 7, "topic": "a garden", "media": [{"image": "bed.jpg", "captions": ["A bed."]}]},
    ]
    path = tmp_path / "seeds.json"
    path.write_text(json.dumps(rows))
    return path


def first(path: Path) -> Seed:
    seed = next(seeds(path))
    assert isinstance(seed, Seed)
    return seed


GOOD: dict[Kind, str] = {
    "conversation": talk(("What runs here?", "A dog."), ("Is it dry?", "No, it is wet.")),
    "detail": "Here you are:\n```json\n" + talk(("Tell me all of it.", LONG)) + "\n```",
    "reasoning": talk(("Why does it hurry?", LONG)),
    "t2m": talk(("I need a wet dog for a poster.", "Here it comes.")),
    "mosit": talk(
        (
            [{"show": "dog.jpg"}, {"say": "He needs a song."}],
            [{"say": "This one:"}, {"make": "audio", "caption": "a merry song"}],
        ),
        ([{"say": "And drawn?"}], [{"make": "image", "caption": "a dog that sings"}]),
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_makes_rows_that_training_reads(some: Path, tmp_path: Path, kind: Kind) -> None:
    out = tmp_path / "made.jsonl"
    model = Scripted(lambda messages: GOOD[kind])
    counts = make([first(some)], model, out, MakeOptions(kind))
    assert (counts.made, counts.rejected, counts.tokens_in) == (1, 0, 100)
    (tmp_path / "dog.jpg").write_bytes(b"")
    (example,) = examples(DataSet.of(out))
    expected = {
        "conversation": "text + image → text",
        "detail": "text + image → text",
        "reasoning": "text + image → text",
        "t2m": "text → text + image",
        "mosit": "text + image → text + image + audio",
    }
    assert example.task == expected[kind]
    assert json.loads(out.read_text())["id"].startswith(kind)


def test_the_model_is_told_what_is_known_and_asked_for_the_kind(some: Path) -> None:
    system, user = prompt("reasoning", first(some))
    assert "A dog runs." in user and "dog at left 0.10, top 0.20" in user
    assert "see the picture" in system and '{"turns"' in system
    _, bell, garden = (seed for seed in seeds(some) if isinstance(seed, Seed))
    assert "hear the sound" in prompt("detail", bell)[0]
    assert "bell rings twice" in prompt("t2m", bell)[1]
    asked = json.loads(prompt("mosit", garden, turns=3)[1])
    assert asked == {"topic": "a garden", "files": [{"file": "bed.jpg", "notes": "- A bed."}]}


BAD: list[tuple[Kind, str, str]] = [
    ("detail", "I can't do that.", "no JSON object"),
    ("detail", '{"turns": [{"user"', "broken"),
    ("detail", '{"turns": []}', "wrong shape"),
    ("detail", '{"turns": [{"user": "a b", "assistant": 3}]}', "wrong shape"),
    ("detail", talk(("Tell me all of it.", "A dog.")), "words in an answer"),
    ("detail", talk(("Tell me.", LONG), ("More, please.", LONG)), "turns in all"),
    ("detail", talk(("Tell me.", "The caption says: " + LONG)), "speaks of its notes"),
    ("detail", talk(("Tell me.", LONG + " It is at [0.1, 0.2].")), "speaks of its notes"),
    (
        "detail",
        talk(
            (
                "Tell me.",
                LONG + " never mention notes, lists, labels or numbers of positions: speak",
            )
        ),
        "notes|instructions",
    ),
    (
        "reasoning",
        talk(("Answer with one JSON object and nothing else turns?", LONG)),
        "JSON|instr",
    ),
    ("detail", talk(("Tell me.", LONG + " <image>")), "media tag"),
    ("mosit", talk(([{"say": "Look at it:"}, {"show": "cat.jpg"}], [{"say": "So."}])), "not given"),
    ("mosit", talk(([{"say": "Well, what now?"}], [{"say": "So."}])), "makes nothing"),
    ("mosit", talk(([{"make": "image", "caption": "x y"}], [{"say": "So."}])), "wrong shape"),
    ("mosit", talk(([{"say": "Draw me a dog."}], [{"make": "smell", "caption": "x y"}])), "shape"),
    ("mosit", talk(([{"say": "Draw me a dog."}], [{"make": "image", "caption": "x"}])), "caption"),
]


@pytest.mark.parametrize(("kind", "reply", "reason"), BAD)
def test_a_bad_reply_is_asked_for_again_and_then_kept_with_its_reason(
    some: Path, tmp_path: Path, kind: Kind, reply: str, reason: str
) -> None:
    out = tmp_path / "made.jsonl"
    model = Scripted(lambda messages: reply)
    counts = make([first(some)], model, out, MakeOptions(kind, tries=2))
    assert (counts.made, counts.rejected, len(model.asked)) == (0, 1, 2)
    assert model.asked[1][-1][0] == "user" and "can't be used" in model.asked[1][-1][1]
    entry = json.loads(rejected_path(out).read_text())
    assert re.search(reason, entry["reason"]) and entry["reply"] == reply
    assert out.read_text() == ""


def test_a_second_try_may_be_good(some: Path, tmp_path: Path) -> None:
    model = Scripted(lambda messages: GOOD["detail"] if len(messages) > 2 else "no")
    assert make([first(some)], model, tmp_path / "m.jsonl", MakeOptions("detail")).made == 1


def test_words_of_the_seed_itself_are_no_leak(tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    path.write_text('[{"image": "p.jpg", "caption": "A poster with a caption below a dog."}]')
    answer = LONG + " There is a caption below."
    counts = make(
        seeds(path),
        Scripted(lambda m: talk(("Tell me all.", answer))),
        tmp_path / "m.jsonl",
        MakeOptions("detail"),
    )
    assert counts.made == 1


def numbered(path: Path, count: int) -> Path:
    rows = [{"image": f"{i}.jpg", "caption": f"dog number {i}"} for i in range(count)]
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def by_caption(messages: Messages) -> str:
    number = messages[1][1].split()[-1]
    return talk((f"I want dog number {number}, please.", "Here it comes."))


def test_a_run_that_breaks_goes_on_with_what_is_left(tmp_path: Path) -> None:
    path, out = numbered(tmp_path / "seeds.jsonl", 12), tmp_path / "m.jsonl"

    def breaks(messages: Messages) -> str:
        if "number 7" in messages[1][1]:
            raise DataError("The chat model broke off.")
        return by_caption(messages)

    with pytest.raises(DataError, match="broke off"):
        make(seeds(path), Scripted(breaks), out, MakeOptions("t2m", together=3))
    kept = out.read_text().splitlines()
    assert 7 <= len(kept) < 12
    with open(out, "a") as file:  # a kill in the middle of a line
        file.write('{"id": "t2m-half')
    model = Scripted(by_caption)
    counts = make(seeds(path), model, out, MakeOptions("t2m"))
    assert counts.made == len(model.asked) == 12 - len(kept)
    made = [json.loads(line) for line in out.read_text().splitlines()]
    assert len({row["id"] for row in made}) == 12
    nothing = Scripted(by_caption)
    make(seeds(path), nothing, out, MakeOptions("t2m"))
    assert nothing.asked == []


def test_ctrl_c_keeps_the_calls_that_are_under_way(tmp_path: Path) -> None:
    path, out = numbered(tmp_path / "seeds.jsonl", 12), tmp_path / "m.jsonl"
    model = Scripted(by_caption)

    def stop(counts: Any) -> None:
        if counts.made == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make(seeds(path), model, out, MakeOptions("t2m", together=4), stop)
    assert len(out.read_text().splitlines()) == len(model.asked) >= 3


def test_rows_that_say_the_same_are_made_once(tmp_path: Path) -> None:
    path, out = numbered(tmp_path / "seeds.jsonl", 3), tmp_path / "m.jsonl"
    same = Scripted(lambda messages: talk(("A dog, please!", "Here it comes.")))
    counts = make(seeds(path), same, out, MakeOptions("t2m"))
    assert (counts.made, counts.rejected) == (1, 2)
    assert "same as an earlier row" in rejected_path(out).read_text()


def test_bad_seeds_are_named(tmp_path: Path) -> None:
    rows = [
        {"image": "a.jpg"},
        {"image": "a.jpg", "caption": 3},
        {"image": "a.jpg", "caption": "x", "boxes": [{"label": "x", "box": [0.5, 0, 0.1, 1]}]},
        {"image": "a.jpg", "caption": "x", "boxes": 5},
        {"image": "a.jpg", "audio": "b.wav", "caption": "x"},
        {"topic": ""},
        {"media": "x"},
        {"caption": "words alone", "modality": "audio"},
    ]
    path = tmp_path / "s.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    found = list(seeds(path))
    assert [isinstance(seed, BadRow) for seed in found] == [True] * 7 + [False]
    last = found[-1]
    assert isinstance(last, Seed) and last.media[0].modality == "audio"
    with pytest.raises(DataError, match="names no file"):
        prompt("detail", last)


def test_another_file_is_not_added_to(tmp_path: Path) -> None:
    path, out = numbered(tmp_path / "seeds.jsonl", 1), tmp_path / "m.jsonl"
    out.write_text("dear diary\n")
    with pytest.raises(DataError, match="m.jsonl, line 1: this is no row"):
        make(seeds(path), Scripted(by_caption), out, MakeOptions("t2m"))
    assert out.read_text() == "dear diary\n"


def test_an_estimate_adds_up_what_is_left(tmp_path: Path) -> None:
    path, out = numbered(tmp_path / "seeds.jsonl", 4), tmp_path / "m.jsonl"
    whole = estimate("t2m", Ledger(out, "t2m").left(seeds(path)), 4, lambda text: 50)
    assert (whole.calls, whole.tokens_in) == (4, 4 * (100 + MESSAGE))
    assert whole.tokens_out == 4 * EXPECTED["t2m"][0]
    assert whole.price(10, 20) == pytest.approx(
        (whole.tokens_in * 10 + whole.tokens_out * 20) / 1e6
    )
    make(list(seeds(path))[:3], Scripted(by_caption), out, MakeOptions("t2m"))
    assert estimate("t2m", Ledger(out, "t2m").left(seeds(path)), 4).calls == 1
    assert by_length("abcde") == 2
