from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from heliograph.model.conditions import SEQUENCE
from heliograph.model.decoders import DiffusionDecoder
from heliograph.model.decoders.outline import outline_decoder
from heliograph.model.decoders.testing import (
    FRAMES,
    LENGTH,
    SIDE,
    WIDTH,
    small_films,
    small_pictures,
    small_sounds,
    values,
)
from heliograph.model.errors import Cancelled, WeightsError
from heliograph.model.media import Film, Image, Sound
from heliograph.model.quiet import quiet
from heliograph.model.sources import content_hash

MODALITIES = ("image", "audio", "video")
CAPTIONS = ["a dog, blue background", "a bell, twice"]


@pytest.fixture(scope="module")
def decoders() -> dict[str, DiffusionDecoder]:
    pictures = small_pictures()
    return {"image": pictures, "audio": small_sounds(), "video": small_films(pictures)}


@pytest.mark.parametrize("modality", MODALITIES)
def test_it_makes_one_clip_for_each_row(
    decoders: dict[str, DiffusionDecoder], modality: str
) -> None:
    decoder = decoders[modality]
    assert decoder.modality == modality
    assert decoder.condition_shapes == {SEQUENCE: (LENGTH, WIDTH)}
    condition = decoder.encode_condition(CAPTIONS)
    assert len(condition) == 2 and condition.shapes == decoder.condition_shapes
    told: list[tuple[int, int]] = []
    clips = decoder.decode(
        condition, seeds=[1, 2], steps=3, progress=lambda i, n: told.append((i, n))
    )
    assert told == [(1, 3), (2, 3), (3, 3)]
    assert len(clips) == 2
    for clip in clips:
        match clip:
            case Image():
                assert clip.pixels.shape == (SIDE, SIDE, 3) and clip.pixels.dtype == np.uint8
            case Film():
                assert clip.frames.shape == (FRAMES, SIDE, SIDE, 3) and clip.fps == 8
            case Sound():
                assert clip.samples.shape == (32000,) and clip.rate == 16000
                assert np.abs(clip.samples).max() <= 1


@pytest.mark.parametrize("modality", MODALITIES)
def test_a_clip_depends_on_its_own_seed_and_condition_only(
    decoders: dict[str, DiffusionDecoder], modality: str
) -> None:
    decoder = decoders[modality]
    condition = decoder.encode_condition(CAPTIONS)
    row = condition.unstack()[1]
    together = decoder.decode(condition, seeds=[5, 6])
    alone = decoder.decode(row, seeds=[6])[0]
    other = decoder.decode(row, seeds=[7])[0]
    assert np.allclose(values(together[1]), values(alone), atol=2 if modality != "audio" else 0.02)
    assert np.abs(values(other) - values(alone)).mean() > 0.01
    again = decoder.decode(row, seeds=[6])[0]
    assert np.array_equal(values(again), values(alone))


def test_steps_and_guidance_are_settings_that_a_call_may_change(
    decoders: dict[str, DiffusionDecoder],
) -> None:
    decoder = decoders["image"]
    condition = decoder.encode_condition(CAPTIONS[:1])
    plain = values(decoder.decode(condition, seeds=[1])[0])
    changed = decoder.with_settings(steps=4, guidance=9.0)
    called = decoder.decode(condition, seeds=[1], steps=4, guidance=9.0)[0]
    assert np.array_equal(values(changed.decode(condition, seeds=[1])[0]), values(called))
    assert not np.array_equal(plain, values(called))
    assert decoder.settings.steps == 2


@pytest.mark.parametrize("modality", MODALITIES)
def test_cancelling_stops_at_the_next_step(
    decoders: dict[str, DiffusionDecoder], modality: str
) -> None:
    decoder = decoders[modality]
    done: list[int] = []
    with pytest.raises(Cancelled):
        decoder.decode(
            decoder.encode_condition(CAPTIONS[:1]),
            seeds=[1],
            steps=5,
            progress=lambda i, n: done.append(i),
            cancelled=lambda: len(done) == 2,
        )
    assert done == [1, 2]
    # And it can be used again.
    assert len(decoder.decode(decoder.encode_condition(CAPTIONS[:1]), seeds=[1])) == 1


def save(decoders: dict[str, DiffusionDecoder], folder: Path, dtype: torch.dtype) -> None:
    for modality, decoder in decoders.items():
        decoder.save_pretrained(folder / modality, dtype)


@pytest.fixture(scope="module")
def kept(decoders: dict[str, DiffusionDecoder], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All three saved in half precision; not to be changed."""
    folder = tmp_path_factory.mktemp("decoders")
    save(decoders, folder, torch.float16)
    return folder


@pytest.fixture
def saved(kept: Path, tmp_path: Path) -> Path:
    """A copy that may be changed."""
    return shutil.copytree(kept, tmp_path / "decoders")


@pytest.mark.parametrize("modality", MODALITIES)
def test_it_saves_and_loads(
    decoders: dict[str, DiffusionDecoder], modality: str, tmp_path: Path
) -> None:
    save(decoders, tmp_path, torch.float32)
    loaded = DiffusionDecoder.from_pretrained(tmp_path / modality)
    before = decoders[modality]
    assert loaded.settings == before.settings
    condition = before.encode_condition(CAPTIONS)
    torch.testing.assert_close(loaded.encode_condition(CAPTIONS)[SEQUENCE], condition[SEQUENCE])
    a, b = (decoder.decode(condition, seeds=[1, 2]) for decoder in (before, loaded))
    for x, y in zip(a, b, strict=True):
        assert np.allclose(values(x), values(y), atol=1 if modality != "audio" else 1e-3)


def test_half_precision_is_half_the_size_and_computes_in_single(
    decoders: dict[str, DiffusionDecoder], kept: Path, tmp_path: Path
) -> None:
    save(decoders, tmp_path, torch.float32)
    sizes = [
        sum(file.stat().st_size for file in folder.rglob("*.safetensors"))
        for folder in (tmp_path, kept)
    ]
    assert sizes[1] < 0.7 * sizes[0]
    loaded = DiffusionDecoder.from_pretrained(kept / "video")
    assert loaded.pipeline.unet.dtype == torch.float32
    assert decoders["video"].pipeline.unet.dtype == torch.float32  # untouched by the saving
    condition = decoders["video"].encode_condition(CAPTIONS[:1])
    a, b = (d.decode(condition, seeds=[1])[0] for d in (decoders["video"], loaded))
    assert np.abs(values(a) - values(b)).mean() < 10


def test_a_film_decoder_on_a_base_stores_only_what_the_base_lacks(kept: Path) -> None:
    assert {path.name for path in (kept / "video").iterdir()} == {
        "decoder.json",
        "motion_adapter",
        "scheduler",
    }


def test_loading_and_saving_leave_the_terminal_clean(
    decoders: dict[str, DiffusionDecoder],
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    save(decoders, tmp_path, torch.float16)
    for modality in MODALITIES:
        DiffusionDecoder.from_pretrained(tmp_path / modality)
    shown = capfd.readouterr()
    assert shown.out == shown.err == ""
    assert [record.getMessage() for record in caplog.records] == []


def test_quiet_leaves_the_libraries_as_they_were() -> None:
    from diffusers.utils import logging as theirs

    theirs.set_verbosity_info()
    try:
        with pytest.raises(KeyError), quiet("diffusers"), quiet():
            assert theirs.get_verbosity() == logging.ERROR
            assert not theirs.is_progress_bar_enabled()
            raise KeyError
        assert theirs.get_verbosity() == logging.INFO
        assert theirs.is_progress_bar_enabled()
    finally:
        theirs.set_verbosity_warning()


@pytest.mark.parametrize("modality", MODALITIES)
@pytest.mark.parametrize("damage", ["missing", "cut", "garbage", "config"])
def test_damaged_weights_are_told_in_one_sentence(saved: Path, modality: str, damage: str) -> None:
    weights = max((saved / modality).rglob("*.safetensors"), key=lambda f: f.stat().st_size)
    match damage:
        case "missing":
            weights.unlink()
        case "cut":
            weights.write_bytes(weights.read_bytes()[:-100])
        case "garbage":
            weights.write_bytes(b"nothing of the kind")
        case "config":
            (weights.parent / "config.json").write_text("{")
    with pytest.raises(WeightsError) as caught:
        DiffusionDecoder.from_pretrained(saved / modality)
    assert "\n" not in str(caught.value) and str(saved) in str(caught.value)


def test_a_base_that_is_not_there_is_a_weights_error(saved: Path) -> None:
    shutil.rmtree(saved / "image")
    with pytest.raises(WeightsError, match="image"):
        DiffusionDecoder.from_pretrained(saved / "video")


@pytest.mark.parametrize("base", ["video", "other", "..", "../..", "../image", "/", "", 3])
def test_a_base_is_another_decoder_beside_it_without_a_base(saved: Path, base: object) -> None:
    shutil.copytree(saved / "video", saved / "other")  # whose base is "image"
    file = saved / "video" / "decoder.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"base": base}))
    for reading in (DiffusionDecoder.from_pretrained, outline_decoder, content_hash):
        with pytest.raises(WeightsError, match="names the base .* another decoder beside it"):
            reading(saved / "video")


@pytest.mark.parametrize("file", ["decoder.json", "model_index.json"])
def test_a_class_without_a_recipe_is_refused_with_those_there_are(saved: Path, file: str) -> None:
    folder = saved / "image"
    entry = json.loads((folder / file).read_text())
    if file == "model_index.json":
        (folder / "decoder.json").unlink()  # a folder of diffusers' own
        entry["_class_name"] = "KandinskyPipeline"
    else:
        entry["class"] = "KandinskyPipeline"
    (folder / file).write_text(json.dumps(entry))
    with pytest.raises(WeightsError, match="KandinskyPipeline.*StableDiffusionPipeline"):
        DiffusionDecoder.from_pretrained(folder)


def test_a_setting_that_there_is_not_is_refused(saved: Path) -> None:
    file = saved / "audio" / "decoder.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "stps": 3}))
    with pytest.raises(WeightsError, match="stps"):
        DiffusionDecoder.from_pretrained(file.parent)


def test_a_folder_of_diffusers_own_loads_with_default_settings(saved: Path) -> None:
    (saved / "image" / "decoder.json").unlink()
    loaded = DiffusionDecoder.from_pretrained(saved / "image")
    assert loaded.modality == "image"
    assert loaded.settings.steps == 50


COLD = """
import sys
from pathlib import Path
from heliograph.model.decoders import DiffusionDecoder
for modality in ("image", "audio", "video"):
    DiffusionDecoder.from_pretrained(Path(sys.argv[1]) / modality)
"""


def test_loading_in_a_fresh_process_says_nothing(kept: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", COLD, str(kept)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == done.stderr == ""
