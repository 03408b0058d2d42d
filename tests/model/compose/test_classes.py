"""Every class of the table in docs/models.md through the whole chain, at tiny size.

From checkpoints on disk a core is composed, loaded, saved and loaded; a medium is shown to it,
it makes one, and each of the stages of alignment takes a step, one after the other, on the core
that the last one left: LLaVA's two as well, where the class is a language model. The other parts
are the smallest that there are.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from heliograph.model.compose import Parts, compose
from heliograph.model.core import AnyToAny
from heliograph.model.data.preparing import prepare
from heliograph.model.data.sets import DataSet
from heliograph.model.decoders.recipes import RECIPES
from heliograph.model.decoders.small import small
from heliograph.model.decoders.testing import small_films, small_pictures, small_sounds, values
from heliograph.model.encoders.small import SMALL
from heliograph.model.errors import InputError
from heliograph.model.generation import GenerationOptions
from heliograph.model.media import Clip, Film, Image, Sound, write
from heliograph.model.parts import Media, Modality
from heliograph.model.senses import SENSES
from heliograph.model.signals import End, SignalReady
from heliograph.model.testing import CORPUS, FAMILIES, small_family, user
from heliograph.model.tokenizer import train_tokenizer
from heliograph.model.training.alignment import memory
from heliograph.model.training.alignment.run import train
from heliograph.model.training.alignment.settings import Settings

from .sensing import SAVED

OWN = {sense.kind: SAVED[name] for name, sense in SENSES.items()}
"""Language models that see or hear by themselves, and what saves a small one."""
TRAINS: dict[str, tuple[str, ...]] = {
    "encode": ("inputs.",),
    "decode": ("outputs.",),
    "instruct": ("inputs.", "outputs."),
    "llava-align": ("inputs.",),
    "llava-instruct": ("inputs.",),
}
"""The projections that each stage trains."""
OUTPUT = {"hidden": 16, "layers": 1, "heads": 2, "ff": 32}
READS: dict[str, tuple[Modality, ...]] = {
    "ImageBind": ("image", "audio", "video"),
    "VideoMAE": ("video",),
    **dict.fromkeys(("CLAP", "CLAP, fused", "Whisper", "Wav2Vec2", "AST"), ("audio",)),
}
"""Models of pictures, which read films frame by frame, where it isn't said."""
CLIPS: dict[Modality, type[Clip]] = {"image": Image, "audio": Sound, "video": Film}


# --- the parts on disk, and the core


def language(family: str, folder: Path, tied: bool = False) -> str:
    tokenizer = train_tokenizer(CORPUS * 10, 400)
    torch.manual_seed(0)
    small_family(family, len(tokenizer), tied).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def encoder(name: str, folder: Path) -> dict[Modality, str]:
    torch.manual_seed(0)
    SMALL[name]().save_pretrained(folder)
    return dict.fromkeys(READS.get(name, ("image", "video")), str(folder))


def decoder(name: str, folder: Path) -> dict[Modality, str]:
    own = {"SpectrogramPipeline": small_sounds, "AnimateDiffPipeline": moving}
    made = own.get(name, lambda: small(name))()
    if name == "AnimateDiffPipeline":  # it lies beside the pictures that it moves
        small_pictures().save_pretrained(folder / "image")
    made.save_pretrained(folder / made.modality)
    return {made.modality: str(folder / made.modality)}


def moving() -> Any:
    return small_films(small_pictures())


@pytest.fixture
def core_dir(request: pytest.FixtureRequest, folders: Path, tmp_path: Path) -> Path:
    """A composed core with the class that the test is for."""
    kind, name = request.param
    parts = {
        "language": str(folders / "llama"),
        "encoders": {"image": str(folders / "clip")},
        "decoders": {"image": str(folders / "pictures")},
    }
    if kind == "language":
        parts |= {"language": language(name, tmp_path / "part")}
    elif kind == "own":
        parts |= {"language": str(OWN[name](tmp_path / "part")), "encoders": {}}
    else:
        parts |= {kind: {"encoders": encoder, "decoders": decoder}[kind](name, tmp_path / "part")}
    compose(Parts(**parts, tokens=3, output=OUTPUT), tmp_path / "core")  # type: ignore[arg-type]
    return tmp_path / "core"


# --- media


def clips(modality: Modality) -> Iterator[Clip]:
    """Two that differ."""
    for seed in range(2):
        rng = np.random.default_rng(seed)
        match modality:
            case "image":
                yield Image(rng.integers(0, 256, (20, 30, 3), dtype=np.uint8))
            case "audio":
                yield Sound(rng.normal(0, 0.1, 8000).clip(-1, 1).astype(np.float32), 16_000)
            case "video":
                yield Film(rng.integers(0, 256, (5, 32, 32, 3), dtype=np.uint8), 8.0)


def shown(modality: Modality) -> list[Media]:
    return [write(clip) for clip in clips(modality)]


# --- the chain


def check_loads_and_saves(core_dir: Path, folder: Path) -> AnyToAny:
    core = AnyToAny.from_pretrained(core_dir)
    core.save_pretrained(folder, torch.float32)
    again = AnyToAny.from_pretrained(folder)
    assert (again.sees, again.makes) == (core.sees, core.makes)
    assert_same(core.state_dict(), again.state_dict())
    return again


def check_a_turn_in(core: AnyToAny) -> None:
    """Each medium that it reads is read, differently from another, and answered."""
    assert core.sees
    for modality in core.sees:
        one, other = shown(modality)
        features = {media.sha256: core.encode(media) for media in (one, other)}
        assert all(bool(x.isfinite().all()) for x in features.values())
        assert not torch.allclose(features[one.sha256], features[other.sha256], atol=1e-4)
        talks = [[user("what is this? ", media)] for media in (one, other)]
        events = list(core.generate(talks, GenerationOptions(2), features=features))
        assert [e.row for e in events if isinstance(e, End)] == [0, 1]


def check_a_turn_out(core: AnyToAny) -> None:
    """What it makes it makes in a turn: its head is led to say so, the rest is its own."""
    for modality in core.makes:
        opener, run = core.language.table.openers[modality], core.language.table.runs[modality]

        def draws(module: Any, given: Any, scores: Tensor, opener: int = opener) -> Tensor:
            return scores.index_fill(-1, torch.tensor([opener]), 1e4)

        hook = core.language.model.get_output_embeddings().register_forward_hook(draws)
        options = GenerationOptions(len(run) + 4, captions=False)
        events = list(core.generate([[user("draw")]], options))
        hook.remove()
        signal = next(e.signal for e in events if isinstance(e, SignalReady))
        assert signal.modality == modality and isinstance(events[-1], End)
        condition = core.condition(signal)
        found = core.decoder(modality)
        assert condition.shapes == found.condition_shapes
        (clip,) = found.decode(condition, seeds=[1], steps=2)
        assert isinstance(clip, CLIPS[modality])
        assert values(clip).size and np.isfinite(values(clip)).all()


def check_the_stages(core_dir: Path, folder: Path, llava: bool = False) -> None:
    """A step of each, on the core that the last one left: what trains moves, and nothing else."""
    core = AnyToAny.from_pretrained(core_dir)
    data = write_rows(core, folder)
    prepare(core_dir, folder / "prepared", [DataSet.of(folder / "rows.json")])
    names = core.language.dialect.tokens(core.language.table.specs)
    new = set(core.language.tokenizer.convert_tokens_to_ids(names))
    before, adapter = core.state_dict(), dict[str, Tensor]()
    for stage in (stage for stage in TRAINS if llava or not stage.startswith("llava")):
        settings = Settings(
            stage,
            core_dir,
            data,
            folder / "prepared",
            folder / stage,
            steps=1,
            batch=16,
            at_once=16,
            learning_rate=1e-2,
            rank=2,
        )
        if stage == "encode":  # what a run will hold is known from the files, wherever they lie
            counted = sum(part.numbers for part in memory.parts(settings))
            assert counted == sum(parameter.numel() for parameter in core.parameters())
        if core.language.frames and TRAINS[stage] == ("inputs.",) and "instruct" not in stage:
            with pytest.raises(InputError, match="nothing to train"):
                train(settings, device="cpu", quiet=True)
            continue  # what reads by itself has no projection
        _, out = train(settings, device="cpu", quiet=True)
        assert out is not None
        core_dir = out
        core = AnyToAny.from_pretrained(core_dir)
        after = {name.replace(".base_layer.", "."): x for name, x in core.state_dict().items()}
        lora = {name: after.pop(name) for name in list(after) if ".lora_" in name}
        makes = "outputs." in TRAINS[stage]
        check_moved(before, after, TRAINS[stage], new if makes else set())
        assert core.language.has_lora == bool(lora) == (stage not in ("encode", "decode"))
        stood = [n for n, x in lora.items() if n in adapter and torch.equal(x, adapter[n])]
        assert stood == (list(lora) if stage == "llava-align" else [])
        assert all(bool(x.any()) for n, x in lora.items() if "lora_B" in n)
        before, adapter = after, lora


def check_moved(
    before: Mapping[str, Tensor],
    after: Mapping[str, Tensor],
    trains: tuple[str, ...],
    new: set[int],
) -> None:
    """Every projection that trains, all rows that train, no other number."""
    assert set(before) == set(after)
    matrices = set[str]()
    for name, tensor in before.items():
        same = torch.equal(tensor, after[name])
        if name.startswith(trains):
            assert not same, name
        elif name.endswith(("embed_tokens.weight", "lm_head.weight")):
            rows = (tensor != after[name]).any(-1).nonzero().flatten().tolist()
            matrices |= {name} if rows else set()
            assert set(rows) <= new, name
        else:
            assert same, name
    assert len(matrices) == (2 if new else 0)


def write_rows(core: AnyToAny, folder: Path) -> Path:
    """Two rows for each modality that is read, and two for each that is made."""

    def talk(question: str, answer: str) -> list[dict[str, str]]:
        return [{"from": "human", "value": question}, {"from": "gpt", "value": answer}]

    rows: list[dict[str, Any]] = []
    for modality in core.sees:
        for i, media in enumerate(shown(modality)):
            name = f"{modality}{i}"
            (folder / name).write_bytes(media.data)
            asked = talk(f"<{modality}>\nwhat is this?", "a red dog")
            rows.append({f"input_{modality}": name, "conversations": asked})
    for modality in core.makes:
        for caption in ("a dog", "a bell, twice"):
            asked = talk("now", f"here: <{modality}>")
            rows.append({f"{modality}_captions": caption, "conversations": asked})
    (folder / "rows.json").write_text(json.dumps(rows))
    # Draws depend on a source's name, which a path in a temporary folder would be.
    (folder / "mix.json").write_text(json.dumps({"sources": [{"path": "rows.json"}]}))
    return folder / "mix.json"


def assert_same(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> None:
    assert set(one) == set(other)
    for name, tensor in one.items():
        assert torch.equal(tensor, other[name]), name


def chain(**kinds: Any) -> Any:
    each = [pytest.param((kind, name), id=name) for kind, names in kinds.items() for name in names]
    return pytest.mark.parametrize("core_dir", each, indirect=True)


@chain(language=FAMILIES, own=OWN)
def test_each_language_model(core_dir: Path, tmp_path: Path) -> None:
    core = check_loads_and_saves(core_dir, tmp_path / "saved")
    check_a_turn_in(core)
    check_a_turn_out(core)
    check_the_stages(core_dir, tmp_path, llava=True)


@chain(encoders=SMALL)
def test_each_encoder(core_dir: Path, tmp_path: Path) -> None:
    check_a_turn_in(check_loads_and_saves(core_dir, tmp_path / "saved"))
    check_the_stages(core_dir, tmp_path)


@chain(decoders=RECIPES)
def test_each_decoder(core_dir: Path, tmp_path: Path) -> None:
    check_a_turn_out(check_loads_and_saves(core_dir, tmp_path / "saved"))
    check_the_stages(core_dir, tmp_path)


@chain(language=["Llama"])
def test_a_language_model_that_has_trained_whole_is_the_core_s_own(
    core_dir: Path, tmp_path: Path
) -> None:
    before = AnyToAny.from_pretrained(core_dir)
    data = write_rows(before, tmp_path)
    prepare(core_dir, tmp_path / "prepared", [DataSet.of(tmp_path / "rows.json")])
    prepared, run = tmp_path / "prepared", tmp_path / "run"
    settings = Settings("instruct", core_dir, data, prepared, run, steps=1, batch=4, full=True)
    _, out = train(settings, device="cpu", quiet=True)
    assert out is not None
    shutil.rmtree(tmp_path / "part")
    after = AnyToAny.from_pretrained(out).language.state_dict()
    layers = {n: x for n, x in before.language.state_dict().items() if "layers" in n}
    assert layers and not any(torch.equal(x, after[n]) for n, x in layers.items())


def test_the_table_has_every_class() -> None:
    page = (Path(__file__).parents[3] / "docs" / "models.md").read_text()
    _, _, rest = page.partition("## What every class has been through")
    table = rest.partition("## Decoders")[0]
    causal = [f"{name}ForCausalLM" for name in FAMILIES]
    names = [*(f"`{name}`" for name in (*causal, *OWN, *RECIPES)), *SMALL]
    assert [name for name in names if f"| {name} | yes |" not in table] == []
