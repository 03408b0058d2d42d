"""Packed rows leak nothing, cut prefixes change nothing, and rows of their own are the rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import masking_utils

from heliograph.model.batching import Batch, TrainingSample, batch_of, row_of
from heliograph.model.core import AnyToAny
from heliograph.model.errors import InputError
from heliograph.model.language import LanguageModel
from heliograph.model.parts import Message
from heliograph.model.testing import DOG, assistant, made, sample_of, user
from heliograph.model.training.alignment.parts import check_packing
from heliograph.model.training.alignment.prefix import cut_hidden
from heliograph.model.training.alignment.rows import NewRows
from heliograph.model.training.alignment.run import train
from heliograph.model.training.team import Team

from .conftest import World
from .families import FAMILIES, core_of

TALKS: tuple[tuple[Message, ...], ...] = (
    (user("what is this? ", DOG), assistant("a red dog on the left, blue background")),
    (user("draw a cat"), assistant("here: ", made("image", "a cat"), " and done")),
    (user("play"), assistant(made("audio", "a bell"))),
)


ASKED: tuple[tuple[Message, ...], ...] = (
    (user("please draw what I like most: a cat"), TALKS[1][1]),
    (user("play a sound that I know well, if you can"), TALKS[2][1]),
    (user("a question that is longer than the others, then draw it, please"), TALKS[1][1]),
)
"""With something before the run that is long enough to be run apart."""
PROMPT = Message("system", user("You are told at length what to do, and what not to do.").parts)


def samples() -> list[TrainingSample]:
    return [sample_of(talk) for talk in TALKS]


def packed(core: AnyToAny, samples: Sequence[TrainingSample], *bins: Sequence[int]) -> Batch:
    rows = [row_of(core.language, core.media_length, sample) for sample in samples]
    return batch_of(core.language, [[rows[i] for i in bin] for bin in bins])


def hidden(core: AnyToAny, batch: Batch) -> Tensor:
    mask = batch.mask if batch.positions is None else None
    return core.language.hidden(core.embed(batch.ids, batch.media), mask, batch.positions)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_packed_sample_is_read_as_if_it_were_alone(family: str) -> None:
    core, ours = core_of(family), samples()
    batch = packed(core, ours, [0, 1], [2])
    assert batch.positions is not None
    with torch.no_grad():
        states = hidden(core, batch)
        alone = [hidden(core, packed(core, ours, [i]))[0] for i in range(3)]
    first, second, third = (len(x) for x in alone)
    torch.testing.assert_close(states[0, :first], alone[0])
    torch.testing.assert_close(states[0, first : first + second], alone[1])
    torch.testing.assert_close(states[1, :third], alone[2])
    # So are the losses, the targets and the runs: those of the samples one by one.
    with torch.no_grad():
        together = core(batch)
        apart = [core(packed(core, ours, [i])) for i in range(3)]
    assert together.count == sum(x.count for x in apart)
    torch.testing.assert_close(
        together.loss * together.count, torch.stack([x.loss * x.count for x in apart]).sum()
    )
    run = together.stacked["image"]
    assert run.captions == ("a cat",)
    torch.testing.assert_close(run.hidden, apart[1].stacked["image"].hidden)
    torch.testing.assert_close(run.embeddings, apart[1].stacked["image"].embeddings)


@pytest.mark.parametrize("family", FAMILIES)
def test_no_attention_goes_from_one_packed_sample_to_another(family: str) -> None:
    core = core_of(family, attention="eager")
    batch = packed(core, samples(), [0, 1], [2])
    lengths = [[len(packed(core, samples(), [i]).ids[0]) for i in row] for row in ([0, 1], [2])]
    with torch.no_grad():
        output = core.language.model.base_model(
            inputs_embeds=core.embed(batch.ids, batch.media),
            position_ids=batch.positions,
            use_cache=False,  # as `hidden` calls it: with a cache there is no packing
            output_attentions=True,
        )
    for layer in output.attentions:  # (B, heads, T, T)
        for row, inside in enumerate(lengths):
            ends = torch.tensor(inside).cumsum(0)
            segment = torch.bucketize(torch.arange(layer.shape[-1]), ends, right=True)
            apart = segment.unsqueeze(0) != segment.unsqueeze(1)
            assert float(layer[row][:, apart].abs().max()) == 0.0
            assert float(layer[row][:, ~apart].max()) > 0.0


def test_another_neighbour_changes_neither_states_nor_gradients() -> None:
    core, ours = core_of("Llama"), samples()
    kept = slice(0, len(packed(core, ours, [0]).ids[0]))

    def read(neighbour: int) -> tuple[Tensor, Tensor]:
        batch = packed(core, ours, [0, neighbour])
        core.zero_grad()
        states = hidden(core, batch)[0, kept]
        states.square().sum().backward()
        gradient = core.inputs["image"].linear.weight.grad
        assert gradient is not None and float(gradient.abs().sum()) > 0
        return states.detach(), gradient.clone()

    for one, other in zip(read(1), read(2), strict=True):
        torch.testing.assert_close(one, other)


def test_a_model_that_mixes_packed_samples_is_refused(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    core = core_of("Llama")
    check_packing(core)
    monkeypatch.setattr(masking_utils, "find_packed_sequence_indices", lambda positions: None)
    with pytest.raises(InputError, match="LlamaForCausalLM doesn't keep packed samples apart"):
        check_packing(core)
    with pytest.raises(InputError, match="doesn't keep packed samples apart: use --no-pack"):
        train(world.settings("instruct", tmp_path), device="cpu", quiet=True)


def test_a_model_that_another_kernel_leaves_a_little_off_is_not_refused() -> None:
    """What 32 layers in bfloat16 make of it is 2 % of the states' length, on one number 8 %."""
    core = core_of("Llama")
    noise = torch.Generator().manual_seed(0)
    norm: Any = core.language.model.base_model.norm
    norm.register_forward_hook(
        lambda module, given, states: (
            states + 0.02 * states.std() * torch.randn(states.shape, generator=noise)
        )
    )
    check_packing(core)


def frozen(family: str, tied: bool) -> tuple[AnyToAny, NewRows]:
    core = core_of(family, tied).requires_grad_(False)
    core.outputs.requires_grad_(True)
    return core, NewRows(core.language)


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("told", [(), (PROMPT,)])
def test_a_prefix_without_gradients_gives_the_states_and_gradients_of_the_full_pass(
    family: str, tied: bool, told: tuple[Message, ...]
) -> None:
    core, rows = frozen(family, tied)
    batch = packed(core, [sample_of((*told, *talk)) for talk in ASKED], [0], [1], [2])

    def gradients(cut: bool) -> tuple[float, list[Tensor]]:
        core.zero_grad()
        rows.zero_grad()
        embeddings = core.embed(batch.ids, batch.media)
        if cut:
            states = cut_hidden(core.language, embeddings, batch.mask, rows.within(batch.ids))
        else:
            states = core.language.hidden(embeddings, batch.mask)
        outputs = core.outputs_of(batch, embeddings, states)
        far = [
            core.outputs[m](s.hidden, s.embeddings).square().mean()
            for m, s in outputs.stacked.items()
        ]
        loss = outputs.loss + torch.stack(far).sum()
        loss.backward()
        trained = [*rows.parameters(), *core.outputs["image"].parameters()]
        return float(loss.detach()), [p.grad.clone() for p in trained if p.grad is not None]

    (whole, all_of_it), (short, some) = gradients(False), gradients(True)
    assert short == pytest.approx(whole, rel=1e-5)
    assert len(some) == len(all_of_it) > 2
    for one, other in zip(all_of_it, some, strict=True):
        torch.testing.assert_close(one, other, rtol=2e-4, atol=1e-6)


def watched(core: AnyToAny) -> list[tuple[int, int, bool]]:
    """Rows, positions, and whether with gradients, of each pass from now on."""
    sizes: list[tuple[int, int, bool]] = []
    plain = core.language.hidden

    def hidden(embeddings: Tensor, *rest: object, **more: object) -> Tensor:
        sizes.append((*embeddings.shape[:2], torch.is_grad_enabled()))
        return plain(embeddings, *rest, **more)  # type: ignore[arg-type]

    core.language.hidden = hidden  # type: ignore[method-assign]
    return sizes


def test_the_prefix_really_runs_without_gradients() -> None:
    core, rows = frozen("Llama", True)
    batch = packed(core, [sample_of(talk) for talk in ASKED], [0], [1], [2])
    sizes = watched(core)
    embeddings = core.embed(batch.ids, batch.media)
    cut_hidden(core.language, embeddings, batch.mask, rows.within(batch.ids))
    (_, before, with_gradients), (_, behind, without) = sizes
    assert (with_gradients, without) == (False, True)
    starts = rows.within(batch.ids).int().argmax(1)
    assert before == int(starts.max())
    assert behind == int((batch.mask.sum(1) - starts).max()) < batch.ids.shape[1]


def test_what_all_rows_begin_with_runs_once() -> None:
    core, rows = frozen("Llama", True)
    batch = packed(core, [sample_of((PROMPT, *talk)) for talk in ASKED[:2]], [0], [1])
    sizes = watched(core)
    embeddings = core.embed(batch.ids, batch.media)
    cut_hidden(core.language, embeddings, batch.mask, rows.within(batch.ids))
    alike = int((batch.ids[0] == batch.ids[1]).long().cumprod(0).sum())
    starts = rows.within(batch.ids).int().argmax(1)
    (once, begun, _), (both, rest, with_gradients), (_, _, trained) = sizes
    assert (once, begun, with_gradients, trained) == (1, alike, False, True)
    assert (both, rest) == (2, int(starts.max()) - alike)


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("family", ["Llama", "Gemma3"])
def test_rows_of_their_own_get_the_gradients_of_the_matrix(family: str, tied: bool) -> None:
    batch = packed(core_of(family, tied), samples(), [0], [1], [2])
    plain = core_of(family, tied)
    plain(batch).loss.backward()
    core, rows = frozen(family, tied)
    outputs = core(batch)
    torch.testing.assert_close(outputs.loss, plain(batch).loss)
    outputs.loss.backward()
    language: LanguageModel = plain.language
    matrix = language.model.get_input_embeddings().weight.grad[rows.ids]
    torch.testing.assert_close(rows.embedding.grad, matrix, rtol=1e-4, atol=1e-6)
    if not tied:
        matrix = language.model.get_output_embeddings().weight.grad[rows.ids]
        assert rows.head is not None
        torch.testing.assert_close(rows.head.grad, matrix, rtol=1e-4, atol=1e-6)


def test_rows_are_written_into_the_model_and_nothing_else() -> None:
    core, rows = frozen("Llama", False)
    before = {name: x.clone() for name, x in core.language.model.state_dict().items()}
    with torch.no_grad():
        for parameter in rows.parameters():
            parameter += torch.randn_like(parameter)
    batch = packed(core, samples(), [1])
    with torch.no_grad():
        trained = core(replace(batch))
    fresh = core_of("Llama", False)
    rows.write(fresh.language)
    with torch.no_grad():
        torch.testing.assert_close(fresh(batch).loss, trained.loss)
    for name, x in fresh.language.model.state_dict().items():
        changed = (x != before[name]).any(-1).nonzero().flatten().tolist() if x.dim() > 1 else []
        expected = name.startswith(("model.embed_tokens", "lm_head"))
        assert changed == (rows.ids.tolist() if expected else [])


@pytest.mark.parametrize("other_is_short", [True, False])
def test_processes_that_divide_a_model_make_the_same_passes(
    other_is_short: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each layer is put together from all of them in each pass, forwards and backwards."""
    monkeypatch.setattr(Team, "any", lambda team, happened: happened or other_is_short)
    core, rows = frozen("Llama", True)
    batch = packed(core, [sample_of((PROMPT, *talk)) for talk in ASKED[:2]], [0], [1])
    embeddings, trained = core.embed(batch.ids, batch.media), rows.within(batch.ids)
    full = core.language.hidden(embeddings, batch.mask)
    sizes = watched(core)
    states = cut_hidden(core.language, embeddings, batch.mask, trained, divided=Team(0, 2))
    assert [with_gradients for _, _, with_gradients in sizes] == (
        [True] if other_is_short else [False, True]
    )
    torch.testing.assert_close(states[batch.mask > 0], full[batch.mask > 0], rtol=1e-4, atol=1e-5)
