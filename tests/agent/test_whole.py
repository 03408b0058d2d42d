"""The whole assistant over a real, tiny core: what the scripted one can't show."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from heliograph.agent import Assistant, Settings
from heliograph.model.errors import WeightsError
from heliograph.model.media import Film, Image, Sound, save, write
from heliograph.model.parts import Media, Text, ToolCall

LINKS = str(Path(__file__).parents[2] / ".links")


@pytest.fixture
def assistant(tiny_core_dir: Path, tmp_path: Path) -> Assistant:
    return Assistant(Settings.of(home=tmp_path / "home", weights=tiny_core_dir, max_new_tokens=64))


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    clips: list[Any] = [
        Image(np.zeros((20, 20, 3), dtype=np.uint8)),
        Sound(np.zeros(8000, dtype=np.float32), 16000),
        Film(np.zeros((8, 16, 16, 3), dtype=np.uint8), 8.0),
    ]
    return [save(write(clip), tmp_path, f"file{i}") for i, clip in enumerate(clips)]


@pytest.mark.parametrize(
    ("question", "modality", "mime_type"),
    [
        ("draw a dog", "image", "image/png"),
        ("play a bell", "audio", "audio/wav"),
        ("film a cat", "video", "video/mp4"),
    ],
)
def test_each_modality_is_made(
    assistant: Assistant, question: str, modality: str, mime_type: str
) -> None:
    answer = assistant.invoke(question)
    (medium,) = answer.media
    assert (medium.modality, medium.mime_type) == (modality, mime_type)
    assert answer.failures == ()


def test_a_mixed_answer_keeps_its_order(assistant: Assistant) -> None:
    answer = assistant.invoke("draw and play")
    kinds = [part.modality if isinstance(part, Media) else type(part) for part in answer.parts]
    assert kinds == [Text, "image", Text, "audio", Text]


def test_a_tool_is_called(assistant: Assistant) -> None:
    answer = assistant.invoke("and 12 + 30?")
    assert answer.parts[0] == ToolCall("calculate", {"expression": "12 + 30"}, "42")
    assert answer.parts[1] == Text("it is 42")


def test_every_kind_of_file_is_read_and_remembered(
    assistant: Assistant, files: list[Path], tiny_core_dir: Path, tmp_path: Path
) -> None:
    assistant.invoke("what is this?", files=files, thread="t")
    assistant.invoke("and this?", files=files[:1], thread="t")
    assert len(list((tmp_path / "home" / "features").rglob("*.safetensors"))) == 3
    assert len(assistant.history("t")[0].parts) == 4


def test_the_decoders_can_be_conditioned_on_captions(assistant: Assistant) -> None:
    by_signal = assistant.invoke("draw a dog").media
    by_caption = assistant.invoke("draw a dog", condition="caption").media
    assert len(by_caption) == 1
    assert by_signal != by_caption


def test_weights_that_are_damaged_are_one_sentence(tiny_core_dir: Path, tmp_path: Path) -> None:
    weights = tmp_path / "weights"
    subprocess.run(["cp", "-r", str(tiny_core_dir), str(weights)], check=True)
    path = weights / "projections.safetensors"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(WeightsError):
        Assistant(Settings.of(home=tmp_path / "home", weights=weights)).invoke("draw a dog")


def test_the_command_asks_in_a_process_of_its_own(
    tiny_core_dir: Path, tmp_path: Path, files: list[Path]
) -> None:
    code = "from heliograph.agent.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "ask", "draw a dog", "--json", "--out", "out"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={
            **os.environ,
            "PYTHONPATH": LINKS,
            "HELIOGRAPH_HOME": str(tmp_path / "home"),
            "HELIOGRAPH_WEIGHTS": str(tiny_core_dir),
        },
    )
    assert (done.returncode, done.stderr) == (0, "")
    answer = json.loads(done.stdout)
    assert [part["type"] for part in answer["parts"]] == ["text", "image", "text"]
    assert (tmp_path / answer["parts"][1]["path"]).is_file()
