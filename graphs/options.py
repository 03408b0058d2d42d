"""How one turn is generated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, Literal

from heliograph.model.errors import InputError

if TYPE_CHECKING:
    from heliograph.model.generation import GenerationOptions


@dataclass(frozen=True)
class TurnOptions:
    """How a turn is generated; every field can be set for one turn."""

    seed: int = 0
    """Seed of the sampling; the n-th medium of a turn is decoded with ``seed + n``."""
    steps: int | None = None
    """Denoising steps; ``None`` leaves them to each decoder."""
    guidance: float | None = None
    """Classifier-free guidance; ``None`` leaves it to each decoder."""
    condition: Literal["signal", "caption"] = "signal"
    """What a decoder is conditioned on: the projected hidden states, or the caption's words
    through the decoder's own text encoder."""
    temperature: float = 0.0
    """0 takes the likeliest token."""
    top_p: float = 1.0
    """Sample among the likeliest tokens that make up this share."""
    max_new_tokens: int = 256
    """Bound on the length of the answer, signals included."""
    captions: bool = True
    """Whether the core says a caption before each signal."""

    def __post_init__(self) -> None:
        """Check what no part of the core checks."""
        if self.steps is not None and self.steps < 1:
            raise InputError("There has to be at least 1 step.")
        if not 0 <= self.seed < 2**63:
            raise InputError("A seed is a number from 0 to 2**63 - 1.")
        if self.condition not in ("signal", "caption"):
            raise InputError("Decoders are conditioned on the signal or on the caption.")

    def with_changes(self, changes: Mapping[str, Any]) -> TurnOptions:
        """These options with some fields set.

        Raises:
            InputError: there is no such option.
        """
        known = {f.name for f in fields(self)}
        for name in changes:
            if name not in known:
                raise InputError(f"There is no option {name!r}; there are {sorted(known)}.")
        return TurnOptions(**{**asdict(self), **changes})

    def generation(self) -> GenerationOptions:
        """What of them the core is given."""
        from heliograph.model.generation import GenerationOptions

        names = {f.name for f in fields(GenerationOptions)}
        return GenerationOptions(**{k: v for k, v in asdict(self).items() if k in names})
