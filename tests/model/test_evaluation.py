from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as Pillow
from PIL import ImageOps

from heliograph.agent.cli import main
from heliograph.agent.testing import Reply, Say, ScriptedCore
from heliograph.model import media
from heliograph.model.core import AnyToAny
from heliograph.model.decoders import testing as decoders
from heliograph.model.encoders.config import ImageBindConfig
from heliograph.model.encoders.imagebind import ImageBind
from heliograph.model.errors import InputError
from heliograph.model.evaluation import report, run
from heliograph.model.evaluation.asking import Answer, Came, Sent, answers, clips_shown, value
from heliograph.model.evaluation.figures import Share, confusions, share, worst
from heliograph.model.evaluation.foreign import Means, foreign
from heliograph.model.evaluation.judging import Verdict, judge, look, same
from heliograph.model.evaluation.rows import FOREIGN, ROWS, Case, Row, chosen, draw_case
from heliograph.model.evaluation.run import Settings
from heliograph.model.media import Clip, Image
from heliograph.model.parts import MODALITIES, Media, Modality, Text, ToolCall
from heliograph.model.primer import atlas, scenes, weights_dir
from heliograph.model.primer.dialogues import TASKS, Called, Dialogue, Made, Shown, Turn, sample
from heliograph.model.primer.scenes import Film, One, Pair, Several, SoundOf, caption
from heliograph.model.projections import InputProjectionConfig, OutputProjection
from heliograph.model.signals import Signal
from heliograph.model.testing import WIDTH, small_language

NOTHING = Image(np.zeros((1, 1, 3), np.uint8))
ROW = Row("test", "a row", TASKS)
NAMES = {row.name: row for row in ROWS}


def sent(scene: scenes.Scene, seen: scenes.Scene | None, words: str | None = None) -> Sent:
    """A medium that was said to be one scene and that shows another."""
    signal = Signal(
        scenes.modality(scene),
        caption(scene) if words is None else words,
        torch.zeros(1, 1),
        torch.zeros(1, 1),
    )
    return Sent(signal, NOTHING, seen)


def right_answers(dialogue: Dialogue) -> list[list[Came]]:
    return [
        [
            sent(part.scene, part.scene)
            if isinstance(part, Made)
            else ToolCall(part.name, part.args, part.result)
            if isinstance(part, Called)
            else part
            for part in turn.assistant
        ]
        for turn in dialogue.turns
    ]


def verdict(dialogue: Dialogue, came: list[list[Came]], row: Row = ROW) -> Verdict:
    said: list[Answer] = [tuple(parts) for parts in came]
    return judge(row, Case(row.name, 0, dialogue, ()), said)


def drawing(scene: scenes.Scene, came: list[Came], row: Row = ROW) -> Verdict:
    dialogue = Dialogue("draw", "en", (Turn(("draw it",), ("Here you are:", Made(scene))),))
    return verdict(dialogue, [["Here you are:", *came]], row)


DOG = One("dog", "small", "left", "blue")
CAT = One("cat", "small", "left", "blue")


# --- judging


@pytest.mark.parametrize("task", TASKS)
def test_the_truth_is_right(task: str) -> None:
    chance = random.Random(task)
    for _ in range(8):
        dialogue = sample(chance, tasks=[task], scenes="held_out", phrasings="held_out")
        found = verdict(dialogue, right_answers(dialogue))
        assert found.right and found.exact and found.order and found.words
        assert found.captions is not False and found.media is not False
        assert all(same(reading.asked, reading.came) for reading in found.readings)


@pytest.mark.parametrize("task", TASKS)
def test_silence_is_wrong(task: str) -> None:
    dialogue = sample(random.Random(task), tasks=[task])
    found = verdict(dialogue, [[] for _ in dialogue.turns])
    assert not (found.right or found.exact or found.order or found.words)


@pytest.mark.parametrize("task", TASKS)
def test_one_thing_too_many_is_wrong(task: str) -> None:
    dialogue = sample(random.Random(task), tasks=[task])
    for extra in (sent(DOG, DOG), ToolCall("calculate", {"expression": "1"}, "1")):
        came = right_answers(dialogue)
        came[-1].append(extra)
        assert not verdict(dialogue, came).right


def test_media_and_their_captions_are_judged_apart() -> None:
    seen_wrong = drawing(DOG, [sent(DOG, CAT)])
    assert (seen_wrong.right, seen_wrong.captions, seen_wrong.media) == (False, True, False)
    said_wrong = drawing(DOG, [sent(CAT, DOG)])
    assert (said_wrong.right, said_wrong.captions, said_wrong.media) == (True, False, True)
    unreadable = drawing(DOG, [sent(DOG, None, "a dog or so")])
    assert (unreadable.right, unreadable.captions, unreadable.media) == (False, False, False)
    missing = drawing(DOG, [])
    assert (missing.order, missing.captions, missing.right) == (False, False, False)


def test_without_media_the_captions_decide() -> None:
    assert drawing(DOG, [replace(sent(DOG, None), clip=None)]).right
    wrong = drawing(DOG, [replace(sent(CAT, None), clip=None)])
    assert not wrong.right and wrong.media is None


def test_a_row_may_be_about_some_attributes() -> None:
    moved = replace(DOG, place="top", size="big")
    for row, right in ((NAMES["draw-one"], True), (ROW, False)):
        found = drawing(DOG, [sent(DOG, moved)], row)
        assert (found.right, found.exact) == (right, False)
    assert not drawing(DOG, [sent(DOG, CAT)], NAMES["draw-one"]).right
    assert not drawing(DOG, [sent(DOG, Several("dog", 2, "blue"))], NAMES["draw-one"]).right
    film = Film("dog", "spins", "blue")
    dialogue = Dialogue(
        "describe_film", "en", (Turn((Shown(film, 1),), ("A dog spins, blue background.",)),)
    )
    for words, right in (("A dog spins, white background.", True), ("A dog hops.", False)):
        assert verdict(dialogue, [[words]], NAMES["describe-film"]).right == right
        assert not verdict(dialogue, [[words]]).right


def test_what_looks_the_same_is_the_same() -> None:
    pair = Pair("dog", "left of", "cat", "blue")
    other = Pair("cat", "right of", "dog", "blue")
    assert same(pair, other) and not same(pair, Pair("cat", "left of", "dog", "blue"))
    assert drawing(pair, [sent(other, other)]).right
    described = Dialogue("describe_picture", "en", (Turn((Shown(pair, 1),), (words(pair),)),))
    assert verdict(described, [[words(other)]]).right
    translated = replace(described, task="translate")
    assert not verdict(translated, [[words(other)]]).right
    asked = Dialogue("ask_what", "en", (Turn((Shown(pair, 1),), ("A dog and a cat.",)),))
    assert verdict(asked, [["A cat and a dog."]]).right


def words(scene: scenes.Scene) -> str:
    told = scenes.phrase(scene)
    return f"{told[0].upper()}{told[1:]}."


def test_either_sound_of_a_picture_may_come_first() -> None:
    first, second = scenes.every_sound()[0], scenes.every_sound()[-1]
    turn = Turn(("what does it sound like?",), ("Here you are:", Made(first), Made(second)))
    dialogue = Dialogue("sound_of_picture", "en", (turn,))
    came: list[Came] = ["Here you are:", sent(second, second), sent(first, first)]
    assert verdict(dialogue, [came]).right
    assert not verdict(dialogue, [[came[0], came[1], came[1]]]).right


def test_the_order_counts() -> None:
    sound = scenes.every_sound()[0]
    turn = Turn(("draw and play",), (Made(DOG), Made(sound)))
    dialogue = Dialogue("mix", "en", (turn,))
    came: list[Came] = [sent(DOG, DOG), " ", sent(sound, sound)]
    assert verdict(dialogue, [came]).right
    swapped = verdict(dialogue, [came[::-1]])
    assert not swapped.order and not swapped.right
    assert swapped.captions and swapped.media  # each of them is good for itself


@pytest.mark.parametrize(
    ("expression", "right"),
    [("3 + 4 * 2", True), ("3+(4*2)", True), ("11", True), ("3 + 4 + 2", False), ("3 +", False)],
)
def test_a_call_is_right_when_its_expression_has_the_value(expression: str, right: bool) -> None:
    called = Called("calculate", {"expression": "3 + 4 * 2"}, "11")
    dialogue = Dialogue("calculate", "en", (Turn(("3 + 4 * 2?",), (called, "It is 11.")),))
    call = ToolCall("calculate", {"expression": expression}, "11")
    assert verdict(dialogue, [[call, "It is 11."]]).right == right
    assert not verdict(dialogue, [[replace(call, name="compute"), "It is 11."]]).right


@given(st.one_of(st.text(), st.text("0123456789+-*/() ."), st.integers(), st.none()))
def test_no_expression_is_too_wild(expression: object) -> None:
    found = value(expression)
    assert found is None or found == eval(str(expression), {}) or "/" in str(expression)


def test_values_are_exact() -> None:
    assert value("1 / 3 * 3") == 1
    assert value("-(2 - 5)") == 3
    for nothing in ("1 / 0", "2 ** 9", "a + 1", "", "1.5", "True", "9" * 200, "(" * 90):
        assert value(nothing) is None


# --- rows


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_row_draws_what_training_never_saw(row: Row) -> None:
    for i in range(3):
        case = draw_case(row, i, seed=5)
        assert case == draw_case(row, i, seed=5)
        assert case.dialogue.task in row.tasks
        parts = [p for turn in case.dialogue.turns for p in (*turn.user, *turn.assistant)]
        made = [part.scene for part in parts if isinstance(part, Made)]
        assert len(case.seeds) == len(made)
        shown = [part.scene for part in parts if isinstance(part, Shown | Made)]
        seen = [scene for scene in shown if not isinstance(scene, SoundOf)]
        if seen and row.scenes == "held_out" and case.dialogue.task != "mix":
            assert any(map(scenes.is_held_out, seen))
        if row.scenes == "train":
            assert not any(map(scenes.is_held_out, seen))
        if row.kind is not None:
            assert isinstance(made[-1], row.kind)


@pytest.fixture(scope="module")
def means() -> Means:
    """With the shipped sprites mirrored as another set of emoji."""
    drawer = AnyToAny.from_pretrained(weights_dir()).decoder("image")
    return Means(drawer, lambda name: ImageOps.mirror(atlas.sprite(name)))


@pytest.mark.parametrize("row", [row for row in FOREIGN if row.change], ids=lambda row: row.name)
def test_foreign_media_differ_and_show_the_same(row: Row, means: Means) -> None:
    """The referee reads in them what is to be seen, where it reads that size and rate."""
    read = 0
    for i in range(6):
        dialogue = draw_case(row, i, seed=5).dialogue
        (ours,), (theirs,) = (
            clips_shown(dialogue, change, means)[0] for change in (None, row.change)
        )
        again = clips_shown(dialogue, row.change, means)[0][0]
        a, b, c = (media.write(clip).data for clip in (ours, theirs, again))
        assert b == c and a != b
        scene = next(part.scene for part in dialogue.turns[0].user if isinstance(part, Shown))
        read += same(scene, look(theirs))
    if row.change in ("jpeg", "quiet", "stereo", "rate", "rebuilt"):
        assert read >= 5


def test_what_a_change_lacks_is_said_in_a_sentence() -> None:
    for change, needed in (("emoji", "--emoji"), ("rebuilt", "draws no pictures")):
        with pytest.raises(InputError, match=needed):
            foreign(change, DOG, 3)


def test_rows_are_chosen_by_name() -> None:
    assert chosen(("film", "draw-one"), ()) == ["draw-one", "film"]
    assert chosen(("decoder-one",), ("decoder-one",)) == ["decoder-one"]
    assert "picture-emoji" not in chosen(None, ()) and "picture-emoji" in chosen(None, (), True)
    with pytest.raises(InputError, match="'drwa'.*draw-one"):
        chosen(("drwa",), ())


# --- figures


def test_intervals_are_wilsons() -> None:
    assert Share(5, 10).interval == pytest.approx((0.2366, 0.7634), abs=1e-4)
    assert Share(0, 10).interval == pytest.approx((0.0, 0.2775), abs=1e-4)
    assert Share(10, 10).interval == pytest.approx((0.7225, 1.0), abs=1e-4)
    assert Share(0, 0).interval == (0, 1)


@given(st.integers(1, 5000), st.data())
def test_an_interval_holds_its_share(count: int, data: st.DataObject) -> None:
    found = Share(data.draw(st.integers(0, count)), count)
    low, high = found.interval
    assert 0 <= low <= found.value <= high <= 1


def test_what_was_taken_for_what_is_counted() -> None:
    drawn = [drawing(DOG, [sent(DOG, seen)]) for seen in (DOG, CAT, CAT, None)]
    confused = confusions(drawn)
    assert confused["media"]["object"] == {"dog": {"dog": 1, "cat": 2, "nothing known": 1}}
    assert confused["captions"]["object"] == {"dog": {"dog": 4}}
    assert worst(confused, "media")[0] == ("object dog", "cat", 2)
    assert confused["task"]["draw"]["right"] == 1
    assert share([True, None, False]).count == 2


# --- asking


def scripted(*replies: Reply) -> ScriptedCore:
    return ScriptedCore(*replies)


def test_a_turn_knows_what_the_core_itself_said_before() -> None:
    core = scripted(["Here: ", Say("image", "a cat")], ["Bigger: ", Say("image", "a big cat")])
    turns = (Turn(("draw a dog",), (Made(DOG),)), Turn(("make it bigger",), (Made(DOG),)))
    found = answers(core, [Dialogue("converse", "en", turns)], [[[], []]])  # type: ignore[arg-type]
    assert [[type(part) for part in answer] for answer in found[0]] == [[str, Sent], [str, Sent]]
    history = core.asked[1]
    assert [message.role for message in history] == ["user", "assistant", "user"]
    assert isinstance(history[1].parts[1], Media) and history[1].parts[1].caption == "a cat"


def test_tools_are_called_and_their_results_told() -> None:
    core = scripted([ToolCall("calculate", {"expression": "2 + 3"})], ["It is 5."])
    dialogue = Dialogue("calculate", "en", (Turn(("2 + 3?",), ("5",)),))
    found = answers(core, [dialogue], [[[]]])  # type: ignore[arg-type]
    assert found == [[(ToolCall("calculate", {"expression": "2 + 3"}, "5"), "It is 5.")]]
    assert core.asked[1][-1].role == "assistant"


def test_a_core_that_calls_for_ever_is_not_asked_for_ever() -> None:
    core = scripted([ToolCall("calculate", {"expression": "2 +"})])
    found = answers(core, [Dialogue("calculate", "en", (Turn(("?",), ("5",)),))], [[[]]])  # type: ignore[arg-type]
    assert len(core.asked) == 3
    assert all(isinstance(p, ToolCall) and "Error" in str(p.result) for p in found[0][0])


# --- the whole, on a small untrained core


@pytest.fixture(scope="module")
def core() -> AnyToAny:
    tiny = ImageBindConfig.tiny(64, 2)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        encoder = ImageBind(
            replace(
                tiny,
                vision=replace(tiny.vision, width=24, blocks=1, heads=2),
                audio=replace(tiny.audio, width=16, blocks=1, heads=2),
                text=replace(tiny.text, width=16, blocks=1, heads=2),
                joint=16,
            )
        ).eval()
        language = small_language(context=2048)
        inputs = {m: _input(encoder, m) for m in MODALITIES}
        outputs = {spec.modality: _output(spec.count) for spec in language.table.specs}
    pictures = decoders.small_pictures()
    made = {
        "image": pictures,
        "audio": decoders.small_sounds(),
        "video": decoders.small_films(pictures),
    }
    return AnyToAny.build(
        language,
        {m: config.build() for m, config in inputs.items()},
        outputs,
        {"imagebind": encoder},
        made,  # type: ignore[arg-type]
    ).eval()


def _input(encoder: ImageBind, modality: Modality) -> InputProjectionConfig:
    width, tokens = encoder.width(modality), encoder.tokens(modality)
    return InputProjectionConfig("resampler", width, tokens, WIDTH, tokens=2, hidden=32)


def _output(count: int) -> OutputProjection:
    sizes = {"hidden": 16, "layers": 1, "heads": 2, "ff": 32}
    return OutputProjection(WIDTH, decoders.WIDTH, decoders.LENGTH, count, **sizes)


@pytest.fixture(scope="module", autouse=True)
def short_answers() -> object:
    """An untrained core says as much as it may."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("heliograph.model.evaluation.asking.LONGEST", 24)
        yield


def truthful(patch: pytest.MonkeyPatch) -> None:
    """Let the core answer what is right, with real signals."""
    real = run.answers

    def told(core: AnyToAny, dialogues: list[Dialogue], shown: object) -> list[list[Answer]]:
        assert len(real(core, dialogues, shown)) == len(dialogues)  # type: ignore[arg-type]
        return [
            [tuple(map(_with_states, answer)) for answer in right_answers(dialogue)]
            for dialogue in dialogues
        ]

    patch.setattr(run, "answers", told)


def _with_states(came: Came) -> Came:
    if not isinstance(came, Sent):
        return came
    states = torch.zeros({"image": 4, "audio": 8, "video": 24}[came.signal.modality], WIDTH)
    return Sent(Signal(came.signal.modality, came.signal.caption, states, states))


@pytest.mark.parametrize("path", ["signal", "caption"])
def test_media_are_decoded_and_looked_at(
    core: AnyToAny, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    truthful(monkeypatch)
    looked: list[Clip] = []
    monkeypatch.setattr(run, "look", lambda clip: looked.append(clip))
    rows = ("draw-pair", "play", "picture-to-film", "mix", "converse", "calculate")
    settings = Settings(cases=2, rows=rows, workers=0, batch=2, path=path)  # type: ignore[arg-type]
    outcome = run.evaluate(core, settings)
    assert outcome.complete and looked
    for name in rows:
        for found in outcome.verdicts[name]:
            assert found.order and found.words and found.captions is not False
            # Decoders that make noise draw nothing that a referee knows.
            assert found.right == (name == "calculate")
    cell = outcome.cells["draw-pair"][0]
    assert [label for label, _ in cell.media] == ["asked", "came"] and not cell.right


def test_the_referees_know_true_renders(core: AnyToAny) -> None:
    rows = ("referee-picture", "autoencoder-picture", "autoencoder-sound", "decoder-one")
    outcome = run.evaluate(core, Settings(cases=2, even=True, rows=rows, workers=0))
    assert all(found.right for found in outcome.verdicts["referee-picture"])
    assert all(len(outcome.verdicts[name]) == 2 for name in rows)


def test_words_only_decodes_nothing(core: AnyToAny, monkeypatch: pytest.MonkeyPatch) -> None:
    truthful(monkeypatch)
    monkeypatch.setattr(run, "decode", None)
    settings = Settings(cases=1, rows=("draw-one", "decoder-one"), media=False)
    outcome = run.evaluate(core, settings)
    assert list(outcome.verdicts) == ["draw-one"]
    assert outcome.verdicts["draw-one"][0].right


def test_an_interrupted_evaluation_writes_what_there_is(core: AnyToAny, tmp_path: Path) -> None:
    def tell(name: str, done: int, total: int) -> None:
        if name == "greet" and done:
            raise KeyboardInterrupt

    settings = Settings(cases=3, rows=("translate", "greet", "known-scenes"), workers=0, batch=2)
    outcome = run.evaluate(core, settings, tell)
    found = report.write(outcome, tmp_path, {"weights": "small"})
    assert not found["complete"]
    assert (found["rows"]["translate"]["count"], found["rows"]["greet"]["count"]) == (3, 2)
    assert "known-scenes" not in found["rows"]
    written = json.loads((tmp_path / "results.json").read_text())
    assert written == json.loads(json.dumps(found))
    assert "stopped" in (tmp_path / "index.html").read_text()


def test_the_command_writes_its_folder(
    core: AnyToAny, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    core.save_pretrained(tmp_path / "core")
    out = tmp_path / "out"
    asked = ["--weights", str(tmp_path / "core"), "--out", str(out), "--cases", "1", "--json"]
    with pytest.raises(SystemExit) as ended:
        main(["eval", *asked, "--rows", "describe-picture,referee-picture"])
    assert ended.value.code == 0
    shown = capsys.readouterr()
    found = json.loads(shown.out)
    assert found == json.loads((out / "results.json").read_text())
    assert found["rows"]["describe-picture"]["count"] == 1
    assert found["parts"]["referee-picture"]["share"] == 1
    assert "describe-picture: 1 cases" in shown.err
    table = (out / "table.md").read_text()
    assert "| picture described | 1 |" in table and "100.0 % (21–100)" in table
    assert json.loads((out / "confusions.json").read_text())["referee"]["background"]
    case = json.loads((out / "cases.jsonl").read_text().splitlines()[0])
    assert case["row"] == "describe-picture" and case["turns"][0]["asked"]
    with Pillow.open(out / "grids" / "referee-picture.png") as sheet:
        assert sheet.width > 200
    assert "referee-picture.png" in (out / "index.html").read_text()


def test_a_wrong_row_is_told_in_one_sentence(
    core: AnyToAny, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    core.save_pretrained(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(["eval", "--weights", str(tmp_path), "--out", str(tmp_path), "--rows", "nonsense"])
    assert ended.value.code == 2
    assert "no row 'nonsense'" in capsys.readouterr().err


def test_shown_media_go_through_files(core: AnyToAny) -> None:
    dialogue = sample(random.Random(3), tasks=["describe_both"])
    clips = clips_shown(dialogue)
    assert len(clips[0]) == 2
    asked = []
    generate = core.generate

    def listening(conversations: list[list[object]], *rest: object) -> object:
        asked.extend(conversations)
        return generate(conversations, *rest)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(core, "generate", listening)
        answers(core, [dialogue], [clips])
    parts = asked[0][0].parts  # type: ignore[attr-defined]
    assert sum(isinstance(part, Media) for part in parts) == 2
    assert any(isinstance(part, Text) for part in parts)
