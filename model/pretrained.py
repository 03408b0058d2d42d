"""Causal LMs and tokenizers of transformers from folders, with errors of one sentence."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast

from heliograph.model.checkpoint import LOCAL, read_json, readable
from heliograph.model.errors import MissingExtra, WeightsError
from heliograph.model.quiet import quiet
from heliograph.model.senses import CAUSAL, on_three_axes, taken_apart, text_config

if TYPE_CHECKING:
    import torch
    from torch import nn
    from transformers import PreTrainedModel

Quantised: TypeAlias = Literal["int8", "4-bit"]
"""By bitsandbytes: Dettmers et al. 2022, arXiv 2208.07339, and 2023, arXiv 2305.14314 (NF4)."""

_TOKENIZERS = ("tokenizer*", "vocab*", "*.model", "*.tiktoken", "tekken.json")
"""Files of which a folder with a tokenizer has one at least."""
_PROCESSORS = ("processor_config.json", "preprocessor_config.json")
"""Likewise of one with a processor; without them transformers would take that of its class."""
_JSON = ("config.json", "tokenizer_config.json", "generation_config.json")
"""Files of a folder that its parts are read by; a tokenizer's reader looks into the model's too."""


def read_tokenizer(directory: Path) -> Any:
    """The tokenizer in a folder of transformers.

    Raises:
        MissingExtra: it is written in SentencePiece's format, and its reader isn't installed.
        WeightsError: it is missing or damaged.
    """
    from transformers import AutoTokenizer

    if not any(any(directory.glob(pattern)) for pattern in _TOKENIZERS):
        raise WeightsError(f"The weights are incomplete: {directory} has no tokenizer.")
    if not (directory / "tokenizer.json").is_file() and (directory / "tokenizer.model").is_file():
        try:
            import sentencepiece  # noqa: F401
        except ImportError as error:
            raise MissingExtra("sentencepiece", "import") from error
    with _loading(directory, "tokenizer"):
        return AutoTokenizer.from_pretrained(directory, **LOCAL)


def read_template(directory: Path) -> str | None:
    """The chat template of a processor, which may have one where its tokenizer has none.

    Raises:
        WeightsError: the processor is missing or damaged.
    """
    from transformers import ProcessorMixin

    if not any((directory / name).is_file() for name in _PROCESSORS):
        raise WeightsError(f"The weights are incomplete: {directory} has no processor.")
    with _loading(directory, "processor"):  # not made: some want torchvision, for films
        said, _ = ProcessorMixin.get_processor_dict(directory, **LOCAL)
    template: str | None = said.get("chat_template")
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
    spread: Sequence[str] = (),
) -> PreTrainedModel:
    """The causal LM in a folder of transformers, which may see or hear besides (``senses.py``).

    Args:
        directory: where it lies.
        dtype: precision to compute in; ``auto`` is that of its files.
        quantised: in which form its linear layers, but for the head, are kept.
        device: of a quantised model, or one that is spread, which is put there while it is read;
            others are on the CPU.
        spread: the device of each layer, where not all are on that one; what passes between them
            is moved (``accelerate``).

    Raises:
        MissingExtra: it is to be quantised, and what does it isn't installed.
        WeightsError: a file is missing, damaged, or doesn't fit the configuration.
    """
    from transformers import AutoConfig

    more: dict[str, Any] = {}
    if quantised is not None:
        check_quantised()
        more = {"quantization_config": _quantisation(quantised, dtype), "device_map": {"": device}}
    apart = taken_apart(directory)
    with _loading(directory, "language model"):
        if spread:
            more["device_map"] = _device_map(directory, device, spread)
        if apart:
            config = AutoConfig.from_pretrained(directory, **LOCAL)
            more |= {"config": text_config(config, directory), "key_mapping": dict(CAUSAL)}
        loaded: Any = _causal_lms(directory).from_pretrained(
            directory, dtype=dtype, output_loading_info=True, **LOCAL, **more
        )
    model, info = loaded
    if info["missing_keys"]:
        missing = min(info["missing_keys"])
        raise WeightsError(f"The language model in {directory} lacks the weights {missing}.")
    if apart:  # transformers would go back to the checkpoint's names when it saves
        del model._weight_conversions
    return cast("PreTrainedModel", model)


def meta_model(directory: Path) -> PreTrainedModel:
    """The causal LM in a folder of transformers on the meta device; its weights aren't looked for.

    Raises:
        WeightsError: it sees or hears, and it isn't known how to read it.
    """
    import torch
    from transformers import AutoConfig

    config = text_config(AutoConfig.from_pretrained(directory, **LOCAL), directory)
    with torch.device("meta"):
        model = _causal_lms(directory).from_config(config, trust_remote_code=False)
    return cast("PreTrainedModel", model)


def _causal_lms(directory: Path) -> Any:
    """``AutoModelForCausalLM``, and with it the class of the one in a folder."""
    from transformers import AutoModelForCausalLM

    if on_three_axes(str(read_json(directory / "config.json").get("model_type"))):
        from heliograph.model import heads

        heads.register()
    return AutoModelForCausalLM


def linear_layers(model: PreTrainedModel) -> dict[str, nn.Module]:
    """The linear layers of a causal LM but for its head, by name."""
    from torch import nn
    from transformers.pytorch_utils import Conv1D

    head = model.get_output_embeddings()
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear | Conv1D) and module is not head
    }


def layers_of(model: PreTrainedModel) -> tuple[str, nn.ModuleList]:
    """The layers of a causal LM, and what they are called in it.

    Raises:
        WeightsError: there is no list of as many as its configuration says.
    """
    from torch import nn

    count = model.config.get_text_config().num_hidden_layers
    for name, module in model.named_modules():
        if isinstance(module, nn.ModuleList) and len(module) == count:
            return name, module
    raise WeightsError(f"{type(model).__name__} has no list of its {count} layers.")


def _device_map(
    directory: Path, device: str | torch.device, spread: Sequence[str]
) -> dict[str, str | torch.device]:
    """Where each module goes: the layers as told, what is around them to the one device."""
    model = meta_model(directory)
    path, _ = layers_of(model)
    around = {path[:i] for i, letter in enumerate(path) if letter == "."} | {"", path}
    beside = (n for n, _ in model.named_modules() if n and n.rpartition(".")[0] in around)
    return {
        **{name: device for name in beside if name not in around},
        **{f"{path}.{i}": at for i, at in enumerate(spread)},
    }


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
        with quiet(), readable(directory, *_JSON):
            yield
    except WeightsError:
        raise
    except Exception as error:  # transformers and tokenizers raise bare exceptions
        if "trust_remote_code" in str(error):
            raise WeightsError(
                f"The {what} in {directory} asks for custom code, which is never run: "
                "take one that transformers has a class for."
            ) from error
        raise WeightsError(
            f"The {what} in {directory} can't be loaded: its files don't fit each other "
            f"({type(error).__name__})."
        ) from error
