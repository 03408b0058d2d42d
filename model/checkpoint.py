"""Reading the files of a checkpoint directory, with errors that name the file.

Of our own directories only JSON and safetensors are read; of other people's checkpoints also
pickles of tensors, by ``torch.load(weights_only=True)``. Nothing in either can run code.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import Tensor

from heliograph.model.errors import WeightsError, in_one_line

LOCAL: Mapping[str, Any] = {"local_files_only": True, "trust_remote_code": False}
"""How transformers and diffusers are to read a folder: what lies there is all that is read, and
code is neither run nor asked about. ``quiet`` tells the same to what a model reads inside."""


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


@contextmanager
def readable(directory: Path, *names: str) -> Iterator[None]:
    """Read a library's folder: what is wrong with its JSON is said here, by file and entry.

    Args:
        directory: of the library, with ``config.json``.
        names: files of JSON that are looked into, where they are there.

    Raises:
        WeightsError: one is no object of JSON, or an entry of ``config.json`` is refused.
    """
    from huggingface_hub.errors import StrictDataclassError

    for name in names:
        if (directory / name).is_file():
            read_json(directory / name)
    try:
        yield
    except StrictDataclassError as error:
        what = in_one_line(error.__cause__ or error, None)
        raise WeightsError(
            f"The weights are damaged: {directory / 'config.json'} has a value that it can't have "
            f"({what})."
        ) from error


def core_config(directory: Path) -> dict[str, Any]:
    """The ``config.json`` of a core's directory.

    Raises:
        WeightsError: it is missing, damaged, or that of a single model.
    """
    config = read_json(directory / "config.json")
    if "format" not in config and "model_type" in config:
        raise WeightsError(
            f"{directory} holds a {config['model_type']}, which is no core: `heliograph compose` "
            "makes a core of models."
        )
    return config


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


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of somebody's checkpoint file: safetensors, or a pickled state dict.

    A pickle of the newer, zipped kind is mapped into memory, not copied.

    Raises:
        WeightsError: the file is missing or damaged, or holds something other than tensors,
            which is named.
    """
    from pickle import UnpicklingError
    from zipfile import is_zipfile

    import torch

    if path.suffix == ".safetensors":
        return read_tensors(path)
    if not path.is_file():
        raise WeightsError(f"There is no file of weights at {path}.")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=is_zipfile(path))
    except UnpicklingError as error:
        foreign = _FOREIGN.search(str(error))
        what = f"it asks for {foreign[1]}, and only tensors are read" if foreign else "is no pickle"
        raise WeightsError(f"{path} can't be read as weights: {what}.") from error
    except Exception as error:  # a reader of pickles raises whatever damaged bytes lead it to
        raise WeightsError(f"{path} can't be read as weights: it is damaged.") from error
    if not isinstance(state, Mapping):
        raise WeightsError(f"{path} holds a {type(state).__name__}, not tensors by name.")
    for name, value in state.items():
        if not isinstance(value, Tensor):
            kind = type(value).__name__
            raise WeightsError(f"{path} holds something that is no tensor: {name!r}, a {kind}.")
    return {str(name): tensor.detach() for name, tensor in state.items()}


_FOREIGN = re.compile(r"(?:GLOBAL|but got|function) (?:<\w+ ')?([\w.]+)")
"""What a pickle asked for, in torch's words."""


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


def fingerprint(folder: Path, without: Collection[Path] = (), prefix: str = "") -> str:
    """A short name for what is in a folder: the same for a copy, another for other contents.

    A gigabyte takes about a second.

    Args:
        folder: all of its files count, by name and by content.
        without: files and folders in it that don't.
        prefix: what else the name depends on.

    Raises:
        WeightsError: it has no files, or one can't be read.
    """
    digest = hashlib.sha256(prefix.encode())
    left_out = set(without)
    files = [p for p in folder.rglob("*") if p.is_file() and not left_out & {p, *p.parents}]
    if not files:
        raise WeightsError(f"The weights are incomplete: {folder} is empty or missing.")
    try:
        for path in sorted(files):
            digest.update(f"\0{path.relative_to(folder)}\0{path.stat().st_size}\0".encode())
            with open(path, "rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    except OSError as error:
        raise WeightsError(f"{folder} can't be read: {error.strerror}.") from error
    return digest.hexdigest()[:16]
