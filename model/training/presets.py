"""Every size and schedule of the bundled weights, in one place.

``PRIMER`` is what ``heliograph train all --preset primer`` runs; ``TINY`` is the same with
everything small, so that the whole chain of trainings can be tried in a minute.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from heliograph.model.encoders.config import ImageBindConfig
from heliograph.model.errors import InputError
from heliograph.model.parts import Modality
from heliograph.model.training.loop import Schedule


@dataclass(frozen=True)
class LanguageSizes:
    """Sizes of the base language model, a Llama with tied embeddings."""

    hidden: int = 192
    layers: int = 5
    heads: int = 4
    intermediate: int = 512
    context: int = 512
    """Longest conversation in tokens."""


@dataclass(frozen=True)
class ProjectionSizes:
    """Sizes of the projections around the language model."""

    tokens: Mapping[Modality, int] = field(
        default_factory=lambda: {"image": 12, "audio": 8, "video": 12}
    )
    """Embeddings of the language model for one medium, by modality: as many as the longest
    caption has tokens."""
    input_layers: int = 2
    input_hidden: int = 256
    hidden: int = 128
    """Width of the output projections' transformers."""
    layers: int = 2
    heads: int = 4
    ff: int = 384
    pooled: bool = False
    """Read one vector for each medium through one matrix, as the first NExT-GPT does, instead
    of its patch tokens through a resampler."""


@dataclass(frozen=True)
class Batches:
    """How many examples a step sees."""

    images: int = 24
    """Pictures of an encoder step."""
    films: int = 4
    sounds: int = 4
    dialogues: int = 16
    """Conversations of a step of the base language model."""
    encode: int = 24
    decode: int = 32
    instruct: int = 16
    signals: int = 32


# Stages 2 and 3 train a few rows of the embedding, and weight decay would move the others.
_SCHEDULES: Mapping[str, Schedule] = {
    "encoders": Schedule(7500, 1e-3, warmup=50, ema=0.99, weight_decay=0.02),
    "steady": Schedule(3000, 5e-4, warmup=50, ema=0.99),
    "language": Schedule(38_000, 2e-3, warmup=100, ema=0.99, weight_decay=0.05, betas=(0.9, 0.98)),
    "encode": Schedule(4500, 1.5e-3, warmup=50, ema=0.99),
    "decode": Schedule(4200, 1e-3, warmup=50, ema=0.99, weight_decay=0.0),
    "instruct": Schedule(2800, 1e-3, warmup=50, ema=0.99, weight_decay=0.0),
    "signals": Schedule(3000, 5e-4, warmup=50, ema=0.99, weight_decay=0.0),
}
_SHARES: Mapping[str, float] = {
    "image-vae": 0.07,
    "objects": 0.09,
    "scenes": 0.1,
    "motion": 0.05,
    "films": 0.09,
    "polish": 0.09,
    "details": 0.04,
    "audio-vae": 0.05,
    "sounds": 0.04,
    "encoders": 0.1,
    "steady": 0.02,
    "language": 0.12,
    "encode": 0.06,
    "decode": 0.03,
    "instruct": 0.04,
    "signals": 0.01,
}


@dataclass(frozen=True)
class Preset:
    """What to train, how big and for how long."""

    name: str
    seed: int = 2024
    vocabulary: int = 4096
    """Tokens of the tokenizer before the signal tokens."""
    tokenizer_texts: int = 30_000
    """How many texts the tokenizer is trained on."""
    language: LanguageSizes = LanguageSizes()
    projections: ProjectionSizes = ProjectionSizes()
    batches: Batches = Batches()
    lora_rank: int = 32
    condition_weight: float = 1.0
    """Weight of the condition loss beside the cross-entropy in stages 2 and 3."""
    slot_weight: float = 1.0
    """Weight of what each projected token of a medium should be, in stages 1 and 3."""
    captioned: bool = True
    """The assistant says in words what a signal run is to show, before the run."""
    finished: tuple[Modality, ...] = ("image",)
    """Whose output projections train alone at last. Sounds gain nothing more: by their signals they
    are right as often as by their captions."""
    base: Path | None = None
    """A core that ``assemble`` wrote: its encoders, language model and decoders are what the
    three stages start from, instead of what was trained in the work directory."""
    schedules: Mapping[str, Schedule] = field(default_factory=lambda: _SCHEDULES)
    """By the name of the training; those of the decoders' parts stand beside them
    (``decoder_runs.py``)."""
    shares: Mapping[str, float] = field(default_factory=lambda: _SHARES)
    """How a time budget is divided among the trainings."""

    def encoder(self, vocabulary: int, end: int) -> ImageBindConfig:
        """Sizes of the encoder, whose text branch reads the language model's tokens."""
        config = ImageBindConfig.tiny(vocabulary, end)
        if self.name == "tiny":
            config = replace(
                config,
                vision=replace(config.vision, width=48, blocks=2, heads=2),
                audio=replace(config.audio, width=32, blocks=1, heads=2),
                text=replace(config.text, width=32, blocks=1, heads=2),
                joint=32,
            )
        return config


PRIMER = Preset("primer")

COMPARED: Mapping[str, Preset] = {
    "pooled": replace(
        PRIMER,
        name="pooled",
        projections=replace(PRIMER.projections, pooled=True),
        slot_weight=0.0,
    ),
    "no-slots": replace(PRIMER, name="no-slots", slot_weight=0.0),
    "no-captions": replace(PRIMER, name="no-captions", captioned=False),
    "published": replace(
        PRIMER,
        name="published",
        projections=replace(PRIMER.projections, pooled=True),
        slot_weight=0.0,
        captioned=False,
    ),
}
"""The primer without one of its choices, to see what each is worth; ``published`` is the design
of Wu et al. 2023 at the primer's size."""

_SHORT = Schedule(20, 1e-3, warmup=5, weight_decay=0.0, checkpoint_every=10)
TINY = Preset(
    "tiny",
    vocabulary=512,
    tokenizer_texts=500,
    language=LanguageSizes(hidden=32, layers=2, heads=2, intermediate=64),
    projections=ProjectionSizes(
        tokens={"image": 2, "audio": 2, "video": 4},
        input_layers=1,
        input_hidden=32,
        hidden=32,
        layers=1,
        heads=2,
        ff=32,
    ),
    batches=Batches(
        images=4, films=2, sounds=2, dialogues=4, encode=4, decode=4, instruct=4, signals=4
    ),
    lora_rank=4,
    schedules=dict.fromkeys([*_SCHEDULES, *_SHARES], _SHORT),
)


def preset(name: str) -> Preset:
    """The preset of that name; ``InputError`` names those there are."""
    known = {"primer": PRIMER, "tiny": TINY, **COMPARED}
    if name not in known:
        raise InputError(f"There is no preset {name!r}; there are {', '.join(known)}.")
    return known[name]
