"""Positions on three axes: time, row and column (M-RoPE).

Wang et al. 2024, "Qwen2-VL" (arXiv 2409.12191), section 2.1. A word has one number on all axes. An
embedding of a picture has that of the picture's start, and on each axis its time, row or column
within the picture besides; what follows is numbered on from the largest of them. So a picture takes
fewer numbers than embeddings.

These three stand behind the embedding, as more columns of a medium's features, and go with them
wherever features are kept.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from heliograph.model.prompts import Row

AXES = 3
"""Time, row, column."""


def placed(embeddings: Tensor, axes: Tensor) -> Tensor:
    """Features of one medium: (n, W) and (n, 3) -> (n, W + 3), in a precision that keeps both."""
    return torch.cat([embeddings.float(), axes.to(embeddings.device, torch.float32)], dim=-1)


def apart(features: Tensor) -> tuple[Tensor, Tensor]:
    """The features of one medium as embeddings (n, W), and time, row and column (n, 3), long."""
    return features[:, :-AXES], features[:, -AXES:].long()


def on_axes(rows: Iterable[Row]) -> bool:
    """Whether a medium of laid-out conversations is numbered so."""
    return any(place.axes is not None for row in rows for place in row.places)


def numbered(row: Row) -> Tensor:
    """The positions of a laid-out conversation: in the sequence, then on each axis, (4, T) long."""
    pieces: list[Tensor] = []
    column = number = 0
    for place in row.places:
        if place.axes is None:
            continue
        words = place.start - column
        pieces += [_words(number, words), number + words + place.axes.T]
        number += words + int(place.axes.max()) + 1
        column = place.start + place.length
    pieces.append(_words(number, len(row.ids) - column))
    return torch.cat([torch.arange(len(row.ids)).unsqueeze(0), torch.cat(pieces, dim=1)])


def following(row: Row) -> int:
    """The position of what comes after a laid-out conversation."""
    found = [place.axes for place in row.places if place.axes is not None]
    return len(row.ids) - sum(len(axes) - int(axes.max()) - 1 for axes in found)


def _words(start: int, count: int) -> Tensor:
    return torch.arange(start, start + count).expand(AXES, -1)
