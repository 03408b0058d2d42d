"""What a run is asked to do, checked once, and kept beside it so that it goes on as it began."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from heliograph.model.checkpoint import read_json, write_json
from heliograph.model.data.mixture import Mixture, Source
from heliograph.model.errors import InputError
from heliograph.model.training.alignment.recipes import Recipe, recipe
from heliograph.model.training.loop import Schedule

FILE = "settings.json"
LARGEST_MIXTURE = 1_000_000
"""Bytes: a larger file of JSON is a data set."""


@dataclass(frozen=True)
class Settings:
    """A run of one stage."""

    stage: str
    core: Path
    """Directory of the core to begin with."""
    data: Path
    """A mixture, or one data set."""
    prepared: Path
    """Folder that ``heliograph data prepare`` wrote to, for this data and this core."""
    out: Path
    """Folder of the run; the finished core goes to ``core/`` in it."""
    steps: int = 1000
    batch: int | None = None
    """Samples of an optimizer step, of all processes together; the recipe's if left out."""
    at_once: int = 8
    """Samples of one forward pass: gradients of several are added up (accumulation)."""
    length: int = 2048
    """Longest sample in tokens; longer ones are cut."""
    pack: bool = True
    """Put short samples behind each other, where no prefix is cut off instead."""
    cut: bool = True
    """Run what comes before the first trained token without gradients, where only output
    projections and rows train."""
    learning_rate: float | None = None
    weight_decay: float = 0.0
    bf16: bool = False
    """Compute in bfloat16; what trains is kept in float32."""
    checkpointing: bool = False
    """Compute activations a second time rather than keep them (gradient checkpointing); not where
    a prefix is cut off, since what is left is short."""
    shard: bool = False
    """Divide the language model over the processes (FSDP2) rather than copy it (DDP)."""
    rank: int = 32
    """Of LoRA."""
    dropout: float = 0.0
    """Of LoRA."""
    full: bool = False
    """Train all of the language model rather than LoRA."""
    qlora: bool = False
    """Keep the frozen language model in 4 bits."""
    condition_weight: float = 1.0
    captioned: bool = True
    """The assistant says in words what a signal run is to show, before the run."""
    skip_bad: bool = False
    """Leave out rows that can't be used rather than stop."""
    checkpoint_every: int = 200
    log_every: int = 10
    seed: int = 0
    licences: tuple[tuple[str, str], ...] = field(default=())
    """(part, licence) as the person who runs it states them."""

    def __post_init__(self) -> None:
        """Check fields against each other.

        Raises:
            InputError: they can't go together.
        """
        recipe(self.stage)
        for name in ("steps", "at_once", "length", "rank", "checkpoint_every", "log_every"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}; it is at least 1.")
        if self.batch is not None and self.batch < 1:
            raise InputError(f"batch is {self.batch}; it is at least 1.")
        if self.out.resolve().is_relative_to(self.core.resolve()):
            raise InputError(f"{self.out} lies in the core that the run begins with.")
        if (self.full or self.qlora) and not self.recipe.language:
            raise InputError(f"The stage {self.stage} doesn't train the language model.")
        if self.full and self.qlora:
            raise InputError("All of a language model in 4 bits can't be trained: choose one.")
        if self.qlora and self.shard:
            raise InputError("A language model in 4 bits can't be divided over processes.")

    @property
    def recipe(self) -> Recipe:
        """The stage."""
        return recipe(self.stage)

    @property
    def samples(self) -> int:
        """Samples of an optimizer step."""
        return self.recipe.batch if self.batch is None else self.batch

    @property
    def cuts(self) -> bool:
        """Whether a frozen prefix is computed apart."""
        trained = self.recipe
        return self.cut and trained.outputs and not (trained.inputs or trained.language)

    @property
    def packs(self) -> bool:
        """Whether samples are packed; a prefix and packing exclude each other."""
        return self.pack and not self.cuts

    def schedule(self) -> Schedule:
        """How long and how fast."""
        usual = (self.full and self.recipe.full_rate) or self.recipe.learning_rate
        return Schedule(
            self.steps,
            self.learning_rate or usual,
            warmup=max(1, round(self.recipe.warmup * self.steps)),
            weight_decay=self.weight_decay,
            checkpoint_every=self.checkpoint_every,
            log_every=self.log_every,
            betas=(0.9, 0.999),
        )

    def mixture(self) -> Mixture:
        """The data.

        Raises:
            InputError: the file of a mixture can't be used.
        """
        if _is_mixture(self.data):
            mixture = Mixture.read(self.data)
        else:
            mixture = Mixture(sources=(Source(path=self.data),))
        return mixture.model_copy(update={"seed": mixture.seed + self.seed})

    def keep(self) -> None:
        """Write the settings beside the run, or see that it goes on with those that it has.

        Raises:
            InputError: the folder holds a run with other settings.
        """
        own, path = self._curve(), self.out / FILE
        if path.exists() and (self.out / "last.safetensors").exists():
            known = read_json(path)
            for name in own:
                if known.get(name) != own[name]:
                    raise InputError(
                        f"{self.out} holds a run whose {name} is {known.get(name)!r}, not "
                        f"{own[name]!r}: go on with that, or give another folder."
                    )
            return
        self.out.mkdir(parents=True, exist_ok=True)
        write_json(path, own)

    def _curve(self) -> dict[str, Any]:
        """What the curve depends on; where things lie and how they are computed is free."""
        names = ("stage", "steps", "length", "weight_decay", "rank", "dropout", "full", "qlora")
        more = ("condition_weight", "captioned", "seed", "skip_bad")
        rate = self.schedule().learning_rate
        chosen = {name: getattr(self, name) for name in (*names, *more)}
        return {**chosen, "batch": self.samples, "learning_rate": rate}


def _is_mixture(path: Path) -> bool:
    if path.suffix in (".yaml", ".yml"):
        return True
    if not path.is_file() or path.stat().st_size > LARGEST_MIXTURE:
        return False
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return False
    return isinstance(value, dict) and "sources" in value
