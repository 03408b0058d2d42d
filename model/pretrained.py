"""Causal LMs and tokenizers of transformers from folders, with errors of one sentence."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast

from heliograph.model.errors import MissingExtra, WeightsError
from heliograph.model.quiet import quiet
from heliograph.model.senses import CAUSAL, sense_in, text_config

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

Quantised: TypeAlias = Literal["int8", "4-bit"]
"""By bitsandbytes: Dettmers et al. 2022, arXiv 2208.07339, and 2023, arXiv 2305.14314 (NF4)."""


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


def read_template(directory: Path) -> str | None:
    """The chat template of a processor, which may have one where its tokenizer has none.

    Raises:
        WeightsError: the processor is missing or damaged.
    """
    from transformers import AutoProcessor

    with _loading(directory, "processor"):
        processor = AutoProcessor.from_pretrained(directory, local_files_only=True, backend="pil")
    template: str | None = processor.chat_template
    return template


def check_quantised() -> None:
    """Check that models can be quantised.

    Raises:
        MissingExtra: what does it isn't installed.
    """
    from importlib.util import find_spec

    if find_spec("bitsandbytes") is None:
        raise MissingExtra("bitsandbytes", "quant")


def read_model(
    directory: Path,
    dtype: torch.dtype | Literal["auto"],
    quantised: Quantised | None = None,
    device: str | torch.device = "cpu",
) -> PreTrainedModel:
    """The causal LM in a folder of transformers, which may see or hear besides (``senses.py``).

    Args:
        directory: where it lies.
        dtype: precision to compute in; ``auto`` is that of its files.
        quantised: in which form its linear layers, but for the head, are kept.
        device: of a quantised model, which is put there while it is read; others are on the CPU.

    Raises:
        MissingExtra: it is to be quantised, and what does it isn't installed.
        WeightsError: a file is missing, damaged, or doesn't fit the configuration.
    """
    from transformers import AutoConfig, AutoModelForCausalLM

    more: dict[str, Any] = {}
    if quantised is not None:
        check_quantised()
        more = {"quantization_config": _quantisation(quantised, dtype), "device_map": {"": device}}
    sees = sense_in(directory) is not None
    with _loading(directory, "language model"):
        if sees:
            config = AutoConfig.from_pretrained(directory, local_files_only=True)
            more |= {"config": text_config(config, directory), "key_mapping": dict(CAUSAL)}
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            directory, dtype=dtype, local_files_only=True, output_loading_info=True, **more
        )
    model, info = loaded
    if info["missing_keys"]:
        missing = min(info["missing_keys"])
        raise WeightsError(f"The language model in {directory} lacks the weights {missing}.")
    if sees:  # transformers would go back to the checkpoint's names when it saves
        del model._weight_conversions
    return cast("PreTrainedModel", model)


def _quantisation(kind: Quantised, dtype: torch.dtype | Literal["auto"]) -> Any:
    from transformers import BitsAndBytesConfig

    if kind == "int8":
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )


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
    except WeightsError:
        raise
    except Exception as error:  # transformers and tokenizers raise bare exceptions
        raise WeightsError(
            f"The {what} in {directory} can't be loaded: its files don't fit each other "
            f"({type(error).__name__})."
        ) from error
