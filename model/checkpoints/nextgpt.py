"""The parts of a NExT-GPT checkpoint, from its state dict into our own classes.

NExT-GPT (Wu et al. 2023, arXiv 2309.05519) was published in two layouts. The *legacy* one has
released weights: one state dict with ``llama_proj`` and ``gen_text_hidden_fcs*``. That of the
*head*, the rewrite, has ``mm_input_projector`` and ``mm_output_*_projector``. Names are found
wherever they stand in a longer one, so whatever wrapped the model (DDP, PEFT) is no matter.

Each part can be read and checked alone; ``assembly.py`` puts them together.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TypeVar

from torch import Tensor

from heliograph.model.checkpoints.imagebind import imagebind
from heliograph.model.errors import WeightsError, in_one_line
from heliograph.model.parts import NAMES, Modality
from heliograph.model.projections import (
    InputProjection,
    InputProjectionConfig,
    OutputProjection,
)

__all__ = ["imagebind", "input_projection", "output_projection"]

HEADS = 4
"""Attention heads of the published output projections; no tensor tells them."""
GROUPING_HEADS = 8
"""The same of the grouping input projection."""
OUTPUTS: dict[Modality, tuple[str, str]] = {
    "image": ("gen_text_hidden_fcs", "mm_output_img_projector"),
    "video": ("gen_text_hidden_fcs_video", "mm_output_vid_projector"),
    "audio": ("gen_text_hidden_fcs_audio", "mm_output_aud_projector"),
}
INPUTS = ("llama_proj", "mm_input_projector")
_RENAMED = {
    "fc.": "input.",
    "in_fc.": "input.",
    "tfm.": "transformer.",
    "model.": "output.",
    "out_fc.": "output.",
}
_Module = TypeVar("_Module", InputProjection, OutputProjection)
_Value = TypeVar("_Value")


def output_projection(state_dict: Mapping[str, Tensor], modality: Modality) -> OutputProjection:
    """The output projection of a modality, its sizes read from the tensors.

    Called as ``module(hidden, embeddings)``, both (B, n, LLM width) for a run of any length n,
    it gives a condition (B, tokens, condition width).

    Args:
        state_dict: of either layout; other tensors in it are passed over.
        modality: what is to be made.

    Raises:
        WeightsError: there is none, or it is not of the transformer kind.
    """
    tensors = _output_tensors(state_dict, modality)
    queries = tensors.pop("query_embs")  # (1, m, hidden)
    layers = set(re.findall(r"tfm\.encoder\.layers\.(\d+)\.", " ".join(tensors)))
    state = {"queries": queries.squeeze(0)}
    for name, tensor in tensors.items():
        old = next(old for old in _RENAMED if name.startswith(old))
        state[_RENAMED[old] + name.removeprefix(old)] = tensor
    projection = OutputProjection(
        llm_width=state["input.weight"].shape[1],
        condition_width=state["output.weight"].shape[0],
        condition_tokens=queries.shape[1],
        signal_tokens=None,
        hidden=queries.shape[2],
        layers=len(layers),
        heads=HEADS,
        ff=state["transformer.encoder.layers.0.linear1.weight"].shape[0],
    )
    return _filled(projection, state, f"output projection for {NAMES[modality]}")


def input_projection(state_dict: Mapping[str, Tensor], tokens: int = 1) -> InputProjection:
    """The input projection, which all modalities share, its sizes read from the tensors.

    Called on what the encoder gives, (B, n, encoder width), it gives (B, n, LLM width).

    Args:
        state_dict: of either layout; other tensors in it are passed over.
        tokens: how many an encoder gives for each medium; the module's configuration says it.

    Raises:
        WeightsError: there is none, or it is of a kind that isn't read.
    """
    tensors = next((found for name in INPUTS if (found := part(state_dict, name))), None)
    if tensors is None:
        raise WeightsError(
            f"There is no input projection among these weights: neither {' nor '.join(INPUTS)}."
        )
    config: dict[str, Any] = {"encoder_tokens": tokens}
    if set(tensors) == {"weight", "bias"}:
        llm_width, encoder_width = tensors["weight"].shape
        config |= {"kind": "linear"}
        state = {f"linear.{name}": tensor for name, tensor in tensors.items()}
    elif set(tensors) == {f"layer.{i}.{n}" for i in (0, 2) for n in ("weight", "bias")}:
        hidden, encoder_width = tensors["layer.0.weight"].shape
        llm_width = tensors["layer.2.weight"].shape[0]
        config |= {"kind": "mlp", "hidden": hidden}
        state = {name.replace("layer.", "layers."): tensor for name, tensor in tensors.items()}
    elif {"in_fc.weight", "out_fc.weight", "layers.0.group_token"} <= set(tensors):
        hidden, encoder_width = tensors["in_fc.weight"].shape
        llm_width = tensors["out_fc.weight"].shape[0]
        stages = _stages(tensors)
        config |= {"kind": "grouping", "hidden": hidden, "heads": GROUPING_HEADS}
        config |= {"stages": stages, "tokens": next((m for _, _, m in reversed(stages) if m), 0)}
        state = tensors
    else:
        raise WeightsError(
            "The input projection of these weights is of a kind that isn't read, with "
            f"{min(tensors)}; linear ones, those of two layers and grouping ones are."
        )
    config |= {"encoder_width": encoder_width, "llm_width": llm_width}
    return _filled(InputProjectionConfig(**config).build(), state, "input projection")


def _stages(tensors: Mapping[str, Tensor]) -> list[tuple[int, int, int]]:
    """Blocks, group tokens and groups of each stage of a grouping projection."""
    blocks = set(re.findall(r"\blayers\.(\d+)\.blocks\.(\d+)\.", " ".join(tensors)))
    stages: list[tuple[int, int, int]] = []
    for stage in range(len({stage for stage, _ in blocks})):
        depth = sum(int(of) == stage for of, _ in blocks)
        tokens = tensors.get(f"layers.{stage}.group_token")  # (1, g, W)
        groups = tensors.get(f"layers.{stage}.downsample.mlp_inter.fc2.weight")  # (m, W / 2)
        sizes = (0, 0) if tokens is None or groups is None else (tokens.shape[1], len(groups))
        stages.append((depth, *sizes))
    return stages


def part(state_dict: Mapping[str, _Value], name: str) -> dict[str, _Value]:
    """What belongs to the module ``name``, wherever it stands, by the names inside of it."""
    found: dict[str, _Value] = {}
    for full, value in state_dict.items():
        _, dot, inner = f".{full}".partition(f".{name}.")
        if dot:
            found[inner] = value
    return found


def _output_tensors(state_dict: Mapping[str, Tensor], modality: Modality) -> dict[str, Tensor]:
    legacy, head = OUTPUTS[modality]
    tensors = part(state_dict, head)
    if layers := part(state_dict, legacy):
        if any(not name.startswith("0.") for name in layers):
            raise WeightsError(
                f"{legacy} reads more than one layer of the language model, and only the last is "
                "read here."
            )
        tensors = {name.removeprefix("0."): tensor for name, tensor in layers.items()}
    if not tensors:
        raise WeightsError(
            f"There is no output projection for {NAMES[modality]} among these weights: neither "
            f"{legacy} nor {head}."
        )
    known = ("query_embs", *_RENAMED)
    needed = {"query_embs", "tfm.encoder.layers.0.linear1.weight"}
    strange = [name for name in tensors if not name.startswith(known)]
    if strange or not needed <= set(tensors):
        raise WeightsError(
            f"The output projection for {NAMES[modality]} is not of the transformer kind: it has "
            f"{min(strange or tensors)}."
        )
    return tensors


def _filled(module: _Module, state: Mapping[str, Tensor], what: str) -> _Module:
    try:
        module.load_state_dict(dict(state), strict=True)
    except RuntimeError as error:
        reason = in_one_line(error)
        raise WeightsError(f"The {what} doesn't fit its sizes: {reason}") from error
    module.eval()
    return module
