"""From nothing to a core: every training in its order, each in a folder of one work directory.

    tokenizer   from the world's texts                          tokenizer/
    encoders    contrast and details                            encoders/
    language    the base language model, on text alone          language/
    …           the decoders' parts (``decoders.py``)           image-vae/, image/, …
    encode      stage 1: input projections                      encode/
    decode      stage 2: output projections, new token rows     decode/
    instruct    stage 3: LoRA and projections                   instruct/
    assemble    the core directory, in half precision           core/

Each training reads what the ones before it left, may be stopped at any time and goes on
where it stopped: ``python -m heliograph.model.training.pipeline encoders --work DIR``.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from heliograph.model.training.loop import Outcome, averaged, fit, rng
from heliograph.model.training.presets import Preset, preset

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from heliograph.model.encoders.imagebind import ImageBind
    from heliograph.model.language import LanguageModel


def tokenizer(work: Path, settings: Preset) -> PreTrainedTokenizerFast:
    """The tokenizer of the work directory, trained now if it isn't there."""
    from transformers import PreTrainedTokenizerFast

    from heliograph.model.primer.dialogues import texts
    from heliograph.model.tokenizer import train_tokenizer

    folder = work / "tokenizer"
    if not (folder / "tokenizer.json").exists():
        said = islice(texts(rng(settings.seed, -1)), settings.tokenizer_texts)
        train_tokenizer(said, settings.vocabulary).save_pretrained(folder)
    trained: PreTrainedTokenizerFast = PreTrainedTokenizerFast.from_pretrained(folder)
    return trained


def encode_text(work: Path, settings: Preset) -> Callable[[str], list[int]]:
    """From text to the tokenizer's ids, without marks."""
    words = tokenizer(work, settings)

    def encode(text: str) -> list[int]:
        ids: list[int] = words(text, add_special_tokens=False, verbose=False).input_ids
        return ids

    return encode


def _fresh_encoder(work: Path, settings: Preset) -> ImageBind:
    import torch

    from heliograph.model.encoders.imagebind import ImageBind

    words = tokenizer(work, settings)
    assert words.eos_token_id is not None
    torch.manual_seed(settings.seed)
    return ImageBind(settings.encoder(len(words), int(words.eos_token_id)))


def train_encoders(work: Path, settings: Preset, seconds: float | None) -> Outcome:
    """The encoders, by contrast and by attributes."""
    from heliograph.model.training.encoders import Attributes, encoder_loss
    from heliograph.model.training.pairs import pairs

    encoder = _fresh_encoder(work, settings)
    attributes = Attributes(encoder)
    return fit(
        {"encoder": encoder, "attributes": attributes},
        pairs(encoder, encode_text(work, settings), settings.batches, settings.seed),
        encoder_loss(encoder, attributes),
        settings.encoders_schedule,
        work / "encoders",
        title="encoders",
        seconds=seconds,
    )


def encoder(work: Path, settings: Preset) -> ImageBind:
    """The encoders as far as they are trained, ready to be used."""
    from heliograph.model.training.encoders import Attributes

    read = _fresh_encoder(work, settings)
    averaged(work / "encoders", {"encoder": read, "attributes": Attributes(read)})
    return read.eval().requires_grad_(False)


def train_language(work: Path, settings: Preset, seconds: float | None) -> Outcome:
    """The base language model, on text alone."""
    from heliograph.model.training.language import Recall, conversations, fresh, language_loss

    model = fresh(tokenizer(work, settings), settings.language, settings.seed)
    recall = Recall(model)
    return fit(
        {"language": model, "recall": recall},
        conversations(model, settings.batches.dialogues, settings.seed),
        language_loss(model, recall),
        settings.language_schedule,
        work / "language",
        title="language",
        seconds=seconds,
    )


def language(work: Path, settings: Preset) -> LanguageModel:
    """The base language model as far as it is trained."""
    from heliograph.model.training.language import Recall, fresh

    model = fresh(tokenizer(work, settings), settings.language, settings.seed)
    averaged(work / "language", {"language": model, "recall": Recall(model)})
    return model


TRAININGS: Mapping[str, Callable[[Path, Preset, float | None], Outcome]] = {
    "encoders": train_encoders,
    "language": train_language,
}


def main(arguments: list[str] | None = None) -> None:
    """Run one training of a work directory."""
    parser = argparse.ArgumentParser(description="Run one training.")
    parser.add_argument("training", choices=["tokenizer", *TRAININGS])
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--preset", default="primer")
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--steps", type=int, help="length of the schedule, if not the preset's")
    parser.add_argument("--threads", type=int, default=1)
    chosen = parser.parse_args(arguments)
    import torch

    torch.set_num_threads(chosen.threads)
    settings = preset(chosen.preset)
    if chosen.training == "tokenizer":
        print(f"{len(tokenizer(chosen.work, settings))} tokens")
        return
    if chosen.steps:
        settings = settings.lasting(chosen.training, chosen.steps)
    seconds = 60 * chosen.minutes if chosen.minutes else None
    outcome = TRAININGS[chosen.training](chosen.work, settings, seconds)
    print(outcome)


if __name__ == "__main__":
    main()
