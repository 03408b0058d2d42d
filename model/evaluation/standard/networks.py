"""Networks that a user names for judging media: features, classes, and CLIP.

Each is a directory that ``save_pretrained`` of transformers wrote. Nothing is bundled and
nothing is downloaded: which network gives the features is a part of the figure, and is told
with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from heliograph.model.checkpoint import LOCAL
from heliograph.model.encoders.transformers import TransformersEncoder
from heliograph.model.errors import InputError, WeightsError, in_one_line
from heliograph.model.media import Clip, Film, Image, Sound, sampled
from heliograph.model.quiet import quiet

BATCH = 16
FRAMES = 8
"""Frames of a film that are looked at, evenly spread."""


class FeatureNetwork:
    """Features of pictures, of the frames of films, or of sounds.

    A network of two halves (CLIP, SigLIP, CLAP) gives its embedding in the joint space, others
    their pooled vector, or the mean of the tokens where the checkpoint lacks the weights of
    pooling (many of ViT). Vectors are as the network gives them, not scaled to length one.
    """

    def __init__(self, directory: Path, device: str | torch.device = "cpu") -> None:
        """Load it.

        Raises:
            WeightsError: there is no such network in the directory.
        """
        self.name = str(directory)
        self._encoder = _encoder(directory)
        self._model: Any = self._encoder.model.to(device)
        self._device = device
        self.hears = self._encoder.modalities == ("audio",)

    @torch.no_grad()
    def of(self, clips: Iterable[Clip]) -> Tensor:
        """A row for each picture, each sound, or each of a film's ``FRAMES``: (N, D), float64.

        Raises:
            InputError: the network doesn't read such clips.
        """
        batches = _batches(self._encoder, clips, self.name)
        rows = [self._run(x.to(self._device)) for x in batches]
        return torch.cat(rows) if rows else torch.zeros(0, 0, dtype=torch.float64)

    def _run(self, x: Tensor) -> Tensor:
        model = self._model
        if self.hears and hasattr(model, "get_audio_features"):
            # A CLAP that fuses long sounds wants to know which are: none is longer than it reads.
            fused = getattr(model.config.audio_config, "enable_fusion", False)
            more = {"is_longer": torch.zeros(len(x), 1, dtype=torch.bool)} if fused else {}
            out = model.get_audio_features(input_features=x, **more)
        elif not self.hears and hasattr(model, "get_image_features"):
            out = model.get_image_features(pixel_values=x)
        else:
            out = (model.get_encoder() if model.config.is_encoder_decoder else model)(x)
        return _vectors(out).double().cpu()


class ClassNetwork:
    """Logits of a classifier of pictures or of sounds, for the Inception Score."""

    def __init__(self, directory: Path, device: str | torch.device = "cpu") -> None:
        """Load it.

        Raises:
            WeightsError: the directory holds no image or audio classifier.
        """
        from transformers import AutoModelForAudioClassification, AutoModelForImageClassification

        self.name = str(directory)
        encoder = _encoder(directory)
        self.hears = encoder.modalities == ("audio",)
        auto = AutoModelForAudioClassification if self.hears else AutoModelForImageClassification
        try:
            with quiet():
                model, report = auto.from_pretrained(
                    directory, use_safetensors=True, output_loading_info=True, **LOCAL
                )
        except (OSError, ValueError, RuntimeError, KeyError) as error:
            reason = in_one_line(error, 200)
            raise WeightsError(f"No classifier can be read from {directory}: {reason}") from error
        if report["missing_keys"]:
            raise WeightsError(
                f"{directory} holds no classifier: it lacks {min(report['missing_keys'])}."
            )
        self._model, self._encoder, self._device = model.eval().to(device), encoder, device

    @torch.no_grad()
    def of(self, clips: Iterable[Clip]) -> Tensor:
        """Logits of each picture, each sound, or each of a film's ``FRAMES``: (N, classes).

        Raises:
            InputError: the classifier doesn't read such clips.
        """
        batches = _batches(self._encoder, clips, self.name)
        rows = [self._model(x.to(self._device)).logits.double().cpu() for x in batches]
        return torch.cat(rows) if rows else torch.zeros(0, 0, dtype=torch.float64)


class ClipNetwork:
    """A model that puts pictures and words into one space, such as CLIP or SigLIP."""

    def __init__(self, directory: Path, device: str | torch.device = "cpu") -> None:
        """Load it.

        Raises:
            WeightsError: the directory holds no such model.
        """
        from transformers import AutoTokenizer

        self._features = FeatureNetwork(directory, device)
        self.name = self._features.name
        self._model: Any = self._features._model
        self._device = device
        if self._features.hears or not hasattr(self._model, "get_text_features"):
            raise WeightsError(f"{directory} holds no model of pictures and words, such as CLIP.")
        try:
            self._tokenizer: Any = AutoTokenizer.from_pretrained(directory, **LOCAL)
        except (OSError, ValueError, KeyError) as error:
            raise WeightsError(f"{directory} has no tokenizer that can be read.") from error

    @torch.no_grad()
    def similarity(self, clip: Clip, text: str) -> float:
        """The cosine of a text and a picture, or its mean over the frames of a film.

        Raises:
            InputError: the clip is a sound.
        """
        pictures = F.normalize(self._features.of([clip]), dim=-1)  # (frames, D)
        config = self._model.config.text_config
        ids = self._tokenizer(
            [text],
            truncation=True,
            max_length=config.max_position_embeddings,
            # SigLIP was trained on texts that are padded to their full length.
            padding="max_length" if "siglip" in self._model.config.model_type else True,
            return_tensors="pt",
        ).to(self._device)
        known = {name: ids[name] for name in ("input_ids", "attention_mask") if name in ids}
        words = F.normalize(_vectors(self._model.get_text_features(**known)).double().cpu(), dim=-1)
        return float((pictures @ words[0]).mean())


def _encoder(directory: Path) -> TransformersEncoder:
    """What reads the media for a network.

    Raises:
        WeightsError: nothing in the directory reads pictures or sounds.
    """
    if not (directory / "config.json").is_file():
        raise WeightsError(
            f"There is no network in {directory}: put the folder there that `save_pretrained` of "
            "transformers writes, or a snapshot of its hub, with config.json and safetensors."
        )
    encoder = TransformersEncoder.from_pretrained(directory)
    if encoder.modalities == ("video",):
        raise WeightsError(
            f"{directory} reads films as a whole, which are judged frame by frame here: name a "
            "network of pictures."
        )
    return encoder


def _vectors(out: Any) -> Tensor:
    """(B, D) of whatever a model of transformers returns."""
    if isinstance(out, Tensor):
        return out
    pooled = getattr(out, "pooler_output", None)
    vectors: Tensor = _mean(out.last_hidden_state) if pooled is None else pooled.flatten(1)
    return vectors


def _mean(tokens: Tensor) -> Tensor:
    """Over tokens (B, T, D), or over a convolutional net's map (B, D, H, W): (B, D)."""
    return tokens.flatten(2).mean(-1) if tokens.dim() == 4 else tokens.mean(1)


def _batches(encoder: TransformersEncoder, clips: Iterable[Clip], name: str) -> Iterator[Tensor]:
    """Clips as an encoder takes them, ``BATCH`` at a time; films as their frames."""

    def prepared() -> Iterator[Tensor]:
        for clip in clips:
            if isinstance(clip, Sound) != (encoder.modalities == ("audio",)):
                kind = "sounds" if isinstance(clip, Sound) else "pictures"
                raise InputError(f"{name} doesn't read {kind}; name a network that does.")
            if isinstance(clip, Film):
                for frame in sampled(clip, FRAMES).frames:
                    yield encoder.prepare(Image(frame))
            else:
                yield encoder.prepare(clip)

    every = prepared()
    while some := list(islice(every, BATCH)):
        yield torch.stack(some)  # (B, …)
