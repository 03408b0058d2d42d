"""Cores from tiny real checkpoints: what is written, what it loads to, and what is refused."""

from __future__ import annotations

import io
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers as tf
from safetensors.torch import load_file, save_file

from heliograph.model import compose as compose_module
from heliograph.model.checkpoint import read_json
from heliograph.model.compose import Parts, compose
from heliograph.model.core import AnyToAny
from heliograph.model.data.fingerprints import Fingerprints
from heliograph.model.decoders.testing import small_films, small_pictures
from heliograph.model.encoders.config import (
    AudioConfig,
    ImageBindConfig,
    TextConfig,
    VisionConfig,
)
from heliograph.model.encoders.imagebind import ImageBind
from heliograph.model.errors import InputError, WeightsError
from heliograph.model.generation import GenerationOptions
from heliograph.model.media import Film, Image, Sound, read, write
from heliograph.model.parts import Media, Modality
from heliograph.model.signals import End, SignalReady
from heliograph.model.testing import assistant, made, sample_of, user

Composing = Callable[..., Path]


def media() -> list[Media]:
    wave = np.sin(np.arange(16000) / 20).astype(np.float32)
    return [
        write(Image(np.full((20, 30, 3), 90, np.uint8))),
        write(Sound(wave, 16000)),
        write(Film(np.full((5, 16, 16, 3), 40, np.uint8), 8.0)),
    ]


def files(folder: Path) -> set[str]:
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}


def test_a_core_that_refers_holds_rows_projections_and_pins(composed: Path, parts: Parts) -> None:
    assert files(composed) == {
        "config.json",
        "projections.safetensors",
        "language/rows.safetensors",
        "language/generation_config.json",
        "language/chat_template.jinja",
        "language/tokenizer.json",
        "language/tokenizer_config.json",
    }
    config = read_json(composed / "config.json")
    assert config["encoders"] == {"clip": ["image", "video"], "clap": ["audio"]}
    assert config["signals"] == {"image": 4, "audio": 8}
    sources = config["sources"]
    assert set(sources) == {
        "language",
        "encoders/clip",
        "encoders/clap",
        "decoders/image",
        "decoders/audio",
    }
    assert sources["language"]["path"] == parts.language
    assert sources["language"]["licence"] == "apache-2.0"
    assert all(len(source["sha256"]) == 64 for source in sources.values())


def test_it_sees_makes_and_answers(composed: Path) -> None:
    core = AnyToAny.from_pretrained(composed)
    assert core.sees == ("image", "audio", "video")
    assert core.makes == ("image", "audio")
    for medium in media():
        events = list(core.generate([[user("what is this? ", medium)]], GenerationOptions(4)))
        assert isinstance(events[-1], End)
    for modality in core.makes:
        run = torch.tensor(core.language.table.runs[modality])
        hidden = core.language.embed(run)
        condition = core.outputs[modality].condition(hidden[None], hidden[None])
        assert condition.shapes == dict(core.decoder(modality).condition_shapes)
        assert len(core.decoder(modality).decode(condition, seeds=[1])) == 1


@pytest.mark.parametrize("name", ["llama", "tied"])
def test_the_model_is_the_base_and_rows_at_its_mean(
    name: str, composing: Composing, folders: Path
) -> None:
    core = AnyToAny.from_pretrained(composing(language=str(folders / name)))
    base = tf.LlamaForCausalLM.from_pretrained(folders / name, dtype=torch.float32)
    own = core.language.model.state_dict()
    old = len(base.get_input_embeddings().weight)
    for key, tensor in base.state_dict().items():
        assert torch.equal(own[key][: len(tensor)], tensor)
    table = core.language.table
    added = [i for run in table.runs.values() for i in run]
    assert min(added) >= old and core.language.table.media_open is not None
    weight = own["model.embed_tokens.weight"]
    assert (weight[added] - weight[:old].mean(0)).abs().max() < 0.6 * weight[:old].std()
    assert len({tuple(row.tolist()) for row in weight[added]}) == len(added)
    assert (own["lm_head.weight"].data_ptr() == weight.data_ptr()) == (name == "tied")
    assert core.shelf.directory is not None
    rows = load_file(core.shelf.directory / "language" / "rows.safetensors")
    assert ("head" in rows) == (name == "llama")


@pytest.mark.parametrize(
    ("family", "tied"),
    [("Qwen2", False), ("Qwen3", True), ("Mistral", False), ("Gemma2", True), ("Gemma3", True)],
)
def test_each_family_is_referred_to_and_extended(
    family: str, tied: bool, composing: Composing, folders: Path, tmp_path: Path
) -> None:
    tokenizer = tf.AutoTokenizer.from_pretrained(folders / "llama")
    config = getattr(tf, f"{family}{'Text' if family == 'Gemma3' else ''}Config")(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        intermediate_size=48,
        max_position_embeddings=64,
        tie_word_embeddings=tied,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = getattr(tf, f"{family}ForCausalLM")(config).eval()
    model.save_pretrained(tmp_path / family)
    tokenizer.save_pretrained(tmp_path / family)
    composed = composing(language=str(tmp_path / family), encoders={})
    core, again = AnyToAny.from_pretrained(composed), AnyToAny.from_pretrained(composed)
    own = core.language.model.state_dict()
    for name, tensor in model.state_dict().items():
        assert torch.equal(own[name][: len(tensor)], tensor), name
    # Qwen's tokenizer adds a token that the model has no row for; that row is kept too.
    for name, tensor in again.language.model.state_dict().items():
        assert torch.equal(own[name], tensor), name


def test_names_of_an_older_release_are_read_too(
    composing: Composing, folders: Path, tmp_path: Path
) -> None:
    """GPT-2's published files have names without a prefix, so it is read as a whole."""
    tokenizer = tf.AutoTokenizer.from_pretrained(folders / "llama")
    sizes = {"n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 64}
    end = {"bos_token_id": None, "eos_token_id": tokenizer.eos_token_id}
    model = tf.GPT2LMHeadModel(tf.GPT2Config(vocab_size=len(tokenizer), **sizes, **end)).eval()
    model.save_pretrained(tmp_path / "gpt2")
    tokenizer.save_pretrained(tmp_path / "gpt2")
    file = tmp_path / "gpt2" / "model.safetensors"
    stored = {name.removeprefix("transformer."): t for name, t in load_file(file).items()}
    save_file(stored, file, {"format": "pt"})
    core = AnyToAny.from_pretrained(composing(language=str(tmp_path / "gpt2"), encoders={}))
    block = core.language.model.transformer.h[0].attn.c_attn.weight
    assert torch.equal(block, model.transformer.h[0].attn.c_attn.weight)


def test_a_copy_is_the_same_core_and_needs_nothing_else(
    composed: Path, composing: Composing, folders: Path, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "moved"
    shutil.copytree(folders, elsewhere)
    changes = {
        "language": str(elsewhere / "llama"),
        "encoders": {m: str(elsewhere / "clip") for m in ("image", "video")}
        | {"audio": str(elsewhere / "clap")},
        "decoders": {"image": str(elsewhere / "pictures"), "audio": str(elsewhere / "sounds")},
    }
    copied = composing(copy=True, **changes)
    shutil.rmtree(elsewhere)
    whole, referring = AnyToAny.from_pretrained(copied), AnyToAny.from_pretrained(composed)
    for name, tensor in referring.state_dict().items():
        assert torch.equal(whole.state_dict()[name], tensor), name
    assert whole.encoder("image").tokens("video") == 64
    assert whole.decoder("audio").modality == "audio"
    stored = load_file(copied / "language" / "model.safetensors")
    assert {tensor.dtype for tensor in stored.values()} == {torch.float16}  # as it was
    sources = read_json(copied / "config.json")["sources"]
    assert all(source["copied"] for source in sources.values())
    own = tmp_path / "saved"
    whole.save_pretrained(own)
    for core_dir in (copied, own):  # who may read one file of a core may read all
        modes = {p.stat().st_mode for p in core_dir.rglob("*") if p.is_file()}
        assert len(modes) == 1 and (core_dir / "projections.safetensors").is_file()


def test_the_same_seed_gives_the_same_weights(composed: Path, composing: Composing) -> None:
    again = composing()
    name = "projections.safetensors"
    assert (again / name).read_bytes() == (composed / name).read_bytes()


def test_saving_a_trained_core_goes_on_referring(composed: Path, tmp_path: Path) -> None:
    core = AnyToAny.from_pretrained(composed)
    core.language.add_lora(r=2)
    ids = list(core.language.table.runs["image"])
    with torch.no_grad():
        core.language.model.get_input_embeddings().weight[ids] += 0.5
        core.inputs["image"].queries += 1.0
        for name, parameter in core.language.named_parameters():
            if "lora_B" in name:
                parameter += 0.1
    core.save_pretrained(tmp_path / "trained", torch.float32)
    assert "language/model.safetensors" not in files(tmp_path / "trained")
    assert not any(name.startswith("decoders") for name in files(tmp_path / "trained"))
    again = AnyToAny.from_pretrained(tmp_path / "trained")
    assert again.language.has_lora
    for name, tensor in core.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor), name


def test_a_language_model_that_was_trained_itself_is_written_whole(
    composed: Path, tmp_path: Path
) -> None:
    core = AnyToAny.from_pretrained(composed)
    with torch.no_grad():
        core.language.model.model.layers[0].mlp.up_proj.weight += 0.1
    core.save_pretrained(tmp_path / "trained", torch.float32)
    assert "language/model.safetensors" in files(tmp_path / "trained")
    assert read_json(tmp_path / "trained" / "config.json")["sources"]["language"]["copied"]
    again = AnyToAny.from_pretrained(tmp_path / "trained")
    for name, tensor in core.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor), name


def test_a_core_is_saved_whole_where_its_base_has_gone(
    composing: Composing, folders: Path, tmp_path: Path
) -> None:
    shutil.copytree(folders / "tied", tmp_path / "base")
    core = AnyToAny.from_pretrained(composing(language=str(tmp_path / "base")))
    shutil.rmtree(tmp_path / "base")
    core.save_pretrained(tmp_path / "saved")
    AnyToAny.from_pretrained(tmp_path / "saved")


def test_the_new_core_can_be_trained(composed: Path) -> None:
    core = AnyToAny.from_pretrained(composed).train()
    sample = sample_of((user("draw"), assistant(made("image", "a dog"))))
    core(core.collate([sample])).loss.backward()
    weight = core.language.model.get_input_embeddings().weight
    assert weight.grad is not None and weight.grad.abs().sum() > 0


@pytest.mark.parametrize("kind", ["linear", "mlp"])
def test_projections_of_other_kinds(kind: str, composing: Composing) -> None:
    core = AnyToAny.from_pretrained(composing(projection=kind))
    picture, _, film = media()
    assert core.media_length("image", len(core.encode(picture))) == 16
    assert core.media_length("video", len(core.encode(film))) == 64


def test_media_that_fill_the_context_are_refused(composing: Composing, folders: Path) -> None:
    short = tf.LlamaForCausalLM.from_pretrained(folders / "llama")
    base = composing_base(folders, short, 64)
    with pytest.raises(InputError, match="would take 64 positions .* --projection resampler"):
        composing(language=str(base), projection="mlp")


def composing_base(folders: Path, model: tf.PreTrainedModel, context: int) -> Path:
    base = folders.parent / f"context{context}"
    model.config.max_position_embeddings = context
    model.save_pretrained(base)
    tf.AutoTokenizer.from_pretrained(folders / "llama").save_pretrained(base)
    return base


@pytest.mark.parametrize("pooled", [False, True])
def test_one_imagebind_reads_all(pooled: bool, composing: Composing, folders: Path) -> None:
    imagebind = str(folders / "imagebind")
    encoders: dict[Modality, str] = {"image": imagebind, "audio": imagebind, "video": imagebind}
    core = AnyToAny.from_pretrained(composing(encoders=encoders, pooled=pooled))
    assert list(core.shelf.encoders) == ["imagebind"]
    tokens = [core.encode(medium).shape for medium in media()]
    assert tokens == ([(1, 8)] * 3 if pooled else [(4, 16), (6, 12), (8, 16)])


@pytest.mark.parametrize("pooled", [False, True])
def test_the_published_imagebind_is_converted(
    pooled: bool, composing: Composing, tmp_path: Path
) -> None:
    """A pickle of tensors by the published names, of which nothing but tensors is read."""
    published = ImageBind(
        ImageBindConfig(
            VisionConfig(16, 1, 16, size=224, patch=112, clips=5, clip_seconds=2.0, crops=3),
            AudioConfig(12, 1, 12, mel_bins=128, frames=204, kernel=16, stride=10, hop_ms=10.0),
            TextConfig(12, 1, 12, context=8, vocabulary=50, start=48, end=49),
            joint=8,
        )
    ).eval()
    file = tmp_path / "imagebind_huge.pth"
    torch.save(published.state_dict(), file)
    core_dir = composing(encoders={"image": str(file), "audio": str(file)}, pooled=pooled)
    file.unlink()
    source = read_json(core_dir / "config.json")["sources"]["encoders/imagebind"]
    assert source["copied"] and len(source["sha256"]) == 64
    picture, *_ = media()
    seen = AnyToAny.from_pretrained(core_dir).encode(picture)
    x = published.prepare(read(picture)).unsqueeze(0)
    with torch.no_grad():
        own = published.pooled("image", x) if pooled else published.patches("image", x)[0]
    torch.testing.assert_close(seen, own)


def test_a_file_that_is_no_imagebind_is_refused(composing: Composing, tmp_path: Path) -> None:
    torch.save({"another.weight": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(WeightsError, match="lack"):
        composing(encoders={"image": str(tmp_path / "other.pth")})
    assert not (tmp_path / "core").exists()


def test_a_core_without_decoders_only_reads(composing: Composing) -> None:
    core = AnyToAny.from_pretrained(composing(decoders={}))
    assert (core.makes, core.sees) == ((), ("image", "audio", "video"))
    assert core.language.table.runs == {}
    events = list(core.generate([[user("hello")]], GenerationOptions(3)))
    assert not any(isinstance(event, SignalReady) for event in events)


def test_the_template_of_the_checkpoint_wins(composing: Composing, folders: Path) -> None:
    own = tf.AutoTokenizer.from_pretrained(folders / "llama").chat_template
    core = AnyToAny.from_pretrained(composing(template="{{ messages[0].content }}"))
    assert core.language.tokenizer.chat_template == own


def test_strings_that_end_an_answer_are_kept(composing: Composing) -> None:
    core = AnyToAny.from_pretrained(composing(stops=("###",)))
    assert core.language.stop_strings == ("###",)


def test_features_of_other_sources_have_other_names(
    composed: Path, composing: Composing, folders: Path
) -> None:
    from heliograph.graphs.features import fingerprint

    other = composing(encoders={"image": str(folders / "imagebind")})
    assert fingerprint(other) != fingerprint(composed)
    assert (
        Fingerprints.of(composed).encoders["image"] == Fingerprints.of(composed).encoders["video"]
    )
    assert Fingerprints.of(other).encoders["image"] != Fingerprints.of(composed).encoders["image"]


# --- what is refused


@pytest.fixture
def broken(folders: Path, tmp_path: Path) -> Callable[[str], Path]:
    """A copy of a part, to be broken."""

    def copy(name: str) -> Path:
        return Path(shutil.copytree(folders / name, tmp_path / name))

    return copy


def test_a_part_that_has_changed_is_refused_when_it_is_read(
    composing: Composing, broken: Callable[[str], Path], parts: Parts
) -> None:
    clip, llama = broken("clip"), broken("llama")
    core_dir = composing(language=str(llama), encoders={"image": str(clip)})
    (clip / "README.md").write_text("Another text changes nothing.")
    AnyToAny.from_pretrained(core_dir, load=["clip"])
    tensors = load_file(clip / "model.safetensors")
    tensors[min(tensors)] += 1
    save_file(tensors, clip / "model.safetensors", {"format": "pt"})
    core = AnyToAny.from_pretrained(core_dir)
    with pytest.raises(WeightsError, match=r"The encoder in .*clip has changed since"):
        core.encode(media()[0])
    config = json.loads((llama / "config.json").read_text())
    (llama / "config.json").write_text(json.dumps(config | {"rms_norm_eps": 1.0}))
    with pytest.raises(WeightsError, match=r"The language in .*llama has changed since"):
        AnyToAny.from_pretrained(core_dir)
    shutil.rmtree(llama)
    with pytest.raises(WeightsError, match="refers to is missing"):
        AnyToAny.from_pretrained(core_dir)


def test_shapes_that_do_not_fit_are_refused(
    composing: Composing, broken: Callable[[str], Path], tmp_path: Path
) -> None:
    for part, file, entry in (
        ("llama", "config.json", {"hidden_size": 96}),
        ("pictures", "unet/config.json", {"cross_attention_dim": 24}),
    ):
        path = broken(part) / file
        path.write_text(json.dumps(json.loads(path.read_text()) | entry))
    with pytest.raises(WeightsError, match=r"llama don't fit their configuration: .* is \d+"):
        composing(language=str(tmp_path / "llama"))
    with pytest.raises(WeightsError, match=r"unet don't fit their configuration"):
        composing(decoders={"image": str(tmp_path / "pictures")})
    assert not (tmp_path / "core").exists()


def test_a_tokenizer_that_lacks_what_is_needed_is_refused(
    composing: Composing, broken: Callable[[str], Path]
) -> None:
    llama = broken("llama")
    config = json.loads((llama / "tokenizer_config.json").read_text())
    (llama / "tokenizer_config.json").write_text(json.dumps(config | {"eos_token": None}))
    model = json.loads((llama / "config.json").read_text())
    (llama / "config.json").write_text(json.dumps(model | {"eos_token_id": None}))
    (llama / "generation_config.json").unlink()
    with pytest.raises(WeightsError, match="lacks a token that ends an answer"):
        composing(language=str(llama))
    (llama / "chat_template.jinja").unlink()
    with pytest.raises(WeightsError, match="no chat template, and none was given"):
        composing(language=str(llama), stops=("###",))


def test_a_pipeline_that_is_not_in_the_table_is_refused(
    composing: Composing, broken: Callable[[str], Path]
) -> None:
    pictures = broken("pictures")
    (pictures / "decoder.json").unlink()
    index = json.loads((pictures / "model_index.json").read_text())
    (pictures / "model_index.json").write_text(json.dumps(index | {"_class_name": "NewPipeline"}))
    with pytest.raises(WeightsError, match="No recipe for a decoder of class NewPipeline"):
        composing(decoders={"image": str(pictures)})


def test_a_part_of_a_pipeline_from_anywhere_is_not_imported(
    composing: Composing, broken: Callable[[str], Path]
) -> None:
    pictures = broken("pictures")
    index = json.loads((pictures / "model_index.json").read_text())
    (pictures / "model_index.json").write_text(json.dumps(index | {"unet": ["this", "Unet"]}))
    with pytest.raises(WeightsError, match="can't have the part Unet of this"):
        composing(decoders={"image": str(pictures)})
    assert "this" not in sys.modules


CODE = {
    name: f"own.{name}"
    for name in ("AutoConfig", "AutoModel", "AutoModelForCausalLM", "AutoImageProcessor")
}


@pytest.mark.parametrize(
    ("part", "file", "entries"),
    [
        ("llama", "config.json", {"model_type": "own", "auto_map": CODE}),
        ("llama", "config.json", {"model_type": "clip_vision_model", "auto_map": CODE}),
        (
            "llama",
            "tokenizer_config.json",
            {"tokenizer_class": "Own", "auto_map": {"AutoTokenizer": ["own.Own", None]}},
        ),
        ("clip", "config.json", {"model_type": "own", "auto_map": CODE}),
        (
            "clip",
            "preprocessor_config.json",
            {"image_processor_type": "Own", "auto_map": CODE},
        ),
        ("pictures", "tokenizer/config.json", {"model_type": "own", "auto_map": CODE}),
    ],
)
def test_code_beside_a_model_is_neither_run_nor_asked_about(
    part: str,
    file: str,
    entries: dict[str, object],
    composing: Composing,
    broken: Callable[[str], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = broken(part)
    path = folder / file
    known = json.loads(path.read_text()) if path.is_file() else {}
    path.write_text(json.dumps(known | entries))
    (path.parent / "own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    if part == "pictures":
        index = json.loads((folder / "model_index.json").read_text())
        index["tokenizer"] = ["transformers", "AutoConfig"]
        (folder / "model_index.json").write_text(json.dumps(index))
    options = {
        "llama": {"language": str(folder)},
        "clip": {"encoders": {"image": str(folder)}},
        "pictures": {"decoders": {"image": str(folder)}},
    }
    willing = io.StringIO("y\n" * 100)  # who would say yes to every question
    monkeypatch.setattr(sys, "stdin", willing)
    with pytest.raises(WeightsError, match="custom code|trust_remote_code"):
        composing(**options[part])
    assert (willing.tell(), capsys.readouterr().out) == (0, "")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("part", "gone", "sentence"),
    [
        ("llama", "tokenizer*", "has no tokenizer"),
        ("pictures", "unet", "lacks the part unet"),
        ("clip", "p*processor*", "has no preprocessor_config.json"),
        ("clap", "p*processor*", "has no preprocessor_config.json"),
    ],
)
def test_a_part_without_some_of_its_files_is_one_sentence(
    part: str, gone: str, sentence: str, composing: Composing, broken: Callable[[str], Path]
) -> None:
    folder = broken(part)
    for path in list(folder.glob(gone)):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(WeightsError, match=f"The weights are incomplete: .*{sentence}"):
        composing(**place(part, folder))


def place(part: str, folder: Path) -> dict[str, object]:
    """What ``composing`` is given to take a part from another folder."""
    if part == "llama":
        return {"language": str(folder)}
    side = "decoders" if part == "pictures" else "encoders"
    return {side: {"audio" if part == "clap" else "image": str(folder)}}


@pytest.mark.parametrize(
    ("part", "file", "text", "sentence"),
    [
        ("llama", "config.json", '{"a": ', "llama/config.json can't be read as JSON"),
        ("llama", "tokenizer_config.json", "[", "tokenizer_config.json can't be read as JSON"),
        ("llama", "generation_config.json", "[]", "generation_config.json holds no object"),
        ("llama", "config.json", "many", "config.json has a value .*'hidden_size' expected int"),
        ("clip", "config.json", "many", "config.json has a value .*'hidden_size' expected int"),
        ("clip", "preprocessor_config.json", "[", "preprocessor_config.json can't be read as JSON"),
        ("pictures", "text_encoder/config.json", "many", "'hidden_size' expected int"),
    ],
)
def test_the_file_that_is_wrong_is_named(
    part: str,
    file: str,
    text: str,
    sentence: str,
    composing: Composing,
    broken: Callable[[str], Path],
) -> None:
    folder = broken(part)
    if text == "many":
        text = json.dumps(read_json(folder / file) | {"hidden_size": "many"})
    (folder / file).write_text(text)
    with pytest.raises(WeightsError, match=sentence):
        composing(**place(part, folder))


@pytest.mark.parametrize("part", ["llama", "clip", "pictures"])
def test_pickles_are_refused(
    part: str, composing: Composing, broken: Callable[[str], Path]
) -> None:
    folder = broken(part)
    for path in sorted(folder.rglob("*.safetensors")):
        torch.save(load_file(path), path.with_name("pytorch_model.bin"))
        path.unlink()
    options = {
        "llama": {"language": str(folder)},
        "clip": {"encoders": {"image": str(folder)}},
        "pictures": {"decoders": {"image": str(folder)}},
    }
    with pytest.raises(WeightsError, match=r"are pickled \(pytorch_model.bin\), and a pickle can"):
        composing(**options[part])


def test_missing_and_misplaced_parts_are_refused(
    composing: Composing, folders: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="There is no file or folder /nowhere"):
        composing(language="/nowhere")
    with pytest.raises(InputError, match="There is no file or folder ~nobody-of-that-name/llama"):
        composing(language="~nobody-of-that-name/llama")
    with pytest.raises(InputError, match="doesn't read sounds"):
        composing(encoders={"audio": str(folders / "clip")})
    with pytest.raises(InputError, match="makes sounds, not films"):
        composing(decoders={"video": str(folders / "sounds")})
    with pytest.raises(WeightsError, match="clip has no tokenizer"):
        composing(language=str(folders / "clip"))
    with pytest.raises(InputError, match="is a file; a language is a folder"):
        composing(language=str(folders / "llama" / "config.json"))
    assert not list(tmp_path.iterdir())


def test_nothing_is_written_over(composing: Composing, parts: Parts, tmp_path: Path) -> None:
    (tmp_path / "core").mkdir()
    AnyToAny.from_pretrained(composing())  # an empty directory is filled
    before = files(tmp_path)
    with pytest.raises(InputError, match="exists already and isn't empty"):
        composing()
    (tmp_path / "file").write_text("kept")
    with pytest.raises(InputError, match="exists already"):
        compose(parts, tmp_path / "file")
    assert files(tmp_path) == {*before, "file"}


def test_a_failure_in_the_middle_leaves_nothing(
    composing: Composing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(compose_module, "_write_parts", full)
    with pytest.raises(InputError, match="can't be written: No space left on device"):
        composing()
    assert not list(tmp_path.iterdir())


def test_a_motion_adapter_is_copied_with_the_pictures_that_it_moves(
    composing: Composing, tmp_path: Path
) -> None:
    pictures = small_pictures()
    pictures.save_pretrained(tmp_path / "d" / "image")
    small_films(pictures).save_pretrained(tmp_path / "d" / "video")
    image, video = (str(tmp_path / "d" / m) for m in ("image", "video"))
    with pytest.raises(InputError, match="shares parts with the one in .* as the decoder of image"):
        composing(copy=True, decoders={"video": video})
    assert AnyToAny.from_pretrained(composing(decoders={"video": video})).makes == ("video",)
    shutil.rmtree(tmp_path / "core")
    core = AnyToAny.from_pretrained(composing(copy=True, decoders={"image": image, "video": video}))
    shutil.rmtree(tmp_path / "d")
    assert core.decoder("video").modality == "video"
