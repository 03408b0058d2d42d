"""Eyes that see pictures at about their own size: those of Qwen2-VL and Qwen2.5-VL.

Wang et al. 2024, "Qwen2-VL" (arXiv 2409.12191), section 2.1: a picture is scaled to a number of
pixels between two bounds, its sides to multiples of what one embedding sees. The processor gives it
cut into patches; until the network runs it is put together again, so that its shape says all.

Their language models number positions on three axes, so that features have the time, row and column
of each embedding besides (``axes.py``).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from heliograph.model.axes import placed
from heliograph.model.encoders.own import OwnSense
from heliograph.model.errors import InputError, MediaError
from heliograph.model.media import Clip, Image
from heliograph.model.parts import Modality

LONGEST = 200
"""One side of a picture is at most so many times the other."""


class SizedSense(OwnSense):
    """An ``Encoder`` that gives as many embeddings as a picture is large.

    Args:
        model: the checkpoint's base model.
        processor: its image processor.
        most: embeddings of a picture at most, where the processor's own bound is higher.
    """

    def __init__(self, model: Any, processor: Any, most: int | None = None) -> None:
        super().__init__(model, processor)
        self._patch, self._merge = int(processor.patch_size), int(processor.merge_size)
        self._side = self._patch * self._merge
        """Of the square that one embedding sees, in pixels."""
        if most is not None and most < self.tokens("image"):
            pixels = most * self._side**2
            least = min(processor.size["shortest_edge"], pixels)
            processor.size = {"shortest_edge": least, "longest_edge": pixels}

    def tokens(self, modality: Modality) -> int:
        """Embeddings of a picture at most."""
        return int(self.processor.size["longest_edge"]) // self._side**2

    @property
    def varies(self) -> bool:
        """Whether one medium has more embeddings than another."""
        return True

    @property
    def blank(self) -> Clip:
        """A picture that takes about the most embeddings."""
        side = int(self.tokens("image") ** 0.5) * self._side
        return Image(np.zeros((side, side, 3), np.uint8))

    def prepare(self, clip: Clip) -> Tensor:
        """A picture scaled and normalised: (3, H, W).

        Raises:
            InputError: it isn't a picture.
            MediaError: it is too long and narrow.
        """
        if not isinstance(clip, Image):
            raise InputError("This encoder reads only image.")
        height, width = clip.pixels.shape[:2]
        most = self.tokens("image")
        if max(height, width) <= LONGEST * min(height, width):
            made = self.made(clip)
            _, rows, columns = (int(n) for n in made["image_grid_thw"][0])
            if rows * columns <= most * self._merge**2:
                return self._joined(made["pixel_values"], rows, columns)
        raise MediaError(
            f"A picture of {width} x {height} pixels is too long and narrow for these weights: one "
            f"side may be about {min(LONGEST, most)} times the other."
        )

    def patches(self, modality: Modality, x: Tensor) -> Tensor:
        """Prepared pictures of one size, (B, 3, H, W) -> embeddings (B, n, W).

        Each is seen alone: they are of no use to each other, and many take much memory.
        """
        return torch.stack([self._seen(picture) for picture in x])

    def lengths(self, x: Tensor) -> list[int]:
        """How many embeddings prepared pictures have."""
        rows, columns = self._squares(x)
        return [rows * columns] * len(x)

    def read(self, x: Tensor) -> list[Tensor]:
        """Their embeddings, each with its time, row and column: (n, W + 3)."""
        rows, columns = self._squares(x)
        axes = torch.cartesian_prod(torch.arange(1), torch.arange(rows), torch.arange(columns))
        return [placed(row, axes) for row in self.embeddings(x)]

    def _squares(self, x: Tensor) -> tuple[int, int]:
        return x.shape[-2] // self._side, x.shape[-1] // self._side

    def _seen(self, x: Tensor) -> Tensor:
        """(3, H, W) -> (n, W)."""
        from transformers.vision_utils import get_vision_position_ids

        pixels, grid = self._cut(x)
        # The grid stays on the processor: the network reads its values, which a device gives slowly
        # and the meta device not at all. These would be made of it, on the same device.
        found = get_vision_position_ids(grid, self._merge).to(x.device)
        (seen,) = self.model.get_image_features(
            pixels, grid, image_position_ids=found
        ).pooler_output
        embeddings: Tensor = seen
        return embeddings

    def _cut(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(3, H, W) -> patches (H/p W/p, 3 f p p) and grid (1, 3), as the network takes them.

        Each patch of p x p pixels is there for each of the f frames that are seen at once; those of
        one embedding stand together.
        """
        _, height, width = x.shape
        p, m, frames = self._patch, self._merge, self.processor.temporal_patch_size
        rows, columns = height // p, width // p
        squares = x.view(3, rows // m, m, p, columns // m, m, p)
        patches = squares.permute(1, 4, 2, 5, 0, 3, 6).flatten(0, 3)  # (…, 3, p, p)
        patches = patches.unsqueeze(2).expand(-1, -1, frames, -1, -1)
        return patches.flatten(1), torch.tensor([[1, rows, columns]])

    def _joined(self, patches: Tensor, rows: int, columns: int) -> Tensor:
        """Patches of one picture -> (3, H, W)."""
        p, m = self._patch, self._merge
        squares = patches.view(rows // m, columns // m, m, m, 3, -1, p, p)[..., 0, :, :]
        return squares.permute(4, 0, 2, 5, 1, 3, 6).reshape(3, rows * p, columns * p)
