"""A whole small core on disk, and data prepared for it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from heliograph.model.core import AnyToAny
from heliograph.model.data.preparing import prepare
from heliograph.model.data.sets import DataSet
from heliograph.model.decoders.testing import LENGTH, small_pictures, small_sounds
from heliograph.model.decoders.testing import WIDTH as CONDITION
from heliograph.model.encoders.small import imagebind
from heliograph.model.language import LanguageModel
from heliograph.model.media import Image, write
from heliograph.model.parts import Modality
from heliograph.model.projections import InputProjectionConfig, OutputProjection
from heliograph.model.testing import small_language
from heliograph.model.training.alignment.settings import Settings


@dataclass(frozen=True)
class World:
    """Where everything lies."""

    core: Path
    data: Path
    prepared: Path

    def settings(self, stage: str, out: Path, **values: Any) -> Settings:
        """A short run."""
        short: dict[str, Any] = {
            "steps": 4,
            "batch": 6,
            "at_once": 3,
            "learning_rate": 1e-2,
            "log_every": 1,
            "rank": 4,
        }
        data, prepared = values.pop("data", self.data), values.pop("prepared", self.prepared)
        return Settings(stage, self.core, data, prepared, out, **{**short, **values})


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A core that reads pictures and makes pictures and sounds, and twelve rows for it."""
    return world_of(small_language(tied=False, context=256), tmp_path_factory.mktemp("world"))


def world_of(language: LanguageModel, folder: Path) -> World:
    """The same with another language model."""
    torch.manual_seed(0)
    encoder = imagebind()
    width = language.width
    made: tuple[Modality, ...] = ("image", "audio")
    counts = {spec.modality: spec.count for spec in language.table.specs}
    AnyToAny.build(
        language,
        {
            "image": InputProjectionConfig(
                "resampler",
                encoder.width("image"),
                encoder.tokens("image"),
                width,
                tokens=3,
                hidden=16,
            ).build()
        },
        {m: OutputProjection(width, CONDITION, LENGTH, counts[m], 16, 1, 2, 32) for m in made},
        {"imagebind": encoder},
        {"image": small_pictures(), "audio": small_sounds()},
    ).save_pretrained(folder / "core")
    (folder / "rows.json").write_text(json.dumps(rows(folder)))
    prepare(folder / "core", folder / "prepared", [DataSet.of(folder / "rows.json")])
    return World(folder / "core", folder / "rows.json", folder / "prepared")


PROMPT = "you look, draw and play, as you are asked to"
"""Long enough to be run apart from what trains."""


def rows(folder: Path) -> list[dict[str, Any]]:
    """Pictures described, pictures and sounds made, a question about a picture answered by one."""

    def talk(question: str, answer: str) -> list[dict[str, str]]:
        spoken = [("system", PROMPT), ("human", question), ("gpt", answer)]
        return [{"from": who, "value": text} for who, text in spoken]

    for i in range(4):
        shade = Image(np.full((20, 20, 3), 60 * i, dtype=np.uint8))
        (folder / f"{i}.png").write_bytes(write(shade).data)
    described = [
        {"input_image": f"{i}.png", "conversations": talk("<image>\nwhat?", "a dog " * (1 + 2 * i))}
        for i in range(4)
    ]
    drawn = [
        {"conversations": talk(f"draw {i}", "so: <image>"), "image_captions": f"a cat {i}"}
        for i in range(3)
    ]
    played = [
        {"conversations": talk(f"play {i}", "<audio> done"), "audio_captions": f"a bell {i}"}
        for i in range(3)
    ]
    both = [
        {
            "input_image": f"{i}.png",
            "conversations": talk("<image>\nits sound?", "like this <audio>"),
            "audio_captions": f"a dog {i}",
        }
        for i in range(2)
    ]
    return [*described, *drawn, *played, *both]
