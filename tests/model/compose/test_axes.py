"""Positions on three axes, held against Qwen2-VL and Qwen2.5-VL themselves."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers as tf
from torch import Tensor

from heliograph.model.axes import following, numbered, placed
from heliograph.model.batching import Batch, TrainingSample, batch_of, row_of
from heliograph.model.checkpoint import read_json
from heliograph.model.core import AnyToAny
from heliograph.model.data.examples import Example
from heliograph.model.data.prepared import Prepared
from heliograph.model.data.preparing import prepare
from heliograph.model.data.sets import DataSet, examples
from heliograph.model.encoders import load_encoder
from heliograph.model.errors import MediaError
from heliograph.model.evaluation.asking import encode
from heliograph.model.generation import GenerationOptions
from heliograph.model.media import Image, Sound, read, write
from heliograph.model.parts import Media, Message, Text
from heliograph.model.prompts import Row, build_row
from heliograph.model.signals import End, TextDelta
from heliograph.model.testing import assistant, made, user
from heliograph.model.training.alignment.parts import check_packing
from heliograph.model.training.alignment.prefix import cut_hidden
from heliograph.model.training.alignment.rows import NewRows

from .sensing import QwenVLProcessor, save_qwen2_5_vl, save_qwen2_vl

Composing = Callable[..., Path]
SAVES = {"Qwen2VL": save_qwen2_vl, "Qwen2_5_VL": save_qwen2_5_vl}
ANSWER = "a red dog on the left"


@pytest.fixture(scope="session", params=SAVES)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of each class."""
    return SAVES[request.param](tmp_path_factory.mktemp("axes") / request.param)


@pytest.fixture
def core(folder: Path, composing: Composing) -> AnyToAny:
    return AnyToAny.from_pretrained(composing(language=str(folder), encoders={}))


def picture(seed: int, height: int, width: int) -> Media:
    pixels = np.random.default_rng(seed).integers(0, 255, (height, width, 3), np.uint8)
    return write(Image(pixels))


ONE, OTHER = picture(1, 40, 50), picture(2, 24, 60)
TALK = [user(ONE, "what is this?"), assistant("2 dogs"), user("and ", OTHER, " this?")]


class Itself:
    """The model without a core."""

    def __init__(self, folder: Path) -> None:
        name = f"{folder.name}ForConditionalGeneration"
        self.model = getattr(tf, name).from_pretrained(folder).eval()
        self.processor = QwenVLProcessor.of(folder)
        self.read: dict[str, Tensor] = {}
        """What its language model was given last."""

    def logits(self, messages: list[Message], said: str = "") -> Tensor:
        """Of a conversation that it is to answer, and of the answer that it has begun: (T, V)."""
        pictures = [read(p) for m in messages for p in m.parts if isinstance(p, Media)]
        laid_out = [
            {
                "role": message.role,
                "content": [
                    {"type": "text", "text": part.text}
                    if isinstance(part, Text)
                    else {"type": "image"}
                    for part in message.parts
                ],
            }
            for message in messages
        ]
        text = self.processor.apply_chat_template(laid_out, add_generation_prompt=True)
        shown = {"images": [clip.pixels for clip in pictures]} if pictures else {}  # type: ignore[union-attr]
        inputs = self.processor(text=text + said, return_tensors="pt", **shown)
        hook = self.model.model.language_model.register_forward_pre_hook(
            lambda module, args, kwargs: self.read.update(kwargs), with_kwargs=True
        )
        with torch.no_grad():
            logits = self.model(**inputs).logits[0]
        hook.remove()
        return logits


def laid_out(core: AnyToAny, messages: list[Message]) -> Row:
    return build_row(core.language, messages, core.encode, core.media_length, reply=True)


def test_a_picture_takes_fewer_numbers_than_embeddings(core: AnyToAny) -> None:
    row = laid_out(core, TALK)
    positions = numbered(row)
    assert positions.shape == (4, len(row.ids))
    assert positions[0].tolist() == list(range(len(row.ids)))
    first, second = row.places
    assert (first.length, second.length) == (5 * 6, 3 * 8)
    start = first.start
    assert positions[1:, : start + 1].tolist() == [list(range(start + 1))] * 3
    inside = positions[1:, start : start + 30] - start
    assert inside[0].tolist() == [0] * 30
    assert inside[1].tolist() == [r for r in range(5) for _ in range(6)]
    assert inside[2].tolist() == list(range(6)) * 5
    assert positions[1:, start + 30].tolist() == [start + 6] * 3
    assert following(row) == len(row.ids) - (30 - 6) - (24 - 8) == int(positions[1:].max()) + 1


def test_the_model_itself_is_given_the_same(core: AnyToAny, folder: Path) -> None:
    itself = Itself(folder)
    itself.logits(TALK)
    batch = batch_of(core.language, [[laid_out(core, TALK)]])
    assert batch.positions is not None
    torch.testing.assert_close(batch.positions[1:], itself.read["position_ids"])
    with torch.no_grad():
        embeddings = core.embed(batch.ids, batch.media)
    torch.testing.assert_close(embeddings, itself.read["inputs_embeds"])


def test_answers_of_a_batch_are_scored_as_the_model_itself_scores_them(
    core: AnyToAny, folder: Path
) -> None:
    """Rows of different lengths, one without pictures: its first tokens, and those that follow."""
    talks = [[user("hello")], TALK, [user(OTHER, "what is this?")]]
    language = core.language
    answer = language.encode_text(ANSWER)
    scores: list[Tensor] = []

    def says(module: Any, given: Any, found: Tensor) -> Tensor:
        step = len(scores)
        scores.append(found)
        token = answer[step] if step < len(answer) else min(language.stop_ids)
        return torch.zeros_like(found).index_fill(-1, torch.tensor([token]), 1.0)

    hook = language.model.get_output_embeddings().register_forward_hook(says)
    events = list(core.generate(talks, GenerationOptions(32)))
    hook.remove()
    assert sum(isinstance(event, End) for event in events) == len(talks)
    texts = ["".join(e.text for e in events if isinstance(e, TextDelta) and e.row == 1)]
    assert texts == [ANSWER]
    itself = Itself(folder)
    for row, talk in enumerate(talks):
        expected = itself.logits(talk, ANSWER)[-len(answer) - 1 :]  # (answer + 1, V)
        got = torch.stack([found[row] for found in scores])[:, : expected.shape[-1]]
        torch.testing.assert_close(got, expected, atol=1e-4, rtol=0)


def test_a_later_turn_adds_a_picture_to_what_has_been_read(core: AnyToAny, folder: Path) -> None:
    row = laid_out(core, TALK)
    batch = batch_of(core.language, [[row]])
    assert batch.positions is not None
    half = len(laid_out(core, TALK[:1]).ids)
    assert row.places[0].start < half < row.places[1].start
    cache = tf.DynamicCache(config=core.language.model.config)
    with torch.no_grad():
        embeddings = core.embed(batch.ids, batch.media)
        states = [
            core.language.hidden(
                embeddings[:, piece],
                torch.ones(1, piece.stop),
                batch.positions[..., piece],
                cache,
            )
            for piece in (slice(0, half), slice(half, len(row.ids)))
        ]
        logits = core.language.logits(torch.cat(states, dim=1))[0]
    expected = Itself(folder).logits(TALK)
    torch.testing.assert_close(logits[:, : expected.shape[-1]], expected, atol=1e-4, rtol=0)


def samples(core: AnyToAny) -> list[TrainingSample]:
    drawn = assistant("here: ", made("image", "a cat"))
    talks = [
        (*TALK, drawn),
        (user("draw a cat, please"), drawn),
        (user(OTHER, "draw it"), drawn),
    ]
    shown = [[ONE, OTHER], [], [OTHER]]
    return [
        TrainingSample(talk, [("image", core.encode(media)) for media in pictures])
        for talk, pictures in zip(talks, shown, strict=True)
    ]


def binned(core: AnyToAny, *bins: list[int]) -> Batch:
    ours = samples(core)
    rows = [row_of(core.language, core.media_length, sample) for sample in ours]
    return batch_of(core.language, [[rows[i] for i in bin] for bin in bins])


def hidden(core: AnyToAny, batch: Batch) -> Tensor:
    mask = batch.mask if batch.positions is None else None
    return core.language.hidden(core.embed(batch.ids, batch.media), mask, batch.positions)


def test_a_packed_sample_is_read_as_if_it_were_alone(core: AnyToAny) -> None:
    check_packing(core)  # of words alone
    packed = binned(core, [0, 1], [2])
    assert packed.positions is not None and packed.positions.shape == (4, *packed.ids.shape)
    with torch.no_grad():
        states, beside = hidden(core, packed), hidden(core, binned(core, [0], [1], [2]))
        alone = [hidden(core, binned(core, [i]))[0] for i in range(3)]
    first, second, third = map(len, alone)
    torch.testing.assert_close(states[0, :first], alone[0])
    torch.testing.assert_close(states[0, first : first + second], alone[1])
    torch.testing.assert_close(states[1, :third], alone[2])
    for row, its in zip(beside, alone, strict=True):  # filled up, not packed
        torch.testing.assert_close(row[: len(its)], its)


def test_words_alone_are_read_as_by_any_model(core: AnyToAny) -> None:
    assert binned(core, [1]).positions is None
    packed = binned(core, [1, 1])
    assert packed.positions is not None and packed.positions.dim() == 2
    with torch.no_grad():
        states, alone = hidden(core, packed)[0], hidden(core, binned(core, [1]))[0]
    torch.testing.assert_close(states, torch.cat([alone, alone]))


def test_a_prefix_without_gradients_gives_the_states_and_gradients_of_the_full_pass(
    core: AnyToAny,
) -> None:
    core.requires_grad_(False)
    core.outputs.requires_grad_(True)
    rows = NewRows(core.language)
    batch = binned(core, [0], [1], [2])

    def gradients(cut: bool) -> tuple[Tensor, list[Tensor]]:
        core.zero_grad()
        rows.zero_grad()
        embeddings = core.embed(batch.ids, batch.media)
        if cut:
            trained = rows.within(batch.ids)
            states = cut_hidden(
                core.language, embeddings, batch.mask, trained, positions=batch.positions
            )
        else:
            states = hidden(core, batch)
        outputs = core.outputs_of(batch, embeddings, states)
        signals = outputs.stacked["image"]
        far = core.outputs["image"](signals.hidden, signals.embeddings).square().mean()
        (outputs.loss + far).backward()
        trained_ones = [*rows.parameters(), *core.outputs["image"].parameters()]
        return states.detach(), [p.grad.clone() for p in trained_ones if p.grad is not None]

    (whole, all_of_it), (short, some) = gradients(False), gradients(True)
    real = batch.mask.bool()
    torch.testing.assert_close(short[real], whole[real])
    assert len(some) == len(all_of_it) > 2
    for one, other in zip(all_of_it, some, strict=True):
        torch.testing.assert_close(one, other, rtol=2e-4, atol=1e-6)


def test_what_rows_begin_with_runs_once_as_far_as_it_is_numbered_alike(core: AnyToAny) -> None:
    """Pictures that look the same in two forms."""
    talk = (user(ONE, "draw it"), assistant(made("image", "a cat")))
    seen = torch.randn(30, core.language.width)
    samples = [
        TrainingSample(talk, [("image", placed(seen, torch.cartesian_prod(*map(torch.arange, x))))])
        for x in ((1, 5, 6), (1, 6, 5))
    ]
    batch = core.collate(samples)
    trained = NewRows(core.language).within(batch.ids)
    with torch.no_grad():
        embeddings = core.embed(batch.ids, batch.media)
        cut = cut_hidden(core.language, embeddings, batch.mask, trained, positions=batch.positions)
        whole = hidden(core, batch)
    assert torch.equal(embeddings[0], embeddings[1]) and not torch.allclose(whole[0], whole[1])
    torch.testing.assert_close(cut, whole)


def test_places_survive_being_stored(folder: Path, composing: Composing, tmp_path: Path) -> None:
    """In half precision, and encoded beside pictures of other sizes."""
    core_dir = composing(language=str(folder), encoders={})
    core = AnyToAny.from_pretrained(core_dir)
    shown = [ONE, OTHER, picture(3, 24, 60), picture(4, 9, 9)]
    rows = []
    for index, media in enumerate(shown):
        (tmp_path / f"{index}.png").write_bytes(media.data)
        said = [
            {"from": "human", "value": "<image>\nwhat is this?"},
            {"from": "gpt", "value": "a dog"},
        ]
        rows.append({"input_image": f"{index}.png", "conversations": said})
    data = DataSet.of(tmp_path / "rows.json")
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    prepare(core_dir, tmp_path / "prepared", [data])
    prepared = Prepared.open(tmp_path / "prepared", core_dir)
    together = encode(core, [user(*shown)])
    for media in shown:
        alone, stored = core.encode(media), prepared.features(media.sha256)
        torch.testing.assert_close(together[media.sha256], alone)
        assert stored.dtype == torch.float16
        assert torch.equal(stored[:, -3:].float(), alone[:, -3:])
    found = [x for x in examples(data) if isinstance(x, Example)]
    for example, media in zip(found, shown, strict=True):
        row = row_of(core.language, core.media_length, prepared.sample(example))
        fresh = TrainingSample(example.messages, [("image", core.encode(media))])
        expected = row_of(core.language, core.media_length, fresh)
        assert torch.equal(numbered(row), numbered(expected))


def test_sixteen_bits_keep_the_places(folder: Path) -> None:
    eyes: Any = load_encoder(folder, dtype=torch.bfloat16)
    eyes.processor.size = {"shortest_edge": 128, "longest_edge": 64 * 1024}
    x = eyes.prepare(read(picture(5, 16, 8 * 300))).unsqueeze(0).bfloat16()
    (row,) = eyes.read(x)
    count = x.shape[-1] // 8
    assert count > 256  # where bfloat16 counts no longer one by one
    assert row[:count, -1].tolist() == list(range(count))


@pytest.mark.parametrize("copy", [False, True])
def test_a_picture_leaves_room_in_the_context(
    copy: bool, folder: Path, composing: Composing, tmp_path: Path
) -> None:
    given = Path(shutil.copytree(folder, tmp_path / "given"))
    settings = read_json(given / "preprocessor_config.json")
    settings["size"] = {"shortest_edge": 128, "longest_edge": 64 * 10_000}
    (given / "preprocessor_config.json").write_text(json.dumps(settings))
    core_dir = composing(copy=copy, language=str(given), encoders={})
    if copy:
        shutil.rmtree(given)
    core = AnyToAny.from_pretrained(core_dir)
    encoder = core.encoder("image")
    assert encoder.tokens("image") == core.language.context // 2 == 128
    large, small = core.encode(picture(6, 400, 300)), core.encode(ONE)
    assert 100 < len(large) <= 128 and len(small) == 30
    events = list(core.generate([[user(ONE, "?", picture(6, 240, 160))]], GenerationOptions(2)))
    assert isinstance(events[-1], End)


def test_a_picture_of_a_few_rows_keeps_its_colours(folder: Path) -> None:
    red = np.zeros((3, 60, 3), np.uint8)
    red[..., 0] = 255
    seen = load_encoder(folder).prepare(Image(red))
    torch.testing.assert_close(seen, seen[:, :1, :1].expand_as(seen))


def test_a_picture_that_is_too_long_and_narrow_is_one_sentence(core: AnyToAny) -> None:
    for height, width in ((8, 8 * 201), (8 * 199, 8)):
        with pytest.raises(MediaError, match=f"{width} x {height} pixels is too long and narrow"):
            core.encode(picture(7, height, width))


@pytest.mark.parametrize("layout", ["published", "present"])
def test_each_layout_and_tie_is_read(
    layout: str, folder: Path, composing: Composing, tmp_path: Path
) -> None:
    """With a tied head, and with the names that files have had and that classes have now."""
    given = SAVES[folder.name](tmp_path / folder.name, tied=True)
    if layout == "present":
        kind = getattr(tf, f"{folder.name}ForConditionalGeneration")
        kind.from_pretrained(given).save_pretrained(given, save_original_format=False)
    core_dir = composing(copy=True, language=str(given), encoders={})
    core = AnyToAny.from_pretrained(core_dir)
    weights = core.language.model
    assert weights.get_input_embeddings().weight is weights.get_output_embeddings().weight
    batch = batch_of(core.language, [[laid_out(core, TALK)]])
    with torch.no_grad():
        logits = core.language.logits(hidden(core, batch))[0]
    expected = Itself(given).logits(TALK)
    torch.testing.assert_close(logits[:, : expected.shape[-1]], expected, atol=1e-4, rtol=0)


def test_an_encoder_in_its_place_is_numbered_as_words(
    folder: Path, composing: Composing, folders: Path
) -> None:
    core_dir = composing(language=str(folder), encoders={"image": str(folders / "clip")})
    core = AnyToAny.from_pretrained(core_dir)
    row = laid_out(core, [user(ONE, "what is this?")])
    assert row.places[0].axes is None and batch_of(core.language, [[row]]).positions is None
    assert following(row) == len(row.ids)


def test_what_another_encoder_reads_beside_it_is_numbered_as_words(
    folder: Path, composing: Composing, folders: Path
) -> None:
    core_dir = composing(language=str(folder), encoders={"audio": str(folders / "clap")})
    core = AnyToAny.from_pretrained(core_dir)
    bell = write(Sound(np.zeros(8000, np.float32), 16_000))
    row = laid_out(core, [user(bell, "and", ONE, "?")])
    heard, shown = row.places
    positions = numbered(row)
    assert heard.axes is None and shown.axes is not None
    until = shown.start + 1
    assert positions[:, :until].tolist() == [list(range(until))] * 4
    assert following(row) == len(row.ids) - (30 - 6)
    events = list(core.generate([[user(bell, "and", ONE, "?")]], GenerationOptions(2)))
    assert isinstance(events[-1], End)
