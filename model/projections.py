"""What stands between the language model and the parts around it.

An *input projection* turns an encoder's patch tokens into embeddings of the language model;
an *output projection* turns the hidden states of a run of signal tokens into the condition
that a diffusion decoder was trained on. Both follow Wu et al. 2023, "NExT-GPT: Any-to-Any
Multimodal LLM" (arXiv 2309.05519), sections 3 and 4; the resampler is the Perceiver of
Alayrac et al. 2022, "Flamingo" (arXiv 2204.14198), section 3.1 and appendix A.1.1.

Shape legend: B rows, n tokens that come in, m tokens that go out, W widths.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from heliograph.model.conditions import SEQUENCE, Condition, Shapes
from heliograph.model.errors import WeightsError

InputKind: TypeAlias = Literal["linear", "mlp", "resampler", "grouping", "own"]


@dataclass(frozen=True)
class InputProjectionConfig:
    """Sizes of the input projection of one modality."""

    kind: InputKind
    """``linear``, ``mlp`` and ``own`` keep the number of tokens, the others reduce it; ``own`` has
    no weights, since what comes in are embeddings of the language model already."""
    encoder_width: int
    encoder_tokens: int
    llm_width: int
    tokens: int = 16
    """Embeddings for each medium; of the resampler and the grouping."""
    layers: int = 2
    """Depth of the resampler."""
    heads: int = 4
    hidden: int = 512
    """Inner width of the MLP or of the grouping, or of the resampler's feed-forward halves."""
    stages: Sequence[tuple[int, int, int]] = ()
    """Blocks, group tokens and groups of each stage of the grouping; 0 of both in its last."""
    frame: Sequence[Any] = ()
    """What stood around a medium when the language model was trained (``senses.Frame``); of
    ``own``."""
    two_way: bool = False
    """Whether the language model looks both ways within each medium; of ``own``."""

    @property
    def out_tokens(self) -> int:
        """Embeddings that one medium takes in the language model's context, at most."""
        return self.tokens if self.kind in ("resampler", "grouping") else self.encoder_tokens

    def build(self) -> InputProjection:
        """A fresh module of this kind."""
        if self.kind == "linear":
            return LinearProjection(self)
        if self.kind == "mlp":
            return MLPProjection(self)
        if self.kind == "resampler":
            return Resampler(self)
        if self.kind == "own":
            return OwnEmbeddings(self)
        if self.kind == "grouping":
            from heliograph.model.grouping import GroupingProjection

            return GroupingProjection(self)
        raise WeightsError(f"There is no input projection of the kind {self.kind!r}.")


class InputProjection(nn.Module):
    """Base of all kinds: patch tokens (B, n, W) -> embeddings (B, m, W_llm)."""

    def __init__(self, config: InputProjectionConfig) -> None:
        super().__init__()
        self.config = config


class OwnEmbeddings(InputProjection):
    """Nothing: the language model's own eyes or ears gave what it reads.

    Raises:
        WeightsError: the encoder's width is another.
    """

    def __init__(self, config: InputProjectionConfig) -> None:
        super().__init__(config)
        if config.encoder_width != config.llm_width:
            raise WeightsError(
                f"Eyes or ears of width {config.encoder_width} aren't those of a language model of "
                f"width {config.llm_width}."
            )

    def forward(self, tokens: Tensor) -> Tensor:
        return tokens


class LinearProjection(InputProjection):
    """One matrix, as NExT-GPT aligns ImageBind with its language model."""

    def __init__(self, config: InputProjectionConfig) -> None:
        super().__init__(config)
        self.linear = nn.Linear(config.encoder_width, config.llm_width)

    def forward(self, tokens: Tensor) -> Tensor:
        out: Tensor = self.linear(tokens)
        return out


class MLPProjection(InputProjection):
    """Two layers with a GELU between them."""

    def __init__(self, config: InputProjectionConfig) -> None:
        super().__init__(config)
        self.layers = nn.Sequential(
            nn.Linear(config.encoder_width, config.hidden),
            nn.GELU(),
            nn.Linear(config.hidden, config.llm_width),
        )

    def forward(self, tokens: Tensor) -> Tensor:
        out: Tensor = self.layers(tokens)
        return out


class ResamplerLayer(nn.Module):
    """Queries look at the medium and at each other, then think for themselves."""

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.heads = heads
        self.query_norm = nn.LayerNorm(width)
        self.query = nn.Linear(width, width, bias=False)
        self.key_value = nn.Linear(width, 2 * width, bias=False)
        self.out = nn.Linear(width, width)
        self.feed_forward = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width)
        )

    def forward(self, queries: Tensor, medium: Tensor) -> Tensor:
        """Queries (B, m, W) and the normalised medium (B, n, W) -> queries (B, m, W)."""
        x = self.query_norm(queries)
        k, v = self.key_value(torch.cat([medium, x], dim=1)).chunk(2, dim=-1)  # (B, n+m, W)
        q, k, v = (t.unflatten(-1, (self.heads, -1)).transpose(1, 2) for t in (self.query(x), k, v))
        seen = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)  # (B, m, W)
        queries = queries + self.out(seen)
        out: Tensor = queries + self.feed_forward(queries)
        return out


class Resampler(InputProjection):
    """A few learned queries read the whole medium.

    Each patch gets a learned embedding of its place, so what is left of what, and which
    clip of a film came first, survives the loss of the grid.
    """

    def __init__(self, config: InputProjectionConfig) -> None:
        super().__init__(config)
        width = config.llm_width
        self.input_norm = nn.LayerNorm(config.encoder_width)
        self.input = nn.Linear(config.encoder_width, width)
        self.positions = nn.Parameter(torch.randn(config.encoder_tokens, width) * 0.02)
        self.medium_norm = nn.LayerNorm(width)
        self.queries = nn.Parameter(torch.randn(config.tokens, width) * width**-0.5)
        self.layers = nn.ModuleList(
            ResamplerLayer(width, config.heads, config.hidden) for _ in range(config.layers)
        )
        self.out_norm = nn.LayerNorm(width)
        self.out = nn.Linear(width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        medium = self.medium_norm(self.input(self.input_norm(tokens)) + self.positions)  # (B, n, W)
        queries = self.queries.expand(len(tokens), -1, -1)  # (B, m, W)
        for layer in self.layers:
            queries = layer(queries, medium)
        out: Tensor = self.out(self.out_norm(queries))
        return out


class OutputProjection(nn.Module):
    """From a run of signal tokens to a decoder's condition, with learned queries.

    NExT-GPT section 4.2: the last hidden states plus the signal tokens' input embeddings,
    a linear map to ``hidden``, a pre-norm encoder-decoder transformer whose decoder reads one
    learned query for each token of the condition, and a linear map to its width. A condition
    of several tensors has queries for all of them in the same decoder, and a map for each.

    Args:
        llm_width: width of the language model.
        condition_width: width of the condition's sequence, as the decoder reports it.
        condition_tokens: tokens of the condition's sequence, as the decoder reports it.
        signal_tokens: length of the modality's signal run; runs of any length are read where
            it is ``None``.
        hidden: width of the transformer.
        layers: depth of its encoder and of its decoder.
        heads: attention heads.
        ff: inner width of its feed-forward halves.
        extra: (tokens, width) of the condition's other tensors by name.
    """

    def __init__(
        self,
        llm_width: int,
        condition_width: int,
        condition_tokens: int,
        signal_tokens: int | None,
        hidden: int = 512,
        layers: int = 4,
        heads: int = 4,
        ff: int = 2048,
        extra: Shapes | None = None,
    ) -> None:
        super().__init__()
        self.shapes = {SEQUENCE: (condition_tokens, condition_width)} | {
            name: (tokens, width) for name, (tokens, width) in (extra or {}).items()
        }
        self.llm_width = llm_width
        self.signal_tokens = signal_tokens
        self.input = nn.Linear(llm_width, hidden)
        # Nested tensors have no pre-norm path; asking for them anyway is a warning.
        encoder = nn.TransformerEncoder(
            nn.TransformerEncoderLayer(
                hidden, heads, ff, dropout=0.0, batch_first=True, norm_first=True
            ),
            layers,
            nn.LayerNorm(hidden),
            enable_nested_tensor=False,
        )
        self.transformer = nn.Transformer(
            hidden,
            heads,
            num_decoder_layers=layers,
            dim_feedforward=ff,
            dropout=0.0,
            custom_encoder=encoder,
            batch_first=True,
            norm_first=True,
        )
        queries = sum(tokens for tokens, _ in self.shapes.values())
        self.queries = nn.Parameter(torch.randn(queries, hidden))
        self.output = nn.Linear(hidden, condition_width)
        self.extra = nn.ModuleDict(
            {name: nn.Linear(hidden, w) for name, (_, w) in self.shapes.items() if name != SEQUENCE}
        )

    @classmethod
    def for_shapes(
        cls, llm_width: int, shapes: Shapes, signal_tokens: int, **sizes: int
    ) -> OutputProjection:
        """A fresh one for a decoder's ``condition_shapes``; ``sizes`` are the transformer's."""
        tokens, width = shapes[SEQUENCE]
        extra = {name: shape for name, shape in shapes.items() if name != SEQUENCE}
        return cls(llm_width, width, tokens, signal_tokens, **sizes, extra=extra)

    def forward(self, hidden: Tensor, embeddings: Tensor) -> Tensor:
        """The condition's sequence alone: (B, n, W_llm) twice -> (B, m, W_cond)."""
        return self.condition(hidden, embeddings)[SEQUENCE]

    def condition(self, hidden: Tensor, embeddings: Tensor) -> Condition:
        """The condition for hidden states and input embeddings of a run, (B, n, W_llm) each.

        Raises:
            WeightsError: the signal was made by a model of other sizes.
        """
        expected = (self.signal_tokens or hidden.shape[1], self.llm_width)
        if hidden.shape[1:] != expected:
            raise WeightsError(
                f"A signal of {hidden.shape[1]} tokens of width {hidden.shape[2]} can't be read: "
                f"these weights make {expected[0]} tokens of width {expected[1]}."
            )
        x = self.input(hidden + embeddings)  # (B, n, hidden)
        queries = self.queries.expand(len(x), -1, -1)  # (B, m, hidden), m of all tensors
        pieces = self.transformer(x, queries).split([m for m, _ in self.shapes.values()], dim=1)
        maps: Mapping[str, nn.Module] = {SEQUENCE: self.output, **dict(self.extra.items())}
        return Condition(
            {name: maps[name](piece) for name, piece in zip(self.shapes, pieces, strict=True)}
        )
