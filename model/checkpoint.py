"""Reading the files of a checkpoint directory, with errors that name the file.

Only JSON and safetensors are read: nothing in a checkpoint can run code.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from heliograph.model.errors import WeightsError


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        WeightsError: the file is missing or holds no object.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise WeightsError(f"The weights are incomplete: {path} is missing.") from error
    except (OSError, ValueError) as error:
        raise WeightsError(f"The weights are damaged: {path} can't be read as JSON.") from error
    if not isinstance(value, dict):
        raise WeightsError(f"The weights are damaged: {path} holds no object.")
    return value


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write an object as indented JSON."""
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file, in the precision in which they are stored.

    Raises:
        WeightsError: the file is missing, truncated or no safetensors file.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    check_tensors(path)
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"The weights are damaged: {path} can't be read.") from error


def check_tensors(path: Path) -> None:
    """Look at a safetensors file's header and length, without reading the tensors.

    Raises:
        WeightsError: the file is missing, truncated or no safetensors file.
    """
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise WeightsError(f"The weights are incomplete: {path} is missing.")
    try:
        with safe_open(path, framework="pt"):
            pass
    except (OSError, SafetensorError) as error:
        raise WeightsError(
            f"The weights are damaged: {path} is truncated or no safetensors file."
        ) from error


def check_folder(directory: Path, *names: str) -> None:
    """Check that a library's folder has these files and that its weights are whole.

    Raises:
        WeightsError: a file is missing or damaged.
    """
    for name in names:
        read_json(directory / name)
    weights = sorted(directory.glob("*.safetensors"))
    if not weights:
        raise WeightsError(f"The weights are incomplete: {directory} has no safetensors file.")
    for path in weights:
        check_tensors(path)


def fingerprint(directory: Path) -> str:
    """A short name for the weights in a directory: the same for a copy, another for others.

    It is made of each file's name, its size, and its first and last mebibyte, because reading
    all of a large checkpoint takes minutes.

    Raises:
        WeightsError: the directory is missing or can't be read.
    """
    digest, edge = hashlib.sha256(), 2**20
    try:
        files = sorted(path for path in directory.rglob("*") if path.is_file())
        for path in files:
            size = path.stat().st_size
            digest.update(f"{path.relative_to(directory)}\0{size}\0".encode())
            with path.open("rb") as file:
                digest.update(file.read(edge))
                file.seek(max(0, size - edge))
                digest.update(file.read(edge))
    except OSError as error:
        raise WeightsError(f"{directory} can't be read: {error.strerror}.") from error
    if not files:
        raise WeightsError(f"The weights are incomplete: {directory} has no files.")
    return digest.hexdigest()[:16]
