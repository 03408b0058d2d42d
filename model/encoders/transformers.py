"""Any vision or audio model of transformers as an encoder.

A directory that ``save_pretrained`` of transformers wrote is one already: a model beside its
image processor or feature extractor. CLIP, SigLIP, ViT, DINO and their like read pictures,
and films frame by frame; Whisper, AST, Wav2Vec2 and their like read sounds. Of a model of
two halves (CLIP, Whisper) the half that sees or hears is used.

Not covered: models that read films as such (VideoMAE), and text.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from heliograph.model.errors import InputError, WeightsError
from heliograph.model.media import Clip, Film, Image, Sound, resampled, sampled
from heliograph.model.parts import Modality

LEADING = {"cls_token", "class_embedding", "distillation_token", "register_tokens"}
"""Parameters that are put before the patches: they are not places in the medium."""


class TransformersEncoder(nn.Module):
    """An ``Encoder`` around a model of transformers and its processor.

    Args:
        model: any vision or audio model.
        processor: its image processor (the PIL one) or feature extractor.
        film_frames: frames of a film that a vision model reads, evenly spread.
        sound_seconds: what an audio model reads of a sound; a shorter one is followed by
            silence, so that every sound makes the same number of tokens.
    """

    def __init__(
        self, model: Any, processor: Any, film_frames: int = 8, sound_seconds: float = 10.0
    ) -> None:
        super().__init__()
        self.model = model
        self.processor = processor
        self.film_frames = film_frames
        self.sound_seconds = sound_seconds
        self.modalities: tuple[Modality, ...] = (
            ("image", "video") if self._tower.main_input_name == "pixel_values" else ("audio",)
        )

    def width(self, modality: Modality) -> int:
        """Width of the patch tokens."""
        return self._shape[1]

    def tokens(self, modality: Modality) -> int:
        """Patch tokens of one medium; of a film those of all its frames."""
        return self._shape[0] * (self.film_frames if modality == "video" else 1)

    def prepare(self, clip: Clip) -> Tensor:
        """A picture (3, H, W), a film (frames, 3, H, W), or a sound as the extractor shapes it.

        Raises:
            InputError: the model doesn't read this modality.
        """
        if isinstance(clip, Sound) != (self.modalities == ("audio",)):
            raise InputError(f"This encoder reads only {' and '.join(self.modalities)}.")
        if isinstance(clip, Image):
            return self._pixels([clip.pixels])[0]
        if isinstance(clip, Film):
            return self._pixels(list(sampled(clip, self.film_frames).frames))
        rate = self.processor.sampling_rate
        length = round(self.sound_seconds * rate)
        samples = resampled(clip, rate).samples[:length]
        samples = np.pad(samples, (0, length - len(samples)))
        made = self.processor(samples, sampling_rate=rate, return_tensors="pt")
        heard: Tensor = made[self._tower.main_input_name][0]
        return heard

    def patches(self, modality: Modality, x: Tensor) -> Tensor:
        """A batch of prepared clips -> (B, tokens, W), without class and register tokens."""
        if modality != "video":
            return self._run(x)[0]
        tokens = self._run(x.flatten(0, 1))[0]  # (B*frames, P, W)
        return tokens.reshape(len(x), -1, tokens.shape[-1])  # (B, frames*P, W)

    def pooled(self, modality: Modality, x: Tensor) -> Tensor:
        """A batch of prepared clips -> unit vectors (B, W), those of a film's frames averaged."""
        if modality != "video":
            return F.normalize(self._run(x)[1], dim=-1)
        frames = F.normalize(self._run(x.flatten(0, 1))[1], dim=-1)  # (B*frames, W)
        return F.normalize(frames.view(*x.shape[:2], -1).mean(dim=1), dim=-1)

    def save_pretrained(self, directory: Path) -> None:
        """Write the model and its processor in the format of transformers."""
        # Unknown entries of a configuration are kept by transformers, and ignored.
        self.model.config.film_frames = self.film_frames
        self.model.config.sound_seconds = self.sound_seconds
        self.model.save_pretrained(directory)
        self.processor.save_pretrained(directory)

    @classmethod
    def from_pretrained(
        cls, directory: Path, dtype: torch.dtype = torch.float32
    ) -> TransformersEncoder:
        """Load a checkpoint of transformers from a local directory, ready for inference.

        Raises:
            WeightsError: a file is missing or corrupt, or the model reads neither pictures
                nor sounds.
        """
        from safetensors import SafetensorError
        from transformers import AutoFeatureExtractor, AutoImageProcessor, AutoModel

        try:
            model, report = AutoModel.from_pretrained(
                directory,
                dtype=dtype,
                local_files_only=True,
                use_safetensors=True,
                output_loading_info=True,
            )
            if _tower(model).main_input_name == "pixel_values":
                processor = AutoImageProcessor.from_pretrained(
                    directory, local_files_only=True, backend="pil"
                )
            else:
                processor = AutoFeatureExtractor.from_pretrained(directory, local_files_only=True)
        except (OSError, ValueError, RuntimeError, KeyError, SafetensorError) as error:
            reason = " ".join(str(error).split())[:300]
            raise WeightsError(f"No encoder can be read from {directory}: {reason}") from error
        # A head that the base model has beside its tokens may be missing, its layers may not.
        missing = [name for name in report["missing_keys"] if "pooler" not in name]
        if missing:
            raise WeightsError(f"{directory} lacks weights of its encoder: {missing[0]}.")
        config = model.config
        sizes = {
            n: getattr(config, n) for n in ("film_frames", "sound_seconds") if hasattr(config, n)
        }
        return cls(model.eval(), processor, **sizes)

    @property
    def _tower(self) -> Any:
        return _tower(self.model)

    @cached_property
    def _leading(self) -> int:
        """How many tokens the model puts before the patches."""
        found = {n.rsplit(".", 1)[-1]: p for n, p in self._tower.named_parameters()}
        return sum(
            p.shape[-2] if p.dim() > 1 else 1 for name, p in found.items() if name in LEADING
        )

    @cached_property
    def _shape(self) -> tuple[int, int]:
        """Patch tokens of a picture or a sound, and their width, as one blank medium shows."""
        blank: Clip
        if "audio" in self.modalities:
            blank = Sound(np.zeros(1, np.float32), self.processor.sampling_rate)
        else:
            blank = Image(np.zeros((32, 32, 3), np.uint8))
        with torch.no_grad():
            tokens = self._run(self.prepare(blank).unsqueeze(0))[0]
        return tokens.shape[1], tokens.shape[2]

    def _pixels(self, frames: list[Any]) -> Tensor:
        pixels: Tensor = self.processor(frames, return_tensors="pt")["pixel_values"]
        return pixels

    def _run(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Prepared inputs -> patch tokens (B, P, W) and the model's own pooled vector (B, W)."""
        parameter = next(self._tower.parameters())
        out = self._tower(x.to(parameter.device, parameter.dtype))
        tokens: Tensor = out.last_hidden_state
        if tokens.dim() == 4:  # a convolutional net's map
            tokens = tokens.flatten(2).transpose(1, 2)  # (B, W, H, W') -> (B, H*W', W)
        tokens = tokens[:, self._leading :]
        pooled = getattr(out, "pooler_output", None)
        return tokens, tokens.mean(dim=1) if pooled is None else pooled.flatten(1)


def _tower(model: Any) -> Any:
    """The half of ``model`` that sees or hears."""
    for name in ("vision_model", "audio_model"):
        if hasattr(model, name):
            return getattr(model, name)
    tower = model.get_encoder() if model.config.is_encoder_decoder else model
    if tower.main_input_name not in ("pixel_values", "input_values", "input_features"):
        raise WeightsError(f"{type(model).__name__} reads neither pictures nor sounds.")
    return tower
