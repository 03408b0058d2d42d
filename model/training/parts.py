"""Training of the parts that stand before the three stages: tokenizer, encoders, base LM."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import torch
from transformers import PreTrainedTokenizerFast

from heliograph.model.core import AnyToAny
from heliograph.model.encoders import Encoder
from heliograph.model.encoders.imagebind import ImageBind
from heliograph.model.encoders.pooled import PooledEncoder
from heliograph.model.errors import InputError
from heliograph.model.language import LanguageModel
from heliograph.model.primer.dialogues import texts
from heliograph.model.shelf import Shelf
from heliograph.model.tokenizer import train_tokenizer
from heliograph.model.training import steady
from heliograph.model.training.encoders import Attributes, encoder_loss
from heliograph.model.training.language import Recall, conversations, fresh, language_loss
from heliograph.model.training.loop import Outcome, Schedule, averaged, fit, rng
from heliograph.model.training.pairs import pairs
from heliograph.model.training.presets import Preset


def tokenizer(work: Path, settings: Preset) -> PreTrainedTokenizerFast:
    """The tokenizer of the work directory, trained now if it isn't there."""
    folder = work / "tokenizer"
    if not (folder / "tokenizer.json").exists():
        said = islice(texts(rng(settings.seed, -1)), settings.tokenizer_texts)
        train_tokenizer(said, settings.vocabulary).save_pretrained(folder)
    trained: PreTrainedTokenizerFast = PreTrainedTokenizerFast.from_pretrained(folder)
    return trained


def train_encoders(
    work: Path, settings: Preset, schedule: Schedule, seconds: float | None
) -> Outcome:
    """The encoders, by contrast and by attributes."""
    words = tokenizer(work, settings)
    encoder, attributes = _encoder(work, settings)

    def encode(text: str) -> list[int]:
        ids: list[int] = words(text, add_special_tokens=False, verbose=False).input_ids
        return ids

    return fit(
        {"encoder": encoder, "attributes": attributes},
        pairs(encoder, encode, settings.batches, settings.seed),
        encoder_loss(encoder, attributes),
        schedule,
        work / "encoders",
        title="encoders",
        seconds=seconds,
    )


def encoder(work: Path, settings: Preset) -> Encoder:
    """The encoders as far as they are trained, or those of the base, as the settings read them,
    ready to be used."""
    trained = imagebind(work, settings)
    if (work / "steady" / "last.safetensors").exists():
        steady.choose(trained)
        averaged(work / "steady", {"encoder": trained})
    frozen = trained.eval().requires_grad_(False)
    return PooledEncoder(frozen, frozen.config.joint) if settings.projections.pooled else frozen


def imagebind(work: Path, settings: Preset) -> ImageBind:
    """The encoder as contrast and details left it, or the base's."""
    if settings.base is not None:
        return of_base(settings.base)
    trained, attributes = _encoder(work, settings)
    averaged(work / "encoders", {"encoder": trained, "attributes": attributes})
    return trained


def of_base(directory: Path) -> ImageBind:
    """The one encoder of a core, whichever way that core reads it.

    Raises:
        InputError: the core has other encoders than the primer.
    """
    shelf = Shelf.from_pretrained(directory)
    found = [shelf.encoder(name, torch.device("cpu")) for name in shelf.encoders]
    inner = [e.encoder if isinstance(e, PooledEncoder) else e for e in found]
    if len(inner) != 1 or not isinstance(inner[0], ImageBind):
        raise InputError(
            f"{directory} isn't a core of the primer's parts; align it with "
            "`heliograph train stage`."
        )
    return inner[0]


def train_language(
    work: Path, settings: Preset, schedule: Schedule, seconds: float | None
) -> Outcome:
    """The base language model, on text alone."""
    model, recall = _language(work, settings)
    return fit(
        {"language": model, "recall": recall},
        conversations(
            model, settings.projections.tokens, settings.batches.dialogues, settings.seed
        ),
        language_loss(model, recall),
        schedule,
        work / "language",
        title="language",
        seconds=seconds,
    )


def language(work: Path, settings: Preset) -> LanguageModel:
    """The base language model as far as it is trained, or the base's own."""
    if settings.base is not None:
        return AnyToAny.from_pretrained(settings.base).language.eval()
    trained, recall = _language(work, settings)
    averaged(work / "language", {"language": trained, "recall": recall})
    return trained.eval()


def _encoder(work: Path, settings: Preset) -> tuple[ImageBind, Attributes]:
    words = tokenizer(work, settings)
    assert words.eos_token_id is not None
    torch.manual_seed(settings.seed)
    encoder = ImageBind(settings.encoder(len(words), int(words.eos_token_id)))
    return encoder, Attributes(encoder)


def _language(work: Path, settings: Preset) -> tuple[LanguageModel, Recall]:
    model = fresh(tokenizer(work, settings), settings.language, settings.seed)
    return model, Recall(model)
