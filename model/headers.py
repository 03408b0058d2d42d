"""What safetensors files hold, by their headers: names, shapes and precisions, no tensors."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from heliograph.model.checkpoint import check_tensors
from heliograph.model.errors import WeightsError
from heliograph.model.sources import check_safe


@dataclass(frozen=True)
class Header:
    """One tensor."""

    file: Path
    name: str
    """In the file."""
    shape: tuple[int, ...]
    dtype: str
    """In safetensors' words, such as ``F16``."""

    @property
    def count(self) -> int:
        """How many numbers it has."""
        return math.prod(self.shape)


def headers(folder: Path) -> dict[str, Header]:
    """The tensors in the safetensors files of one folder, or in one file, by name.

    Raises:
        WeightsError: there are none, or a file is damaged.
    """
    if folder.is_dir():
        check_safe(folder)
    found: dict[str, Header] = {}
    for path in sorted(folder.glob("*.safetensors")) if folder.is_dir() else [folder]:
        check_tensors(path)
        with path.open("rb") as file:  # a safetensors file starts with its header's length
            entries = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        entries.pop("__metadata__", None)
        for name, entry in entries.items():
            found[name] = Header(path, name, tuple(entry["shape"]), entry["dtype"])
    return found


def read(header: Header) -> Tensor:
    """One tensor of a file."""
    from safetensors import safe_open

    with safe_open(header.file, framework="pt") as file:
        tensor: Tensor = file.get_tensor(header.name)
        return tensor


def check_shapes(found: Mapping[str, Header], module: nn.Module, where: Path) -> None:
    """Check that stored tensors have the shapes of a module's of the same names.

    Names may differ, since transformers renames what older releases of it wrote.

    Raises:
        WeightsError: one doesn't fit.
    """
    for name, tensor in module.state_dict().items():
        if name in found and found[name].shape != tuple(tensor.shape):
            raise WeightsError(
                f"The weights in {where} don't fit their configuration: {name} is "
                f"{_in_words(found[name].shape)} and should be {_in_words(tensor.shape)}."
            )


def _in_words(shape: Iterable[int]) -> str:
    return "x".join(map(str, shape)) or "a number"
