"""What is told of a core, and that nothing has to be loaded for it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from heliograph.model.checkpoint import read_json, write_json
from heliograph.model.core import AnyToAny
from heliograph.model.errors import WeightsError
from heliograph.model.inspect import Inspection, Part, inspect
from heliograph.model.needs import needs
from heliograph.model.training.alignment.run import train
from heliograph.model.training.alignment.settings import Settings


def named(found: Inspection) -> dict[str, Part]:
    return {part.part: part for part in found.parts}


def test_parts_shapes_and_sizes_are_those_of_the_loaded_core(
    composed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(torch.nn.Module, "load_state_dict", None)  # what loads models
        found = inspect(composed)
    parts = named(found)
    core = AnyToAny.from_pretrained(composed)
    assert (found.sees, found.makes, found.signals) == (
        core.sees,
        core.makes,
        {"image": 4, "audio": 8},
    )
    assert set(parts) == {
        *("language", "encoders/clip", "encoders/clap", "decoders/image", "decoders/audio"),
        *("inputs.image", "inputs.video", "inputs.audio", "outputs.image", "outputs.audio"),
    }
    for side, modules in (("inputs", core.inputs), ("outputs", core.outputs)):
        for name, module in modules.items():
            count = sum(p.numel() for p in module.parameters())
            assert parts[f"{side}.{name}"].parameters == count
    clip = sum(p.numel() for p in core.encoder("image").parameters())  # type: ignore[attr-defined]
    assert parts["encoders/clip"].parameters == clip
    assert parts["encoders/clip"].shape == "image to 16x16, video to 64x16"
    assert parts["inputs.video"].shape == "64x16 to 3x48"
    assert parts["outputs.audio"].shape == "8x48 to prompt_embeds 6x16"
    assert parts["decoders/image"].kind == "StableDiffusionPipeline"
    assert parts["language"].kind == "LlamaForCausalLM"
    assert parts["language"].licence == "apache-2.0" and parts["encoders/clip"].licence is None
    assert parts["language"].referenced and parts["language"].dtype == "F16"


def test_what_is_fresh_becomes_aligned_by_training_alone(composed: Path, tmp_path: Path) -> None:
    states = {name: part.state for name, part in named(inspect(composed)).items()}
    assert states["language"] == "fresh rows" and states["decoders/image"] == "frozen"
    assert {states[n] for n in states if n.startswith(("inputs.", "outputs."))} == {"fresh"}
    core = AnyToAny.from_pretrained(composed)
    core.save_pretrained(tmp_path / "same")
    same = {name: part.state for name, part in named(inspect(tmp_path / "same")).items()}
    assert same == states
    with torch.no_grad():
        core.inputs["image"].queries += 0.1
        core.language.model.get_input_embeddings().weight[core.language.table.runs["image"][0]] += 1
    core.save_pretrained(tmp_path / "trained")
    trained = {name: part.state for name, part in named(inspect(tmp_path / "trained")).items()}
    assert trained == states | {"inputs.image": "aligned", "language": "aligned"}


def test_a_copied_core_has_its_rows_inside(composing: Callable[..., Path]) -> None:
    core_dir = composing(copy=True)
    language = named(inspect(core_dir))["language"]
    assert (language.state, language.referenced) == ("fresh rows", False)


def test_an_adapter_is_told(composed: Path, tmp_path: Path) -> None:
    core = AnyToAny.from_pretrained(composed)
    core.language.add_lora(r=2)
    core.save_pretrained(tmp_path / "core")
    language = named(inspect(tmp_path / "core"))["language"]
    assert language.state == "aligned" and "LoRA" in language.shape


def test_the_core_that_was_not_composed_is_aligned(tiny_core_dir: Path) -> None:
    parts = named(inspect(tiny_core_dir))
    assert parts["inputs.image"].state == parts["language"].state == "aligned"
    assert parts["decoders/video"].kind == "AnimateDiffPipeline"
    assert {part.source for part in parts.values()} == {None}


def test_a_part_that_is_gone_or_changed_is_told_and_the_others_too(
    composing: Callable[..., Path], folders: Path, tmp_path: Path
) -> None:
    clip = tmp_path / "clip"
    shutil.copytree(folders / "clip", clip)
    core_dir = composing(encoders={"image": str(clip)})
    config = read_json(clip / "config.json")
    write_json(clip / "config.json", config | {"film_frames": 5})
    assert named(inspect(core_dir))["encoders/clip"].state == "frozen"
    changed = named(inspect(core_dir, verify=True))["encoders/clip"]
    assert changed.state == "missing" and "has changed" in str(changed.trouble)
    shutil.rmtree(clip)
    gone = named(inspect(core_dir))
    assert gone["encoders/clip"].parameters is None
    assert gone["inputs.image"].state == "fresh"


def test_a_model_that_is_given_for_a_core_is_told_so(folders: Path, tmp_path: Path) -> None:
    run = Settings("encode", folders / "llama", tmp_path / "rows.json", tmp_path, tmp_path / "run")
    for read in (inspect, needs, AnyToAny.from_pretrained, lambda core: train(run, quiet=True)):
        with pytest.raises(WeightsError, match="llama holds a llama, which is no core: .* compose"):
            read(folders / "llama")


def test_a_damaged_core_is_one_sentence(composed: Path, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="config.json is missing"):
        inspect(tmp_path)
    shutil.copytree(composed, tmp_path / "core")
    config = read_json(composed / "config.json")
    sources = {"language": {"id": "a/b", "revision": "main"}}  # a branch pins nothing
    write_json(tmp_path / "core" / "config.json", config | {"sources": sources})
    with pytest.raises(WeightsError, match="is not pinned"):
        inspect(tmp_path / "core")
    with pytest.raises(WeightsError, match="is not pinned"):
        AnyToAny.from_pretrained(tmp_path / "core")
    for name, size in (("tokens", "many"), ("tokens", -3), ("hidden", True), ("heads", None)):
        config["inputs"]["image"] |= {"tokens": 3, "hidden": 512, name: size}
        write_json(tmp_path / "core" / "config.json", config)
        for read in (inspect, AnyToAny.from_pretrained):
            with pytest.raises(WeightsError, match=f"{name} of inputs.image is {size!r}, which is"):
                read(tmp_path / "core")
    config["inputs"]["image"] |= {"heads": 4}
    config["outputs"]["image"] |= {"heads": 3}
    write_json(tmp_path / "core" / "config.json", config)
    with pytest.raises(WeightsError, match="sizes of a projection in .* don't fit each other"):
        AnyToAny.from_pretrained(tmp_path / "core")
