"""Gemma 3, which looks both ways within a picture, wherever a core reads pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import DynamicCache

from heliograph.model.batching import Batch, TrainingSample, batch_of, media_groups, row_of
from heliograph.model.core import AnyToAny
from heliograph.model.generation import GenerationOptions
from heliograph.model.parts import Media, Message
from heliograph.model.prompts import Row, build_row
from heliograph.model.testing import assistant, made, user
from heliograph.model.training.alignment.prefix import cut_hidden
from heliograph.model.training.alignment.rows import NewRows
from heliograph.model.training.alignment.stream import shortened

from .sensing import save_gemma3
from .test_senses import by_itself, picture

ONE, OTHER, THIRD = picture(1), picture(2), picture(3)
TURN = [user("first", ONE, "or", OTHER, THIRD)]
TURNS = [user(ONE, "what is this?"), assistant("2 dogs"), user("and", OTHER, "this?")]
WORDS = [user("what is this?")]


@pytest.fixture(scope="module")
def gemma3(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_gemma3(tmp_path_factory.mktemp("gemma3"))


@pytest.fixture
def core(composing: Callable[..., Path], gemma3: Path) -> AnyToAny:
    return AnyToAny.from_pretrained(composing(language=str(gemma3), encoders={}))


def laid_out(core: AnyToAny, messages: Sequence[Message]) -> Row:
    return build_row(core.language, messages, core.encode, core.media_length, reply=True)


def sample(core: AnyToAny, *messages: Message) -> TrainingSample:
    shown = [
        part
        for message in messages
        if message.role == "user"
        for part in message.parts
        if isinstance(part, Media)
    ]
    return TrainingSample(messages, [(media.modality, core.encode(media)) for media in shown])


def samples(core: AnyToAny) -> list[TrainingSample]:
    return [
        sample(core, *TURN, assistant("a dog")),
        sample(core, *TURNS, assistant("a cat: ", made("image", "a cat"))),
        sample(core, *WORDS, assistant("a bell")),
        sample(
            core,
            user(ONE, "draw it"),
            assistant(made("image", "a dog")),
            user(OTHER, "it too, please"),
            assistant(made("image", "a red dog")),
        ),
    ]


def packed(core: AnyToAny, *bins: Sequence[int]) -> Batch:
    rows = [row_of(core.language, core.media_length, one) for one in samples(core)]
    return batch_of(core.language, [[rows[i] for i in bin] for bin in bins])


def hidden(core: AnyToAny, batch: Batch) -> Tensor:
    mask = batch.mask if batch.positions is None else None
    embeddings, blocks = core.embed(batch.ids, batch.media), core.blocks(batch.ids, batch.media)
    return core.language.hidden(embeddings, mask, batch.positions, blocks=blocks)


@pytest.mark.parametrize("messages", [TURN, TURNS, [user(ONE, OTHER)]])
def test_what_stands_around_pictures_is_what_its_processor_writes(
    messages: list[Message], core: AnyToAny, gemma3: Path
) -> None:
    ids, _, _ = by_itself(gemma3, "gemma3", messages)
    row = laid_out(core, messages)
    for place in row.places:
        row.ids[place.start : place.start + place.length] = [
            core.language.tokenizer.convert_tokens_to_ids("<image_soft_token>")
        ] * place.length
    assert row.ids == ids[0].tolist()


def test_a_batch_answers_what_it_sees_itself(core: AnyToAny, gemma3: Path) -> None:
    """Scores of the prompts, padded on the left, and of the first word of each answer."""
    embed, logits = core.language.embed, core.language.logits
    read: list[Tensor] = []
    scores: list[Tensor] = []

    def embedding(ids: Tensor) -> Tensor:
        read.append(ids)
        return embed(ids)

    def scoring(states: Tensor) -> Tensor:
        scores.append(logits(states))
        return scores[-1].clone()

    core.language.embed, core.language.logits = embedding, scoring  # type: ignore[method-assign]
    talks = [TURN, TURNS, WORDS]
    list(core.generate(talks, GenerationOptions(2)))
    _, fed = read[:2]
    assert fed.shape == (3, 1)
    for row, talk in enumerate(talks):
        _, _, expected = by_itself(gemma3, "gemma3", talk, [int(fed[row, 0])])
        known = expected.shape[-1]
        for step in range(2):
            found = scores[step][row, :known]
            torch.testing.assert_close(found, expected[0, step - 2], atol=1e-4, rtol=0)


def test_a_later_turn_shows_a_picture_to_a_cache(core: AnyToAny, gemma3: Path) -> None:
    row = laid_out(core, TURNS)
    ids, groups = torch.tensor([row.ids]), media_groups([row])
    blocks = core.blocks(ids, groups)
    assert blocks is not None
    one, other = (place.start for place in row.places)
    middle = (one + 16 + other) // 2
    cache = DynamicCache(config=core.language.model.config)
    with torch.no_grad():
        embeddings = core.embed(ids, groups)
        states = [
            core.language.hidden(
                embeddings[:, part],
                torch.ones_like(ids[:, : part.stop]),
                torch.arange(part.start, part.stop)[None],
                cache,
                blocks[:, part],
            )
            for part in (slice(0, middle), slice(middle, len(row.ids)))
        ]
        found = core.language.logits(torch.cat(states, dim=1))
    _, _, expected = by_itself(gemma3, "gemma3", TURNS)
    torch.testing.assert_close(found[..., : expected.shape[-1]], expected, atol=1e-4, rtol=0)


def test_only_pictures_of_its_own_eyes_are_seen_both_ways(core: AnyToAny) -> None:
    words, shown = laid_out(core, WORDS), laid_out(core, TURNS)
    assert core.blocks(torch.tensor([words.ids]), media_groups([words])) is None
    ids = torch.tensor([shown.ids])
    blocks = core.blocks(ids, media_groups([shown]))
    assert blocks is not None
    expected = torch.zeros_like(ids)
    for place in shown.places:
        expected[0, place.start : place.start + place.length] = place.start + 1
    assert torch.equal(blocks, expected)
    with torch.no_grad():
        embeddings = core.embed(ids, media_groups([shown]))
        mask = torch.ones_like(ids)
        both = core.language.hidden(embeddings, mask, blocks=blocks)
        back = core.language.hidden(embeddings, mask)
    first = shown.places[0].start
    torch.testing.assert_close(both[:, :first], back[:, :first])
    assert not torch.allclose(both[:, first], back[:, first], atol=1e-2)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_a_packed_sample_is_read_as_if_it_were_alone(core: AnyToAny, attention: str) -> None:
    core.language.model.set_attn_implementation(attention)
    batch = packed(core, [0, 1, 2], [3, 2])
    assert batch.positions is not None
    with torch.no_grad():
        states = hidden(core, batch)
        alone = [hidden(core, packed(core, [i]))[0] for i in range(4)]
        together = core(batch)
        apart = [core(packed(core, [i])) for i in (0, 1, 2, 3, 2)]
    for row, inside in enumerate([[0, 1, 2], [3, 2]]):
        expected = torch.cat([alone[i] for i in inside])
        torch.testing.assert_close(states[row, : len(expected)], expected)
    torch.testing.assert_close(
        together.loss * together.count, torch.stack([x.loss * x.count for x in apart]).sum()
    )


def test_a_prefix_without_gradients_gives_the_states_and_gradients_of_the_full_pass(
    core: AnyToAny,
) -> None:
    """Pictures before and behind the first signal, in rows padded by different amounts; and a
    sample that was cut behind a picture, which is in one piece then."""
    core.requires_grad_(False)
    rows = NewRows(core.language)
    laid = [row_of(core.language, core.media_length, one) for one in samples(core)]
    last = laid[0].places[1]
    laid[0] = shortened(laid[0], last.start + last.length, core)
    batch = batch_of(core.language, [[row] for row in laid])
    trained = rows.within(batch.ids)
    assert trained.any(1).tolist() == [False, True, False, True]

    def states(cut: bool) -> tuple[Tensor, Tensor | None]:
        rows.zero_grad()
        embeddings, blocks = core.embed(batch.ids, batch.media), core.blocks(batch.ids, batch.media)
        if cut:
            found = cut_hidden(core.language, embeddings, batch.mask, trained, blocks)
        else:
            found = core.language.hidden(embeddings, batch.mask, blocks=blocks)
        found = found[batch.mask.bool()]
        found.square().mean().backward()
        return found.detach(), rows.embedding.grad

    for one, other in zip(states(cut=True), states(cut=False), strict=True):
        torch.testing.assert_close(one, other)
