"""Runs of each stage on a core's directory: what changes, what is read, and what stops them."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from heliograph.model import machine
from heliograph.model.core import AnyToAny
from heliograph.model.data.examples import BadRow
from heliograph.model.data.fingerprints import Fingerprints
from heliograph.model.data.prepared import TOKENS, features_folder
from heliograph.model.data.preparing import prepare
from heliograph.model.data.sets import DataSet
from heliograph.model.data.store import ShardWriter
from heliograph.model.errors import DataError, InputError, MissingExtra, TrainingError
from heliograph.model.language import LanguageModel
from heliograph.model.parts import Media
from heliograph.model.prompts import Row
from heliograph.model.testing import CORPUS, small_family, small_language
from heliograph.model.tokenizer import train_tokenizer
from heliograph.model.training.alignment import memory
from heliograph.model.training.alignment import run as running
from heliograph.model.training.alignment.measure import measure
from heliograph.model.training.alignment.run import opened, train
from heliograph.model.training.alignment.settings import Settings
from heliograph.model.training.alignment.stream import packed
from heliograph.model.training.loop import trainable

from .conftest import World, rows, world_of

ROOT = Path(__file__).parents[3]
STAGES = ("encode", "decode", "instruct", "llava-align", "llava-instruct")


def tensors(core: Path) -> dict[str, Tensor]:
    """Everything in a core that a run could change, by file and name."""
    return {
        f"{path.relative_to(core)}:{name}": tensor
        for path in sorted(core.rglob("*.safetensors"))
        for name, tensor in load_file(path).items()
    }


def run(settings: Settings, **more: Any) -> Path:
    outcome, core = train(settings, device="cpu", quiet=True, **more)
    assert outcome.finished and core is not None
    return core


def losses(out: Path) -> list[tuple[str, str]]:
    with (out / "log.csv").open(newline="") as file:
        return [(row["step"], row["loss"]) for row in csv.DictReader(file)]


# --- what trains


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_trains_what_it_says_and_nothing_else(
    stage: str, world: World, tmp_path: Path
) -> None:
    before = tensors(world.core)
    made = run(world.settings(stage, tmp_path, length=120))
    after = tensors(made)
    changed = {n for n in before if not torch.equal(before[n], after[n])}
    inputs = {n for n in before if n.startswith("projections.safetensors:inputs.")}
    outputs = {n for n in before if n.startswith("projections.safetensors:outputs.")}
    matrices = {n for n in before if n.endswith(("embed_tokens.weight", "lm_head.weight"))}
    matrices = {n for n in matrices if n.startswith("language/")}
    expected: dict[str, set[str]] = {
        "encode": inputs,
        "decode": outputs | matrices,
        "instruct": inputs | outputs | matrices,
        "llava-align": inputs,
        "llava-instruct": inputs,
    }
    assert changed <= expected[stage]
    kinds = {n.split(":")[1].split(".")[0] for n in changed if n.startswith("projections")}
    assert kinds == {n.split(":")[1].split(".")[0] for n in expected[stage] - matrices}
    # Of the matrices only the rows of signal tokens; LoRA is there and is not nothing.
    core = AnyToAny.from_pretrained(made)
    names = core.language.dialect.tokens(core.language.table.specs)
    new = set(core.language.tokenizer.convert_tokens_to_ids(names))
    for name in changed & matrices:
        moved = (before[name] != after[name]).any(-1).nonzero().flatten().tolist()
        assert moved and set(moved) <= new
    assert core.language.has_lora == (stage in ("instruct", "llava-instruct"))
    lora = {n: x for n, x in after.items() if "lora_B" in n}
    assert all(float(x.abs().max()) > 0 for x in lora.values())
    assert bool(lora) == core.language.has_lora
    # The loss says that it was trained: it is finite, and the card is there.
    assert len(losses(tmp_path)) == 4
    card = (made / "README.md").read_text()
    assert "| language | not stated in its folder |" in card and "## Settings" in card
    modes = {path.stat().st_mode for path in made.rglob("*") if path.is_file()}
    assert len(modes) == 1  # who may read one file of a core may read all


def test_all_of_a_language_model_can_train(world: World, tmp_path: Path) -> None:
    before = tensors(world.core)
    after = tensors(run(world.settings("llava-instruct", tmp_path, full=True)))
    layers = [n for n in before if n.startswith("language/") and "mlp" in n]
    assert layers and not any(torch.equal(before[n], after[n]) for n in layers)


def test_a_second_stage_goes_on_with_the_lora_of_the_first(world: World, tmp_path: Path) -> None:
    first = run(world.settings("instruct", tmp_path / "a", licences=(("language", "MIT"),)))
    second = World(first, world.data, world.prepared)
    after = run(second.settings("instruct", tmp_path / "b", rank=9))
    one, two = tensors(first), tensors(after)
    lora = [n for n in one if "lora_B" in n]
    assert lora and set(one) == set(two)
    assert all(one[n].shape == two[n].shape and not torch.equal(one[n], two[n]) for n in lora)
    assert "| language | MIT |" in (after / "README.md").read_text()


@pytest.fixture(scope="module")
def halved(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A world whose language model is in bfloat16, as most published ones, and has a LoRA."""
    folder = tmp_path_factory.mktemp("halved")
    world = world_of(small_language(tied=False, context=256).to(torch.bfloat16), folder)
    made = run(world.settings("instruct", folder / "run", bf16=True))
    return World(made, world.data, world.prepared)


@pytest.mark.parametrize("bf16", [False, True])
@pytest.mark.parametrize("stage", ["encode", "decode"])
def test_what_does_not_train_is_not_rounded_to_the_language_model_s_precision(
    stage: str, bf16: bool, halved: World, tmp_path: Path
) -> None:
    before = tensors(halved.core)
    after = tensors(run(halved.settings(stage, tmp_path, bf16=bf16)))
    changed = {n.split(":")[1] for n in before if not torch.equal(before[n], after[n])}
    rows = ("model.embed_tokens.", "lm_head.") if stage == "decode" else ()
    trained = ("inputs.",) if stage == "encode" else ("outputs.", *rows)
    assert changed and all(name.startswith(trained) for name in changed)


@pytest.mark.parametrize("stage", ["encode", "instruct"])
def test_what_trains_begins_with_the_numbers_of_the_file_in_bfloat16_too(
    stage: str, halved: World, tmp_path: Path
) -> None:
    still = halved.settings(stage, tmp_path, bf16=True, learning_rate=0.0)
    before, after = tensors(halved.core), tensors(run(still))
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.fixture(scope="module")
def fused(tmp_path_factory: pytest.TempPathFactory) -> dict[str, World]:
    """Worlds of language models whose attention has one layer for queries, keys and values."""
    worlds = {}
    for family in ("GPTNeoX", "Phi3"):
        tokenizer = train_tokenizer(CORPUS * 10, 400)
        torch.manual_seed(0)
        language = LanguageModel(small_family(family, len(tokenizer), tied=False), tokenizer)
        worlds[family] = world_of(language, tmp_path_factory.mktemp(family))
    return worlds


@pytest.mark.parametrize(
    ("family", "given", "expected"),
    [
        ("GPTNeoX", (), {"query_key_value"}),
        ("GPTNeoX", ("query_key_value", "dense"), {"query_key_value", "dense"}),
        ("Phi3", ("qkv_proj", "o_proj"), {"qkv_proj", "o_proj"}),
    ],
)
def test_lora_is_on_the_attention_of_the_architecture(
    family: str,
    given: tuple[str, ...],
    expected: set[str],
    fused: dict[str, World],
    tmp_path: Path,
) -> None:
    world = fused[family]
    settings = world.settings("instruct", tmp_path / "a", pack=False, lora_targets=given)
    parts = memory.parts(settings)
    with opened(settings, "cpu") as made:
        trained = sum(p.numel() for p in trainable(made.modules).values())
    assert sum(part.trained for part in parts) == trained
    core = run(settings)
    lora = {n: x for n, x in tensors(core).items() if "lora_B" in n}
    assert {n.split(".")[-3] for n in lora} == expected
    assert len(lora) == 2 * len(expected)  # in each of two layers
    assert all(float(x.abs().max()) > 0 for x in lora.values())
    again = World(core, world.data, world.prepared)
    with pytest.raises(InputError, match="The core has LoRA on .*leave --lora-targets out"):
        memory.parts(again.settings("instruct", tmp_path / "b", lora_targets=("down_proj",)))


def test_attention_that_is_not_known_has_to_be_named(
    fused: dict[str, World], tmp_path: Path
) -> None:
    asked = "isn't known which layers of a phi3.*name them with --lora-targets; there are down_proj"
    with pytest.raises(InputError, match=asked):
        train(fused["Phi3"].settings("instruct", tmp_path), device="cpu", quiet=True)
    named = fused["Phi3"].settings("instruct", tmp_path, lora_targets=("qkv_proj", "query"))
    with pytest.raises(InputError, match="names query, which no linear layer of a phi3 is called"):
        train(named, device="cpu", quiet=True)
    with pytest.raises(InputError, match="No LoRA trains here"):
        fused["Phi3"].settings("encode", tmp_path, lora_targets=("qkv_proj",))


def test_new_rows_of_embedding_and_head_survive_save_and_load(world: World, tmp_path: Path) -> None:
    core = AnyToAny.from_pretrained(run(world.settings("decode", tmp_path, steps=8)))
    kept = load_file(tmp_path / "last.safetensors")
    names = core.language.dialect.tokens(core.language.table.specs)
    ids = sorted(core.language.tokenizer.convert_tokens_to_ids(names))
    for matrix, name in (
        (core.language.model.get_input_embeddings(), "embedding"),
        (core.language.model.get_output_embeddings(), "head"),
    ):
        trained = kept[f"parameter/rows.{name}"]
        torch.testing.assert_close(matrix.weight[ids], trained, atol=2e-3, rtol=2e-3)
        start = AnyToAny.from_pretrained(world.core).language.model.get_input_embeddings()
        assert not torch.allclose(trained, start.weight[ids], atol=5e-3)


# --- the same step, however it is computed


def gradients(settings: Settings) -> tuple[float, dict[str, Tensor]]:
    with opened(settings, "cpu") as made:
        found = made.steps(made.stream(0), torch.Generator().manual_seed(0))
        found["loss"].backward()
        parameters = trainable(made.modules).items()
        return float(found["loss"].detach()), {
            n: p.grad.clone() for n, p in parameters if p.grad is not None
        }


@pytest.mark.parametrize("stage", ["encode", "decode", "instruct"])
def test_a_step_is_the_same_in_pieces_packed_cut_or_computed_twice(
    stage: str, world: World, tmp_path: Path
) -> None:
    plain = {"at_once": 6, "pack": False, "cut": False}
    # Packing draws a step's samples from the same ones in another order: the whole group is one.
    whole, wanted = gradients(world.settings(stage, tmp_path, **plain))
    ways: list[dict[str, Any]] = [
        {**plain, "at_once": 1},
        {**plain, "at_once": 4},
        {**plain, "checkpointing": True},
        {**plain, "cut": True, "at_once": 2},
        {**plain, "cut": True, "at_once": 3, "checkpointing": True},
    ]
    for way in ways:
        loss, found = gradients(world.settings(stage, tmp_path, **way))
        assert loss == pytest.approx(whole, rel=1e-5)
        assert set(found) == set(wanted)
        for name in wanted:
            torch.testing.assert_close(found[name], wanted[name], rtol=1e-3, atol=1e-6)
    assert any(float(x.abs().sum()) > 0 for x in wanted.values())


def test_bfloat16_comes_close_and_trains_in_float32(world: World, tmp_path: Path) -> None:
    whole, _ = gradients(world.settings("instruct", tmp_path))
    with opened(world.settings("instruct", tmp_path, bf16=True), "cpu") as made:
        found = made.steps(made.stream(0), torch.Generator().manual_seed(0))
        found["loss"].backward()
        assert float(found["loss"].detach()) == pytest.approx(whole, rel=0.03)
        trained = trainable(made.modules).values()
        assert {p.dtype for p in trained} == {torch.float32}
        assert all(bool(p.grad.isfinite().all()) for p in trained if p.grad is not None)
        frozen = [p for p in made.core.language.parameters() if not p.requires_grad]
        assert {p.dtype for p in frozen} == {torch.bfloat16}


def test_rows_are_packed_as_far_as_it_pays() -> None:
    """A wide model's rows hold the least padding, a narrow one's the least attention."""
    rows = [Row(ids=[0] * length) for length in (60, 50, 50, 40)]

    def lengths(limit: int, layer: float) -> list[int]:
        bins = packed(rows, limit, layer)
        assert sorted(id(row) for bin in bins for row in bin) == sorted(map(id, rows))
        return [sum(len(row.ids) for row in bin) for bin in bins]

    assert lengths(256, 1e6) == [100, 100]
    assert lengths(99, 1e6) == lengths(256, 0.0) == [60, 50, 50, 40]


def test_packing_keeps_every_sample(world: World, tmp_path: Path) -> None:
    def seen(pack: bool) -> tuple[int, int]:
        with opened(world.settings("instruct", tmp_path, pack=pack, at_once=6), "cpu") as made:
            pieces = [piece for step in range(8) for piece in made.stream(step).pieces]
            assert any(piece.positions is not None for piece in pieces) == pack
            return sum(int(p.mask.sum()) for p in pieces), sum(len(p.targets) for p in pieces)

    assert seen(True) == seen(False)


def test_batches_are_by_length_where_they_are_not_packed(world: World, tmp_path: Path) -> None:
    with opened(world.settings("instruct", tmp_path, pack=False, batch=2), "cpu") as made:
        lengths = [made.stream(s).pieces[0].mask.sum(1).tolist() for s in range(8)]
    spread = [max(x) - min(x) for x in lengths]
    assert sum(spread) / 8 < (max(map(max, lengths)) - min(map(min, lengths))) / 3


def test_only_answers_are_learned(world: World, tmp_path: Path) -> None:
    with opened(world.settings("llava-instruct", tmp_path, batch=4), "cpu") as made:
        for step in range(3):
            for piece in made.stream(step).pieces:
                decode = made.core.language.tokenizer.decode
                learned, whole = decode(piece.targets), decode(piece.ids.flatten())
                assert "what?" in whole and "what?" not in learned
                assert whole.count("dog") == learned.count("dog") > 0


def test_the_condition_loss_reads_the_run_behind_a_picture(world: World, tmp_path: Path) -> None:
    data = world.data.parent / "both.json"
    data.write_text(json.dumps(rows(world.data.parent)[-1:]))
    with opened(world.settings("instruct", tmp_path, data=data, batch=1), "cpu") as made:
        (batch,) = made.stream(0).pieces
        (group,), (shown,) = batch.runs, batch.media
        run = torch.tensor(made.core.language.table.runs["audio"])
        assert torch.equal(batch.ids[group.rows, group.columns][0], run)
        assert int(shown.columns.max()) < int(group.columns.min())
        states = made.core(batch).stacked["audio"]
        assert torch.equal(states.embeddings[0], made.core.language.embed(run))
        assert group.captions == ("a dog 1",)


def test_a_long_sample_is_cut_before_a_medium_that_does_not_fit(
    world: World, tmp_path: Path
) -> None:
    with opened(world.settings("decode", tmp_path, length=44, batch=4), "cpu") as made:
        for piece in made.stream(0).pieces:
            assert piece.ids.shape[1] <= 44
            assert all(int(group.columns.max()) < 44 for group in piece.runs)
        assert made.stream.cut > 0
        found = made.steps(made.stream(0), torch.Generator().manual_seed(0))
        assert bool(found["loss"].detach().isfinite())


# --- stopping


def test_a_run_that_was_killed_goes_on_to_the_same_curve(world: World, tmp_path: Path) -> None:
    values = {"steps": 10, "checkpoint_every": 2, "dropout": 0.2, "batch": 3}
    whole = run(world.settings("instruct", tmp_path / "whole", **values))
    out = tmp_path / "killed"
    code = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from heliograph.model.training.alignment import stream\n"
        "from heliograph.model.training.alignment.run import train\n"
        "from heliograph.model.training.alignment.settings import Settings\n"
        "plain = stream.Stream.__call__\n"
        "def dies(self, step):\n"
        "    if step == 5:\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return plain(self, step)\n"
        "stream.Stream.__call__ = dies\n"
        "core, data, prepared, out = map(Path, sys.argv[1:])\n"
        f"train(Settings('instruct', core, data, prepared, out, at_once=3, learning_rate=1e-2,\n"
        f"               log_every=1, rank=4, **{values!r}), device='cpu', quiet=True)\n"
    )
    paths = (world.core, world.data, world.prepared, out)
    environment = {**os.environ, "PYTHONPATH": str(ROOT / ".links"), "OMP_NUM_THREADS": "1"}
    killed = subprocess.run([sys.executable, "-c", code, *map(str, paths)], env=environment)
    assert killed.returncode == -signal.SIGKILL
    assert [step for step, _ in losses(out)][-1] == "5"  # beyond the checkpoint of step 4
    again = run(world.settings("instruct", out, **values))
    assert losses(out) == losses(tmp_path / "whole")
    one, two = tensors(whole), tensors(again)
    assert set(one) == set(two) and all(torch.equal(one[n], two[n]) for n in one)


def test_a_run_does_not_go_on_with_other_settings(world: World, tmp_path: Path) -> None:
    run(world.settings("encode", tmp_path))
    with pytest.raises(InputError, match="holds a run whose batch is 6, not 5"):
        train(world.settings("encode", tmp_path, batch=5), device="cpu", quiet=True)
    with pytest.raises(InputError, match="whose pack is False, not True.* or give another --out"):
        train(world.settings("encode", tmp_path, pack=True), device="cpu", quiet=True)


def test_a_run_goes_on_with_its_core_wherever_it_lies_and_with_no_other(
    world: World, tmp_path: Path
) -> None:
    values = {"steps": 2, "batch": 2}
    run(world.settings("encode", tmp_path / "run", **values))
    shutil.copytree(world.core, tmp_path / "moved")
    (tmp_path / "moved" / "README.md").write_text("It was moved.")
    moved = World(tmp_path / "moved", world.data, world.prepared)
    run(moved.settings("encode", tmp_path / "run", **values))
    path = moved.core / "projections.safetensors"
    state = {name: tensor + 1 for name, tensor in load_file(path).items()}
    save_file(state, path, {"format": "pt"})
    with pytest.raises(InputError, match=r"a core of other weights than .*moved: go on with those"):
        train(moved.settings("encode", tmp_path / "run", **values), device="cpu", quiet=True)


def test_a_run_goes_on_with_its_data_and_no_other(world: World, tmp_path: Path) -> None:
    found = rows(tmp_path)
    mixture, one, two = (tmp_path / name for name in ("mix.json", "one.jsonl", "two.jsonl"))
    for path in (one, two):
        path.write_text("\n".join(json.dumps(row) for row in found[:4]))
    prepare(world.core, tmp_path / "prepared", [DataSet.of(one)])

    def again(*weights: float, **more: Any) -> Path:
        sources = [
            {"path": path.name, "weight": weight}
            for path, weight in zip((one, two), weights, strict=False)
        ]
        mixture.write_text(json.dumps({"sources": sources, **more}))
        values: dict[str, Any] = {"data": mixture, "prepared": tmp_path / "prepared"}
        return run(world.settings("encode", tmp_path / "run", steps=2, batch=2, **values))

    again(1, 2)
    more = tmp_path / "more.jsonl"  # what is prepared beside it is not this run's
    more.write_text(json.dumps(found[4]))
    prepare(world.core, tmp_path / "prepared", [DataSet.of(more)])
    again(1, 2)
    with pytest.raises(InputError, match=r"mixture is .*2.0\]\], not .*3.0\]\]"):
        again(1, 3)
    with pytest.raises(InputError, match=r"mixture is .*'two.jsonl', 2.0\]\], not .*1.0\]\]"):
        again(1)
    with pytest.raises(InputError, match=r"order is \[0, 1000\], not \[0, 3\]"):
        again(1, 2, shuffle=3)
    two.write_text(one.read_text().replace("what?", "where?"))
    with pytest.raises(InputError, match=r"read other rows than those in .*mix.json"):
        again(1, 2)


def test_what_is_not_a_number_stops_and_names_the_batch(world: World, tmp_path: Path) -> None:
    """A fifth picture whose features are not numbers, prepared before it is asked for."""
    data, prepared = tmp_path / "rows.json", tmp_path / "prepared"
    found = [row for row in rows(tmp_path) if "input_image" in row]
    (tmp_path / "bad.png").write_bytes((tmp_path / "1.png").read_bytes() + b"\0")
    data.write_text(json.dumps([*found[:4], {**found[0], "input_image": "bad.png"}]))
    key = Media("image", "", (tmp_path / "bad.png").read_bytes()).sha256
    writer = ShardWriter(features_folder(prepared, Fingerprints.of(world.core).encoders["image"]))
    writer.add(key, {TOKENS: torch.full((4, 16), torch.nan)})
    writer.flush()
    prepare(world.core, prepared, [DataSet.of(data)])
    settings = world.settings(
        "encode", tmp_path / "run", data=data, prepared=prepared, batch=1, checkpoint_every=1,
        steps=10,  # five rows in any order: each of them comes
    )  # fmt: skip
    with pytest.raises(
        TrainingError, match="the loss is nan.*is kept. The batch: .*, line "
    ) as told:
        train(settings, device="cpu", quiet=True)
    assert str(told.value).count(". ") == 1
    kept = tmp_path / "run" / "last.safetensors"
    if kept.exists():  # the bad row may be the first
        assert all(bool(x.isfinite().all()) for x in load_file(kept).values())


def test_a_row_without_its_file_is_one_sentence_and_nothing_is_lost(
    world: World, tmp_path: Path
) -> None:
    found = rows(tmp_path)
    data = tmp_path / "rows.jsonl"
    lines = [json.dumps(row) for row in [*found[:3], {**found[0], "input_image": "gone.png"}]]
    data.write_text("\n".join(lines))
    settings = world.settings("encode", tmp_path / "run", data=data, batch=1)
    with pytest.raises(DataError, match=r"rows.jsonl, line 4: There is no file .*gone.png"):
        train(settings, device="cpu", quiet=True)
    bad: list[BadRow] = []
    skipping = world.settings("encode", tmp_path / "other", data=data, batch=1, skip_bad=True)
    run(skipping, bad=bad.append)
    assert [row.origin.line for row in bad] == [4]


def test_a_row_that_was_not_prepared_is_named(world: World, tmp_path: Path) -> None:
    data = tmp_path / "rows.jsonl"
    row = {"image_captions": "never seen", "conversations": rows(tmp_path)[4]["conversations"]}
    data.write_text(json.dumps(row))
    with pytest.raises(
        DataError, match="line 1: .* no image condition of the caption 'never seen'"
    ):
        train(world.settings("decode", tmp_path / "run", data=data), device="cpu", quiet=True)


def test_rows_of_which_none_can_be_used_end_the_search(world: World, tmp_path: Path) -> None:
    data = tmp_path / "rows.jsonl"
    row = {"image_captions": "never seen", "conversations": rows(tmp_path)[4]["conversations"]}
    data.write_text(json.dumps(row))
    with pytest.raises(DataError, match=r"No row of .*rows.jsonl can be used"):
        train(
            world.settings("decode", tmp_path / "run", data=data, skip_bad=True),
            device="cpu",
            quiet=True,
        )


@pytest.mark.parametrize(("part", "when"), [(AnyToAny, "embed"), (LanguageModel, "to")])
def test_memory_that_ends_is_one_sentence(
    part: type, when: str, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a step, or already while the core is brought to its device."""

    def exhausted(*arguments: object, **named: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(part, when, exhausted)
    with pytest.raises(TrainingError, match="too little memory on cpu; the last checkpoint is"):
        train(world.settings("decode", tmp_path), device="cpu", quiet=True)
    with pytest.raises(TrainingError, match="too little memory on cpu; the last checkpoint is"):
        measure(world.settings("decode", tmp_path), "cpu")


def test_samples_that_are_cut_to_nothing_are_one_sentence(world: World, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Cut to 2 tokens, samples have nothing left to learn"):
        train(world.settings("decode", tmp_path / "run", length=2), device="cpu", quiet=True)
    run(world.settings("decode", tmp_path / "run"))  # the folder holds nothing that forbids it


def test_rows_that_are_nested_too_deeply_are_one_sentence(world: World, tmp_path: Path) -> None:
    data = tmp_path / "rows.json"
    data.write_text("[" * 100_000)
    with pytest.raises(DataError, match="nested too deeply"):
        train(world.settings("decode", tmp_path / "run", data=data), device="cpu", quiet=True)


def test_a_run_that_has_finished_keeps_the_figures_of_its_card(
    world: World, tmp_path: Path
) -> None:
    settings = world.settings("decode", tmp_path, log_every=3)  # not every loss is written down
    outcome, core = train(settings, device="cpu", quiet=True)
    assert core is not None
    card = core / "README.md"
    first = card.read_text()
    assert f"| loss, mean of the last hundred steps | {outcome.loss:.4f} |" in first
    assert "| precision | float32 |" in first
    again, _ = train(settings, device="cpu", quiet=True)
    assert card.read_text() == first and again.loss == pytest.approx(outcome.loss, abs=1e-4)
    (tmp_path / "figures.json").unlink()  # as if it was killed when its last checkpoint was there
    again, _ = train(settings, device="cpu", quiet=True)
    assert f"{again.loss:.4f}" in card.read_text() and "nan" not in card.read_text()


def test_data_of_no_use_to_a_stage_is_one_sentence(world: World, tmp_path: Path) -> None:
    data = tmp_path / "rows.json"
    data.write_text(json.dumps(rows(tmp_path)[:4]))
    with pytest.raises(DataError, match="no row that the stage decode can use"):
        train(world.settings("decode", tmp_path / "run", data=data), device="cpu", quiet=True)


def test_too_little_memory_is_found_before_anything_is_loaded(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object, **named: object) -> None:
        raise AssertionError("it was loaded")

    monkeypatch.setattr(running, "load", refuse)
    monkeypatch.setattr(memory, "free", lambda device: 10_000)
    with pytest.raises(TrainingError, match=r"take 0.0 GB, and 0.0 GB are free on cpu: try --bf16"):
        train(world.settings("encode", tmp_path), device="cpu", quiet=True)


def test_a_core_that_is_divided_needs_the_room_of_its_share(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = world.settings("instruct", tmp_path, shard=True, bf16=True)
    whole = sum(part.bytes for part in memory.parts(settings))
    language = 2 * memory.parts(settings)[0].numbers
    room = {"cuda": whole // 2, "cpu": 2 * language}
    monkeypatch.setattr(memory, "free", lambda device: room[device.type])
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    gpu = torch.device("cuda")
    memory.check(settings, gpu, 2)
    for copied, size in ((replace(settings, shard=False), 2), (settings, 1)):
        with pytest.raises(TrainingError, match="are free on cuda: try"):
            memory.check(copied, gpu, size)
    # On the way there each process of the machine has it, unless it is mapped from its files.
    room["cpu"] -= 1
    with pytest.raises(TrainingError, match=r"in bfloat16, 2 process\(es\) take .* are free: one"):
        memory.check(settings, gpu, 2)
    AnyToAny.from_pretrained(world.core).save_pretrained(tmp_path / "core", torch.bfloat16)
    memory.check(replace(settings, core=tmp_path / "core"), gpu, 2)
    # Processes without GPUs share their memory, and the whole core is in it.
    room["cpu"] = whole
    memory.check(settings, torch.device("cpu"), 2)
    room["cpu"] -= 1
    with pytest.raises(TrainingError, match="are free on cpu: try"):
        memory.check(settings, torch.device("cpu"), 2)


def test_no_more_is_free_than_a_container_may_have(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "_CGROUP", tmp_path)
    (tmp_path / "memory.max").write_text("9000000\n")
    (tmp_path / "memory.current").write_text("8988000\n")
    (tmp_path / "memory.stat").write_text("active_file 3000\ninactive_file 5000\n")
    assert memory.free(torch.device("cpu")) == 20_000
    with pytest.raises(TrainingError, match="0.0 GB are free on cpu"):
        train(world.settings("encode", tmp_path / "run"), device="cpu", quiet=True)


@pytest.mark.parametrize(
    ("stage", "full"),
    [*((stage, False) for stage in STAGES), ("instruct", True), ("llava-instruct", True)],
)
def test_what_is_counted_from_the_headers_is_what_is_loaded(
    stage: str, full: bool, world: World, tmp_path: Path
) -> None:
    settings = world.settings(stage, tmp_path, full=full)
    parts = memory.parts(settings)
    with opened(settings, "cpu") as made:
        trained = sum(p.numel() for p in trainable(made.modules).values())
        # The rows that stand in for some of the matrix are numbers of their own.
        everything = sum(p.numel() for m in made.modules.values() for p in m.parameters())
    assert sum(part.trained for part in parts) == trained
    assert sum(part.numbers for part in parts) == everything


def test_settings_that_exclude_each_other_are_refused(world: World, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no stage 'paint'"):
        world.settings("paint", tmp_path)
    with pytest.raises(InputError, match="doesn't train the language model"):
        world.settings("encode", tmp_path, full=True)
    with pytest.raises(InputError, match="lies in the core"):
        world.settings("encode", world.core / "run")
    (tmp_path / "file").write_text("kept")
    with pytest.raises(InputError, match="is a file; a run needs a folder"):
        world.settings("encode", tmp_path / "file")
    assert world.settings("encode", tmp_path, learning_rate=0.0).schedule().learning_rate == 0
    with pytest.raises(InputError, match="choose one"):
        world.settings("instruct", tmp_path, full=True, qlora=True)
    with pytest.raises(InputError, match="take --qlora or --shard"):
        world.settings("instruct", tmp_path, qlora=True, shard=True)


def test_four_bits_without_their_library_name_the_extra(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(MissingExtra, match=r"bitsandbytes.*heliograph\[quant\]"):
        train(world.settings("instruct", tmp_path, qlora=True), device="cpu", quiet=True)
