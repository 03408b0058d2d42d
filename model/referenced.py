"""A language model that isn't copied: a base somewhere else, and the rows that a core changes.

What a core adds to a language model are rows of the embedding and of the head, and an adapter.
So a core that refers to its base keeps ``rows.safetensors`` beside the tokenizer: the ``ids`` of
rows, their ``embedding`` (n, W), and their ``head`` (n, W) where it isn't tied.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from heliograph.model.checkpoint import read_tensors, readable
from heliograph.model.errors import WeightsError, in_one_line
from heliograph.model.headers import Header, check_shapes, headers, read
from heliograph.model.pretrained import meta_model, read_model
from heliograph.model.quiet import quiet
from heliograph.model.senses import language_headers

if TYPE_CHECKING:
    from transformers import PreTrainedModel

ROWS_FILE = "rows.safetensors"


def outline_language(folder: Path) -> PreTrainedModel:
    """A causal LM with its embedding and head; everything else is on the meta device.

    So rows are added to a model of any size without reading it. Where the names in its files
    aren't those of its class, as with checkpoints of older releases of transformers, it is read
    as a whole. Of a model that sees or hears by itself (``senses.py``) it is the language model
    alone.

    Raises:
        WeightsError: a file is missing, damaged, pickled or doesn't fit.
    """
    from transformers import GenerationConfig

    headers(folder)
    try:
        with quiet(), readable(folder, "config.json", "generation_config.json"):
            model: Any = meta_model(folder)
            if (folder / "generation_config.json").is_file():
                model.generation_config = GenerationConfig.from_pretrained(folder)
    except (OSError, ValueError, KeyError, TypeError, ImportError) as error:
        what = in_one_line(error, 200)
        raise WeightsError(
            f"{folder} is no causal language model of transformers: {what}"
        ) from error
    found = language_headers(folder)
    check_shapes(found, model, folder)
    embedding, head = model.get_input_embeddings(), model.get_output_embeddings()
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    tied = head.weight is embedding.weight
    if set(names.values()) - set(found):
        return read_model(folder, "auto")
    embedding.weight = nn.Parameter(read(found[names[id(embedding.weight)]]))
    head.weight = embedding.weight if tied else nn.Parameter(read(found[names[id(head.weight)]]))
    whole: PreTrainedModel = model.eval()
    return whole


def write_rows(directory: Path, model: PreTrainedModel, ids: list[int]) -> None:
    """Keep these rows of embedding and head."""
    from safetensors.torch import save_file

    embedding, head = _weights(model)
    state = {"ids": torch.tensor(ids, dtype=torch.long), "embedding": embedding[ids]}
    if head is not embedding:
        state["head"] = head[ids]
    stored = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    save_file(stored, directory / ROWS_FILE, {"format": "pt"})


def further_rows(path: Path, base: int) -> dict[str, Header]:
    """The rows that ``write_rows`` kept, without those that stand in for one of the base's own.

    Args:
        path: of the file.
        base: how many rows the base has.

    Raises:
        WeightsError: it is missing or damaged.
    """
    found = headers(path)
    further = int((read(found.pop("ids")) >= base).sum())
    return {name: replace(h, shape=(further, *h.shape[1:])) for name, h in found.items()}


@torch.no_grad()
def restore_rows(model: PreTrainedModel, directory: Path) -> None:
    """Put the rows that ``write_rows`` kept into the base model.

    Raises:
        WeightsError: they are missing, damaged, or another model's.
    """
    path = directory / ROWS_FILE
    state = read_tensors(path)
    embedding, head = _weights(model)
    tied = head is embedding
    width = embedding.shape[1]
    names = {"embedding"} if tied else {"embedding", "head"}
    fits = set(state) == {"ids", *names} and all(
        state[name].shape == (len(state["ids"]), width) for name in names
    )
    if not fits:
        raise WeightsError(f"The rows in {path} don't fit the language model, {width} wide.")
    if not len(state["ids"]):
        return
    needed = int(state["ids"].max()) + 1
    if needed > len(embedding):
        model.resize_token_embeddings(needed, mean_resizing=False)
        embedding, head = _weights(model)
    embedding[state["ids"]] = state["embedding"].to(embedding)
    if not tied:
        head[state["ids"]] = state["head"].to(head)


@torch.no_grad()
def changed_rows(model: PreTrainedModel, base: Path) -> list[int] | None:
    """The rows in which a model differs from its base; ``None`` if it differs elsewhere too.

    Adapters are passed over. Where the names in the base's files are others, it is taken for
    different.
    """
    found = language_headers(base)
    embedding, head = _weights(model)
    rows: set[int] = set()
    for name, tensor in model.state_dict().items():
        name = name.replace(".base_layer.", ".")
        if ".lora_" in name:
            continue
        if name not in found:
            if tensor.data_ptr() == embedding.data_ptr():  # a tied head is stored once
                continue
            return None
        stored = read(found[name]).to(tensor.dtype)
        if tensor.data_ptr() in (embedding.data_ptr(), head.data_ptr()):
            own = tensor[: len(stored)].cpu()
            differs = (own != stored).any(dim=1).nonzero().flatten().tolist()
            rows |= {*differs, *range(len(stored), len(tensor))}
        elif stored.shape != tensor.shape or not torch.equal(stored, tensor.cpu()):
            return None
    return sorted(rows)


def _weights(model: PreTrainedModel) -> tuple[Tensor, Tensor]:
    embedding: Any = model.get_input_embeddings()
    head: Any = model.get_output_embeddings()
    return embedding.weight, head.weight
