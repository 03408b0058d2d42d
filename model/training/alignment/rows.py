"""The rows of embedding and head that belong to signal tokens, as parameters of their own.

An alignment trains a few dozen rows of a matrix that may have hundreds of millions of numbers.
Here they are small float32 tensors that stand in for those rows while training runs: the matrix
stays frozen, in whatever precision it is, and gradients, moments and checkpoints hold no more
than what trains.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from heliograph.model.language import LanguageModel


class NewRows(nn.Module):
    """Trainable rows for the signal tokens and markers of a language model.

    n tokens, W the model's width. ``write`` puts them into the model.
    """

    ids: Tensor
    """(n,) long: the tokens."""
    head: nn.Parameter | None
    """(n, W), or ``None`` where the head is the embedding."""
    _place: Tensor
    """(V,) long: each token's row here, -1 for those of the frozen matrix."""

    def __init__(self, language: LanguageModel) -> None:
        """Take the rows as they are and stand in for them from now on."""
        super().__init__()
        names = language.dialect.tokens(language.table.specs)
        ids = torch.tensor(sorted(language.tokenizer.convert_tokens_to_ids(names)))
        embedding: Any = language.model.get_input_embeddings()
        head: Any = language.model.get_output_embeddings()
        place = torch.full((embedding.num_embeddings,), -1)
        place[ids] = torch.arange(len(ids))
        self.register_buffer("ids", ids.to(embedding.weight.device), persistent=False)
        self.register_buffer("_place", place.to(embedding.weight.device), persistent=False)
        self.embedding = nn.Parameter(embedding.weight.detach()[self.ids].float())  # (n, W)
        tied = head.weight is embedding.weight
        rows = None if tied else nn.Parameter(head.weight.detach()[self.ids].float())
        self.register_parameter("head", rows)  # (n, W)
        embedding.register_forward_hook(self._embed)
        head.register_forward_hook(self._score)

    @torch.no_grad()
    def write(self, language: LanguageModel) -> None:
        """Put the rows into a language model: the same, or another of the same tokens."""
        embedding: Any = language.model.get_input_embeddings()
        head: Any = language.model.get_output_embeddings()
        ids = self.ids.to(embedding.weight.device)
        embedding.weight[ids] = self.embedding.to(embedding.weight)
        if self.head is not None:
            head.weight[ids] = self.head.to(head.weight)

    def within(self, ids: Tensor) -> Tensor:
        """Which of some ids are trained here, as bool of the same shape."""
        return self._place[ids] >= 0

    def _embed(self, module: nn.Module, given: tuple[Tensor], embedded: Tensor) -> Tensor:
        place = self._place[given[0]]  # (…)
        rows = self.embedding[place.clamp(min=0)]  # (…, W)
        rows = rows * getattr(
            module, "embed_scale", 1.0
        )  # Gemma 3's embedding scales what it gives
        return torch.where(place.unsqueeze(-1) >= 0, rows.to(embedded.dtype), embedded)

    def _score(self, module: Any, given: tuple[Tensor], scores: Tensor) -> Tensor:
        rows = self.embedding if self.head is None else self.head
        bias = None if module.bias is None else module.bias[self.ids]
        ours = F.linear(given[0], rows.to(given[0].dtype), bias)  # (…, n)
        return scores.index_copy(-1, self.ids, ours.to(scores.dtype))
