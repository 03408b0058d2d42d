"""What a run will hold in memory, counted from the headers of the core's files.

Nothing is loaded, so that too little memory is found before minutes are spent on reading weights.
Counted is what is certain: weights, and for what trains a gradient and Adam's two moments. What
the forward pass keeps depends on the samples' lengths; ``measure.py`` measures it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from heliograph.model.checkpoint import check_tensors, read_json
from heliograph.model.dialects import DIALECTS, HELIOGRAPH, SignalSpec
from heliograph.model.errors import InputError, TrainingError, WeightsError
from heliograph.model.headers import headers, read
from heliograph.model.language import lora_targets
from heliograph.model.machine import cpu_memory
from heliograph.model.origins import LANGUAGE
from heliograph.model.referenced import ROWS_FILE
from heliograph.model.senses import language_headers
from heliograph.model.shelf import Shelf
from heliograph.model.training.alignment.parts import precision, stored_precision
from heliograph.model.training.alignment.settings import Settings
from heliograph.model.training.team import processes_here

HEADS = ("lm_head.weight", "embed_out.weight")
VOCABULARY = ("embed_tokens.weight", "wte.weight", "embed_in.weight", *HEADS)
"""Matrices that have a row for each token."""
QUANTIZED = 0.55
"""Bytes of a number in 4 bits, with its share of the scales."""


@dataclass(frozen=True)
class Part:
    """Some of a core's parameters."""

    name: str
    numbers: int
    trained: int
    """How many of them train."""
    weights: int
    """Bytes."""

    @property
    def gradients(self) -> int:
        """Bytes: float32."""
        return 4 * self.trained

    @property
    def moments(self) -> int:
        """Bytes: Adam's two, float32."""
        return 8 * self.trained

    @property
    def bytes(self) -> int:
        """All of it."""
        return self.weights + self.gradients + self.moments


def parts(settings: Settings) -> list[Part]:
    """The parts of a core as a run will hold them.

    Raises:
        WeightsError: files of the core are missing or damaged.
        InputError: it isn't known which layers are to get LoRA.
    """
    recipe = settings.recipe
    kind, body = _language(settings.core)
    lora, adapter = 0, settings.core / LANGUAGE / "adapter"
    if adapter.is_dir():
        lora = sum(map(math.prod, _sizes(adapter).values()))
        _check_same(adapter, settings)
    elif recipe.language and not settings.full:
        layers = {_layer(name) for name, shape in body.items() if _quantized(name, shape)}
        targets = lora_targets(kind, layers, settings.lora_targets)
        shapes = [shape for name, shape in body.items() if _layer(name) in targets]
        lora = settings.rank * sum(sum(shape) for shape in shapes if len(shape) == 2)
    numbers = sum(map(math.prod, body.values()))
    width = precision(settings).itemsize
    small = sum(math.prod(shape) for name, shape in body.items() if _quantized(name, shape))
    small *= settings.qlora
    weights = int(small * QUANTIZED) + (numbers - small) * width
    found = [Part("language model", numbers, numbers * settings.full, weights)]
    if lora and not settings.full:
        trained = lora * recipe.language
        found.append(Part("LoRA", lora, trained, lora * 4))
    if recipe.outputs and not settings.full:
        rows = _new_rows(settings.core, body)
        found.append(Part("new rows", rows, rows, rows * 4))
    projections = _sizes(settings.core, "projections.safetensors")
    for side, trains in (("inputs", recipe.inputs), ("outputs", recipe.outputs)):
        shapes = [shape for name, shape in projections.items() if name.startswith(side)]
        count = sum(map(math.prod, shapes))
        bytes_ = count * (4 if trains else width)
        found.append(Part(f"{side[:-1]} projections", count, count * trains, bytes_))
    return found


def check(settings: Settings, device: torch.device, processes: int = 1) -> None:
    """See that a run fits into the memory that is free, and that it can be read on the way there.

    Raises:
        TrainingError: it doesn't.
        WeightsError: files of the core are missing or damaged.
        InputError: it isn't known which layers are to get LoRA.
    """
    found = parts(settings)
    needed = sum(part.bytes for part in found) * (1 if settings.shard else processes)
    if device.type != "cpu":  # which processes share
        needed //= processes
    room = free(device)
    if needed > room:
        smaller = [
            *(["--bf16"] if not settings.bf16 else []),
            *(["LoRA in place of --full"] if settings.full else []),
            *(["--shard over more processes"] if not settings.qlora else []),
        ]
        raise TrainingError(
            f"Weights, gradients and moments take {needed / 1e9:.1f} GB, and {room / 1e9:.1f} GB "
            f"are free on {device}: try {' or '.join(smaller) or 'a smaller core'}."
        )
    if device.type != "cpu":
        _check_reading(settings, found[0].numbers)


def free(device: torch.device) -> int:
    """Bytes that can be had on a device."""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else cpu_memory()


def _check_reading(settings: Settings, numbers: int) -> None:
    """See that each process of this machine can read the language model before it is on a device.

    Files in the precision in which it is read are mapped into memory, of which that takes none.

    Raises:
        TrainingError: there is too little memory for it.
    """
    origins = Shelf.from_pretrained(settings.core).origins
    base = origins.place(settings.core, LANGUAGE, "language", hashed=False)
    dtype = precision(settings)
    if stored_precision(base) == dtype:
        return
    here = processes_here()
    needed, room = here * numbers * dtype.itemsize, free(torch.device("cpu"))
    if needed > room:
        name = str(dtype).removeprefix("torch.")
        raise TrainingError(
            f"To read the language model in {name}, {here} process(es) take {needed / 1e9:.1f} GB "
            f"of memory, and {room / 1e9:.1f} GB are free: one that is stored in {name} takes none."
        )


def _quantized(name: str, shape: tuple[int, ...]) -> bool:
    """Whether a tensor is a layer's matrix, and not an embedding or the head."""
    return len(shape) == 2 and not any(part in name for part in ("embed", "lm_head", "wte"))


def _layer(name: str) -> str:
    """The last part of a layer's name, by that of its tensor."""
    return name.rpartition(".")[0].rpartition(".")[2]


def _check_same(adapter: Path, settings: Settings) -> None:
    """See that a core's LoRA, which goes on as it is, is on the layers that are asked for.

    Raises:
        WeightsError: its configuration is missing or damaged.
        InputError: it is on others.
    """
    targets = read_json(adapter / "adapter_config.json").get("target_modules", [])
    if settings.lora_targets and {*settings.lora_targets} != {*targets}:
        raise InputError(
            f"The core has LoRA on {', '.join(sorted(targets))}, which goes on as it is: leave "
            "--lora-targets out."
        )


def _language(core: Path) -> tuple[str, dict[str, tuple[int, ...]]]:
    """Kind of the language model, and shapes of its tensors, with room for the core's rows."""
    folder = core / LANGUAGE
    base = Shelf.from_pretrained(core).origins.place(core, LANGUAGE, "language", hashed=False)
    config = read_json(base / "config.json")
    kind = str(config.get("text_config", config).get("model_type"))
    body = {name: header.shape for name, header in language_headers(base).items()}
    rows = folder / ROWS_FILE
    if base == folder or not rows.is_file():
        return kind, body
    ids = read(headers(rows)["ids"])
    needed = int(ids.max()) + 1 if len(ids) else 0
    return kind, {
        name: (max(shape[0], needed), *shape[1:]) if name.endswith(VOCABULARY) else shape
        for name, shape in body.items()
    }


def _sizes(folder: Path, pattern: str = "*.safetensors") -> dict[str, tuple[int, ...]]:
    """Shapes of the tensors in a folder's files, by name."""
    from safetensors import safe_open

    files = sorted(folder.glob(pattern))
    if not files:
        raise WeightsError(f"The weights are incomplete: {folder} has no {pattern}.")
    found: dict[str, tuple[int, ...]] = {}
    for path in files:
        check_tensors(path)
        with safe_open(path, framework="pt") as file:
            found |= {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}
    return found


def _new_rows(core: Path, body: Mapping[str, tuple[int, ...]]) -> int:
    config = read_json(core / "config.json")
    specs = [SignalSpec(m, n) for m, n in config.get("signals", {}).items()]
    tokens = DIALECTS[config.get("dialect", HELIOGRAPH.name)].tokens(specs)
    tied = not any(name.endswith(HEADS) for name in body)
    width = next(shape[1] for name, shape in body.items() if "embed" in name or "wte" in name)
    return len(tokens) * width * (1 if tied else 2)
