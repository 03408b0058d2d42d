"""The eyes or ears that a language model has itself, as an encoder (``senses.py``).

Tower and projector of the checkpoint give embeddings of the language model's own width, which need
no input projection. They are read from the checkpoint of the whole model, or from what
``save_pretrained`` writes: the same checkpoint without its language model.

A picture has the checkpoint's own size; those that are cut into tiles are read in ``tiles.py``,
those that keep about their size in ``sized.py``. A sound is cut to the extractor's window, and
takes as many embeddings as it is long.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from heliograph.model.checkpoint import LOCAL
from heliograph.model.encoders.transformers import loading, read_processor
from heliograph.model.errors import InputError, WeightsError
from heliograph.model.media import Clip, Image, Sound, resampled
from heliograph.model.parts import Modality
from heliograph.model.quiet import quiet
from heliograph.model.senses import BODY, SENSES, on_three_axes

SHORTEST = 4
"""Frames of a sound's spectrogram, of which ears make one embedding."""


class OwnSense(nn.Module):
    """An ``Encoder`` that is the tower and the projector of a language model.

    Args:
        model: the checkpoint's base model; its language model is let go.
        processor: its image processor (the PIL one) or feature extractor.
    """

    def __init__(self, model: Any, processor: Any) -> None:
        super().__init__()
        self.sense = SENSES[model.config.model_type]
        setattr(model, self.sense.language, nn.Identity())
        self.model = model
        self.processor = processor
        self.modalities: tuple[Modality, ...] = (self.sense.modality,)

    @property
    def tower(self) -> Any:
        """What sees or hears."""
        return getattr(self.model, self.sense.tower)

    def width(self, modality: Modality) -> int:
        """Width of the language model's embeddings."""
        return int(self.model.config.text_config.hidden_size)

    def tokens(self, modality: Modality) -> int:
        """Embeddings of ``blank``, the most that there are."""
        return self._tokens

    @property
    def varies(self) -> bool:
        """Whether one medium has more embeddings than another."""
        return self.sense.modality == "audio"

    @property
    def blank(self) -> Clip:
        """A medium that takes as much as one can."""
        if self.sense.modality == "audio":  # it is filled up
            return Sound(np.zeros(1, np.float32), self.processor.sampling_rate)
        return Image(np.zeros((32, 32, 3), np.uint8))

    def prepare(self, clip: Clip) -> Tensor:
        """A picture (3, H, W), or a sound (1 + bins, frames): which frames are heard, and them.

        Raises:
            InputError: the model doesn't read this modality.
        """
        if not isinstance(clip, Image if self.sense.modality == "image" else Sound):
            raise InputError(f"This encoder reads only {self.sense.modality}.")
        if isinstance(clip, Image):
            pixels: Tensor = self.made(clip)["pixel_values"]
            return pixels[0]
        assert isinstance(clip, Sound)
        rate = self.processor.sampling_rate
        made = self.processor(
            resampled(clip, rate).samples,
            sampling_rate=rate,
            padding="max_length",
            return_attention_mask=True,
            return_tensors="pt",
        )
        heard = made["attention_mask"].float()  # (1, frames)
        heard[:, :SHORTEST] = 1.0
        return torch.cat([heard, made["input_features"][0]])

    def made(self, picture: Image, **how: Any) -> Any:
        """What the processor makes of a picture, batch axis included."""
        return self.processor(
            [picture.pixels], input_data_format="channels_last", return_tensors="pt", **how
        )

    def patches(self, modality: Modality, x: Tensor) -> Tensor:
        """A batch of prepared clips -> embeddings (B, tokens, W).

        Of a sound that is shorter than the window those behind its ``lengths`` mean nothing.
        """
        if self.sense.modality == "image":
            return torch.stack(list(self.model.get_image_features(x).pooler_output))
        spectrogram = x[:, 1:]
        halves = spectrogram.shape[-1] // 2  # after the tower's convolutions
        count = (_frames(x)[:, None] - 1) // 2 + 1  # (B, 1)
        silent = torch.arange(halves, device=x.device) >= count  # (B, frames / 2)
        seen = torch.zeros_like(silent, dtype=x.dtype).masked_fill(silent, torch.finfo(x.dtype).min)
        attention = seen[:, None, None].expand(-1, 1, halves, -1)  # (B, 1, frames / 2, frames / 2)
        heard = self.tower(spectrogram, attention_mask=attention).last_hidden_state
        embedded: Tensor = self.model.multi_modal_projector(heard)
        return embedded

    def lengths(self, x: Tensor) -> list[int]:
        """How many of the embeddings of prepared clips mean something."""
        if self.sense.modality == "image":
            return [self._tokens] * len(x)
        return [((int(n) - 1) // 2 - 1) // 2 + 1 for n in _frames(x)]

    def embeddings(self, x: Tensor) -> list[Tensor]:
        """Those of prepared clips that mean something, (n, W) each."""
        rows = zip(self.patches(self.sense.modality, x), self.lengths(x), strict=True)
        return [row[:n] for row, n in rows]

    def read(self, x: Tensor) -> list[Tensor]:
        """What the language model is to read of prepared clips: their embeddings, (n, W) each.

        Where ``Frame.marks`` stand between these, (n, W + 1): a row for each of both, which ends in
        the number of the mark, from 1, or in 0 where it is an embedding. Where positions have three
        axes, (n, W + 3): ``axes.py``.
        """
        return self.embeddings(x)

    def pooled(self, modality: Modality, x: Tensor) -> Tensor:
        """A batch of prepared clips -> unit vectors (B, W), the mean of what means something."""
        means = [row.mean(dim=0) for row in self.embeddings(x)]
        return F.normalize(torch.stack(means), dim=-1)

    def save_pretrained(self, directory: Path) -> None:
        """Write the checkpoint without its language model."""
        with quiet():
            self.model.save_pretrained(directory)
            self.processor.save_pretrained(directory)

    @classmethod
    def from_pretrained(
        cls,
        directory: Path,
        dtype: torch.dtype | Literal["auto"] = torch.float32,
        **sizes: int,
    ) -> OwnSense:
        """Load a checkpoint from a local directory, ready for inference.

        Args:
            directory: of the checkpoint, with or without its language model.
            dtype: precision to compute in; ``auto`` is that of its files.
            sizes: ``picture_tokens``, the most of one whose size is its own (``sized.py``).

        Raises:
            WeightsError: a file is missing or corrupt.
        """
        from transformers import AutoModel

        with loading(directory):
            config = _config(directory)
            language = SENSES[config.model_type].language
            names = {
                rf"^(?:model[.])?{language}[.].*": "unread",
                f"{BODY}.*": "unread",
                r"^model[.]visual[.]": "visual.",  # which transformers would call otherwise
            }
            model, report = AutoModel.from_pretrained(
                directory,
                config=config,
                key_mapping=names,
                dtype=dtype,
                use_safetensors=True,
                output_loading_info=True,
                **LOCAL,
            )
            processor = _processor(directory)
        del model._weight_conversions  # "unread" isn't a name to save by
        missing = [n for n in report["missing_keys"] if not n.startswith(f"{language}.")]
        if missing:
            raise WeightsError(f"{directory} lacks weights of its encoder: {min(missing)}.")
        return _wrapped(model.eval(), processor, sizes)

    @classmethod
    def outline(cls, directory: Path, **sizes: int) -> OwnSense:
        """The checkpoint in a directory on the meta device: its weights aren't read.

        Raises:
            WeightsError: a file is missing or corrupt.
        """
        from transformers import AutoModel

        with loading(directory):
            with torch.device("meta"):
                model = AutoModel.from_config(_config(directory), trust_remote_code=False)
            processor = _processor(directory)
        return _wrapped(model.eval(), processor, sizes)

    @cached_property
    def _tokens(self) -> int:
        x = self.prepare(self.blank).unsqueeze(0).to(next(self.parameters()))
        with torch.no_grad():
            return self.patches(self.sense.modality, x).shape[1]


def _wrapped(model: Any, processor: Any, sizes: Mapping[str, int]) -> OwnSense:
    from heliograph.model.encoders.sized import SizedSense
    from heliograph.model.encoders.tiles import TILED

    if on_three_axes(model.config.model_type):
        return SizedSense(model, processor, sizes.get("picture_tokens"))
    return TILED.get(model.config.model_type, OwnSense)(model, processor)


def _frames(x: Tensor) -> Tensor:
    """(B,): how many frames of prepared sounds are heard; 16 bits would miscount them."""
    return (x[:, 0] > 0).sum(-1)


def _config(directory: Path) -> Any:
    """The checkpoint's configuration with next to nothing in the language model's place."""
    from transformers import AutoConfig, LlamaConfig

    config = AutoConfig.from_pretrained(directory, **LOCAL)
    # A class of its own may be all that the whole model takes.
    kind = type(config.text_config) if on_three_axes(config.model_type) else LlamaConfig
    config.text_config = kind(
        vocab_size=1,
        hidden_size=config.text_config.hidden_size,
        rms_norm_eps=getattr(config.text_config, "rms_norm_eps", 1e-6),  # some projectors' too
        intermediate_size=1,
        num_hidden_layers=0,
        num_attention_heads=1,
        bos_token_id=None,
        eos_token_id=None,
    )
    return config


def _processor(directory: Path) -> Any:
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(directory, **LOCAL)
    return read_processor(directory, SENSES[config.model_type].modality == "image")
