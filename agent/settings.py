"""Settings of an assistant: where its weights and its data lie, and its limits."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from heliograph.model.errors import InputError
from heliograph.model.media.values import MediaLimits


def data_home() -> Path:
    """``HELIOGRAPH_HOME``, or the folder that the XDG convention has for an app's data."""
    home = os.environ.get("HELIOGRAPH_HOME")
    if home:
        return Path(home).expanduser()
    data = os.environ.get("XDG_DATA_HOME")
    return (Path(data) if data else Path.home() / ".local" / "share") / "heliograph"


class Settings(BaseModel):
    """Frozen; ``Settings.of(seed=3)`` checks what it is given and says what is wrong."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    weights: Path | None = None
    """Directory of the core, or its id on the hub; ``None`` takes ``HELIOGRAPH_WEIGHTS`` or the
    bundled weights."""
    home: Path = Field(default_factory=data_home)
    """Directory of conversations, media and caches."""
    device: str = "cpu"
    """Where the core computes, in torch's words; ``auto`` plans where each part goes, from the
    memory that is free."""
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    """Precision in which the core computes, unless ``device`` is ``auto``."""
    gpu_memory: float | None = Field(default=None, gt=0)
    """GB of each GPU that ``auto`` may fill; ``None`` is all that is free."""
    compiled: bool = False
    """Let ``torch.compile`` have the decoders: each is translated for minutes when it is first
    used, and faster from then on, on a GPU."""
    llm: str | None = None
    """A LangChain chat model as ``provider:name``, in place of the core's language model: it asks
    for media by tools, and the core's decoders take its words (``condition`` is "caption")."""

    seed: int = Field(default=0, ge=0, lt=2**63)
    """Seed of sampling and decoding; the n-th medium of a turn takes ``seed + n``."""
    steps: int | None = Field(default=None, ge=1, le=1000)
    """Denoising steps; ``None`` leaves them to each decoder."""
    guidance: float | None = Field(default=None, ge=0)
    """Classifier-free guidance; ``None`` leaves it to each decoder."""
    condition: Literal["signal", "caption"] = "signal"
    """What decoders are conditioned on: the core's hidden states, or the caption's words."""
    temperature: float = Field(default=0.0, ge=0)
    """0 takes the likeliest token."""
    top_p: float = Field(default=1.0, gt=0, le=1)
    """Sample among the likeliest tokens that make up this share."""
    max_new_tokens: int = Field(default=256, ge=1)
    """Bound on an answer's length, signals included."""

    limits: MediaLimits = MediaLimits()
    """How large a file may be."""
    max_characters: int = Field(default=10_000, ge=1)
    """Bound on a question's text."""
    max_files: int = Field(default=16, ge=0)
    """Bound on the files of one question."""
    max_rounds: int = Field(default=4, ge=1)
    """How often the core is asked in one turn, with tool calls in between."""

    @classmethod
    def of(cls, **values: Any) -> Settings:
        """Settings with these values.

        Raises:
            InputError: a value can't be used, or there is no such setting.
        """
        try:
            return cls(**values)
        except ValidationError as error:
            first = error.errors()[0]
            name = ".".join(str(part) for part in first["loc"])
            message = first["msg"][:1].lower() + first["msg"][1:]
            raise InputError(f"The setting {name} is wrong: {message}.") from error

    def captioned(self) -> Settings:
        """These settings with decoders that take the caption's words."""
        return self.model_copy(update={"condition": "caption"})

    def weights_dir(self) -> Path:
        """The directory of the core that is used.

        Raises:
            WeightsError: it is named by an id of the hub, and can't be had.
        """
        named = self.weights or os.environ.get("HELIOGRAPH_WEIGHTS")
        if named:
            path = Path(named).expanduser()
            if path.exists():
                return path
            from heliograph.model.sources import core_folder

            return core_folder(path)
        from heliograph.model.primer import weights_dir

        return weights_dir()
