"""Encoders and decoders of a core: known by name at once, read when they are first used.

Where a plan lets parts take turns, one that is asked for is brought to its device, and the one
that was there goes back to where it rests; it stays, for the next medium of its kind, until
another part or the language model is to compute.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from heliograph.model.checkpoint import core_config
from heliograph.model.errors import InputError, WeightsError
from heliograph.model.origins import LANGUAGE, Origins
from heliograph.model.parts import NAMES, Modality
from heliograph.model.plan import Placement, Plan
from heliograph.model.quiet import quiet
from heliograph.model.sources import Kind

if TYPE_CHECKING:
    from heliograph.model.decoders import DiffusionDecoder
    from heliograph.model.encoders import Encoder


@dataclass(eq=False)
class Shelf:
    """Parts that stand in ``encoders/<name>/`` and ``decoders/<modality>/`` of a directory."""

    encoders: Mapping[str, tuple[Modality, ...]]
    """Names, and the modalities that each reads; the first that knows one is taken."""
    decoders: tuple[Modality, ...]
    directory: Path | None = None
    """Where the parts are that aren't loaded yet, but for those that are read elsewhere."""
    loaded_encoders: dict[str, Encoder] = field(default_factory=dict)
    loaded_decoders: dict[Modality, DiffusionDecoder] = field(default_factory=dict)
    origins: Origins = field(default_factory=Origins)
    dtype: torch.dtype = torch.float32
    """Precision in which parts that are read compute, where there is no plan."""
    plan: Plan | None = None
    compiled: bool = False
    """Whether decoders that are read are handed to ``torch.compile``."""
    visitor: str | None = None
    """The part that takes its turn on its device."""

    @classmethod
    def of(
        cls, encoders: Mapping[str, Encoder], decoders: Mapping[Modality, DiffusionDecoder]
    ) -> Shelf:
        """A shelf of parts in memory."""
        return cls(
            {name: tuple(encoder.modalities) for name, encoder in encoders.items()},
            tuple(decoders),
            None,
            dict(encoders),
            dict(decoders),
        )

    @classmethod
    def from_pretrained(cls, directory: Path) -> Shelf:
        """What stands in a core directory, none of it read yet.

        Raises:
            WeightsError: its ``config.json`` is missing or damaged.
        """
        config = core_config(directory)
        try:
            encoders = {name: tuple(known) for name, known in config["encoders"].items()}
            origins = Origins.from_config(config)
            return cls(encoders, tuple(config["decoders"]), directory, origins=origins)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise WeightsError(
                f"The weights are damaged: {directory / 'config.json'} lacks or misnames "
                f"an entry ({error})."
            ) from error

    def stored(self, *, decoders_only: bool = False) -> int:
        """Bytes of the weights of the core's parts, wherever they lie; nothing of them is read.

        Args:
            decoders_only: leave out the others, which needn't be there then.

        Raises:
            WeightsError: the source of a part is missing.
        """
        assert self.directory is not None
        parts: dict[str, Kind] = {f"decoders/{modality}": "decoder" for modality in self.decoders}
        if not decoders_only:
            parts |= {LANGUAGE: "language"}
            parts |= {f"encoders/{name}": "encoder" for name in self.encoders}
        return sum(
            file.stat().st_size
            for part, kind in parts.items()
            for file in self.origins.place(self.directory, part, kind, hashed=False).rglob(
                "*.safetensors"
            )
            if file.is_file()
        )

    def encoder_for(self, modality: Modality, device: torch.device) -> Encoder:
        """The encoder that reads a modality.

        Raises:
            InputError: there is none.
            WeightsError: its files are missing or damaged.
        """
        name = next((n for n, known in self.encoders.items() if modality in known), None)
        if name is None:
            raise InputError(f"These weights can't read {NAMES[modality]}.")
        return self.encoder(name, device)

    def encoder(self, name: str, device: torch.device) -> Encoder:
        """An encoder by name, where it computes."""
        part = f"encoders/{name}"
        place = self._place(part)
        if name not in self.loaded_encoders:
            from heliograph.model.encoders import load_encoder

            folder = self.folder(part, "encoder")
            encoder = load_encoder(folder, self.origins.reading.get(name), self._dtype(place))
            _module(encoder).to(place.rest if place else device)
            self.loaded_encoders[name] = encoder
        self._take(part, place)
        return self.loaded_encoders[name]

    def decoder(self, modality: Modality, device: torch.device) -> DiffusionDecoder:
        """The decoder that makes a modality, where it computes.

        Raises:
            InputError: there is none.
            WeightsError: its files are missing or damaged.
        """
        if modality not in self.decoders:
            raise InputError(f"These weights can't make {NAMES[modality]}.")
        part = f"decoders/{modality}"
        place = self._place(part)
        if modality not in self.loaded_decoders:
            from heliograph.model.decoders import DiffusionDecoder

            folder = self.folder(part, "decoder")
            decoder = DiffusionDecoder.from_pretrained(folder, self._dtype(place))
            if self.compiled:
                decoder.compile()
            self.loaded_decoders[modality] = decoder
            self._move(part, place.rest if place else device)
        self._take(part, place)
        return self.loaded_decoders[modality]

    def clear(self) -> None:
        """Send the part that takes its turn back to where it rests."""
        if self.visitor is not None:
            place = self._place(self.visitor)
            assert place is not None
            self._move(self.visitor, place.rest)
            self.visitor = None

    def _place(self, part: str) -> Placement | None:
        return None if self.plan is None else self.plan.of(part)

    def _dtype(self, place: Placement | None) -> torch.dtype:
        return self.dtype if place is None else torch_dtype(place)

    def _take(self, part: str, place: Placement | None) -> None:
        """Bring a part to its device if it isn't there, once what was there has made room."""
        if place is None or self.visitor == part:
            return
        self.clear()
        if place.in_turn:
            self._move(part, place.device)
            self.visitor = part

    def _move(self, part: str, device: str | torch.device) -> None:
        folder, _, name = part.partition("/")
        if folder == "encoders":
            _module(self.loaded_encoders[name]).to(device)
            return
        with quiet("diffusers"):  # half precision may rest on the processor
            self.loaded_decoders[name].pipeline.to(device)  # type: ignore[index]

    def folder(self, part: str, kind: Kind) -> Path:
        """Where a part is read from, such as ``encoders/clip``.

        Raises:
            WeightsError: its source is missing or has changed.
        """
        assert self.directory is not None
        return self.origins.place(self.directory, part, kind)

    def save(self, directory: Path, dtype: torch.dtype, device: torch.device) -> None:
        """Write every part; those that aren't loaded yet are read for it.

        Those that are read from their sources go on being so.
        """
        for name in self.encoders:
            if self.origins.referenced(f"encoders/{name}"):
                continue
            encoder = copy.deepcopy(self.encoder(name, device))
            _module(encoder).to("cpu")
            for tensor in (*_module(encoder).parameters(), *_module(encoder).buffers()):
                if tensor.dtype == torch.float32:  # what computes in 16 bits is stored as it is
                    tensor.data = tensor.data.to(dtype)
            encoder.save_pretrained(directory / "encoders" / name)
        for modality in self.decoders:
            folder = directory / "decoders" / modality
            if self.origins.referenced(f"decoders/{modality}"):
                continue
            self.decoder(modality, device).save_pretrained(folder, dtype)


def torch_dtype(place: Placement) -> torch.dtype:
    """In which a part that isn't quantised computes."""
    dtype: torch.dtype = getattr(torch, place.precision)
    return dtype


def _module(encoder: Encoder) -> nn.Module:
    assert isinstance(encoder, nn.Module)
    return encoder
