"""Cores whose language model sees or hears by itself, held against the model itself."""

from __future__ import annotations

import io
import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers as tf
from torch import Tensor

from heliograph.model.batching import TrainingSample, batch_of, media_groups
from heliograph.model.checkpoint import read_json
from heliograph.model.core import AnyToAny
from heliograph.model.data.examples import Example
from heliograph.model.data.prepared import Prepared
from heliograph.model.data.preparing import PrepareOptions, prepare
from heliograph.model.data.sets import DataSet, examples
from heliograph.model.encoders import load_encoder, perceived
from heliograph.model.encoders.own import OwnSense
from heliograph.model.errors import DataError, InputError, MediaError, WeightsError
from heliograph.model.generation import GenerationOptions
from heliograph.model.headers import headers
from heliograph.model.inspect import inspect
from heliograph.model.media import Image, Sound, read, write
from heliograph.model.needs import needs
from heliograph.model.parts import Media, Message, Text
from heliograph.model.plan import Memory, plan
from heliograph.model.prompts import build_row
from heliograph.model.senses import SENSES
from heliograph.model.signals import End, SignalReady, TextDelta
from heliograph.model.testing import assistant, made, user
from heliograph.model.training.alignment.run import train
from heliograph.model.training.alignment.settings import Settings

from .sensing import SAVED, QwenVLProcessor, save_gemma3, save_llava

Composing = Callable[..., Path]
CLASSES = {name: getattr(tf, sense.kind) for name, sense in SENSES.items()}
NAMES = tuple(CLASSES)
THREE_AXES = ("qwen2_vl", "qwen2_5_vl")
TRANSFORMER = "VisionTransformerPretrainedModel"
MODALITY = dict.fromkeys(NAMES, "image") | {"qwen2_audio": "audio"}


@pytest.fixture(scope="session")
def sensing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All of ``NAMES``."""
    root = tmp_path_factory.mktemp("sensing")
    for name, save in SAVED.items():
        save(root / name)
    return root


@pytest.fixture
def own(composing: Composing, sensing: Path) -> Callable[..., AnyToAny]:
    """A core of one of them, without other encoders."""

    def made(name: str, **changes: Any) -> AnyToAny:
        given = {"language": str(sensing / name), "encoders": {}} | changes
        return AnyToAny.from_pretrained(composing(**given))

    return made


def picture(shade: int = 90, height: int = 40, width: int = 50) -> Media:
    pixels = np.random.default_rng(shade).integers(0, 255, (height, width, 3), np.uint8)
    return write(Image(pixels))


def sound(seconds: float) -> Media:
    wave = np.sin(np.arange(round(16_000 * seconds)) / 20).astype(np.float32)
    return write(Sound(wave, 16_000))


def conversation(name: str) -> list[Message]:
    """Two media of different sizes, and a question that is to be answered."""
    if name == "qwen2_audio":
        one, other = sound(0.4), sound(0.7)
    else:
        one, other = picture(1), picture(2, 30, 90)
    return [user(one, "what is this?"), assistant("2 dogs"), user(other, "and this?")]


def talk(question: str, answer: str) -> list[dict[str, str]]:
    return [{"from": "human", "value": question}, {"from": "gpt", "value": answer}]


def by_itself(
    folder: Path, name: str, messages: list[Message], answer: list[int] | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Ids (1, T), embeddings (1, T, W) and logits (1, T, V) of the model without a core.

    ``answer``: ids of the answer that follow.
    """
    model = CLASSES[name].from_pretrained(folder).eval()
    said: list[dict[str, Any]] = []
    clips: list[Any] = []
    for message in messages:
        parts: list[dict[str, str]] = []
        for part in message.parts:
            if isinstance(part, Text):
                parts.append({"type": "text", "text": part.text})
            elif isinstance(part, Media):
                parts.append({"type": part.modality})
                clip = read(part)
                clips.append(clip.pixels if isinstance(clip, Image) else clip.samples)  # type: ignore[union-attr]
        said.append({"role": message.role, "content": parts})
    if name in LAID_OUT:
        inputs = laid_out(folder, name, said, clips)
    else:
        if name in THREE_AXES:
            processor: Any = QwenVLProcessor.of(folder)
        else:
            processor = tf.AutoProcessor.from_pretrained(folder, backend="pil")
        text = processor.apply_chat_template(said, add_generation_prompt=True, tokenize=False)
        pictures = MODALITY[name] == "image"
        given = {"images": clips or None} if pictures else {"audio": clips, "sampling_rate": 16_000}
        inputs = processor(text=text, return_tensors="pt", **given)
    said_ids = torch.tensor([answer or []], dtype=torch.long)
    fills = {"input_ids": said_ids, "attention_mask": torch.ones_like(said_ids)}
    fills |= dict.fromkeys(("token_type_ids", "mm_token_type_ids"), torch.zeros_like(said_ids))
    inputs |= {k: torch.cat([inputs[k], x], dim=1) for k, x in fills.items() if k in inputs}
    seen: list[Tensor] = []
    getattr(model.model, SENSES[name].language).register_forward_pre_hook(
        lambda module, args, kwargs: seen.append(kwargs["inputs_embeds"]), with_kwargs=True
    )
    with torch.no_grad():
        logits = model(**inputs).logits
    return inputs["input_ids"], seen[0], logits


def laid_out(
    folder: Path, name: str, said: list[dict[str, Any]], pictures: list[Any]
) -> dict[str, Any]:
    """The same where the class's processor isn't made without torchvision."""
    tokenizer = tf.AutoTokenizer.from_pretrained(folder)
    place, lay_out = LAID_OUT[name]
    texts, inputs = lay_out(tf.AutoImageProcessor.from_pretrained(folder, backend="pil"), pictures)
    text = tokenizer.apply_chat_template(said, add_generation_prompt=True, tokenize=False)
    first, *rest = text.split(place)
    whole = first + "".join(x + y for x, y in zip(texts, rest, strict=True))
    ids = tokenizer(whole, add_special_tokens=False, return_tensors="pt").input_ids
    return {"input_ids": ids, **inputs}


def of_class(kind: Any, how: dict[str, Any], **said: Any) -> Any:
    """What a class's processor writes for pictures and makes of them, the rest of it left out."""

    def lay_out(pixels: Any, pictures: list[Any]) -> tuple[list[str], dict[str, Any]]:
        processor = object.__new__(kind)
        vars(processor).update(image_processor=pixels, **said)
        made = pixels(pictures, return_tensors="pt", **how)
        texts = [processor.replace_image_token(made, i) for i in range(len(pictures))]
        assert len({*texts}) == len(texts)
        unread = ("num_patches", "rows", "cols")
        return texts, {name: x for name, x in made.items() if name not in unread}

    return said["image_token"], lay_out


def mistral3_inputs(processor: Any, pictures: list[Any]) -> tuple[list[str], dict[str, Any]]:
    made = processor(pictures, patch_size=8, return_tensors="pt")
    sizes = [(height // 8, width // 8) for height, width in made["image_sizes"].tolist()]
    assert sizes == [(5, 7), (3, 8)]
    texts = []
    for height, width in sizes:
        rows = ["[IMG]" * width] * height
        texts.append("[IMG_BREAK]".join(rows) + "[IMG_END]")
    return texts, dict(made)


LAID_OUT = {
    "mistral3": ("[IMG]", mistral3_inputs),
    "internvl": of_class(
        tf.InternVLProcessor,
        {"crop_to_patches": True},
        image_token="<IMG_CONTEXT>",
        image_seq_length=4,
        start_image_token="<img>",
        end_image_token="</img>",
    ),
    "smolvlm": of_class(
        tf.SmolVLMProcessor,
        {"return_row_col_info": True},
        image_token="<image>",
        image_seq_len=4,
        fake_image_token="<fake_token_around_image>",
        global_image_token="<global-img>",
    ),
    "llava_onevision": of_class(
        tf.LlavaOnevisionProcessor,
        {},
        image_token="<image>",
        num_image_tokens=16,
        vision_aspect_ratio="anyres_max_4",
        vision_feature_select_strategy="full",
    ),
}


@pytest.mark.parametrize("name", NAMES)
def test_it_reads_what_the_model_itself_reads(
    name: str, own: Callable[..., AnyToAny], sensing: Path
) -> None:
    check_what_it_reads(own(name), sensing / name, name, conversation(name))


@pytest.mark.parametrize("name", [name for name in NAMES if name != "qwen2_audio"])
def test_several_pictures_may_begin_a_message(
    name: str, own: Callable[..., AnyToAny], sensing: Path
) -> None:
    messages = [user(picture(1), picture(2, 30, 90), "what are these?")]
    check_what_it_reads(own(name), sensing / name, name, messages)


@pytest.mark.parametrize("name", ["internvl", "mistral3", "idefics3"])
def test_words_and_pictures_may_stand_in_any_order(
    name: str, own: Callable[..., AnyToAny], sensing: Path
) -> None:
    """Some templates begin a message otherwise where it begins with a picture."""
    shown = user("look: ", picture(1), "and ", picture(2, 30, 90), "what?")
    messages = [user("hello"), assistant("yes?"), shown]
    core = own(name)
    check_what_it_reads(core, sensing / name, name, messages)
    rows = [
        build_row(core.language, said, core.encode, core.media_length, reply=False)
        for said in ([user("hello"), assistant("yes?")], [user("hello"), assistant(" yes?")])
    ]
    assert (rows[0].ids == rows[1].ids) == (name == "idefics3")  # which begins its answers so


def check_what_it_reads(core: AnyToAny, folder: Path, name: str, messages: list[Message]) -> None:
    ids, expected, scores = by_itself(folder, name, messages)
    row = build_row(core.language, messages, core.encode, core.media_length, reply=True)
    words = torch.tensor(row.ids)
    places = torch.zeros(len(words), dtype=torch.bool)
    for group in media_groups([row]):
        places[group.columns] = True
    torch.testing.assert_close(words[~places], ids[0][~places])
    batch = batch_of(core.language, [[row]])
    with torch.no_grad():
        embedded = core.embed(batch.ids, batch.media)
        blocks = core.blocks(batch.ids, batch.media)
        hidden = core.language.hidden(embedded, batch.mask, batch.positions, blocks=blocks)
        logits = core.language.logits(hidden)
    assert (blocks is not None) == (name == "gemma3")
    torch.testing.assert_close(embedded, expected)
    torch.testing.assert_close(logits[..., : scores.shape[-1]], scores, atol=1e-4, rtol=0)


@pytest.mark.parametrize("copy", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_it_is_composed_saved_loaded_and_answers(
    name: str, copy: bool, composing: Composing, sensing: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(sensing / name, tmp_path / name))
    core_dir = composing(copy=copy, language=str(folder), encoders={})
    core = AnyToAny.from_pretrained(core_dir)
    assert (core.sees, core.makes) == ((MODALITY[name],), ("image", "audio"))
    assert not list(core.inputs.parameters())
    features = core.encode(conversation(name)[0].parts[0])  # type: ignore[arg-type]
    sources = read_json(core_dir / "config.json")["sources"]
    label = next(part for part in sources if part.startswith("encoders/"))
    assert sources[label] == sources["language"]
    assert (core_dir / label).exists() == copy
    core.save_pretrained(tmp_path / "again", torch.float32)
    if copy:
        shutil.rmtree(folder)
    again = AnyToAny.from_pretrained(tmp_path / "again")
    torch.testing.assert_close(again.encode(conversation(name)[0].parts[0]), features)  # type: ignore[arg-type]
    for key, tensor in core.state_dict().items():
        assert torch.equal(again.state_dict()[key], tensor), key
    events = list(again.generate([conversation(name)], GenerationOptions(6)))
    assert isinstance(events[-1], End)


@pytest.mark.parametrize("name", NAMES)
def test_it_signals_what_its_decoders_make(name: str, own: Callable[..., AnyToAny]) -> None:
    """Taught to answer what it is shown with a picture, it does, and the picture is decoded."""
    core = own(name)
    shown = conversation(name)[0]
    features = core.encode(shown.parts[0])  # type: ignore[arg-type]
    lesson = (shown, assistant(made("image", "a dog")))
    sample = TrainingSample(lesson, [(MODALITY[name], features)])  # type: ignore[list-item]
    batch = core.train().collate([sample])
    optimizer = torch.optim.AdamW(core.parameters(), lr=1e-2, weight_decay=0.0)
    for _ in range(100):
        loss = core(batch).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if loss < 0.01:
            break
    events = core.generate([[shown]], GenerationOptions(40))
    ready = next(event for event in events if isinstance(event, SignalReady))
    condition = core.condition(ready.signal)
    assert len(core.decoder("image").decode(condition, seeds=[1])) == 1


@pytest.mark.parametrize(
    "name",
    ["llava_next", "internvl", "mistral3", "idefics3", "llava_onevision", "qwen2_5_vl"],
)
def test_pictures_of_different_sizes_are_prepared_and_trained_together(
    name: str, composing: Composing, sensing: Path, tmp_path: Path
) -> None:
    core_dir = composing(language=str(sensing / name), encoders={})
    core = AnyToAny.from_pretrained(core_dir)
    pictures = [picture(1), picture(2, 30, 90), picture(3, 90, 60)]
    rows = []
    for index, shown in enumerate(pictures):
        (tmp_path / f"{index}.png").write_bytes(shown.data)
        conversations = talk("<image>\nwhat is this?", "a dog")
        rows.append({"input_image": f"{index}.png", "conversations": conversations})
    data = tmp_path / "rows.json"
    data.write_text(json.dumps(rows))
    dataset = DataSet.of(data)
    prepare(core_dir, tmp_path / "prepared", [dataset], PrepareOptions(half=False))
    prepared = Prepared.open(tmp_path / "prepared", core_dir)
    samples = [prepared.sample(found) for found in examples(dataset) if isinstance(found, Example)]
    for sample, shown in zip(samples, pictures, strict=True):
        torch.testing.assert_close(sample.features[0][1], core.encode(shown))
    assert len({len(sample.features[0][1]) for sample in samples}) > 1
    with torch.no_grad():
        together = core(core.collate(samples)).loss
        alone = torch.stack([core(core.collate([sample])).loss for sample in samples])
    torch.testing.assert_close(together, alone.mean())
    talks = [[user(shown, "what is this?")] for shown in pictures]
    assert answers(core, talks) == [answer for talk in talks for answer in answers(core, [talk])]


def answers(core: AnyToAny, talks: list[list[Message]]) -> list[str]:
    said = [""] * len(talks)
    for event in core.generate(talks, GenerationOptions(6)):
        if isinstance(event, TextDelta):
            said[event.row] += event.text
    assert all(said)
    return said


def test_sounds_of_different_lengths_stand_in_one_batch(own: Callable[..., AnyToAny]) -> None:
    core = own("qwen2_audio")
    features = [core.encode(sound(seconds)) for seconds in (0.2, 0.7, 3.0, 0.0001)]
    assert [len(x) for x in features] == [5, 17, 25, 1]  # cut to a second; at least one
    samples = [
        TrainingSample((user(sound(1.0), "what?"), assistant("a bell")), [("audio", x)])
        for x in (features[0], features[1], features[0])
    ]
    batch = core.collate(samples)
    assert sorted(tuple(group.features.shape) for group in batch.media) == [
        (1, 17, 48),
        (2, 5, 48),
    ]
    with torch.no_grad():
        together = core(batch).loss
        alone = torch.stack([core(core.collate([sample])).loss for sample in samples])
    torch.testing.assert_close(together, alone.mean())
    with pytest.raises(InputError, match="of 26 tokens were given for sounds"):
        core.media_length("audio", 26)


@pytest.mark.parametrize("tied", [False, True])
def test_other_eyes_names_and_ties(tied: bool, composing: Composing, tmp_path: Path) -> None:
    """SigLIP's eyes, in a file with the names that the classes have now."""
    folder = save_llava(tmp_path / "llava", "Siglip", tied)
    model = tf.LlavaForConditionalGeneration.from_pretrained(folder)
    model.save_pretrained(folder, save_original_format=False)
    core = AnyToAny.from_pretrained(composing(language=str(folder), encoders={}))
    _, expected, _ = by_itself(folder, "llava", [user(picture(3), "what is this?")])
    torch.testing.assert_close(core.encode(picture(3)), expected[0, 6:22])
    weights = core.language.model
    same = weights.get_input_embeddings().weight is weights.get_output_embeddings().weight
    assert same == tied


def test_a_head_of_its_own_is_not_tied(composing: Composing, sensing: Path, tmp_path: Path) -> None:
    """The class ties where nothing is said, which published checkpoints don't."""
    folder = Path(shutil.copytree(sensing / "internvl", tmp_path / "internvl"))
    config = read_json(folder / "config.json")
    assert not config.pop("tie_word_embeddings")
    (folder / "config.json").write_text(json.dumps(config))
    core = AnyToAny.from_pretrained(composing(language=str(folder), encoders={}))
    ids = torch.arange(3, 40)[None]
    with torch.no_grad():
        expected = CLASSES["internvl"].from_pretrained(folder).eval()(input_ids=ids).logits
        hidden = core.language.hidden(core.language.embed(ids), torch.ones_like(ids))
        logits = core.language.logits(hidden)
    torch.testing.assert_close(logits[..., : expected.shape[-1]], expected)


@pytest.mark.parametrize("name", ["llava", "gemma3"])
def test_an_encoder_that_is_named_takes_its_place(
    name: str, own: Callable[..., AnyToAny], folders: Path
) -> None:
    core = own(name, encoders={"image": str(folders / "clip")})
    assert list(core.shelf.encoders) == ["clip"]
    projection = core.inputs["image"]
    assert list(projection.parameters()) and not core.language.frames
    assert not projection.config.two_way  # type: ignore[union-attr]


@pytest.mark.parametrize("name", ["qwen2_audio", "llava_next", "internvl", "mistral3"])
def test_where_media_differ_in_length_another_language_model_reads_only_pooled_ones(
    name: str, composing: Composing, sensing: Path
) -> None:
    modality = MODALITY[name]
    named = {modality: str(sensing / name)}
    with pytest.raises(InputError, match=f"{name} gives .* only its own language model reads"):
        composing(encoders=named)
    core = AnyToAny.from_pretrained(composing(encoders=named, pooled=True))
    for medium in (picture(1), picture(2, 30, 90)) if modality == "image" else (sound(0.4),):
        events = core.generate([[user(medium, "what?")]], GenerationOptions(2))
        assert isinstance(list(events)[-1], End)


def test_eyes_of_another_language_model_are_copied_without_it(
    composing: Composing, sensing: Path
) -> None:
    core_dir = composing(copy=True, encoders={"image": str(sensing / "llava")})
    saved = headers(core_dir / "encoders" / "llava")
    assert saved and not any("language_model" in name for name in saved)
    events = AnyToAny.from_pretrained(core_dir).generate([[user(picture())]], GenerationOptions(2))
    assert isinstance(list(events)[-1], End)


def test_other_encoders_stand_beside_it(own: Callable[..., AnyToAny], folders: Path) -> None:
    core = own("llava", encoders={"audio": str(folders / "clap")})
    assert (core.sees, core.shelf.encoders) == (
        ("image", "audio"),
        {"clap": ("audio",), "llava": ("image",)},
    )
    events = core.generate([[user(picture(), "and", sound(0.5))]], GenerationOptions(2))
    assert isinstance(list(events)[-1], End)


@pytest.mark.parametrize(
    ("name", "language", "eyes", "shape", "copy"),
    [
        ("llava", "LlamaForCausalLM", "CLIPVisionModel", "image to 16x48", False),
        ("llava", "LlamaForCausalLM", "CLIPVisionModel", "image to 16x48", True),
        ("llava_next", "LlamaForCausalLM", "CLIPVisionModel", "image to 88x48", True),
        ("internvl", "Qwen2ForCausalLM", "InternVLVisionModel", "image to 20x48", True),
        ("mistral3", "MistralForCausalLM", "PixtralVisionModel", "image to 64x48", True),
        ("gemma3", "Gemma3ForCausalLM", "SiglipVisionModel", "image to 16x48", True),
        ("llava_onevision", "Qwen2ForCausalLM", "SiglipVisionModel", "image to 105x48", True),
        ("smolvlm", "LlamaForCausalLM", "SmolVLMVisionTransformer", "image to 20x48", True),
        ("qwen2_vl", "Qwen2VLForCausalLM", f"Qwen2{TRANSFORMER}", "image to 32x48", True),
        ("qwen2_5_vl", "Qwen2_5_VLForCausalLM", f"Qwen2_5_{TRANSFORMER}", "image to 32x48", True),
    ],
)
def test_it_is_told_and_planned(
    name: str, language: str, eyes: str, shape: str, copy: bool, composing: Composing, sensing: Path
) -> None:
    core_dir = composing(copy=copy, language=str(sensing / name), encoders={})
    parts = {part.part: part for part in inspect(core_dir).parts}
    core = AnyToAny.from_pretrained(core_dir)
    seeing = core.encoder("image")
    text, tower = parts["language"], parts[f"encoders/{name}"]
    assert text.kind == (language if copy else CLASSES[name].__name__)
    assert text.shape.startswith("width 48, 2 layers") and text.state == "fresh rows"
    assert (tower.kind, tower.shape, tower.state) == (eyes, shape, "frozen")
    assert tower.parameters == sum(p.numel() for p in seeing.parameters())  # type: ignore[attr-defined]
    own = parts["inputs.image"]
    assert (own.kind, own.state, own.parameters) == ("its own", "frozen", 0)
    needed = {need.part: need for need in needs(core_dir)}
    assert needed[f"encoders/{name}"].parameters == tower.parameters
    assert needed[f"encoders/{name}"].activations > 0
    found = plan(list(needed.values()), Memory(8 * 10**9))
    half = AnyToAny.from_pretrained(core_dir, plan=found)
    torch.testing.assert_close(half.encode(picture()), core.encode(picture()))


def test_stages_train_what_there_is(composing: Composing, sensing: Path, tmp_path: Path) -> None:
    """Signals and the language model, in a core that refers to it; the first stage has nothing."""
    core_dir = composing(language=str(sensing / "llava"), encoders={})
    (tmp_path / "shown.png").write_bytes(picture().data)
    rows = [
        {"input_image": "shown.png", "conversations": talk("<image>\nwhat is this?", "a dog")},
        {"conversations": talk("draw", "so: <image>"), "image_captions": "a cat"},
    ]
    data, prepared = tmp_path / "rows.json", tmp_path / "prepared"
    data.write_text(json.dumps(rows))
    prepare(core_dir, prepared, [DataSet.of(data)])

    def settings(stage: str) -> Settings:
        return Settings(stage, core_dir, data, prepared, tmp_path / stage, steps=2, batch=2, rank=2)

    for stage in ("encode", "llava-align"):
        with pytest.raises(InputError, match=f"stage {stage} has nothing to train in this core"):
            train(settings(stage), device="cpu", quiet=True)
    before = AnyToAny.from_pretrained(core_dir)
    for stage in ("decode", "llava-instruct"):
        _, trained = train(settings(stage), device="cpu", quiet=True)
        assert trained is not None and not (trained / "language" / "model.safetensors").exists()
        after = AnyToAny.from_pretrained(trained)
        assert after.language.has_lora == (stage == "llava-instruct")
        torch.testing.assert_close(after.encode(picture()), before.encode(picture()))
        states = {part.part: part.state for part in inspect(trained).parts}
        assert states["inputs.image"] == "frozen" and states["language"] == "aligned"


def test_rows_that_only_its_own_eyes_read_train_no_projection(
    composing: Composing, sensing: Path, folders: Path, tmp_path: Path
) -> None:
    encoders = {"audio": str(folders / "clap")}
    core_dir = composing(language=str(sensing / "gemma3"), encoders=encoders)
    (tmp_path / "seen.png").write_bytes(picture().data)
    (tmp_path / "heard.wav").write_bytes(sound(0.4).data)
    seen = {"input_image": "seen.png", "conversations": talk("<image>\nwhat is this?", "a dog")}
    heard = {"input_audio": "heard.wav", "conversations": talk("<audio>\nand this?", "a bell")}
    data, prepared = tmp_path / "rows.json", tmp_path / "prepared"
    data.write_text(json.dumps([seen, heard]))
    prepare(core_dir, prepared, [DataSet.of(data)])
    settings = Settings("encode", core_dir, data, prepared, tmp_path / "run", steps=2, batch=2)
    _, trained = train(settings, device="cpu", quiet=True)
    assert trained is not None
    reason = "| rows left out because what they show is read without a projection | "
    assert reason in (trained / "README.md").read_text()
    data.write_text(json.dumps([seen]))
    with pytest.raises(DataError, match="no row .* can use: what they show is read without a proj"):
        train(replace(settings, out=tmp_path / "other"), device="cpu", quiet=True)


def test_pictures_say_their_size_in_sixteen_bits_too(sensing: Path) -> None:
    eyes = load_encoder(sensing / "llava_next", dtype=torch.bfloat16)
    shown = [read(picture(1, height, width)) for height, width in ((700, 321), (200, 1000))]
    one, other = perceived(eyes, "image", [eyes.prepare(clip) for clip in shown])
    assert (len(one), len(other)) == (16 + 8 * 4 + 8, 16 + 2 * 8 + 2)


def test_a_picture_that_is_too_narrow_is_told_in_one_sentence(own: Callable[..., AnyToAny]) -> None:
    with pytest.raises(MediaError, match="picture of 500x2 pixels is too narrow"):
        own("mistral3").encode(picture(1, 2, 500))


def test_sounds_are_counted_in_sixteen_bits_too(sensing: Path) -> None:
    ears = load_encoder(sensing / "qwen2_audio", dtype=torch.bfloat16)
    x = ears.prepare(read(sound(0.97))).unsqueeze(0).bfloat16()
    assert ears.pooled("audio", x).shape == (1, 48)
    assert ears.lengths(x) == [24]  # type: ignore[attr-defined]


def test_models_that_are_read_in_another_way_are_refused(
    composing: Composing, sensing: Path, tmp_path: Path
) -> None:
    known = "LlavaForConditionalGeneration, .* and .* can, with the eyes that docs/models.md names"
    pixtral = Path(shutil.copytree(sensing / "llava", tmp_path / "pixtral"))
    config = read_json(pixtral / "config.json")
    config["vision_config"] = {"model_type": "pixtral"}
    (pixtral / "config.json").write_text(json.dumps(config))
    with pytest.raises(WeightsError, match=f"The LlavaForCond.* can't be .*{known}"):
        composing(language=str(pixtral))
    for model_type in ("paligemma", "qwen3_vl", "voxtral", "idefics2"):
        (pixtral / "config.json").write_text(json.dumps({"model_type": model_type}))
        with pytest.raises(WeightsError, match=f"The {model_type} in .* can't be .*{known}"):
            composing(language=str(pixtral))


@pytest.mark.parametrize("copy", [False, True])
def test_gemma_3_reads_words_as_it_does_with_its_eyes(
    copy: bool, composing: Composing, tmp_path: Path
) -> None:
    folder = save_gemma3(tmp_path / "gemma3")
    (folder / "processor_config.json").unlink()
    whole = tf.Gemma3ForConditionalGeneration.from_pretrained(folder).eval()
    core_dir = composing(copy=copy, language=str(folder))
    core = AnyToAny.from_pretrained(core_dir)
    ids = torch.arange(3, 40)[None]
    with torch.no_grad():
        expected = whole(input_ids=ids).logits
        hidden = core.language.hidden(core.language.embed(ids), torch.ones_like(ids))
        logits = core.language.logits(hidden)
    torch.testing.assert_close(logits[..., : expected.shape[-1]], expected)
    # What sees are the encoders that were named; its own eyes aren't looked for.
    assert list(core.shelf.encoders) == ["clip", "clap"]
    assert next(iter(inspect(core_dir).parts)).shape.startswith("width 48, 2 layers")


def test_a_damaged_one_is_one_sentence(composing: Composing, sensing: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(sensing / "llava", tmp_path / "llava"))
    (folder / "processor_config.json").unlink()
    with pytest.raises(WeightsError, match=r"incomplete: .*llava has no processor"):
        composing(language=str(folder), encoders={})
    assert not (tmp_path / "core").exists()


def test_code_that_ears_name_inside_is_neither_run_nor_asked_about(
    sensing: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The model's class builds its tower, and passes on nothing that it was told."""
    folder = Path(shutil.copytree(sensing / "qwen2_audio", tmp_path / "qwen2_audio"))
    config = read_json(folder / "config.json")
    ears = {"model_type": "clap_audio_model", "auto_map": {"AutoModel": "own.Model"}}
    config["audio_config"] |= ears | {"_name_or_path": str(folder)}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    willing = io.StringIO("y\n" * 100)
    monkeypatch.setattr(sys, "stdin", willing)
    with pytest.raises(WeightsError, match="custom code"):
        OwnSense.outline(folder)
    assert willing.tell() == 0 and not (tmp_path / "ran").exists()
