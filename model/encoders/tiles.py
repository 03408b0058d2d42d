"""Own eyes that cut a picture into tiles or let it keep its size, and see more of a larger one.

A prepared picture is (t, 3, H, W), its tiles in order. Where these don't say all that the class has
to know, a page of the same size lies before them, which begins with two numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from heliograph.model.encoders.own import OwnSense
from heliograph.model.errors import InputError, MediaError
from heliograph.model.media import Clip, Image
from heliograph.model.parts import Modality
from heliograph.model.senses import GRID

BASE, DIGITS = 128, 3
"""How a number is written: 16 bits keep each digit as it is."""


class Tiled(OwnSense):
    """What these eyes have in common. A picture is seen alone, whatever stands beside it.

    Each has a call of its own: Pixtral's take memory with the square of all patches in one.
    """

    @property
    def varies(self) -> bool:
        """Whether one medium has more embeddings than another."""
        return True

    def prepare(self, clip: Clip) -> Tensor:
        """A picture (t, 3, H, W), with its page where there is one.

        Raises:
            InputError: the model doesn't read this modality.
            MediaError: it is so narrow that nothing is left of it.
        """
        if not isinstance(clip, Image):
            raise InputError(f"This encoder reads only {self.sense.modality}.")
        try:
            return self.cut(clip)
        except (ValueError, ZeroDivisionError) as error:
            height, width = clip.pixels.shape[:2]
            raise MediaError(
                f"A picture of {width}x{height} pixels is too narrow for this encoder."
            ) from error

    def embeddings(self, x: Tensor) -> list[Tensor]:
        """Those of prepared pictures, (n, W) each."""
        return [self.seen(picture) for picture in x]

    def patches(self, modality: Modality, x: Tensor) -> Tensor:
        """A batch of prepared pictures -> embeddings (B, tokens, W), filled up with zeros."""
        return pad_sequence(self.embeddings(x), batch_first=True)

    def lengths(self, x: Tensor) -> list[int]:
        """How many embeddings prepared pictures have."""
        return [len(row) for row in self.embeddings(x)]

    def cut(self, picture: Image) -> Tensor:
        """A picture as ``prepare`` gives it."""
        raise NotImplementedError

    def seen(self, picture: Tensor) -> Tensor:
        """What ``cut`` gave, as embeddings (n, W)."""
        raise NotImplementedError

    def _numbers(self, picture: Tensor) -> tuple[int, int]:
        """The two on the page of a prepared picture."""
        if picture.is_meta:  # where nothing can be read, and only the blank one is seen
            picture = self._blank
        digits = [round(digit) for digit in picture[0].flatten()[: 2 * DIGITS].tolist()]
        one, other = (
            sum(digit * BASE**i for i, digit in enumerate(digits[at : at + DIGITS]))
            for at in (0, DIGITS)
        )
        return one, other

    @cached_property
    def _blank(self) -> Tensor:
        return self.prepare(self.blank)


def paged(tiles: Tensor, numbers: tuple[int, int]) -> Tensor:
    """Tiles (t, 3, H, W) behind a page with two numbers: (1 + t, 3, H, W)."""
    page = torch.zeros_like(tiles[:1])
    digits = [n // BASE**i % BASE for n in numbers for i in range(DIGITS)]
    page.view(-1)[: len(digits)] = torch.tensor(digits)
    return torch.cat([page, tiles])


def marked(embeddings: Tensor, kinds: Sequence[int]) -> Tensor:
    """Embeddings (m, W) between marks, as ``OwnSense.read`` gives them: (n, W + 1).

    Args:
        embeddings: in order.
        kinds: n of them: the number of a mark, or 0 for the next embedding.
    """
    numbers = torch.tensor(kinds, device=embeddings.device)
    rows = embeddings.new_zeros(len(kinds), embeddings.shape[1] + 1)
    rows[numbers == 0, :-1] = embeddings
    rows[:, -1] = numbers.to(rows)
    return rows


class InternVL(Tiled):
    """Tiles in the grid that is nearest to the picture's form, and the whole picture after them
    (Chen et al. 2024, "How Far Are We to GPT-4V?", arXiv 2404.16821, section 3.3)."""

    @property
    def blank(self) -> Image:
        """A strip of as many squares as there may be tiles."""
        return Image(np.zeros((8, 8 * self.processor.max_patches, 3), np.uint8))

    def cut(self, picture: Image) -> Tensor:
        """The tiles."""
        tiles: Tensor = self.made(picture, crop_to_patches=True)["pixel_values"]
        return tiles

    def seen(self, picture: Tensor) -> Tensor:
        """The embeddings of one tile after those of the other."""
        each: Tensor = self.model.get_image_features(picture).pooler_output
        return each.flatten(0, 1)


class LlavaNext(Tiled):
    """The whole picture, and behind it tiles of its largest form that fills one of some grids, with
    an embedding of its own for the end of each row (Liu et al. 2024, "LLaVA-NeXT: Improved
    reasoning, OCR, and world knowledge").

    The page has height and width in pixels.
    """

    @property
    def blank(self) -> Image:
        """A picture that fills the largest grid."""
        grids = self.model.config.image_grid_pinpoints
        height, width = max(grids, key=lambda grid: (grid[0] * grid[1], grid[0]))
        return Image(np.zeros((height, width, 3), np.uint8))

    def cut(self, picture: Image) -> Tensor:
        """The page, the whole and its tiles."""
        height, width = picture.pixels.shape[:2]
        return paged(self.made(picture)["pixel_values"][0], (height, width))

    def seen(self, picture: Tensor) -> Tensor:
        """The embeddings of the whole, and those of the tiles row by row of the picture."""
        sizes = [self._numbers(picture)]
        made = self.model.get_image_features(picture[None, 1:], image_sizes=sizes)
        (rows,) = made.pooler_output
        assert isinstance(rows, Tensor)
        return rows


class LlavaOnevision(LlavaNext):
    """The same with more grids, and fewer embeddings of so many tiles (Li et al. 2024,
    "LLaVA-OneVision: Easy Visual Task Transfer", arXiv 2408.03326, section 3.2)."""

    @cached_property
    def _tokens(self) -> int:
        """A bound, since embeddings are made fewer only where a side loses more than a tenth."""
        config = self.model.config
        pixels = int(config.vision_config.image_size)
        side = pixels // int(config.vision_config.patch_size)
        most = 1.1**2 * int(config.vision_aspect_ratio.removeprefix("anyres_max_")) * side**2
        grids = [[n // pixels * side for n in grid] for grid in config.image_grid_pinpoints]
        tiles = max(min(height * width, most) + height for height, width in grids)
        return side**2 + int(tiles)


class Mistral3(Tiled):
    """One tile as large as the picture, its sides whole numbers of patches, and a mark behind each
    row of embeddings (Agrawal et al. 2024, "Pixtral 12B", arXiv 2410.07073, section 2)."""

    @property
    def blank(self) -> Image:
        """A square of the longest side that a picture keeps."""
        size = self.processor.size
        side = size.longest_edge or size.height
        return Image(np.zeros((side, side, 3), np.uint8))

    @property
    def side(self) -> int:
        """Pixels along an embedding."""
        config = self.model.config
        return int(config.vision_config.patch_size * config.spatial_merge_size)

    def cut(self, picture: Image) -> Tensor:
        """The picture, (1, 3, H, W)."""
        tile: Tensor = self.made(picture, patch_size=self.side)["pixel_values"]
        return tile

    def seen(self, picture: Tensor) -> Tensor:
        """The embeddings row by row."""
        sizes = [tuple(picture.shape[2:])]
        # get_image_features looks into values, which a meta device doesn't have.
        states = self.tower(picture, image_sizes=sizes, output_hidden_states=True).hidden_states
        layers = self.model.config.vision_feature_layer
        layers = [layers] if isinstance(layers, int) else layers
        chosen = torch.cat([states[layer] for layer in layers], dim=-1)  # (1, patches, W)
        rows: Tensor = self.model.multi_modal_projector(chosen[0], sizes)
        return rows

    def read(self, x: Tensor) -> list[Tensor]:
        """A break behind each row but the last, and an end behind that."""
        height, width = (pixels // self.side for pixels in x.shape[-2:])
        kinds = [*([*[0] * width, 1] * height)[:-1], 2]
        return [marked(row, kinds) for row in self.embeddings(x)]


class Idefics3(Tiled):
    """Tiles in a grid, each behind a mark that says where it lies, and the whole picture after them
    (Laurençon et al. 2024, "Building and better understanding vision-language models",
    arXiv 2408.12637; Marafioti et al. 2025, "SmolVLM", arXiv 2504.05299).

    The page has the rows and columns of the grid, 0 of both where only the whole is shown.
    """

    @property
    def blank(self) -> Image:
        """A square, which is enlarged to the most tiles on both sides."""
        return Image(np.zeros((32, 32, 3), np.uint8))

    def cut(self, picture: Image) -> Tensor:
        """The page, the tiles and the whole.

        Raises:
            MediaError: there are more on a side than there are marks.
        """
        made = self.made(picture, return_row_col_info=True)
        ((rows,),), ((columns,),) = made["rows"], made["cols"]
        if max(rows, columns) > GRID:
            raise MediaError(
                f"This picture would be cut into {rows}x{columns} tiles; there are marks for "
                f"{GRID} on a side."
            )
        return paged(made["pixel_values"][0], (int(rows), int(columns)))

    def seen(self, picture: Tensor) -> Tensor:
        """The embeddings of one tile after those of the other."""
        tiles = picture[1:]
        side = self.tower.patch_size
        grid = tiles.shape[0], tiles.shape[2] // side, tiles.shape[3] // side
        whole = torch.ones(grid, dtype=torch.bool, device=tiles.device)
        # Called as a whole, model and tower look into values, which a meta device doesn't have.
        seen = self.tower.embeddings(tiles, patch_attention_mask=whole)
        states = self.tower.encoder(seen, attention_mask=None).last_hidden_state
        each: Tensor = self.model.connector(self.tower.post_layernorm(states))
        return each.flatten(0, 1)

    def read(self, x: Tensor) -> list[Tensor]:
        """Embeddings between ``senses.IDEFICS3``'s marks."""
        return [self._laid_out(*found) for found in zip(self.embeddings(x), x, strict=True)]

    def _laid_out(self, embeddings: Tensor, picture: Tensor) -> Tensor:
        rows, columns = self._numbers(picture)
        tile = [0] * (len(embeddings) // (rows * columns + 1))
        fake, whole, line, lines, first = range(1, 6)
        kinds: list[int] = []
        for row in range(rows):
            for column in range(columns):
                kinds += [fake, first + GRID * row + column, *tile]
            kinds.append(line if row < rows - 1 else lines)
        return marked(embeddings, [*kinds, fake, whole, *tile, fake])


TILED: Mapping[str, type[Tiled]] = {
    "idefics3": Idefics3,
    "smolvlm": Idefics3,
    "internvl": InternVL,
    "llava_next": LlavaNext,
    "llava_onevision": LlavaOnevision,
    "mistral3": Mistral3,
}
"""By the ``model_type`` of their configurations."""
