"""What a run is asked to do, checked once, and kept beside it so that it goes on as it began."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from heliograph.model.checkpoint import fingerprint, read_json, write_json
from heliograph.model.data.mixture import Mixture, Source, is_mixture
from heliograph.model.data.prepared import Prepared
from heliograph.model.errors import DataError, InputError
from heliograph.model.origins import LANGUAGE
from heliograph.model.training.alignment.recipes import Recipe, recipe
from heliograph.model.training.loop import Schedule

FILE = "settings.json"
_TRAINED = ("config.json", "projections.safetensors", LANGUAGE)
"""What a run reads of a core's directory: encoders and decoders come in by prepared data."""
_SHARDS = (".tar", ".tar.gz", ".tgz", ".parquet", ".arrow")
"""Files that hold rows in a folder of data; what `datasets` keeps for itself is ``cache-*``."""
_HASHED = {
    "core": "began with a core of other weights than {core}",
    "encoders": "read features and conditions of other encoders or decoders than those of {core}",
    "rows": "read other rows than those in {data}",
}
"""What is kept as a hash, which would tell nobody anything."""


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
    pack: bool | None = None
    """Put short samples behind each other rather than those of one length together; if left out,
    where the language model trains, since no prefix can be cut off there."""
    cut: bool = True
    """Run what comes before the first trained input without gradients."""
    learning_rate: float | None = None
    weight_decay: float = 0.0
    bf16: bool = False
    """Compute in bfloat16; what trains is kept in float32."""
    checkpointing: bool = False
    """Compute activations a second time rather than keep them (gradient checkpointing); not where
    what is left of a cut prefix is short."""
    shard: bool = False
    """Divide the language model over the processes (FSDP2) rather than copy it (DDP)."""
    rank: int = 32
    """Of LoRA."""
    dropout: float = 0.0
    """Of LoRA."""
    lora_targets: tuple[str, ...] = ()
    """Layers that get LoRA, by the last part of their names; attention's if left out."""
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
        if self.out.exists() and not self.out.is_dir():
            raise InputError(f"{self.out} is a file; a run needs a folder.")
        if self.out.resolve().is_relative_to(self.core.resolve()):
            raise InputError(f"{self.out} lies in the core that the run begins with.")
        if (self.full or self.qlora) and not self.recipe.language:
            raise InputError(f"The stage {self.stage} doesn't train the language model.")
        if self.lora_targets and (self.full or not self.recipe.language):
            raise InputError("No LoRA trains here: leave --lora-targets out.")
        if self.full and self.qlora:
            raise InputError("All of a language model in 4 bits can't be trained: choose one.")
        if self.qlora and self.shard:
            raise InputError(
                "A language model in 4 bits can't be divided: take --qlora or --shard."
            )

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
        """Whether a frozen prefix is computed apart; that and packing exclude each other."""
        twice = self.recipe.inputs and self.checkpointing  # which can't keep keys and values
        return self.cut and not (self.packs or self.recipe.language or twice)

    @property
    def packs(self) -> bool:
        """Whether samples are packed."""
        return self.recipe.language if self.pack is None else self.pack

    def divided(self, processes: int) -> bool:
        """Whether parameters are divided over the processes of a team."""
        return self.shard and processes > 1

    def schedule(self) -> Schedule:
        """How long and how fast."""
        usual = (self.full and self.recipe.full_rate) or self.recipe.learning_rate
        rate = usual if self.learning_rate is None else self.learning_rate
        return Schedule(
            self.steps,
            rate,
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
        if is_mixture(self.data):
            mixture = Mixture.read(self.data)
        else:
            mixture = Mixture(sources=(Source(path=self.data),))
        return mixture.model_copy(update={"seed": mixture.seed + self.seed})

    def keep(self, prepared: Prepared) -> None:
        """Write the settings beside the run, or see that it goes on with those that it has.

        Contents are compared and not paths, so cores and prepared data may move; hashing a
        gigabyte of a core or of rows takes about a second.

        Args:
            prepared: what the run reads.

        Raises:
            InputError: the folder holds a run with other settings, or can't be written.
            DataError: a file of the data can't be read.
            WeightsError: a file of the core can't be read.
        """
        own, path = self._curve() | self._contents(prepared), self.out / FILE
        if path.exists() and (self.out / "last.safetensors").exists():
            known = read_json(path)
            for name in own:  # one that isn't known is of a run of an earlier version
                if name in known and known[name] != own[name]:
                    raise InputError(self._other(name, known[name], own[name]))
            return
        try:
            self.out.mkdir(parents=True, exist_ok=True)
            write_json(path, own)
        except OSError as error:
            raise InputError(f"{self.out} can't be written: {error.strerror}.") from error

    def _other(self, name: str, known: Any, own: Any) -> str:
        if name in _HASHED:
            differs = _HASHED[name].format(core=self.core, data=self.data)
            return (
                f"{self.out} holds a run that {differs}: go on with those of before, or give "
                "another --out."
            )
        return (
            f"{self.out} holds a run whose {name} is {known!r}, not {own!r}: go on with that, or "
            "give another --out."
        )

    def _curve(self) -> dict[str, Any]:
        """What the curve depends on; where things lie and how they are computed is free."""
        names = ("stage", "steps", "length", "weight_decay", "rank", "dropout", "full", "qlora")
        more = ("condition_weight", "captioned", "seed", "skip_bad")
        rate = self.schedule().learning_rate
        chosen = {name: getattr(self, name) for name in (*names, *more)}
        taken = {"lora_targets": [*self.lora_targets], "pack": self.packs}
        return {**chosen, **taken, "batch": self.samples, "learning_rate": rate}

    def _contents(self, prepared: Prepared) -> dict[str, Any]:
        """The core and the data, as far as the curve depends on them."""
        mixture = self.mixture()
        others = [path for path in self.core.iterdir() if path.name not in _TRAINED]
        sides = {"encoder": prepared.encoded, "decoder": prepared.conditions}
        return {
            "mixture": [[source.title, source.weight] for source in mixture.sources],
            "order": [mixture.seed, mixture.shuffle],
            "core": fingerprint(self.core, others),
            "encoders": {
                f"{side} {modality}": store.folder.name
                for side, stores in sides.items()
                for modality, store in stores.items()
            },
            "rows": [_rows(source) for source in mixture.sources],
        }


def _rows(source: Source) -> str:
    """A short hash of a source's rows: of a file's content, of the names and sizes in a folder.

    Media that rows name aren't read: their features are found by content.
    """
    elsewhere = {"path", "root", "roots", "name", "weight"}
    digest = hashlib.sha256(source.model_dump_json(exclude=elsewhere).encode())
    try:
        if source.path.is_dir():
            for path in sorted(source.path.rglob("*")):
                name = path.relative_to(source.path).as_posix()
                if name.endswith(_SHARDS) and not path.name.startswith("cache-"):
                    digest.update(f"{name}\0{path.stat().st_size}\n".encode())
        else:
            with source.path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    except OSError as error:
        raise DataError(f"{source.path} can't be read: {error.strerror}.") from error
    return digest.hexdigest()[:16]
