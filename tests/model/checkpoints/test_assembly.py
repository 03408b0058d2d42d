"""Whole cores from synthetic checkpoints of both layouts: written, imported, and asked."""

from __future__ import annotations

import json
import os
import resource
import shutil
import sys
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM, LlamaTokenizer

from heliograph.agent import Assistant
from heliograph.agent.cli import main
from heliograph.agent.settings import Settings
from heliograph.model.checkpoints.assembly import Imported, import_nextgpt
from heliograph.model.conditions import SEQUENCE
from heliograph.model.core import AnyToAny
from heliograph.model.dialects import DEFAULT_SPECS, NEXTGPT, NEXTGPT_HEAD
from heliograph.model.errors import InputError, MissingExtra, WeightsError
from heliograph.model.hub import card
from heliograph.model.inspect import inspect
from heliograph.model.media import Film, Image, Sound, write
from heliograph.model.needs import needs
from heliograph.model.parts import Media, Modality
from heliograph.model.prompts import Row, build_row
from heliograph.model.signals import Signal, SignalReady, TextDelta
from heliograph.model.sources import PICKLES, READ, pinned
from heliograph.model.testing import assistant, made, user

from . import published
from .published import SIZES, Projector, under

WIDTH, JOINT, R = 40, 20, 4
CONDITIONS: dict[Modality, tuple[int, int]] = {"image": (6, 16), "video": (5, 12), "audio": (1, 8)}
PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj")
TEXT = "### Human: draw a dog, what is this?\n### Assistant: here is a dog\n### USER: ASSISTANT: "


@dataclass(frozen=True)
class World:
    """What was published: folders and files, and the modules that they were written from."""

    base: Path
    imagebind: Path
    legacy: Path
    head: Path
    encoder: published.ImageBind
    llama: LlamaForCausalLM
    """With the rows of all tokens, of the legacy layout."""
    lora: dict[str, Tensor]
    projectors: dict[tuple[str, Modality], Projector]
    linear: nn.Linear
    layers: nn.Sequential


def halved(module: nn.Module) -> nn.Module:
    """With what half precision keeps of its weights, so that files can be compared exactly."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(parameter.half())
    return module.eval()


def llama_tokenizer() -> LlamaTokenizer:
    tokenizer = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always", split=False)
    special = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    # Without ties over spaces and lines, as Llama's own vocabulary is.
    pieces = [p for line in TEXT.split("\n") for word in line.split() for p in (word, f" {word}")]
    trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=special, show_progress=False)
    tokenizer.train_from_iterator(pieces * 20, trainer)
    model = json.loads(tokenizer.to_str())["model"]
    return LlamaTokenizer(vocab=model["vocab"], merges=[tuple(m) for m in model["merges"]])


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    torch.manual_seed(3)
    root = tmp_path_factory.mktemp("published")
    tokenizer = llama_tokenizer()
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=WIDTH,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=48,
        max_position_embeddings=256,
        tie_word_embeddings=False,
    )
    llama = halved(LlamaForCausalLM(config))
    assert isinstance(llama, LlamaForCausalLM)
    llama.save_pretrained(root / "vicuna")
    tokenizer.save_pretrained(root / "vicuna")
    encoder = halved(published.ImageBind(SIZES | {"audio_stride": 10}))
    torch.save(encoder.state_dict(), root / "imagebind_huge.pth")
    assert isinstance(encoder, published.ImageBind)
    projectors = {
        (layout, modality): halved(Projector(WIDTH, *sizes, layout, hidden=16))
        for layout in ("legacy", "head")
        for modality, sizes in CONDITIONS.items()
    }
    linear = nn.Linear(JOINT, WIDTH)
    layers = nn.Sequential(nn.Linear(JOINT, WIDTH), nn.GELU(), nn.Linear(WIDTH, WIDTH))
    halved(linear), halved(layers)
    lora = {
        f"model.layers.{i}.self_attn.{name}.lora_{side}": torch.randn(*shape).half().float() / 4
        for i in range(2)
        for name in PROJECTIONS
        for side, shape in (("A", (R, WIDTH)), ("B", (WIDTH, R)))
    }
    vocabulary = len(tokenizer)
    llama.resize_token_embeddings(vocabulary + 38, mean_resizing=False)
    with torch.no_grad():
        for weight in (llama.model.embed_tokens.weight, llama.lm_head.weight):
            weight.copy_(torch.randn_like(weight).half())
    made_of = World(
        root / "vicuna",
        root / "imagebind_huge.pth",
        root / "legacy",
        root / "head",
        encoder,
        llama,
        lora,
        projectors,  # type: ignore[arg-type]
        linear,
        layers,
    )
    write_legacy(made_of)
    write_head(made_of, vocabulary)
    return made_of


def write_legacy(world: World) -> None:
    state: OrderedDict[str, Tensor] = OrderedDict()
    base = "llama_model.base_model.model."
    state[f"{base}model.embed_tokens.weight"] = world.llama.model.embed_tokens.weight
    for name, tensor in world.lora.items():
        state[f"{base}{name}.default.weight"] = tensor
    state[f"{base}lm_head.weight"] = world.llama.lm_head.weight
    state |= under("llama_proj.", world.linear)
    for modality, name in (("image", ""), ("video", "_video"), ("audio", "_audio")):
        projector = world.projectors["legacy", modality]
        state |= under(f"gen_text_hidden_fcs{name}.0.", projector)
    world.legacy.mkdir()
    torch.save(state, world.legacy / "pytorch_model.pt")


def write_head(world: World, vocabulary: int) -> None:
    world.head.mkdir()
    rows = {
        "model.embed_tokens.weight": world.llama.model.embed_tokens.weight[: vocabulary + 36],
        "lm_head.weight": world.llama.lm_head.weight[: vocabulary + 36],
    }
    inputs = under("model.mm_input_projector.layer.", world.layers)
    torch.save(inputs | {"model.embed_tokens.weight": torch.zeros(vocabulary + 36, WIDTH)},
               world.head / "mm_input_projector.bin")  # fmt: skip
    outputs: dict[str, Tensor] = {}
    for modality, name in (("image", "img"), ("video", "vid"), ("audio", "aud")):
        projector = world.projectors["head", modality]
        outputs |= under(f"model.mm_output_{name}_projector.", projector)
    torch.save(outputs | rows, world.head / "mm_output_projector.bin")
    lora = {f"base_model.model.{n}.weight": tensor for n, tensor in world.lora.items()}
    from safetensors.torch import save_file

    save_file(lora, world.head / "adapter_model.safetensors")
    settings = {"lora_alpha": 16, "lora_dropout": 0.05, "r": R}
    (world.head / "adapter_config.json").write_text(json.dumps(settings))


def imported(world: World, checkpoint: Path, out: Path) -> Imported:
    return import_nextgpt(checkpoint, str(world.base), world.imagebind, out)


@pytest.fixture(scope="module")
def legacy(world: World, tmp_path_factory: pytest.TempPathFactory) -> AnyToAny:
    out = tmp_path_factory.mktemp("cores") / "legacy"
    done = imported(world, world.legacy, out)
    assert done == Imported("legacy", ("image", "audio", "video"), ("image", "audio", "video"),
                            (), True)  # fmt: skip
    return AnyToAny.from_pretrained(out)


@pytest.fixture(scope="module")
def head(world: World, tmp_path_factory: pytest.TempPathFactory) -> AnyToAny:
    out = tmp_path_factory.mktemp("cores") / "head"
    assert imported(world, world.head, out).layout == "head"
    return AnyToAny.from_pretrained(out)


@pytest.fixture(autouse=True)
def no_gradients() -> Iterator[None]:
    with torch.no_grad():
        yield


def picture() -> Media:
    pixels = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    return write(Image(pixels))


def words(core: AnyToAny, text: str) -> list[int]:
    """As the published code encodes a text of its own."""
    ids: list[int] = core.language.tokenizer(text, add_special_tokens=False).input_ids
    return ids


def laid_out(core: AnyToAny, *messages: object, reply: bool = True) -> Row:
    return build_row(core.language, messages, core.encode, core.media_length, reply)  # type: ignore[arg-type]


# --- the same numbers -------------------------------------------------------------------


@pytest.mark.parametrize(("layout", "scale"), [("legacy", 32 / R), ("head", 16 / R)])
def test_the_language_model_has_its_rows_and_its_lora(
    layout: str, scale: float, world: World, request: pytest.FixtureRequest
) -> None:
    core: AnyToAny = request.getfixturevalue(layout)
    assert core.language.has_lora
    before = {n: p.clone() for n, p in world.llama.named_parameters()}
    for name in {n.rsplit(".", 1)[0] for n in world.lora}:
        product = world.lora[f"{name}.lora_B"] @ world.lora[f"{name}.lora_A"]
        world.llama.get_parameter(f"{name}.weight").add_(scale * product)
    known = len(core.language.tokenizer)
    ids = torch.randint(3, known, (2, 9))
    ids[:, -3:] = torch.arange(known - 3, known)
    embeddings = core.language.embed(ids)
    ours = core.language.logits(core.language.hidden(embeddings, torch.ones_like(ids)))
    expected = world.llama(ids).logits[..., :known]
    for name, tensor in before.items():
        world.llama.get_parameter(name).copy_(tensor)
    # Products that are merged and those that aren't differ by up to 1e-3 in logits of up to 20.
    torch.testing.assert_close(ours, expected, atol=5e-3, rtol=0)


@pytest.mark.parametrize(("layout", "runs"), [("legacy", (4, 24, 8)), ("head", (7, 47, 15))])
def test_conditions_are_the_published_ones(
    layout: str, runs: tuple[int, ...], world: World, request: pytest.FixtureRequest
) -> None:
    core: AnyToAny = request.getfixturevalue(layout)
    for spec, length in zip(DEFAULT_SPECS, runs, strict=True):
        assert len(core.language.table.runs[spec.modality]) == length
        hidden, embeddings = torch.randn(2, length, WIDTH)
        ours = core.condition(Signal(spec.modality, "", hidden, embeddings))
        theirs = world.projectors[layout, spec.modality](hidden[None], embeddings[None])[0]
        torch.testing.assert_close(ours[SEQUENCE][0], theirs, atol=1e-4, rtol=0)


def test_media_are_read_as_published(legacy: AnyToAny, head: AnyToAny, world: World) -> None:
    rng = np.random.default_rng(0)
    clips = {
        "image": Image(rng.integers(0, 256, (48, 64, 3), dtype=np.uint8)),
        "video": Film(rng.integers(0, 256, (4, 40, 64, 3), dtype=np.uint8), 2.0),
        "audio": Sound(rng.normal(0, 0.1, 60_000).clip(-1, 1).astype(np.float32), 16_000),
    }
    for modality, clip in clips.items():
        x = legacy.encoder(modality).prepare(clip)[None]
        assert modality != "video" or x.shape == (1, 15, 3, 2, 224, 224)
        vector = legacy.encoder(modality).patches(modality, x)
        theirs = world.encoder.final(modality, x, scaled=False)
        torch.testing.assert_close(vector[:, 0], theirs, atol=1e-4, rtol=0)
        torch.testing.assert_close(
            legacy.inputs[modality](vector)[:, 0], world.linear(theirs), atol=1e-4, rtol=0
        )
        tokens = head.encoder(modality).patches(modality, x)
        torch.testing.assert_close(tokens, world.encoder.patches(modality, x), atol=1e-4, rtol=0)
        assert tokens.shape[1] == {"image": 16, "video": 16, "audio": 228}[modality]
        torch.testing.assert_close(
            head.inputs[modality](tokens), world.layers(tokens), atol=1e-4, rtol=0
        )


# --- the same tokens --------------------------------------------------------------------


def test_tokens_stand_in_the_published_order(
    legacy: AnyToAny, head: AnyToAny, world: World
) -> None:
    old = world.llama.config.vocab_size - 38
    for core, dialect in ((legacy, NEXTGPT), (head, NEXTGPT_HEAD)):
        tokens = dialect.tokens(DEFAULT_SPECS)
        ids = core.language.tokenizer.convert_tokens_to_ids(tokens)
        assert ids == list(range(old, old + len(tokens)))
        assert not core.language.plain_ids[ids].any()
    assert NEXTGPT.tokens()[:3] == ["<Img>", "</Img>", "[IMG0]"]
    assert NEXTGPT_HEAD.tokens()[:5] == [*(f"<image_0{i}>" for i in range(4)), "<video_00>"]


def test_legacy_tokens_swallow_the_white_space_beside_them(legacy: AnyToAny) -> None:
    run = legacy.language.table.runs["image"]
    spaced = words(legacy, "a dog [IMG0] [IMG1]  [IMG2] [IMG3] ")
    assert spaced == [*words(legacy, "a dog"), *run]


def test_a_run_of_the_head_has_a_space_between_its_tokens(head: AnyToAny) -> None:
    text = " ".join(f"<image_0{i}>" for i in range(4))
    assert tuple(words(head, text)) == head.language.table.runs["image"]


def test_a_legacy_prompt_is_that_of_training(legacy: AnyToAny) -> None:
    bos, table = legacy.language.tokenizer.bos_token_id, legacy.language.table
    plain = laid_out(legacy, user("draw a dog"))
    first = [bos, *words(legacy, "### Human: ")]
    assert plain.ids == [*first, *words(legacy, "draw a dog\n### Assistant: ")]
    shown = laid_out(legacy, user(picture(), " what is this?"))
    medium = [table.media_open, legacy.language.pad, table.media_close]
    asked = words(legacy, "what is this?\n### Assistant: ")
    assert shown.ids == [bos, *words(legacy, "### Human:"), *medium, *asked]
    history = laid_out(
        legacy, user("draw a dog"), assistant("here ", made("image", "a dog")), user("what?")
    )
    said = [*words(legacy, "here"), *table.runs["image"], *words(legacy, "### Human: ")]
    end = words(legacy, "what?\n### Assistant: ")
    assert history.ids == [*plain.ids, *said, *end]


def test_a_head_prompt_is_vicunas(head: AnyToAny) -> None:
    tokenizer = head.language.tokenizer
    row = laid_out(head, user("draw a dog"), assistant("here"), user("what?"))
    text = tokenizer.decode(row.ids)
    assert text.startswith("<s>") and "questions. USER: draw a dog ASSISTANT: here</s>" in text
    assert text.endswith("USER: what? ASSISTANT:")
    one_text = words(head, "a USER: draw a dog ASSISTANT:")[1:]
    assert laid_out(head, user("draw a dog")).ids[-len(one_text) :] == one_text


def test_the_end_of_a_legacy_answer_is_learned(legacy: AnyToAny) -> None:
    row = laid_out(legacy, user("draw a dog"), assistant("here"), reply=False)
    learned = [i for i, learn in zip(row.ids, row.learn, strict=True) if learn]
    assert legacy.language.decode(learned) == "here\n###"


# --- a turn -----------------------------------------------------------------------------


def speak(core: AnyToAny, prompt: str) -> None:
    """Let the head say a run of signals to a prompt, and then the end of the answer."""
    language = core.language
    row = laid_out(core, user(prompt))
    run = language.table.runs["image"]
    ids = torch.tensor([[*row.ids, *run]])
    hidden = language.hidden(language.embed(ids), torch.ones_like(ids))[0]
    end = words(core, "###")[0] if language.stop_strings else language.tokenizer.eos_token_id
    weight = language.model.get_output_embeddings().weight
    weight.zero_()
    for place, token in ((len(row.ids) - 1, run[0]), (-1, end)):
        weight[token] = hidden[place] / hidden[place].norm()


@pytest.mark.parametrize("layout", ["legacy", "head"])
def test_an_imported_core_answers_and_says_what_it_cannot_make(
    layout: str, tmp_path: Path, world: World, request: pytest.FixtureRequest
) -> None:
    request.getfixturevalue(layout)
    imported(world, getattr(world, layout), tmp_path / "core")
    core = AnyToAny.from_pretrained(tmp_path / "core")
    assert core.makes == ("image", "audio", "video")
    speak(core, "draw a dog")
    events = list(core.generate([[user("draw a dog")]]))
    (ready,) = [e for e in events if isinstance(e, SignalReady)]
    assert core.condition(ready.signal).shapes == {SEQUENCE: CONDITIONS["image"]}
    assert "###" not in "".join(e.text for e in events if isinstance(e, TextDelta))
    settings = Settings(home=tmp_path / "home")
    answer = Assistant(settings, core=core).invoke("draw a dog")
    assert not answer.media
    assert "can't make pictures" in answer.failures[0].message


def test_words_before_a_run_are_its_caption(legacy: AnyToAny) -> None:
    from heliograph.model.signals import Splitter

    language = legacy.language
    splitter = Splitter(language.table, language.decode, 0, stops=language.stop_strings)
    said = [e for i in words(legacy, "here is a dog") for e in splitter.feed(i)]
    splitter.feed(language.table.runs["image"][0])
    signal = splitter.finish_run(torch.zeros(4, WIDTH), torch.zeros(4, WIDTH)).signal
    assert signal.caption == "here is a dog"
    for i in words(legacy, "a dog\n### Human:"):
        said += splitter.feed(i)
    assert splitter.stopped
    text = "".join(e.text for e in [*said, *splitter.end("stop")] if isinstance(e, TextDelta))
    assert text.split() == ["here", "is", "a", "dog", "a", "dog"]


# --- what can go wrong ------------------------------------------------------------------


def test_the_command_imports(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["import", "nextgpt", str(world.legacy / "pytorch_model.pt"),
                 "--language", str(world.base), "--imagebind", str(world.imagebind),
                 "--out", str(tmp_path / "core")]  # fmt: skip
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code in (0, None)
    assert "image (no decoder)" in capsys.readouterr().err
    assert sorted(os.listdir(tmp_path)) == ["core"]
    with pytest.raises(SystemExit):
        main(["inspect", arguments[-1]])
    assert "makes image (no decoder), audio (no decoder)" in capsys.readouterr().out
    page = card(inspect(tmp_path / "core"), "somebody/core")
    assert "but has no decoder for pictures, sounds, films." in page
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == InputError.exit_code
    with pytest.raises(SystemExit) as ended:
        main([*arguments[:-1], str(tmp_path / "other"), "--decoder", "smell=x"])
    assert ended.value.code == InputError.exit_code
    assert "MODALITY=PLACE" in capsys.readouterr().err


def legacy_state(world: World) -> dict[str, Tensor]:
    state: dict[str, Tensor] = torch.load(world.legacy / "pytorch_model.pt", weights_only=True)
    return state


def refused(world: World, tmp_path: Path, state: object) -> str:
    torch.save(state, tmp_path / "pytorch_model.pt")
    with pytest.raises(WeightsError) as caught:
        imported(world, tmp_path, tmp_path / "core")
    assert os.listdir(tmp_path) == ["pytorch_model.pt"]
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_is_no_tensor_is_refused_by_name(world: World, tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, ...]:
            return os.mkdir, (str(tmp_path / "ran"),)

    assert "mkdir" in refused(world, tmp_path, legacy_state(world) | {"llama_proj.bias": Trap()})
    assert "'epoch', a int" in refused(world, tmp_path, legacy_state(world) | {"epoch": 3})
    assert "a list" in refused(world, tmp_path, [torch.zeros(1)])
    for damaged in (b"PK\x03\x04 half a file", b"\x80\x02."):
        (tmp_path / "pytorch_model.pt").write_bytes(damaged)
        with pytest.raises(WeightsError, match="can't be read as weights"):
            imported(world, tmp_path, tmp_path / "core")


def test_a_place_that_cannot_be_written_is_told(world: World, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="core can't be written: Not a directory"):
        imported(world, world.legacy, tmp_path / "file" / "core")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, before[1]))  # as a disk that gets full
    try:
        with pytest.raises(InputError, match="core can't be written: .*File too large"):
            imported(world, world.legacy, tmp_path / "core")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert os.listdir(tmp_path) == ["file"]


def test_an_empty_folder_is_filled_and_another_left_alone(world: World, tmp_path: Path) -> None:
    place = tmp_path / "core"
    place.mkdir()
    import_nextgpt(world.legacy, str(world.base), world.imagebind, place)
    before = {path: path.read_bytes() for path in place.rglob("*") if path.is_file()}
    with pytest.raises(InputError, match="exists already and isn't empty"):
        import_nextgpt(world.legacy, str(world.base), world.imagebind, place)
    assert {path: path.read_bytes() for path in place.rglob("*") if path.is_file()} == before


def test_what_does_not_fit_is_refused(world: World, tmp_path: Path) -> None:
    state = legacy_state(world)
    embedding = "llama_model.base_model.model.model.embed_tokens.weight"
    fewer = state | {embedding: state[embedding][:-1]}
    assert "the checkpoint's own tokenizer" in refused(world, tmp_path, fewer)
    layer = {"llama_model.model.layers.0.mlp.up_proj.weight": torch.zeros(1)}
    assert "layers.0.mlp.up_proj" in refused(world, tmp_path, state | layer)
    assert "of no NExT-GPT" in refused(world, tmp_path, {"a": torch.zeros(1)})
    wide = state | {"llama_proj.weight": torch.zeros(WIDTH + 1, JOINT),
                    "llama_proj.bias": torch.zeros(WIDTH + 1)}  # fmt: skip
    assert f"{WIDTH + 1} wide" in refused(world, tmp_path, wide)
    seen = state | {"llama_proj.weight": torch.zeros(WIDTH, JOINT + 1)}
    assert f"gives {JOINT}" in refused(world, tmp_path, seen)
    layers = {n.replace("layers.1", "layers.9"): t for n, t in state.items() if "lora" in n}
    strange = {n: t for n, t in state.items() if "lora" not in n} | layers
    assert "The LoRA doesn't fit" in refused(world, tmp_path, strange)
    with pytest.raises(WeightsError, match="no NExT-GPT checkpoint"):
        imported(world, tmp_path / "nowhere", tmp_path / "core")


def test_files_of_the_first_two_stages_have_shorter_names(world: World, tmp_path: Path) -> None:
    state = {
        n.replace("llama_model.base_model.model.", "llama_model."): t
        for n, t in legacy_state(world).items()
        if "lora_" not in n and "_audio" not in n
    }
    torch.save(state, tmp_path / "pytorch_model.pt")
    done = imported(world, tmp_path, tmp_path / "core")
    assert (done.lora, done.makes) == (False, ("image", "video"))
    core = AnyToAny.from_pretrained(tmp_path / "core")
    rows = core.language.model.get_input_embeddings().weight
    assert torch.equal(rows, world.llama.model.embed_tokens.weight)
    assert inspect(tmp_path / "core").parts[0].state == "aligned"


def test_the_tokenizer_comes_with_the_checkpoint(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it was released: SentencePiece's file, and the added tokens in another."""
    import sentencepiece

    text = tmp_path / "text"
    text.write_text(TEXT * 40)
    sentencepiece.SentencePieceTrainer.train(
        input=str(text),
        model_prefix=str(tmp_path / "tokenizer"),
        vocab_size=320,
        model_type="bpe",
        byte_fallback=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    reader = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / "tokenizer.model"))
    old = len(reader)
    # One more row than NExT-GPT's own, and its tokens after it.
    added = {"<extra>": old} | {t: old + 1 + i for i, t in enumerate(NEXTGPT.tokens())}
    (tmp_path / "added_tokens.json").write_text(json.dumps(added))
    settings = {"tokenizer_class": "LlamaTokenizer", "bos_token": "<s>", "eos_token": "</s>"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    rows = torch.randn(old + len(added), WIDTH).half().float()
    state = {n: rows if len(t) > 300 else t for n, t in legacy_state(world).items()}
    torch.save(state, tmp_path / "pytorch_model.pt")
    imported(world, tmp_path, tmp_path / "core")
    core = AnyToAny.from_pretrained(tmp_path / "core")
    assert core.language.table.runs["image"] == tuple(range(old + 3, old + 7))
    assert torch.equal(core.language.embed(torch.tensor([old + 3]))[0], rows[old + 3])
    published = [*reader.encode("### Human: "), *reader.encode("a dog\n### Assistant: ")]
    assert laid_out(core, user("a dog")).ids == [reader.bos_id(), *published]
    monkeypatch.setitem(sys.modules, "sentencepiece", None)
    with pytest.raises(MissingExtra, match=r"heliograph\[import\]"):
        imported(world, tmp_path, tmp_path / "other")


def adapted(world: World, folder: Path, **settings: object) -> Path:
    """The checkpoint of the rewrite with other settings of its LoRA."""
    shutil.copytree(world.head, folder)
    file = folder / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | settings))
    return folder


def test_a_rank_stabilised_lora_has_its_own_scale(world: World, tmp_path: Path) -> None:
    imported(world, adapted(world, tmp_path / "head", use_rslora=True), tmp_path / "core")
    language = AnyToAny.from_pretrained(tmp_path / "core").language
    language.merge_lora()
    name = "model.layers.1.self_attn.v_proj"
    product = world.lora[f"{name}.lora_B"] @ world.lora[f"{name}.lora_A"]
    expected = world.llama.get_parameter(f"{name}.weight") + 16 / R**0.5 * product
    torch.testing.assert_close(language.model.get_parameter(f"{name}.weight"), expected)


@pytest.mark.parametrize("name", ["rank_pattern", "alpha_pattern"])
def test_a_lora_of_several_scales_is_refused(name: str, world: World, tmp_path: Path) -> None:
    checkpoint = adapted(world, tmp_path / "head", **{name: {"v_proj": 64}})
    with pytest.raises(WeightsError, match=f"has a {name}: a LoRA is only read with one rank"):
        imported(world, checkpoint, tmp_path / "core")


def test_only_the_new_rows_may_be_kept(world: World, tmp_path: Path) -> None:
    state = {n: t[-38:] if len(t) > 300 else t for n, t in legacy_state(world).items()}
    state.pop("llama_model.base_model.model.lm_head.weight")
    torch.save(state, tmp_path / "pytorch_model.pt")
    imported(world, tmp_path, tmp_path / "core")
    language = AnyToAny.from_pretrained(tmp_path / "core").language
    new = language.model.get_input_embeddings().weight[-38:]
    assert torch.equal(new, world.llama.model.embed_tokens.weight[-38:])
    head = language.model.get_output_embeddings().weight
    torch.testing.assert_close(head[-1], head[:-38].mean(0), atol=1e-3, rtol=0)


# --- where it comes from ----------------------------------------------------------------


def test_an_import_tells_where_its_parts_come_from(world: World, tmp_path: Path) -> None:
    from heliograph.model.decoders.testing import small_pictures

    checkpoint, pictures = tmp_path / "nextgpt", tmp_path / "pictures"
    shutil.copytree(world.legacy, checkpoint)
    (checkpoint / "README.md").write_text("---\nlicense: bsd-3-clause\n---\n")
    small_pictures().save_pretrained(pictures)
    place, base = tmp_path / "core", str(world.base)
    import_nextgpt(checkpoint, base, world.imagebind, place, {"image": str(pictures)})
    found = inspect(place, verify=True)
    told = {p.part: (p.source, p.referenced, p.licence, p.state) for p in found.parts}
    ours = ("nextgpt", False, "bsd-3-clause", "aligned")
    assert told == {
        "language": (base, True, "LLaMA, non-commercial", "aligned"),
        "encoders/imagebind": (world.imagebind.name, False, "cc-by-nc-sa-4.0", "frozen"),
        **{f"{side}.{m}": ours for side in ("inputs", "outputs") for m in CONDITIONS},
        "decoders/image": (str(pictures), True, None, "frozen"),
    }
    core = AnyToAny.from_pretrained(place)
    numbers = sum(parameter.numel() for parameter in core.language.parameters())
    assert found.parts[0].parameters == numbers == needs(place)[0].parameters
    written = card(found, "owner/core")
    assert all(f"| {licence or ''} |" in written for *_, licence, _ in told.values())
    pin = core.shelf.origins.sources["projections"].sha256
    (checkpoint / "pytorch_model.pt").write_bytes(b"another")
    assert pinned(checkpoint, (*READ, *PICKLES)).sha256 != pin


@pytest.mark.parametrize("copy", [False, True])
def test_what_an_import_has_read_is_copied_only_when_asked(
    copy: bool, world: World, tmp_path: Path, legacy: AnyToAny
) -> None:
    place = tmp_path / "core"
    import_nextgpt(world.legacy, str(world.base), world.imagebind, place, copy=copy)
    assert (place / "language" / "model.safetensors").exists() == copy
    assert (place / "language" / "rows.safetensors").exists() != copy
    language = AnyToAny.from_pretrained(place).language
    state = legacy.language.state_dict()
    assert all(torch.equal(tensor, state[n]) for n, tensor in language.state_dict().items())
    assert language.stop_strings == legacy.language.stop_strings


def test_a_pickled_language_model_is_copied(world: World, tmp_path: Path) -> None:
    """NExT-GPT's own instructions end with such a folder."""
    base, place = tmp_path / "vicuna", tmp_path / "core"
    shutil.copytree(world.base, base)
    torch.save(load_file(base / "model.safetensors"), base / "pytorch_model.bin")
    (base / "model.safetensors").unlink()
    import_nextgpt(world.head, str(base), world.imagebind, place)
    (language,) = (part for part in inspect(place).parts if part.part == "language")
    assert (language.source, language.referenced) == ("vicuna", False)
    assert language.licence == "llama2"
    kept = AnyToAny.from_pretrained(place).language.model.get_parameter("model.norm.weight")
    assert torch.equal(kept, world.llama.model.norm.weight)


def test_a_decoder_has_to_fit(world: World, tmp_path: Path) -> None:
    from heliograph.model.decoders.testing import small_pictures, small_sounds

    small_pictures().save_pretrained(tmp_path / "pictures")
    small_sounds().save_pretrained(tmp_path / "sounds")
    paths: dict[Modality, str] = {"image": str(tmp_path / "pictures")}
    place = (world.legacy, str(world.base), world.imagebind, tmp_path / "core")
    with pytest.raises(InputError, match="makes sounds"):
        import_nextgpt(*place, {"image": str(tmp_path / "sounds")})
    with pytest.raises(WeightsError, match="takes a condition of"):
        import_nextgpt(*place, {"audio": str(tmp_path / "sounds")})
    assert import_nextgpt(*place, paths).decoders == ("image",)
    core = AnyToAny.from_pretrained(tmp_path / "core")
    speak(core, "draw a dog")
    answer = Assistant(Settings(home=tmp_path / "home"), core=core).invoke("draw a dog")
    assert [media.modality for media in answer.media] == ["image"]
