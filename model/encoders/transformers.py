"""Any vision or audio model of transformers as an encoder.

A directory that ``save_pretrained`` of transformers wrote is one already: a model beside its
image processor or feature extractor. CLIP, SigLIP, ViT, DINO and their like read pictures,
and films frame by frame; VideoMAE and its like read films as such; CLAP, Whisper, AST, Wav2Vec2
and their like read sounds. Of a model of two halves (CLIP, CLAP, Whisper) the half that sees or
hears is used.

Not covered: text.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from heliograph.model.checkpoint import LOCAL, readable
from heliograph.model.errors import InputError, WeightsError, in_one_line
from heliograph.model.media import Clip, Film, Image, Sound, resampled, sampled
from heliograph.model.parts import Modality
from heliograph.model.quiet import quiet

_PROCESSORS = ("preprocessor_config.json", "processor_config.json")
LEADING = {"cls_token", "class_embedding", "distillation_token", "register_tokens"}
"""Parameters that are put before the patches: they are not places in the medium."""


class TransformersEncoder(nn.Module):
    """An ``Encoder`` around a model of transformers and its processor.

    Args:
        model: any vision or audio model.
        processor: its image processor (the PIL one) or feature extractor.
        film_frames: frames of a film that a model of pictures reads, evenly spread; a model of
            films says itself how many it reads.
        sound_seconds: what an audio model reads of a sound, its extractor's window where left
            out. A shorter sound is filled up as the extractor fills it, or by silence where it
            doesn't, so that every sound makes the same number of tokens.
    """

    def __init__(
        self,
        model: Any,
        processor: Any,
        film_frames: int = 8,
        sound_seconds: float | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.processor = processor
        own_frames = getattr(self._tower.config, "num_frames", None)
        self.film_frames = film_frames if own_frames is None else int(own_frames)
        window = _window(processor)
        self.sound_seconds = min(sound_seconds or window or 10.0, window or math.inf)
        self.modalities: tuple[Modality, ...] = ("audio",)
        if self._tower.main_input_name == "pixel_values":
            self.modalities = ("image", "video") if own_frames is None else ("video",)

    def width(self, modality: Modality) -> int:
        """Width of the patch tokens."""
        return self._shape[1]

    def tokens(self, modality: Modality) -> int:
        """Patch tokens of one medium; of a film those of all its frames."""
        return self._shape[0] * (self.film_frames if self._by_frames(modality) else 1)

    def prepare(self, clip: Clip) -> Tensor:
        """A picture (3, H, W), a film (frames, 3, H, W), or a sound as the extractor shapes it.

        Raises:
            InputError: the model doesn't read this modality.
        """
        kinds: dict[Modality, type[Clip]] = {"image": Image, "video": Film, "audio": Sound}
        if not any(isinstance(clip, kinds[modality]) for modality in self.modalities):
            raise InputError(f"This encoder reads only {' and '.join(self.modalities)}.")
        if isinstance(clip, Image):
            return self._pixels([clip.pixels])[0]
        if isinstance(clip, Film):
            pixels = self._pixels(list(sampled(clip, self.film_frames).frames))
            return pixels if self._by_frames("video") else pixels[0]  # (frames, 3, H, W)
        rate = self.processor.sampling_rate
        length = round(self.sound_seconds * rate)
        samples = resampled(clip, rate).samples[:length]
        if _window(self.processor) is None:
            samples = np.pad(samples, (0, length - len(samples)))
        made = self.processor(samples, sampling_rate=rate, return_tensors="pt")
        heard: Tensor = made[self._tower.main_input_name][0]
        return heard

    def patches(self, modality: Modality, x: Tensor) -> Tensor:
        """A batch of prepared clips -> (B, tokens, W), without class and register tokens."""
        if not self._by_frames(modality):
            return self._run(x)[0]
        tokens = self._run(x.flatten(0, 1))[0]  # (B*frames, P, W)
        return tokens.reshape(len(x), -1, tokens.shape[-1])  # (B, frames*P, W)

    def pooled(self, modality: Modality, x: Tensor) -> Tensor:
        """A batch of prepared clips -> unit vectors (B, W), those of a film's frames averaged."""
        if not self._by_frames(modality):
            return F.normalize(self._run(x)[1], dim=-1)
        frames = F.normalize(self._run(x.flatten(0, 1))[1], dim=-1)  # (B*frames, W)
        return F.normalize(frames.view(*x.shape[:2], -1).mean(dim=1), dim=-1)

    def save_pretrained(self, directory: Path) -> None:
        """Write the model and its processor in the format of transformers."""
        # Unknown entries of a configuration are kept by transformers, and ignored.
        self.model.config.film_frames = self.film_frames
        self.model.config.sound_seconds = self.sound_seconds
        with quiet():
            self.model.save_pretrained(directory)
            self.processor.save_pretrained(directory)

    @classmethod
    def from_pretrained(
        cls, directory: Path, dtype: torch.dtype = torch.float32, **sizes: Any
    ) -> TransformersEncoder:
        """Load a checkpoint of transformers from a local directory, ready for inference.

        Args:
            directory: of the checkpoint.
            dtype: precision to compute in.
            sizes: ``film_frames`` and ``sound_seconds``, instead of those that were saved.

        Raises:
            WeightsError: a file is missing or corrupt, or the model reads neither pictures
                nor sounds.
        """
        from transformers import AutoModel

        with loading(directory):
            model, report = AutoModel.from_pretrained(
                directory, dtype=dtype, use_safetensors=True, output_loading_info=True, **LOCAL
            )
            processor = read_processor(directory, _tower(model).main_input_name == "pixel_values")
        # A head that the base model has beside its tokens may be missing, its layers may not.
        missing = [name for name in report["missing_keys"] if "pooler" not in name]
        if missing:
            raise WeightsError(f"{directory} lacks weights of its encoder: {missing[0]}.")
        if report["missing_keys"]:
            _tower(model).pooler = None  # its weights would be random
        return cls(model.eval(), processor, **(_sizes(model.config) | sizes))

    @classmethod
    def outline(cls, directory: Path, **sizes: Any) -> TransformersEncoder:
        """The checkpoint in a directory on the meta device: its weights aren't read.

        Raises:
            WeightsError: a file is missing or corrupt, or the model reads neither pictures
                nor sounds.
        """
        from transformers import AutoConfig, AutoModel

        with loading(directory):
            config = AutoConfig.from_pretrained(directory, **LOCAL)
            with torch.device("meta"):
                model = AutoModel.from_config(config, trust_remote_code=False)
            processor = read_processor(directory, _tower(model).main_input_name == "pixel_values")
        return cls(model.eval(), processor, **(_sizes(model.config) | sizes))

    @property
    def _tower(self) -> Any:
        return _tower(self.model)

    def _by_frames(self, modality: Modality) -> bool:
        """Whether films are read as pictures, one after the other."""
        return modality == "video" and "image" in self.modalities

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
        elif "image" in self.modalities:
            blank = Image(np.zeros((32, 32, 3), np.uint8))
        else:
            blank = Film(np.zeros((1, 32, 32, 3), np.uint8), 1.0)
        with torch.no_grad():
            tokens = self._run(self.prepare(blank).unsqueeze(0))[0]
        return tokens.shape[1], tokens.shape[2]

    def _pixels(self, frames: list[Any]) -> Tensor:
        made = self.processor(frames, input_data_format="channels_last", return_tensors="pt")
        pixels: Tensor = made["pixel_values"]
        return pixels

    def _run(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Prepared inputs -> patch tokens (B, P, W) and the model's own pooled vector (B, W)."""
        parameter = next(self._tower.parameters())
        more = {}
        if getattr(self._tower.config, "enable_fusion", False):  # CLAP's, of what is cut away
            more["is_longer"] = torch.zeros(len(x), 1, dtype=torch.bool, device=parameter.device)
        out = self._tower(x.to(parameter.device, parameter.dtype), **more)
        tokens: Tensor = out.last_hidden_state
        if tokens.dim() == 4:  # a convolutional net's map
            tokens = tokens.flatten(2).transpose(1, 2)  # (B, W, H, W') -> (B, H*W', W)
        tokens = tokens[:, self._leading :]
        pooled = getattr(out, "pooler_output", None)
        return tokens, tokens.mean(dim=1) if pooled is None else pooled.flatten(1)


@contextmanager
def loading(directory: Path) -> Iterator[None]:
    """What transformers raises, as one sentence."""
    from safetensors import SafetensorError

    try:
        with quiet(), readable(directory, "config.json", *_PROCESSORS):
            yield
    except (OSError, ValueError, RuntimeError, KeyError, ImportError, SafetensorError) as error:
        reason = in_one_line(error)
        raise WeightsError(f"No encoder can be read from {directory}: {reason}") from error


def read_processor(directory: Path, sees: bool) -> Any:
    """The image processor of a checkpoint that sees, or the feature extractor of one that hears.

    Raises:
        WeightsError: it is missing.
    """
    from transformers import AutoFeatureExtractor, AutoImageProcessor

    if not any((directory / name).is_file() for name in _PROCESSORS):
        raise WeightsError(
            f"The weights are incomplete: {directory} has no {_PROCESSORS[0]}, which says how "
            "media are prepared."
        )
    if sees:
        return AutoImageProcessor.from_pretrained(directory, backend="pil", **LOCAL)
    return AutoFeatureExtractor.from_pretrained(directory, **LOCAL)


def _sizes(config: Any) -> dict[str, Any]:
    """What ``save_pretrained`` wrote of how media are read."""
    return {n: getattr(config, n) for n in ("film_frames", "sound_seconds") if hasattr(config, n)}


def _window(processor: Any) -> float | None:
    """Seconds to which a feature extractor fills up and cuts each sound, if it does.

    CLAP's repeats what is shorter, Whisper's adds silence.
    """
    window = getattr(processor, "max_length_s", None) or getattr(processor, "chunk_length", None)
    return None if window is None else float(window)


def _tower(model: Any) -> Any:
    """The half of ``model`` that sees or hears."""
    for name in ("vision_model", "audio_model"):
        if hasattr(model, name):
            return getattr(model, name)
    tower = model.get_encoder() if model.config.is_encoder_decoder else model
    if tower.main_input_name not in ("pixel_values", "input_values", "input_features"):
        raise WeightsError(f"{type(model).__name__} reads neither pictures nor sounds.")
    return tower
