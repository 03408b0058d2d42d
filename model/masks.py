"""Attention that looks both ways within blocks of a row, and backwards everywhere else.

Gemma 3 reads pictures so: each embedding of a picture sees all of that picture, as in the class
``Gemma3ForConditionalGeneration`` of transformers. What lies before an embedding is seen as ever:
layers with a sliding window look no further back, within a block neither.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import Tensor
from torch.nn import functional as F

if TYPE_CHECKING:
    from transformers import Cache, PretrainedConfig


def two_way_masks(
    config: PretrainedConfig,
    embeddings: Tensor,
    mask: Tensor | None,
    positions: Tensor | None,
    cache: Cache | None,
    blocks: Tensor,
) -> Any:
    """What a model of transformers takes as ``attention_mask`` in place of ``mask``.

    Args:
        config: of the language model; says which layers have a sliding window.
        embeddings: (B, T, W) inputs.
        mask: (B, past + T), 0 at padding; without it ``positions`` say where samples begin, as in
            ``LanguageModel.hidden``.
        positions: (B, T) position ids.
        cache: keys and values of the past.
        blocks: (B, T), as in ``LanguageModel.hidden``.
    """
    from transformers.masking_utils import (
        create_masks_for_generate,
        find_packed_sequence_indices,
        packed_sequence_mask_function,
    )

    past = 0 if cache is None else cache.get_seq_length()
    numbers = F.pad(blocks, (past, 0))  # (B, past + T)

    def ahead(row: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        """Within a block too, how far back is seen is left to the layer."""
        number = numbers[row, query]
        return (number > 0) & (number == numbers[row, key]) & (key > query)

    packed = None
    if mask is None and cache is None and positions is not None:
        packed = find_packed_sequence_indices(positions)  # (B, T), or none where there is one each
    # Were transformers told the positions, it would give `ahead` those instead of places in a row.
    return create_masks_for_generate(
        config,
        inputs_embeds=embeddings,
        attention_mask=mask,
        past_key_values=cache,
        or_mask_function=ahead,
        and_mask_function=None if packed is None else packed_sequence_mask_function(packed),
    )
