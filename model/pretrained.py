"""Causal LMs and tokenizers of transformers from folders, with errors of one sentence."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from heliograph.model.errors import MissingExtra, WeightsError
from heliograph.model.quiet import quiet

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


def read_tokenizer(directory: Path) -> Any:
    """The tokenizer in a folder of transformers.

    Raises:
        MissingExtra: it is written in SentencePiece's format, and its reader isn't installed.
        WeightsError: it is missing or damaged.
    """
    from transformers import AutoTokenizer

    if not (directory / "tokenizer.json").is_file() and (directory / "tokenizer.model").is_file():
        try:
            import sentencepiece  # noqa: F401
        except ImportError as error:
            raise MissingExtra("sentencepiece", "import") from error
    with _loading(directory, "tokenizer"):
        return AutoTokenizer.from_pretrained(directory, local_files_only=True)


def read_model(directory: Path, dtype: torch.dtype | Literal["auto"]) -> PreTrainedModel:
    """The causal LM in a folder of transformers; ``auto`` is the precision of its files.

    Raises:
        WeightsError: a file is missing, damaged, or doesn't fit the configuration.
    """
    from transformers import AutoModelForCausalLM

    with _loading(directory, "language model"):
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            directory, dtype=dtype, local_files_only=True, output_loading_info=True
        )
    model, info = loaded
    if info["missing_keys"]:
        missing = min(info["missing_keys"])
        raise WeightsError(f"The language model in {directory} lacks the weights {missing}.")
    return cast("PreTrainedModel", model)


def read_generation(model: PreTrainedModel, directory: Path) -> None:
    """Let a model end its answers as the ``generation_config.json`` of a folder says.

    Raises:
        WeightsError: it is missing or damaged.
    """
    from transformers import GenerationConfig

    with _loading(directory, "generation configuration"):
        model.generation_config = GenerationConfig.from_pretrained(directory)


@contextmanager
def _loading(directory: Path, what: str) -> Iterator[None]:
    try:
        with quiet():
            yield
    except Exception as error:  # transformers and tokenizers raise bare exceptions
        raise WeightsError(
            f"The {what} in {directory} can't be loaded: its files don't fit each other "
            f"({type(error).__name__})."
        ) from error
