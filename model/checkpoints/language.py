"""The language model of a NExT-GPT: a base model with the rows and the LoRA of a checkpoint.

The rows of all tokens, old and new, come from the checkpoint: they are restored in the
embedding *and* in the head. LoRA (Hu et al. 2021, arXiv 2106.09685) becomes an adapter of PEFT
beside the untouched base.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from heliograph.model.checkpoint import read_json
from heliograph.model.checkpoints.layouts import Layout
from heliograph.model.dialects import DEFAULT_SPECS, Dialect
from heliograph.model.errors import WeightsError
from heliograph.model.language import LanguageModel
from heliograph.model.pretrained import read_model, read_tokenizer

ALPHA, DROPOUT = 32, 0.1
"""Of the published LoRA (Wu et al. 2023); the legacy layout doesn't keep them."""
TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model")
ROWS = {"embedding": "embed_tokens.weight", "head": "lm_head.weight"}
_LORA = re.compile(r"(?:^|\.)(layers\.\d+\..+)\.lora_([AB])(?:\.\w+)?\.weight$")


@dataclass(frozen=True)
class Lora:
    """A LoRA adapter's tensors and settings."""

    state: Mapping[str, Tensor]
    """By the names of PEFT, without the adapter's own."""
    r: int
    alpha: int
    dropout: float
    targets: tuple[str, ...]
    stable: bool
    """Whether it is scaled by alpha / sqrt(r) and not by alpha / r."""


def restored(
    base: Path, checkpoint: Path, state: Mapping[str, Tensor], layout: Layout
) -> LanguageModel:
    """The base language model with what the checkpoint adds to it.

    Args:
        base: directory of a causal LM of transformers.
        checkpoint: directory of the checkpoint; its tokenizer wins over the base's.
        state: the checkpoint's tensors.
        layout: of the checkpoint.

    Raises:
        WeightsError: something is missing, damaged, or doesn't fit.
    """
    own = any((checkpoint / name).is_file() for name in TOKENIZER_FILES)
    tokenizer = read_tokenizer(checkpoint if own else base)
    model = read_model(base, "auto")
    rows = {
        side: tensor
        for side, end in ROWS.items()
        for name, tensor in state.items()
        if name.endswith(end)
    }
    if rows:
        added = _mark(tokenizer, layout.dialect)
        _restore_rows(model, rows, len(tokenizer), added, exact=not own)
    elif len(tokenizer) > len(model.get_input_embeddings().weight):
        raise WeightsError("The checkpoint's tokenizer has tokens for which there are no rows.")
    # A template that came with the checkpoint is its own; one of the base is another model's.
    if not own or not tokenizer.chat_template:
        tokenizer.chat_template = layout.template
    if layout.stops:
        model.generation_config.stop_strings = list(layout.stops)
    language = LanguageModel(model, tokenizer, DEFAULT_SPECS, layout.dialect)
    lora = lora_of(state, checkpoint)
    if lora is not None:
        language.add_lora(lora.r, lora.alpha, lora.dropout, lora.targets, lora.stable)
        language.load_lora(lora.state)
    return language.eval()


def lora_of(state: Mapping[str, Tensor], checkpoint: Path) -> Lora | None:
    """The LoRA adapter among a checkpoint's tensors, if there is one.

    Raises:
        WeightsError: its configuration can't be read, or its modules differ in rank or scale.
    """
    found: dict[str, Tensor] = {}
    for name, tensor in state.items():
        if match := _LORA.search(name):
            found[f"base_model.model.model.{match[1]}.lora_{match[2]}.weight"] = tensor
    if not found:
        return None
    ranks = {t.shape[0] for name, t in found.items() if name.endswith("lora_A.weight")}
    if len(ranks) != 1:
        raise WeightsError("The LoRA of these weights has no single rank.")
    path = checkpoint / "adapter_config.json"
    config = read_json(path) if path.is_file() else {}
    for pattern in ("rank_pattern", "alpha_pattern"):
        if config.get(pattern):
            raise WeightsError(
                f"{path} has a {pattern}: a LoRA is only read with one rank and one alpha for all "
                "modules."
            )
    targets = sorted({name.rsplit(".", 3)[1] for name in found})
    return Lora(
        found,
        ranks.pop(),
        config.get("lora_alpha", ALPHA),
        config.get("lora_dropout", DROPOUT),
        tuple(targets),
        bool(config.get("use_rslora", False)),
    )


def is_language(name: str) -> bool:
    """Whether a tensor of this name is restored here, or may be passed over."""
    return bool(_LORA.search(name)) or name.endswith((*ROWS.values(), "rotary_emb.inv_freq"))


def _mark(tokenizer: Any, dialect: Dialect) -> int:
    """Give the dialect's tokens their flags; those that are missing are added. How many are."""
    before = len(tokenizer)
    tokens = dialect.tokens(DEFAULT_SPECS)
    tokenizer.add_tokens(dialect.marked(tokens), special_tokens=True)
    return len(tokenizer) - before


@torch.no_grad()
def _restore_rows(
    model: Any, rows: Mapping[str, Tensor], tokens: int, added: int, exact: bool
) -> None:
    """Write the checkpoint's rows into embedding and head.

    A checkpoint has the rows of all tokens, or only of those it ``added``. Without a tokenizer
    of its own it must have as many as there are ``tokens`` now (``exact``): otherwise nobody
    knows which row is whose.
    """
    for tensor in rows.values():
        whole = len(tensor) == tokens or (len(tensor) > tokens and not exact)
        if not whole and len(tensor) != added:
            raise WeightsError(
                f"The checkpoint has rows for {len(tensor)} tokens and the tokenizer has {tokens}: "
                "put the checkpoint's own tokenizer beside it."
            )
    old = len(model.get_input_embeddings().weight)
    needed = max(tokens, *map(len, rows.values()))
    if needed != old:
        model.resize_token_embeddings(needed, mean_resizing=False)
    modules = {"embedding": model.get_input_embeddings(), "head": model.get_output_embeddings()}
    tied = modules["embedding"].weight is modules["head"].weight
    if tied and len(rows) == 2 and not torch.equal(*rows.values()):
        raise WeightsError(
            "The checkpoint's head isn't its embedding, as that of the language model is."
        )
    for side, module in modules.items():
        weight = module.weight
        if needed > old:
            weight[old:] = weight[:old].float().mean(dim=0).to(weight)
        if side not in rows:
            continue
        tensor = rows[side]
        if tensor.shape[1] != weight.shape[1]:
            raise WeightsError(
                f"The checkpoint's {side} is {tensor.shape[1]} wide and that of the language model "
                f"{weight.shape[1]}: it was trained on another one."
            )
        first = tokens - added if len(tensor) == added else 0
        weight[first : first + len(tensor)] = tensor.to(weight)
