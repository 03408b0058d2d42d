"""Reading data sets: every layout, media in their place, and each bad row named."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heliograph.model.data import hub, rows, shards
from heliograph.model.data.checking import Found, check
from heliograph.model.data.examples import BadRow, Example
from heliograph.model.data.rows import Row
from heliograph.model.data.sets import DataSet, examples
from heliograph.model.errors import DataError, InputError, MissingExtra
from heliograph.model.media import DEFAULT_LIMITS, Image, MediaLimits, Sound, write
from heliograph.model.parts import Media, Message, Text

PNG = write(Image(np.full((8, 8, 3), 200, dtype=np.uint8))).data
WAV = write(Sound(np.zeros(800, dtype=np.float32), 16000)).data
Write = Callable[..., Path]
Tar = Callable[..., Path]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with some media in it."""
    for name in ("dog.jpg", "cat.jpg"):
        (tmp_path / name).write_bytes(PNG)
    (tmp_path / "bell.wav").write_bytes(WAV)
    return tmp_path


@pytest.fixture
def put(folder: Path) -> Write:
    """Writes rows to a file of JSON in the folder."""

    def put(*rows: Any, name: str = "rows.json", lines: bool = False) -> Path:
        text = "\n".join(map(json.dumps, rows)) if lines else json.dumps(rows, indent=2)
        (folder / name).write_text(text)
        return folder / name

    return put


def talk(*values: str) -> list[dict[str, str]]:
    """A conversation as published data sets write it."""
    return [{"from": ("human", "gpt")[i % 2], "value": value} for i, value in enumerate(values)]


def said(messages: Sequence[Message]) -> list[list[object]]:
    """Parts of messages, media as (modality, caption)."""
    return [
        [part.text if isinstance(part, Text) else (part.modality, part.caption) for part in m.parts]  # type: ignore[union-attr]
        for m in messages
    ]


def only(path: Path, **values: Any) -> Example:
    """The one example of a data set."""
    (example,) = examples(DataSet.of(path, **values))
    return example


# --- the published rows


def test_a_comprehension_pair_shows_its_medium_in_its_place(put: Write, folder: Path) -> None:
    row = {"input_audio": "bell.wav", "conversations": talk("<audio>\nWhat is it?", "A bell.")}
    example = only(put(row))
    assert said(example.messages) == [[("audio", None), "What is it?"], ["A bell."]]
    assert [file.path for file in example.shown] == [folder / "bell.wav"]
    assert example.task == "text + audio → text"
    media = example.loaded()[0].parts[0]
    assert isinstance(media, Media)
    assert (media.mime_type, media.data) == ("audio/wav", WAV)


def test_t2m_has_its_caption_file_and_embedding(put: Write, folder: Path) -> None:
    np.save(folder / "dog.jpg.npy", np.zeros((77, 8), dtype=np.float32))
    row = {
        "output_image": "dog.jpg",
        "image_captions": "a dog runs",
        "image_caption_embeddings": "dog.jpg.npy",
        "conversations": talk("Draw a dog.", "Here it is: <image>"),
    }
    example = only(put(row))
    assert said(example.messages) == [["Draw a dog."], ["Here it is: ", ("image", "a dog runs")]]
    (made,) = example.made
    assert made.file is not None and made.file.path == folder / "dog.jpg"
    assert made.embedding == folder / "dog.jpg.npy"


def test_a_caption_alone_is_enough_for_what_is_made(put: Write) -> None:
    row = {"video_captions": ["a wave"], "conversations": talk("Film it.", "<video> There.")}
    example = only(put(row))
    assert said(example.messages)[1] == [("video", "a wave"), " There."]
    assert example.made[0].file is None and example.made[0].embedding is None


def test_mosit_keeps_what_the_user_shows(put: Write) -> None:
    row = {
        "input_image": ["dog.jpg"],
        "image_captions": ["a dog in snow"],
        "audio_captions": ["barking", "a howl"],
        "conversations": talk(
            "This is mine: <image> Nice?", "Yes. <audio>", "And in winter?", "<image><audio> So."
        ),
    }
    example = only(put(row))
    assert said(example.messages) == [
        ["This is mine: ", ("image", None), " Nice?"],
        ["Yes. ", ("audio", "barking")],
        ["And in winter?"],
        [("image", "a dog in snow"), ("audio", "a howl"), " So."],
    ]
    assert len(example.shown) == 1 and len(example.made) == 3


def test_raw_mosit_names_files_in_its_tags(put: Write, folder: Path) -> None:
    row = {
        "image_list": [
            {"image_name": "dog.jpg", "data_source": "x", "caption": "my dog"},
            {"image_name": "mosit_i_1.jpg", "data_source": "y", "caption": "a dog in snow"},
        ],
        "audio_list": [{"audio_name": "bell.wav", "caption": "a bell"}],
        "video_list": [],
        "conversation": talk(
            "Look: <Image>dog.jpg</Image> and hear <Audio>a bell</Audio>",
            "<Image>snowy dog</Image>So: <Image>mosit_i_1.jpg</Image> <Video>snow falls</Video>",
        ),
    }
    example = only(put(row))
    assert said(example.messages) == [
        ["Look: ", ("image", "my dog"), " and hear ", ("audio", "a bell")],
        ["So: ", ("image", "a dog in snow"), ("video", "snow falls")],
    ]
    assert [file.path for file in example.shown] == [folder / "dog.jpg", folder / "bell.wav"]


def test_a_turn_may_say_its_caption_itself(put: Write) -> None:
    turns = talk("Play a car.", "Listen.")
    turns[1] |= {"caption": "an engine", "output_modality": "audio"}
    assert said(only(put({"conversations": turns})).messages)[1] == [
        "Listen.",
        ("audio", "an engine"),
    ]


def test_llava_rows_with_and_without_a_picture(put: Write) -> None:
    shown = {"id": "1", "image": "dog.jpg", "conversations": talk("What?\n<image>", "A dog.")}
    text = {"id": "2", "conversations": talk("What is 1+1?", "2")}
    first, second = examples(DataSet.of(put(shown, text)))
    assert said(first.messages)[0] == ["What?", ("image", None)]
    assert said(second.messages) == [["What is 1+1?"], ["2"]]
    assert second.task == "text → text"


def test_a_medium_without_a_place_comes_before_the_first_question(put: Write) -> None:
    row = {"image_name": "dog.jpg", "conversation": talk("What?", "A dog.")}
    assert said(only(put(row)).messages)[0] == [("image", None), "What?"]


def test_pairs_are_described_or_made(put: Write) -> None:
    path = put({"caption": "a dog", "image_name": "dog.jpg"})
    described = only(path)
    assert described.messages[0].parts[0] == Media("image", "", b"", "a dog")
    assert said(described.messages)[1] == ["a dog"]
    made = only(path, pairs="make", prompts=("Now {caption} {x}!",))
    assert said(made.messages) == [["Now a dog {x}!"], [("image", "a dog")]]
    assert not made.shown and made.made[0].file is not None


def test_each_data_set_has_media_roots_of_its_own(put: Write, folder: Path) -> None:
    (folder / "a").mkdir()
    (folder / "a" / "1.jpg").write_bytes(PNG)
    (folder / "b").mkdir()
    (folder / "b" / "1.jpg").write_bytes(WAV)
    path = put({"caption": "a dog", "image_name": "1.jpg"})
    assert only(path, root=folder / "a").shown[0].path == folder / "a" / "1.jpg"
    assert only(path, roots={"image": folder / "b"}).shown[0].path == folder / "b" / "1.jpg"


def test_a_root_may_be_relative(put: Write, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put({"caption": "a dog", "image_name": "dog.jpg"})
    monkeypatch.chdir(folder)
    assert only(Path("rows.json")).shown[0].bytes() == PNG


# --- bad rows

BAD: list[tuple[dict[str, Any], str]] = [
    ({"image_name": "fish.jpg", "caption": "a fish"}, "There is no file"),
    ({"image_name": "../dog.jpg", "caption": "a dog"}, "leads out of"),
    ({"image_name": "/etc/passwd", "caption": "a dog"}, "leads out of"),
    ({"image_name": "d\0g", "caption": "a dog"}, "no file"),
    ({"image_name": "dog.jpg", "caption": " "}, "caption is empty"),
    ({"image_name": "dog.jpg", "caption": "\ud800"}, "no valid text"),
    ({"image_name": ["dog.jpg", 3], "caption": "a dog"}, "list of strings"),
    ({"caption": "a dog"}, "neither conversations nor"),
    ({"conversations": []}, "not a list of turns"),
    ({"conversations": talk("Hi.")}, "question and answer"),
    ({"conversations": [*talk("Hi.", "Ho."), *talk("Hi.", "Ho.")][:3]}, "question and answer"),
    ({"conversations": [{"from": "dog", "value": "Woof."}]}, "Turn 1 lacks"),
    ({"conversations": talk("Hi.", "")}, "Turn 2 is empty"),
    ({"conversations": talk("<image> What?", "A dog.")}, "of which no file is named"),
    ({"conversations": talk("Draw.", "<image>")}, "without a caption"),
    (
        {"input_image": ["dog.jpg", "cat.jpg"], "conversations": talk("<image>?", "A dog.")},
        "names 1 more picture than",
    ),
    (
        {"audio_captions": ["a", "b"], "conversations": talk("Play.", "<audio>")},
        "names 1 more sound than",
    ),
    (
        {
            "output_image": ["dog.jpg", "cat.jpg"],
            "image_captions": "a dog",
            "conversations": talk("Draw.", "<image>"),
        },
        'has 1 more in "output_image" than its conversation makes pictures',
    ),
    (
        {
            "audio_captions": "a bell",
            "audio_caption_embeddings": ["a.npy", "b.npy", "c.npy"],
            "conversations": talk("Play.", "<audio>"),
        },
        'has 2 more in "audio_caption_embeddings" than its conversation makes sounds',
    ),
    (
        {"image_captions": "a dog \ud800", "conversations": talk("Draw.", "<image>")},
        "no valid text",
    ),
    (
        {
            "conversations": [
                *talk("Draw."),
                {
                    "from": "gpt",
                    "value": "Here.",
                    "output_modality": "image",
                    "caption": "\udfff",
                },
            ]
        },
        "no valid text",
    ),
    *(
        (
            {
                "image_list": [{"image_name": "dog.jpg", "caption": "a \ud800"}],
                "conversation": talk(*turns),
            },
            "no valid text",
        )
        for turns in (("<image>dog.jpg</image>?", "A dog."), ("Draw.", "<image>dog.jpg</image>"))
    ),
    ({"image_list": ["dog.jpg"], "conversation": talk("Hi.", "Ho.")}, "not a list of named files"),
]


@pytest.mark.parametrize(("row", "reason"), BAD, ids=[reason for _, reason in BAD])
def test_a_bad_row_is_named_and_the_others_are_read(
    put: Write, row: dict[str, Any], reason: str
) -> None:
    good = {"conversations": talk("Hi.", "Ho.")}
    path = put(good, row, good, lines=True)
    bad: list[BadRow] = []
    assert len(list(examples(DataSet.of(path), bad.append))) == 2
    assert (bad[0].origin.index, bad[0].origin.line) == (1, 2)
    assert reason in bad[0].reason
    assert str(bad[0]).startswith(f"{path}, line 2: ")
    with pytest.raises(DataError, match="line 2"):
        list(examples(DataSet.of(path)))


def test_check_opens_media_and_embeddings(put: Write, folder: Path) -> None:
    (folder / "bad.jpg").write_bytes(PNG[:-9])
    (folder / "sound.jpg").write_bytes(WAV)
    np.save(folder / "pickled.npy", np.array([{}], dtype=object), allow_pickle=True)
    t2m = {"image_captions": "x", "conversations": talk("Draw.", "<image>")}
    path = put(
        {"image_name": "dog.jpg", "caption": "a dog"},
        {"image_name": "bad.jpg", "caption": "a dog"},
        {"image_name": "bad.jpg", "caption": "another dog"},
        {"image_name": "sound.jpg", "caption": "a dog"},
        {**t2m, "image_caption_embeddings": "pickled.npy"},
        t2m,
    )
    found = Found()
    bad = list(check(DataSet.of(path), found))
    assert (found.good, found.bad, found.without_file) == (2, 4, 1)
    assert [row.origin.index for row in bad] == [1, 2, 3, 4]
    assert "bad.jpg: the picture is cut short" in bad[0].reason
    assert bad[0].reason == bad[1].reason
    assert "should be a picture, but is a sound" in bad[2].reason
    assert "npy" in bad[3].reason
    quick = Found()
    assert list(check(DataSet.of(path), quick, decode=False)) == []


def test_what_is_no_data_set_is_one_sentence(folder: Path) -> None:
    with pytest.raises(DataError, match="There is no data set"):
        list(examples(DataSet.of(folder / "nothing.json")))
    with pytest.raises(DataError, match="neither tar shards nor"):
        list(examples(DataSet.of(folder)))
    with pytest.raises(InputError, match="pairs"):
        DataSet.of(folder, pairs="sing")


# --- JSON

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None, max_examples=60)
@given(
    values=st.lists(st.dictionaries(st.text(), JSON, max_size=3), max_size=6),
    indent=st.sampled_from([None, 0, 2]),
    ascii_only=st.booleans(),
    window=st.integers(1, 40),
)
def test_an_array_is_read_whatever_window_it_is_seen_through(
    tmp_path_factory: pytest.TempPathFactory,
    values: list[dict[str, Any]],
    indent: int | None,
    ascii_only: bool,
    window: int,
) -> None:
    path = tmp_path_factory.mktemp("json") / "x.json"
    text = json.dumps(values, indent=indent, ensure_ascii=ascii_only)
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rows, "_WINDOW", window)
        found = list(rows.rows(path))
    assert [row.value for row in found if isinstance(row, Row)] == values
    lines = text.splitlines() if indent == 2 and ascii_only else None
    for row in found if lines else []:
        assert row.origin.line is not None and lines is not None
        assert lines[row.origin.line - 1].startswith("  {")


def test_an_array_that_is_no_text_from_its_start_is_a_bad_row(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(b"[\x80")
    assert [type(row) for row in rows.rows(path)] == [BadRow]


@settings(deadline=None, max_examples=150)
@given(data=st.binary(max_size=60) | st.text('[]{},:"\\ \n1tn', max_size=40).map(str.encode))
def test_no_file_makes_the_reader_break(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    path = tmp_path_factory.mktemp("json") / "x.json"
    path.write_bytes(data)
    for row in rows.rows(path):
        assert isinstance(row, Row | BadRow)


def broken(path: Path) -> tuple[int, BadRow]:
    *good, bad = rows.rows(path)
    assert isinstance(bad, BadRow)
    return len(good), bad


def test_a_broken_array_is_read_up_to_the_break(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text('[\n{"a": 1},\n{"a": 2}\n{"a": 3}]')
    count, bad = broken(path)
    assert (count, bad.origin.line) == (2, 4)
    assert "comma" in bad.reason and "rest" in bad.reason
    path.write_text('[{"a": 1},\n{"a": "2')
    assert broken(path)[0] == 1
    path.write_text('[{"a": 1}, ' + "[" * 100_000)
    assert "nested" in broken(path)[1].reason


def test_a_row_has_a_bounded_length(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "MAX_ROW", 1000)
    monkeypatch.setattr(rows, "_WINDOW", 100)
    path = tmp_path / "x.json"
    path.write_text('[{"a": "' + "x" * 5000 + '"}]')
    assert "longer than" in broken(path)[1].reason
    path.write_text('{"a": 1}\n{"a": "' + "x" * 5000 + '"}\n{"a": 3}\n')
    first, second, third = rows.rows(path)
    assert isinstance(second, BadRow) and "longer than" in second.reason
    assert isinstance(third, Row) and third.value == {"a": 3} and third.origin.line == 3


def test_one_broken_line_loses_one_row(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"a": 1}\n\n{"a": \n[]\n\xff\n{"a": 2}')
    found = list(rows.rows(path))
    assert [isinstance(row, Row) for row in found] == [True, False, False, False, True]
    assert [row.origin.line for row in found] == [1, 3, 4, 5, 6]


# --- tar shards


@pytest.mark.parametrize(("name", "mode"), [("a.tar", "w"), ("a.tar.gz", "w:gz")])
def test_shards_of_a_folder_are_read_in_order(
    tar: Tar, tmp_path: Path, name: str, mode: str
) -> None:
    first = [("x/1.jpg", PNG), ("x/1.txt", b"a dog"), ("x/1.json", b"{}"), ("x/2.wav", WAV)]
    tar(tmp_path / name, [*first, ("x/2.json", b'{"caption": ["a bell", "ringing"]}')], mode)
    tar(tmp_path / "b.tar", [("3.png", PNG), ("3.txt", b"a cat"), ("3.cls", b"7")])
    found = list(examples(DataSet.of(tmp_path)))
    assert [example.messages[1].text for example in found] == [
        "a dog",
        "a bell",
        "ringing",
        "a cat",
    ]
    assert [example.task for example in found[:2]] == ["text + image → text", "text + audio → text"]
    assert found[0].loaded()[0].parts[0].sha256 == Media("image", "", PNG).sha256  # type: ignore[union-attr]
    assert str(found[0].origin) == f"{tmp_path / name}, x/1"


def test_a_shard_that_is_none_does_not_end_a_folder(tar: Tar, tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(b"")  # a download that broke off
    tar(tmp_path / "b.tar", [("3.png", PNG), ("3.txt", b"a cat")])
    found = Found()
    (bad,) = check(DataSet.of(tmp_path), found)
    assert (found.good, found.bad) == (1, 1)
    assert "a.tar is no tar archive that can be read" in bad.reason


def test_bad_samples_of_a_shard_are_named(tar: Tar, tmp_path: Path) -> None:
    link = tarfile.TarInfo("4.jpg")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    path = tar(
        tmp_path / "a.tar",
        [
            ("1.jpg", PNG),
            ("2.txt", b"words"),
            ("3.jpg", b"nothing"),
            ("3.txt", b"x"),
            ("5.jpg", PNG * 20),
            ("5.txt", b"large"),
            ("6.jpg", PNG),
            ("6.txt", b"good"),
        ],
    )
    with tarfile.open(path, "a") as archive:
        archive.addfile(link)
    bad: list[BadRow] = []
    limits = MediaLimits(max_bytes=len(PNG) * 10)
    (good,) = examples(DataSet.of(path), bad.append, limits)
    assert good.messages[1].text == "good"
    reasons = ["no caption", "no media", "can be read", "bytes; at most", "not an ordinary file"]
    for row, reason in zip(bad, reasons, strict=True):
        assert reason in row.reason


def test_a_shard_that_is_cut_or_lies_about_a_length_ends_in_a_sentence(
    tar: Tar, tmp_path: Path
) -> None:
    whole = tar(tmp_path / "a.tar", [("1.jpg", PNG), ("1.txt", b"x"), ("2.jpg", PNG * 9)])
    cut = tmp_path / "cut.tar"
    cut.write_bytes(whole.read_bytes()[:2600])
    bad: list[BadRow] = []
    assert len(list(examples(DataSet.of(cut), bad.append))) == 1
    assert "damaged or cut short" in bad[0].reason
    header = tarfile.TarInfo("x")
    header.type, header.size = tarfile.XHDTYPE, 2**35
    (tmp_path / "lie.tar").write_bytes(header.tobuf() + bytes(1024))
    (tmp_path / "no.tar").write_bytes(b"words" * 1000)
    for name in ("lie.tar", "no.tar"):
        with pytest.raises(DataError, match=name):
            list(examples(DataSet.of(tmp_path / name)))


@settings(deadline=None, max_examples=60)
@given(at=st.integers(0, 4000), to=st.integers(0, 255))
def test_a_damaged_shard_never_breaks_the_reader(
    tar: Tar, tmp_path_factory: pytest.TempPathFactory, at: int, to: int
) -> None:
    path = tar(tmp_path_factory.mktemp("tar") / "a.tar", [("1.jpg", PNG), ("1.txt", b"x")])
    data = bytearray(path.read_bytes())
    data[at % len(data)] = to
    path.write_bytes(data)
    try:
        list(shards.examples(path, DataSet.of(path).style(), DEFAULT_LIMITS))
    except DataError:
        pass


# --- directories of datasets


def pictures(folder: Path) -> Any:
    datasets = pytest.importorskip("datasets")
    features = datasets.Features({"image": datasets.Image(), "text": datasets.Value("string")})
    held = {
        "image": [{"bytes": PNG, "path": None}, {"bytes": None, "path": "dog.jpg"}, None],
        "text": ["a dog", "the same", "nothing"],
    }
    return datasets.Dataset.from_dict(held, features=features)


def test_a_saved_directory_of_datasets(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)  # the library looks for files there
    pictures(folder).save_to_disk(folder / "saved")
    bad: list[BadRow] = []
    found = list(examples(DataSet.of(folder / "saved", root=folder), bad.append))
    assert [example.messages[1].text for example in found] == ["a dog", "the same"]
    assert found[0].shown[0].bytes() == found[1].shown[0].bytes() == PNG
    assert [row.origin.index for row in bad] == [2]


def test_a_path_in_a_directory_of_datasets_stays_below_the_root(folder: Path) -> None:
    datasets = pytest.importorskip("datasets")
    held = {"image": ["/etc/hostname"], "caption": ["a host"]}
    datasets.Dataset.from_dict(held).save_to_disk(folder / "saved")
    with pytest.raises(DataError, match="leads out of"):
        list(examples(DataSet.of(folder / "saved")))


def test_a_folder_of_parquet_is_streamed_split_by_split(folder: Path) -> None:
    out = folder / "parquet" / "data"
    out.mkdir(parents=True)
    pictures(folder).select([0]).to_parquet(out / "train-00000-of-00001.parquet")
    pictures(folder).select([0, 0]).to_parquet(out / "test-00000-of-00001.parquet")
    assert len(list(examples(DataSet.of(folder / "parquet")))) == 1
    assert len(list(examples(DataSet.of(folder / "parquet", split="test")))) == 2
    with pytest.raises(DataError, match="no split 'dev'"):
        list(examples(DataSet.of(folder / "parquet", split="dev")))


def test_a_damaged_parquet_is_read_up_to_the_damage(folder: Path) -> None:
    out = folder / "parquet"
    out.mkdir()
    parquet, arrow = pytest.importorskip("pyarrow.parquet"), pytest.importorskip("pyarrow")
    held = {"image": [{"bytes": PNG}] * 400, "caption": [f"dog {i}" for i in range(400)]}
    path = out / "train.parquet"
    plain = {"row_group_size": 50, "compression": "none", "use_dictionary": False}
    parquet.write_table(arrow.table(held), path, **plain)
    data = bytearray(path.read_bytes())
    third, half = len(data) // 3, len(data) // 2
    data[third:half] = b"\xff" * (half - third)
    path.write_bytes(bytes(data))
    bad: list[BadRow] = []
    good = list(examples(DataSet.of(out), bad.append))
    assert len(good) < 400
    assert [row.origin.index for row in bad] == [len(good)]
    assert "damaged from this row on" in bad[0].reason


def test_a_caption_of_a_column_is_text(folder: Path) -> None:
    datasets = pytest.importorskip("datasets")
    held = {"image": [PNG, PNG], "captions": [["a dog", None], ["a cat"]]}
    datasets.Dataset.from_dict(held).save_to_disk(folder / "saved")
    bad: list[BadRow] = []
    (good,) = examples(DataSet.of(folder / "saved"), bad.append)
    assert good.messages[1].text == "a cat"
    assert [(row.origin.index, row.reason) for row in bad] == [
        (0, "One of the row's captions is no text.")
    ]


def test_columns_that_cannot_be_told_are_asked_for(folder: Path) -> None:
    datasets = pytest.importorskip("datasets")
    held = {"image": ["dog.jpg"], "alt": ["a dog"]}
    datasets.Dataset.from_dict(held).save_to_disk(folder / "saved")
    with pytest.raises(DataError, match="holds the text.*image, alt"):
        list(examples(DataSet.of(folder / "saved", root=folder)))
    (example,) = examples(DataSet.of(folder / "saved", root=folder, columns={"text": "alt"}))
    assert example.messages[1].text == "a dog"


def test_without_datasets_the_extra_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "x.parquet").write_bytes(b"")
    monkeypatch.setitem(__import__("sys").modules, "datasets", None)
    assert hub.is_directory(folder)
    with pytest.raises(MissingExtra, match=r"heliograph\[data\]"):
        list(examples(DataSet.of(folder)))
