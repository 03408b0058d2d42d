"""Features and conditions computed once: what is stored and skipped, and what a kill leaves."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from heliograph.model.conditions import SEQUENCE
from heliograph.model.core import AnyToAny
from heliograph.model.data import examples as examples_module
from heliograph.model.data.examples import BadRow, MediaFile
from heliograph.model.data.fingerprints import Fingerprints
from heliograph.model.data.prepared import FileHashes, Prepared
from heliograph.model.data.preparing import PrepareOptions, Progress, prepare
from heliograph.model.data.sets import DataSet, examples
from heliograph.model.data.store import Shards, ShardWriter, writing
from heliograph.model.decoders import DiffusionDecoder, captions
from heliograph.model.decoders.captions import caption_encoder
from heliograph.model.errors import DataError, WeightsError
from heliograph.model.media import Film, Image, Sound, write
from heliograph.model.parts import Media
from heliograph.model.shelf import Shelf
from heliograph.model.training.stages import condition_loss

ROOT = Path(__file__).parents[3]
Tar = Callable[..., Path]


def picture(shade: int) -> bytes:
    return write(Image(np.full((20, 20, 3), shade, dtype=np.uint8))).data


@pytest.fixture
def data(tmp_path: Path) -> DataSet:
    """Five rows: three pictures of which two are the same file, a sound, and things to make."""
    for name, shade in (("a.png", 10), ("b.png", 200), ("a again.png", 10)):
        (tmp_path / name).write_bytes(picture(shade))
    wave = np.sin(np.arange(16000) / 20).astype(np.float32)
    (tmp_path / "s.wav").write_bytes(write(Sound(wave, 16000)).data)

    def shown(kind: str, name: str, answer: str, **more: Any) -> dict[str, Any]:
        turns = [{"from": "human", "value": f"<{kind}>\nwhat?"}, {"from": "gpt", "value": answer}]
        return {f"input_{kind}": name, "conversations": turns, **more}

    rows = [
        shown("image", "a.png", "a dog"),
        shown("image", "b.png", "like this: <image>", image_captions="a blue dog"),
        shown("image", "a again.png", "as before"),
        shown("audio", "s.wav", "<audio> and <video>", audio_captions="bell", video_captions="dog"),
        {"image_name": "b.png", "caption": "a blue dog"},
    ]
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    return DataSet.of(tmp_path / "rows.json")


@pytest.fixture
def core(tiny_core_dir: Path) -> AnyToAny:
    return AnyToAny.from_pretrained(tiny_core_dir)


def run(core: Path, out: Path, *data: DataSet, **options: Any) -> tuple[Progress, list[BadRow]]:
    bad: list[BadRow] = []
    return prepare(core, out, data, PrepareOptions(**options), bad=bad.append), bad


def test_what_is_stored_is_what_the_core_computes(
    data: DataSet, tiny_core_dir: Path, core: AnyToAny, tmp_path: Path
) -> None:
    done, bad = run(tiny_core_dir, tmp_path / "out", data, batch=2)
    assert (done.rows, done.media, done.captions, done.known, bad) == (5, 3, 3, 2, [])
    prepared = Prepared.open(tmp_path / "out", tiny_core_dir)
    for example in examples(data):
        for file in example.shown:
            media = file.load()
            stored = prepared.features(media.sha256)
            assert stored.dtype == torch.float16
            torch.testing.assert_close(stored.float(), core.encode(media), atol=5e-3, rtol=5e-3)
        for medium in example.media(made=True):
            assert medium.caption is not None
            encoded = core.decoder(medium.modality).encode_condition([medium.caption])
            condition = prepared.condition(medium.modality, medium.caption)
            assert condition.shapes == encoded.shapes
            for name, x in condition.tensors.items():
                torch.testing.assert_close(x, encoded[name], atol=5e-3, rtol=5e-3)


def test_float32_is_stored_exactly(
    data: DataSet, tiny_core_dir: Path, core: AnyToAny, tmp_path: Path
) -> None:
    run(tiny_core_dir, tmp_path / "out", data, half=False, batch=1)
    prepared = Prepared.open(tmp_path / "out", tiny_core_dir)
    encoded = core.decoder("image").encode_condition(["a blue dog"])
    assert torch.equal(prepared.condition("image", "a blue dog")[SEQUENCE], encoded[SEQUENCE])


def test_the_same_again_loads_nothing_and_computes_nothing(
    data: DataSet, tiny_core_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(tiny_core_dir, tmp_path / "out", data)
    before = sorted((tmp_path / "out").rglob("*.safetensors"))

    def refuse(*arguments: object) -> None:
        raise AssertionError("it was there already")

    monkeypatch.setattr(Shelf, "encoder", refuse)
    monkeypatch.setattr(captions, "caption_encoder", refuse)
    monkeypatch.setattr(examples_module, "read_bytes", refuse)
    done, _ = run(tiny_core_dir, tmp_path / "out", data)
    assert (done.media, done.captions, done.known) == (0, 0, 8)
    assert sorted((tmp_path / "out").rglob("*.safetensors")) == before


def test_text_encoders_of_one_decoder_are_there_at_a_time(
    data: DataSet, tiny_core_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[weakref.ref[Any]] = []

    def counted(folder: Path) -> DiffusionDecoder:
        assert [there() for there in loaded] == [None] * len(loaded)
        decoder = caption_encoder(folder)
        loaded.append(weakref.ref(decoder.pipeline.text_encoder))
        return decoder

    monkeypatch.setattr(captions, "caption_encoder", counted)
    done, _ = run(tiny_core_dir, tmp_path / "out", data, batch=1)
    # Films are made from the same text encoder as pictures.
    assert done.captions == 3 and len(loaded) == 2
    stored = Prepared.open(tmp_path / "out", tiny_core_dir).condition("video", "dog")
    whole = AnyToAny.from_pretrained(tiny_core_dir).decoder("video").encode_condition(["dog"])
    torch.testing.assert_close(stored[SEQUENCE], whole[SEQUENCE], atol=5e-3, rtol=5e-3)


def test_encoders_that_the_next_data_set_does_not_use_are_let_go(
    tiny_core_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    two = tmp_path / "two"
    shutil.copytree(tiny_core_dir, two)
    shutil.copytree(two / "encoders" / "imagebind", two / "encoders" / "ears")
    config = json.loads((two / "config.json").read_text())
    config["encoders"] = {"imagebind": ["image"], "ears": ["audio"]}
    (two / "config.json").write_text(json.dumps(config))
    (tmp_path / "a.png").write_bytes(picture(10))
    wave = np.sin(np.arange(16000) / 20).astype(np.float32)
    (tmp_path / "s.wav").write_bytes(write(Sound(wave, 16000)).data)
    sets = []
    for row in ({"image_name": "a.png"}, {"audio_name": "s.wav"}):
        (tmp_path / f"{len(sets)}.json").write_text(json.dumps([{**row, "caption": "dog"}]))
        sets.append(DataSet.of(tmp_path / f"{len(sets)}.json"))
    there: list[set[str]] = []
    load = Shelf.encoder

    def counted(shelf: Shelf, name: str, device: torch.device) -> Any:
        encoder = load(shelf, name, device)
        there.append({*shelf.loaded_encoders})
        return encoder

    monkeypatch.setattr(Shelf, "encoder", counted)
    done, bad = run(two, tmp_path / "out", *sets)
    assert done.media == 2 and bad == []
    assert {"imagebind"} in there and {"ears"} in there and {"imagebind", "ears"} not in there


def test_a_run_that_is_interrupted_keeps_what_it_computed(
    data: DataSet, tiny_core_dir: Path, tmp_path: Path
) -> None:
    def stop(progress: Progress) -> None:
        if progress.rows == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(tiny_core_dir, tmp_path / "out", [data], PrepareOptions(batch=1), stop)
    done, _ = run(tiny_core_dir, tmp_path / "out", data)
    assert (done.media, done.captions) == (1, 2)
    whole, _ = run(tiny_core_dir, tmp_path / "new", data)
    assert (whole.media, whole.captions) == (3, 3)


def test_a_bad_medium_is_named_and_the_rest_is_prepared(
    data: DataSet, tiny_core_dir: Path, tmp_path: Path
) -> None:
    (tmp_path / "b.png").write_bytes(picture(200)[:40])
    done, bad = run(tiny_core_dir, tmp_path / "out", data)
    assert (done.media, done.bad) == (2, 2)
    assert [row.origin.index for row in bad] == [1, 4]
    assert "cut short" in bad[0].reason


def test_a_caption_that_is_no_text_is_named_and_the_rest_is_prepared(
    data: DataSet, tiny_core_dir: Path, tmp_path: Path
) -> None:
    rows = json.loads(data.path.read_text())
    turns = [{"from": "human", "value": "Draw."}, {"from": "gpt", "value": "<image>"}]
    data.path.write_text(
        json.dumps([{"image_captions": "a \ud800", "conversations": turns}, *rows])
    )
    done, bad = run(tiny_core_dir, tmp_path / "out", data)
    assert (done.media, done.captions, done.bad) == (3, 3, 1)
    assert [(row.origin.line, row.reason) for row in bad] == [(1, "The caption is no valid text.")]


def test_what_the_core_has_no_part_for_is_left_out_and_told(
    data: DataSet, tiny_core_dir: Path, tmp_path: Path
) -> None:
    deaf = tmp_path / "deaf"
    shutil.copytree(tiny_core_dir, deaf)
    config = json.loads((deaf / "config.json").read_text())
    config["encoders"] = {name: ["image"] for name in config["encoders"]}
    config["decoders"].remove("video")
    (deaf / "config.json").write_text(json.dumps(config))
    done, bad = run(deaf, tmp_path / "out", data)
    assert bad == [] and done.media == 2
    assert done.notes() == [
        "1 sounds were left out: these weights can't read sounds.",
        "1 films were left out: these weights can't make films.",
    ]


def test_a_data_sets_own_embeddings_are_taken_where_asked(
    tiny_core_dir: Path, core: AnyToAny, tmp_path: Path
) -> None:
    shape = core.decoder("image").condition_shapes[SEQUENCE]
    given = np.arange(np.prod(shape), dtype=np.float32).reshape(shape) / 64
    np.save(tmp_path / "x.npy", given)
    np.save(tmp_path / "wrong.npy", given[:, :3])
    turns = [{"from": "human", "value": "Draw."}, {"from": "gpt", "value": "<image>"}]
    rows = [
        {"image_captions": c, "image_caption_embeddings": f"{c}.npy", "conversations": turns}
        for c in ("x", "wrong")
    ]
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    data = DataSet.of(tmp_path / "rows.json")
    _, bad = run(tiny_core_dir, tmp_path / "out", data, own_embeddings=True)
    assert len(bad) == 1 and "takes one of" in bad[0].reason
    stored = Prepared.open(tmp_path / "out", tiny_core_dir).condition("image", "x")
    assert torch.equal(stored[SEQUENCE][0], torch.from_numpy(given))


# --- as training reads it


def test_an_example_becomes_a_training_sample(
    data: DataSet, tiny_core_dir: Path, core: AnyToAny, tmp_path: Path
) -> None:
    run(tiny_core_dir, tmp_path / "out", data)
    prepared = Prepared.open(tmp_path / "out", tiny_core_dir)
    found = list(examples(data))
    samples = [prepared.sample(example) for example in found]
    assert [[m for m, _ in sample.features] for sample in samples] == [
        ["image"],
        ["image"],
        ["image"],
        ["audio"],
        ["image"],
    ]
    batch = core.collate(samples)
    outputs = core(batch)
    assert torch.isfinite(outputs.loss) and {"image", "audio", "video"} == set(outputs.stacked)
    by_shards = condition_loss(core, {m: prepared.conditioner(m) for m in core.makes})(outputs)
    by_decoders = condition_loss(core, {m: core.decoder(m) for m in core.makes})(outputs)
    assert set(by_shards) == set(by_decoders) == {"image", "audio", "video"}
    for modality, value in by_decoders.items():
        torch.testing.assert_close(by_shards[modality], value, atol=1e-3, rtol=1e-2)
    shapes = prepared.conditioner("image").condition_shapes
    assert shapes == core.decoder("image").condition_shapes


def test_what_was_not_prepared_is_one_sentence(
    data: DataSet, tiny_core_dir: Path, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="There is no prepared data"):
        Prepared.open(tmp_path / "out", tiny_core_dir)
    (tmp_path / "out").mkdir()
    prepared = Prepared.open(tmp_path / "out", tiny_core_dir)
    with pytest.raises(DataError, match=r"line 1: .* has no features.*heliograph data prepare"):
        prepared.sample(next(examples(data)))
    with pytest.raises(DataError, match="no image condition of the caption 'a dog'"):
        prepared.condition("image", "a dog")
    with pytest.raises(DataError, match="no audio conditions"):
        _ = prepared.conditioner("audio").condition_shapes


def test_media_of_a_shard_are_found_by_their_bytes(
    tar: Tar, tiny_core_dir: Path, tmp_path: Path
) -> None:
    frames = np.random.default_rng(0).integers(0, 255, (4, 16, 16, 3), dtype=np.uint8)
    film = write(Film(frames, 4.0)).data
    shard = tar(tmp_path / "a.tar", [("1.mp4", film), ("1.txt", b"noise")])
    run(tiny_core_dir, tmp_path / "out", DataSet.of(shard))
    prepared = Prepared.open(tmp_path / "out", tiny_core_dir)
    ((modality, _),) = prepared.sample(next(examples(DataSet.of(shard)))).features
    assert modality == "video"
    assert prepared.features(Media("video", "", film).sha256).shape[0] > 0


# --- which weights made it


def test_a_fingerprint_follows_the_weights_that_count(tiny_core_dir: Path, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(tiny_core_dir, moved)
    first = Fingerprints.of(tiny_core_dir)
    assert Fingerprints.of(moved) == first
    # Films share the text encoder of pictures, on which they are built.
    assert first.decoders["image"] == first.decoders["video"] != first.decoders["audio"]
    assert len(set(first.encoders.values())) == 1

    def touched(name: str) -> Fingerprints:
        path = moved / name
        data = path.read_bytes()
        path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
        return Fingerprints.of(moved)

    assert touched("decoders/image/unet/diffusion_pytorch_model.safetensors") == first
    assert touched("decoders/image/text_encoder/model.safetensors").encoders == first.encoders
    assert Fingerprints.of(moved).decoders["video"] != first.decoders["video"]
    assert touched("encoders/imagebind/model.safetensors").encoders != first.encoders
    (moved / "config.json").write_text("{}")
    with pytest.raises(WeightsError, match="lacks or misnames"):
        Fingerprints.of(moved)


def test_a_file_that_changed_is_hashed_again(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(picture(1))
    hashes = FileHashes(tmp_path)
    first = hashes.of(MediaFile("image", path))
    hashes.flush()
    with open(tmp_path / "files.jsonl", "ab") as file:
        file.write(b'{"path": "half')
    assert FileHashes(tmp_path).of(MediaFile("image", path)) == first
    path.write_bytes(picture(77))
    again = FileHashes(tmp_path)
    assert again.of(MediaFile("image", path)) == Media("image", "", picture(77)).sha256
    again.flush()
    lines = (tmp_path / "files.jsonl").read_text().splitlines()
    assert len([json.loads(line) for line in lines]) == 2


# --- shards


def key(number: int) -> str:
    return f"{number:064x}"


def test_a_shard_is_written_when_enough_has_gathered(tmp_path: Path) -> None:
    writer = ShardWriter(tmp_path, shard_bytes=100)
    for number in range(5):
        writer.add(key(number), {"x": torch.full((10,), float(number)), "y": torch.ones(1)})
    assert key(4) in writer and len(list(tmp_path.glob("*.safetensors"))) == 1
    assert key(4) not in Shards(tmp_path)
    writer.flush()
    writer.flush()
    stored = pickle.loads(pickle.dumps(Shards(tmp_path)))
    assert len(stored) == 5 and stored.get(key(9)) is None
    assert {name: x.tolist() for name, x in (stored.get(key(3)) or {}).items()} == {
        "x": [3.0] * 10,
        "y": [1.0],
    }


def test_a_shard_is_written_after_some_time_too(tmp_path: Path) -> None:
    writer = ShardWriter(tmp_path, seconds=0)
    writer.add(key(1), {"x": torch.ones(1)})
    assert key(1) in Shards(tmp_path)


def test_a_damaged_shard_is_named(tmp_path: Path) -> None:
    writer = ShardWriter(tmp_path)
    writer.add(key(1), {"x": torch.ones(100)})
    writer.flush()
    (path,) = tmp_path.glob("*.safetensors")
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(DataError, match=f"{path.name} is damaged: run `heliograph data prepare`"):
        Shards(tmp_path)


def test_what_damaged_shards_held_is_computed_again_and_told(
    tiny_core_dir: Path, data: DataSet, tmp_path: Path
) -> None:
    out = tmp_path / "prepared"
    before, _ = run(tiny_core_dir, out, data)
    shards = sorted(out.rglob("*.safetensors"))
    shards[0].write_bytes(shards[0].read_bytes()[:-9])
    save_file({"no key/x": torch.ones(1)}, shards[1])
    after, bad = run(tiny_core_dir, out, data)
    again = after.media + after.captions
    assert again > 0 and not bad
    assert after.known + again == before.known + before.media + before.captions
    aside = sorted(path.with_name(f"{path.name}.damaged") for path in shards[:2])
    assert sorted(after.damaged) == aside and all(path.is_file() for path in aside)
    assert {sentence for sentence in after.notes() if "damaged" in sentence} == {
        f"A damaged shard was set aside as {path}; what these data sets need of it was computed "
        "again."
        for path in aside
    }
    Prepared.open(out, tiny_core_dir)
    assert not run(tiny_core_dir, out, data)[0].damaged


def test_one_process_writes_at_a_time(tmp_path: Path) -> None:
    with writing(tmp_path):
        with pytest.raises(DataError, match="Another process"):
            with writing(tmp_path):
                pass
    with writing(tmp_path):
        pass


WRITER = """
import sys, torch
from pathlib import Path
from heliograph.model.data.store import ShardWriter, writing
folder = Path(sys.argv[1])
with writing(folder):
    writer = ShardWriter(folder / "s", shard_bytes=2_000_000)
    number = 0
    while True:
        writer.add(f"{number:064x}", {"x": torch.full((100_000,), float(number))})
        number += 1
"""


def test_a_killed_writer_leaves_only_whole_shards(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / ".links")}
    process = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], env=environment)
    try:
        until(lambda: len(list(tmp_path.rglob("*.safetensors"))) >= 3)
        # While a shard is being written, if one can be caught at it.
        until(lambda: bool(list(tmp_path.rglob(".*.tmp"))), seconds=2)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    stored = Shards(tmp_path / "s")
    assert len(stored) >= 15
    for number in range(len(stored)):
        tensors = stored.get(key(number))
        assert tensors is not None and bool((tensors["x"] == number).all())
    with writing(tmp_path):
        assert list(tmp_path.rglob(".*.tmp")) == []


def until(happened: Callable[[], bool], seconds: float = 60) -> None:
    ends = time.monotonic() + seconds
    while time.monotonic() < ends and not happened():
        time.sleep(0.001)
