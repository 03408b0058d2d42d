"""Encoders: from a picture, a sound or a film to tokens and to one vector.

An encoder splits its work in two: ``prepare`` turns a decoded clip into a tensor on the
processor (data workers may do it), ``patches`` and ``pooled`` run the network on a batch
of such tensors. ``patches`` feeds the language model's input projection; ``pooled`` feeds
memory. Importing this package loads no torch.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from heliograph.model.errors import WeightsError
from heliograph.model.parts import Modality

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from heliograph.model.media import Clip


@runtime_checkable
class Encoder(Protocol):
    """What the core asks of an encoder; every implementation is also a ``torch.nn.Module``."""

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """The modalities that it reads."""
        ...

    def width(self, modality: Modality) -> int:
        """Width of the patch tokens."""
        ...

    def tokens(self, modality: Modality) -> int:
        """Number of patch tokens of one medium, the same for every medium of a modality.

        The most of one, where ``perceived`` gives less of a shorter medium.
        """
        ...

    def prepare(self, clip: Clip) -> Tensor:
        """One decoded clip as a float32 tensor without a batch axis."""
        ...

    def patches(self, modality: Modality, x: Tensor) -> Tensor:
        """A batch of prepared clips -> patch tokens (B, tokens, width)."""
        ...

    def pooled(self, modality: Modality, x: Tensor) -> Tensor:
        """A batch of prepared clips -> vectors (B, D) to be compared by their cosines.

        They are of length one, but for those of ``PublishedImageBind``.
        """
        ...

    def save_pretrained(self, directory: Path) -> None:
        """Write ``config.json`` and ``model.safetensors``."""
        ...


def perceived(encoder: Encoder, modality: Modality, prepared: Sequence[Tensor]) -> list[Tensor]:
    """What the language model is to read of each prepared clip, (n, W).

    n is ``tokens``, but for what is read by the language model's own eyes or ears: there it goes
    with the length of a sound, and with the size of a picture that keeps it or is cut into tiles.
    Where more is to be said of each than its embedding (``OwnSense.read``), rows are longer than W.

    Args:
        encoder: that reads the modality.
        modality: of the clips.
        prepared: what ``prepare`` gave of each; own eyes may be given several shapes.
    """
    import torch

    from heliograph.model.encoders.own import OwnSense
    from heliograph.model.encoders.preprocess import stack

    assert isinstance(encoder, torch.nn.Module)
    place = next(encoder.parameters())
    if not isinstance(encoder, OwnSense):
        return list(encoder.patches(modality, stack(prepared).to(place)))
    found: dict[int, Tensor] = {}
    for shape in dict.fromkeys(x.shape for x in prepared):
        ours = [index for index, x in enumerate(prepared) if x.shape == shape]
        x = torch.stack([prepared[index] for index in ours]).to(place)
        found |= zip(ours, encoder.read(x), strict=True)
    return [found[index] for index in range(len(prepared))]


def load_encoder(
    directory: Path,
    reading: Mapping[str, Any] | None = None,
    dtype: torch.dtype | None = None,
) -> Encoder:
    """Load the encoder in ``directory``, whichever kind its ``config.json`` names.

    ``"kind": "imagebind"`` is ours, read as published where ``"scaled"`` is said; a
    ``config.json`` with a ``model_type`` is a checkpoint of transformers, ours or anybody's; of a
    language model that sees or hears by itself (``senses.py``) tower and projector are taken.
    With ``"pooled"``, the width of its vectors, one of them is read for each medium
    (``PooledEncoder``).

    Args:
        directory: of the encoder.
        reading: said here instead of in ``config.json``, of an encoder that isn't our own file:
            ``pooled``, ``scaled``, ``film_frames``, ``sound_seconds``, ``picture_tokens``.
        dtype: precision to compute in, float32 where left out.

    Raises:
        WeightsError: there is no encoder, or its files don't fit.
    """
    return _encoder(directory, reading or {}, {} if dtype is None else {"dtype": dtype})


def outline_encoder(directory: Path, reading: Mapping[str, Any] | None = None) -> Encoder:
    """The same on the meta device: it has all sizes, and no weights are read.

    Some models look into the values that they compute, which aren't there (fused CLAP, Wav2Vec2);
    these are loaded.

    Raises:
        WeightsError: there is no encoder, or its files don't fit.
    """
    encoder = _encoder(directory, reading or {}, None)
    try:
        encoder.tokens(encoder.modalities[0])
    except RuntimeError:  # NotImplementedError too
        return load_encoder(directory, reading)
    return encoder


def _encoder(
    directory: Path, reading: Mapping[str, Any], loading: Mapping[str, Any] | None
) -> Encoder:
    """``loading`` is what loading is given besides; ``None`` only outlines."""
    path = Path(directory) / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise WeightsError(f"{path} can't be read as an encoder's configuration.") from error
    if not isinstance(config, dict):
        raise WeightsError(f"{path} is not an encoder's configuration.")
    config |= reading
    encoder: Encoder
    if config.get("kind") == "imagebind":
        from heliograph.model.encoders.imagebind import ImageBind
        from heliograph.model.encoders.published import PublishedImageBind

        kind = PublishedImageBind if "scaled" in config else ImageBind
        if loading is None:
            encoder = kind.outline(directory)
        else:
            encoder = kind.from_pretrained(directory, **loading)
        if isinstance(encoder, PublishedImageBind):
            encoder.scaled = bool(config["scaled"])
    elif _sees_itself(config):
        from heliograph.model.encoders.own import OwnSense

        sizes = {n: reading[n] for n in ("picture_tokens",) if n in reading}
        if loading is None:
            encoder = OwnSense.outline(directory, **sizes)
        else:
            encoder = OwnSense.from_pretrained(directory, **loading, **sizes)
    elif "model_type" in config:
        from heliograph.model.encoders.transformers import TransformersEncoder

        sizes = {n: reading[n] for n in ("film_frames", "sound_seconds") if n in reading}
        if loading is None:
            encoder = TransformersEncoder.outline(directory, **sizes)
        else:
            encoder = TransformersEncoder.from_pretrained(directory, **loading, **sizes)
    else:
        raise WeightsError(
            f"{path} names no kind of encoder that is known: imagebind or transformers."
        )
    if "pooled" not in config:
        return encoder
    if not isinstance(config["pooled"], int):
        raise WeightsError(f"In {path} the width of pooled vectors is not a number.")
    from heliograph.model.encoders.pooled import PooledEncoder

    return PooledEncoder(encoder, config["pooled"])


def _sees_itself(config: Mapping[str, Any]) -> bool:
    from heliograph.model.senses import SENSES

    return config.get("model_type") in SENSES
