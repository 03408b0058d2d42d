"""The part of a conversation that no trained number reaches, computed without gradients.

In decoding-side alignment the language model is frozen and only rows of signal tokens train. Up
to the first such token nothing in a conversation depends on them, so that part runs without
gradients and leaves its keys and values; the rest, the signal run and what follows, runs with
gradients and attends to them. The hidden states and the gradients are those of the full pass.
"""

from __future__ import annotations

import torch
from torch import Tensor

from heliograph.model.language import LanguageModel


def cut_hidden(
    language: LanguageModel, embeddings: Tensor, mask: Tensor, trained: Tensor
) -> Tensor:
    """Last hidden states as ``language.hidden`` gives them; 0 at padding.

    Args:
        language: the frozen language model.
        embeddings: (B, T, W) inputs, rows padded on the right.
        mask: (B, T), 0 at padding.
        trained: (B, T) bool: where an input depends on what is trained.

    Returns:
        (B, T, W).
    """
    from transformers import DynamicCache

    length = mask.sum(1)  # (B,)
    starts = torch.where(trained.any(1), trained.int().argmax(1), length - 1)  # (B,)
    most = int(starts.max())
    if int(starts.min()) == 0:  # nothing comes before it
        return language.hidden(embeddings, mask)
    rows = torch.arange(len(mask), device=mask.device).unsqueeze(1)  # (B, 1)
    # The first parts end side by side, so that distances between keys are those of the row.
    before = torch.arange(most, device=mask.device) - (most - starts).unsqueeze(1)  # (B, P)
    behind = starts.unsqueeze(1) + torch.arange(int((length - starts).max()), device=mask.device)
    fore, real = before >= 0, behind < length.unsqueeze(1)  # (B, P), (B, S)
    before, behind = before.clamp(min=0), behind.clamp(max=mask.shape[1] - 1)
    cache = DynamicCache(config=language.model.config)
    with torch.no_grad():
        first = language.hidden(embeddings[rows, before], fore.long(), before, cache)  # (B, P, W)
    seen = torch.cat([fore, real], dim=1).long()  # (B, P + S)
    second = language.hidden(embeddings[rows, behind], seen, behind, cache)  # (B, S, W)
    hidden = second.new_zeros(embeddings.shape)
    hidden = hidden.index_put(_at(rows, before, fore), first[fore].to(hidden.dtype))
    return hidden.index_put(_at(rows, behind, real), second[real])


def _at(rows: Tensor, columns: Tensor, real: Tensor) -> tuple[Tensor, Tensor]:
    return rows.expand_as(columns)[real], columns[real]
