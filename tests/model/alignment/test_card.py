"""The model card: licences, where they come from, and the curve."""

from __future__ import annotations

import shutil
from pathlib import Path
from xml.etree import ElementTree

import pytest
from huggingface_hub import ModelCard

from heliograph.model.checkpoint import read_json, write_json
from heliograph.model.training.alignment.card import (
    LICENCES,
    UNSTATED,
    curve,
    drawing,
    licences,
    write_card,
)
from heliograph.model.training.alignment.settings import FILE, Settings

from .conftest import World


def test_licences_are_those_of_the_folders_unless_somebody_states_others(tmp_path: Path) -> None:
    core, before = tmp_path / "core", tmp_path / "before"
    for name in ("language", "encoders/clip", "decoders/image", "decoders/audio"):
        (core / name).mkdir(parents=True)
    before.mkdir()
    parts = {"encoders": {"clip": ["image"]}, "decoders": ["image", "audio"]}
    imported = {"path": "/x", "sha256": "0", "licence": "bsd-3-clause", "copied": True}
    write_json(core / "config.json", parts | {"sources": {"projections": imported}})
    (core / "language" / "README.md").write_text("---\ntags: [x]\nlicense: apache-2.0\n---\nText")
    (core / "encoders" / "clip" / "LICENSE").write_text("\nMIT License\n\nPermission …")
    (core / "decoders" / "image" / "README.md").write_text("license: in the text is not stated")
    write_json(before / LICENCES, {"decoders/image": "openrail", "language": UNSTATED})
    stated = (("decoders/audio", "CC-BY 4.0"),)
    settings = Settings("encode", before, tmp_path, tmp_path, tmp_path / "out", licences=stated)
    assert licences(core, settings) == {
        "language": "apache-2.0",
        "encoders/clip": "MIT License",
        "decoders/image": "openrail",
        "decoders/audio": "CC-BY 4.0",
        "projections": "bsd-3-clause",
    }
    fresh = Settings("encode", core, tmp_path, tmp_path, tmp_path / "out")
    assert licences(core, fresh)["decoders/image"] == UNSTATED


def test_the_curve_is_drawn_from_the_log(tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    log.write_text("step,seconds,loss,image\n10,1.0,3,nan\n20,2.0,1,0.5\n30,3.0,2,0.4\n")
    columns = curve(log)
    assert columns["loss"] == [3.0, 1.0, 2.0]
    lines = [e for e in ElementTree.fromstring(drawing(columns)).iter() if "points" in e.attrib]
    places = [tuple(map(float, point.split(","))) for point in lines[0].attrib["points"].split()]
    assert [x for x, _ in places] == sorted(x for x, _ in places)
    assert places[0][1] < places[2][1] < places[1][1]  # the highest loss stands highest
    assert "polyline" not in drawing({})


@pytest.mark.parametrize(
    ("stated", "licence"),
    [((), "apache-2.0"), ((("language", "Apache-2.0"),), "apache-2.0")]
    + [((("encoders/imagebind", "CC BY-NC 4.0"),), "other")],
)
def test_a_hub_reads_the_card_of_a_trained_core(
    stated: tuple[tuple[str, str], ...], licence: str, world: World, tmp_path: Path
) -> None:
    core = tmp_path / "core"
    shutil.copytree(world.core, core)
    source = {"revision": "0" * 40, "licence": "apache-2.0", "copied": True}
    sources = {
        "language": {"id": "someone/llama", **source},
        "decoders/image": {"id": "other/pictures", **source},
    }
    write_json(core / "config.json", {**read_json(core / "config.json"), "sources": sources})
    settings = world.settings("encode", tmp_path, licences=stated)
    write_json(tmp_path / FILE, {"stage": "encode"})
    (tmp_path / "log.csv").write_text("step,seconds,loss\n1,1.0,2\n")
    write_card(settings, core, [], {})
    card = ModelCard.load(core / "README.md")  # as the hub reads it
    assert card.data.to_dict() == {
        "library_name": "heliograph",
        "pipeline_tag": "any-to-any",
        "license": licence,
        "base_model": ["someone/llama", "other/pictures"],
    }
    assert 'AnyToAny.from_pretrained("core")' in card.text
    assert "It reads pictures; it makes pictures, sounds." in card.text
    assert "## What trained" in card.text and "| language | " in card.text
