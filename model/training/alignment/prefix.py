"""The part of a conversation that no trained number reaches, computed without gradients.

In alignment the language model is frozen. Up to the first token whose row trains (on the decoding
side) or the first medium (on the encoding side) nothing in a conversation depends on what trains.
So that part runs without gradients and leaves its keys and values; the rest, such as the signal
run and what follows, runs with gradients and attends to them. What all rows begin with, such as a
system prompt, runs once for all of them. The hidden states and the gradients are those of the full
pass.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from heliograph.model.language import LanguageModel
from heliograph.model.training.team import ALONE, Team

SHORT = 16
"""Fewer tokens than these aren't worth a pass of their own."""


def cut_hidden(
    language: LanguageModel,
    embeddings: Tensor,
    mask: Tensor,
    trained: Tensor,
    blocks: Tensor | None = None,
    positions: Tensor | None = None,
    divided: Team = ALONE,
) -> Tensor:
    """Last hidden states as ``language.hidden`` gives them; 0 at padding.

    Args:
        language: the frozen language model.
        embeddings: (B, T, W) inputs, rows padded on the right.
        mask: (B, T), 0 at padding.
        trained: (B, T) bool: where an input depends on what is trained.
        blocks: (B, T), as ``language.hidden`` takes them; nothing in them is trained.
        positions: (4, B, T), likewise, of media on three axes; counted where left out.
        divided: the processes among which the language model's parameters are divided. Each brings
            its share of a layer to each pass, so all make the same passes.

    Returns:
        (B, T, W).
    """
    from transformers import DynamicCache

    length = mask.sum(1)  # (B,)
    starts = torch.where(trained.any(1), trained.int().argmax(1), length - 1)  # (B,)
    if blocks is not None:  # a row may end in a block, which isn't cut
        number = blocks.gather(1, starts.unsqueeze(1))  # (B, 1)
        starts = torch.where(number[:, 0] > 0, (blocks == number).int().argmax(1), starts)
    most = int(starts.max())
    if divided.any(int(starts.min()) == 0 or most < SHORT):
        return language.hidden(embeddings, mask, positions, blocks=blocks)
    cache = DynamicCache(config=language.model.config)
    # Padding lies between what rows share and the rest, which a window would count. And whether
    # rows share something isn't the same in each process.
    sharing = blocks is None and not any(cache.is_sliding) and divided.size == 1
    begun = _shared(embeddings[:, : int(starts.min())], positions) if sharing else 0
    rows = torch.arange(len(mask), device=mask.device).unsqueeze(1)  # (B, 1)
    # The first parts end side by side, so that distances between keys are those of the row.
    before = torch.arange(begun, most, device=mask.device) - (most - starts).unsqueeze(1)  # (B, P)
    behind = starts.unsqueeze(1) + torch.arange(int((length - starts).max()), device=mask.device)
    fore, real = before >= begun, behind < length.unsqueeze(1)  # (B, P), (B, S)
    before, behind = before.clamp(min=0), behind.clamp(max=mask.shape[1] - 1)
    these, those = (None if blocks is None else blocks[rows, at] for at in (before, behind))
    here, there = (at if positions is None else positions[:, rows, at] for at in (before, behind))
    seen = mask[:, :begun]  # (B, past)
    done: list[tuple[Any, Tensor]] = []
    with torch.no_grad():
        if begun:
            at = None if positions is None else positions[:, :1, :begun]
            shared = language.hidden(embeddings[:1, :begun], seen[:1], at, cache)
            cache.batch_repeat_interleave(len(mask))
            done.append(((slice(None), slice(begun)), shared))
        if begun < most:
            seen = torch.cat([seen, fore.long()], dim=1)
            first = language.hidden(embeddings[rows, before], seen, here, cache, these)  # (B, P, W)
            done.append((_at(rows, before, fore), first[fore]))
    seen = torch.cat([seen, real.long()], dim=1)
    second = language.hidden(embeddings[rows, behind], seen, there, cache, those)  # (B, S, W)
    hidden = second.new_zeros(embeddings.shape)
    for place, states in done:
        hidden[place] = states.to(hidden.dtype)
    return hidden.index_put(_at(rows, behind, real), second[real])


def _shared(first: Tensor, positions: Tensor | None) -> int:
    """How many of the embeddings (B, P, W) that rows begin with are the same in all of them, and
    stand at the same positions."""
    same = (first == first[:1]).all(-1).all(0)  # (P,)
    if positions is not None:
        same &= (positions == positions[:, :1])[..., : len(same)].all(0).all(0)
    count = int(same.long().cumprod(0).sum())
    return count if len(first) > 1 and count >= SHORT else 0


def _at(rows: Tensor, columns: Tensor, real: Tensor) -> tuple[Tensor, Tensor]:
    return rows.expand_as(columns)[real], columns[real]
