"""The projections: shapes, what they can tell apart, and that they learn."""

from __future__ import annotations

from dataclasses import asdict, replace

import pytest
import torch

from heliograph.model.errors import WeightsError
from heliograph.model.projections import (
    InputKind,
    InputProjectionConfig,
    OutputProjection,
    ResamplerLayer,
)

CONFIG = InputProjectionConfig(
    "resampler", encoder_width=12, encoder_tokens=10, llm_width=16, tokens=3, heads=2, hidden=32
)


def shuffled(tokens: torch.Tensor) -> torch.Tensor:
    return tokens.flip(1)


@pytest.mark.parametrize(("kind", "tokens"), [("linear", 10), ("mlp", 10), ("resampler", 3)])
def test_an_input_projection_makes_embeddings(kind: InputKind, tokens: int) -> None:
    torch.manual_seed(0)
    config = replace(CONFIG, kind=kind)
    projection = config.build()
    out = projection(torch.randn(2, 10, 12))
    assert out.shape == (2, tokens, 16) and config.out_tokens == tokens
    out.sum().backward()
    assert all(p.grad is not None for p in projection.parameters())


@pytest.mark.parametrize("kind", ["linear", "mlp", "resampler"])
def test_an_input_projection_comes_back_from_its_configuration(kind: InputKind) -> None:
    config = replace(CONFIG, kind=kind)
    first, second = config.build().eval(), InputProjectionConfig(**asdict(config)).build().eval()
    second.load_state_dict(first.state_dict(), strict=True)
    x = torch.randn(1, 10, 12)
    assert torch.equal(first(x), second(x))


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(WeightsError, match="'cubic'"):
        InputProjectionConfig(**(asdict(CONFIG) | {"kind": "cubic"})).build()


def test_rows_do_not_see_each_other() -> None:
    torch.manual_seed(0)
    projection = CONFIG.build().eval()
    x = torch.randn(3, 10, 12)
    torch.testing.assert_close(projection(x)[1:2], projection(x[1:2]))


def test_the_resampler_knows_places() -> None:
    torch.manual_seed(0)
    projection = CONFIG.build().eval()
    x = torch.randn(1, 10, 12)
    moved = projection(shuffled(x))
    assert not torch.allclose(projection(x), moved, atol=1e-4)
    with torch.no_grad():
        projection.positions.zero_()
    torch.testing.assert_close(projection(x), projection(shuffled(x)))


def test_the_resampler_reads_encoders_of_any_loudness() -> None:
    torch.manual_seed(0)
    projection = CONFIG.build().eval()
    x = torch.randn(1, 10, 12)
    torch.testing.assert_close(projection(x), projection(100 * x + 7), atol=1e-3, rtol=1e-3)


def test_a_layer_of_the_resampler_attends_to_medium_and_queries() -> None:
    torch.manual_seed(0)
    layer = ResamplerLayer(16, 2, 32).eval()
    queries, medium = torch.randn(1, 3, 16), torch.randn(1, 10, 16)
    theirs = torch.nn.MultiheadAttention(16, 2, batch_first=True).eval()
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([layer.query.weight, layer.key_value.weight]))
        theirs.in_proj_bias.zero_()
        theirs.out_proj.load_state_dict(layer.out.state_dict())
        x = layer.query_norm(queries)
        both = torch.cat([medium, x], dim=1)
        expected = queries + theirs(x, both, both, need_weights=False)[0]
        expected = expected + layer.feed_forward(expected)
        torch.testing.assert_close(layer(queries, medium), expected)


def test_the_resampler_learns_where_something_is() -> None:
    torch.manual_seed(0)
    projection = replace(CONFIG, tokens=2, layers=1).build()
    head = torch.nn.Linear(16, 10)
    optimizer = torch.optim.Adam([*projection.parameters(), *head.parameters()], 5e-3)
    for _ in range(200):
        place = torch.randint(10, (32,))
        x = torch.randn(32, 10, 12) * 0.1
        x[torch.arange(32), place] += torch.linspace(-2, 2, 12)
        loss = torch.nn.functional.cross_entropy(head(projection(x)[:, 0]), place)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.3


def output_projection() -> OutputProjection:
    torch.manual_seed(0)
    return OutputProjection(16, 24, 7, 4, hidden=32, layers=2, heads=2, ff=64)


def test_an_output_projection_makes_a_condition() -> None:
    projection = output_projection()
    hidden, embeddings = torch.randn(2, 2, 4, 16)
    out = projection.eval()(hidden, embeddings)
    assert out.shape == (2, 7, 24)
    out.sum().backward()
    assert all(p.grad is not None for p in projection.parameters())


def test_a_condition_comes_from_the_sum_of_hidden_states_and_embeddings() -> None:
    projection = output_projection().eval()
    hidden, embeddings = torch.randn(2, 1, 4, 16)
    swapped = projection(embeddings, hidden)
    torch.testing.assert_close(projection(hidden, embeddings), swapped)
    torch.testing.assert_close(projection(hidden + embeddings, torch.zeros(1, 4, 16)), swapped)
    assert not torch.allclose(projection(hidden, hidden), swapped, atol=1e-3)


def test_training_and_inference_agree() -> None:
    projection = output_projection()
    hidden, embeddings = torch.randn(2, 1, 4, 16)
    with torch.no_grad():
        trained = projection.train()(hidden, embeddings)
        torch.testing.assert_close(projection.eval()(hidden, embeddings), trained)


@pytest.mark.parametrize("shape", [(1, 8, 16), (1, 4, 20)])
def test_a_signal_of_other_weights_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(WeightsError, match="4 tokens of width 16"):
        output_projection()(torch.randn(shape), torch.randn(shape))


def test_the_default_sizes_are_the_published_ones() -> None:
    with torch.device("meta"):
        projection = OutputProjection(4096, 768, 77, 4)
    transformer = projection.transformer
    assert (len(transformer.encoder.layers), len(transformer.decoder.layers)) == (4, 4)
    assert projection.queries.shape == (77, 512)
    layer = transformer.decoder.layers[0]
    assert layer.norm_first and layer.linear1.out_features == 2048
    assert layer.self_attn.num_heads == 4
