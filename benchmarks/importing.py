"""Seconds and peak memory of importing a NExT-GPT checkpoint, in fresh processes.

The checkpoint is of the published layout with random weights, at a size that fits anywhere: what
it takes is told beside the size of the files, and its peak over that of the imports alone.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.harness import Figure, Settings, figure, python

if TYPE_CHECKING:
    from transformers import LlamaTokenizer

WIDTH, LAYERS, VOCABULARY, RANK = 768, 8, 16_000, 32


def measure(settings: Settings) -> list[Figure]:
    """An import, and a process that imports the libraries alone, a few times."""
    bare: list[dict[str, Any]] = []
    full: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        publish(folder)
        size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6
        for number in range(max(settings.repeats // 3, 1)):
            for way, ran in (("nothing", bare), ("import", full)):
                out = folder / f"core-{number}"
                output = python("-m", "benchmarks.one_composed", way, str(folder), str(out))
                ran.append(json.loads(output))
    over = [run["peak_mb"] - alone["peak_mb"] for run, alone in zip(full, bare, strict=True)]
    return [
        figure("importing", "import nextgpt", "s", [run["seconds"] for run in full]),
        figure("importing", "import nextgpt: files of the checkpoint", "MB", [size]),
        figure("importing", "import nextgpt: peak memory over imports alone", "MB", over),
    ]


def publish(folder: Path) -> None:
    """A checkpoint of the first layout: ``vicuna/``, ``imagebind.pth`` and ``nextgpt/``.

    Its language model is small, and its encoders are narrow and have two blocks each.
    """
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from heliograph.model.dialects import DEFAULT_SPECS
    from heliograph.model.encoders.config import ImageBindConfig
    from heliograph.model.encoders.published import PublishedImageBind

    torch.manual_seed(0)
    tokenizer = _tokenizer()
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=WIDTH,
        num_hidden_layers=LAYERS,
        num_attention_heads=12,
        intermediate_size=2048,
        tie_word_embeddings=False,
    )
    LlamaForCausalLM(config).half().save_pretrained(folder / "vicuna")
    tokenizer.save_pretrained(folder / "vicuna")
    huge = ImageBindConfig.huge()
    encoder = PublishedImageBind(
        replace(
            huge,
            joint=256,
            vision=replace(huge.vision, width=320, blocks=2),
            audio=replace(huge.audio, width=192, blocks=2),
            text=replace(huge.text, width=192, blocks=2),
        )
    )
    torch.save(encoder.state_dict(), folder / "imagebind.pth")
    new = sum(spec.count for spec in DEFAULT_SPECS)
    base = "llama_model.base_model.model."
    rows = torch.randn(len(tokenizer) + new + 2, WIDTH)
    state = {f"{base}model.embed_tokens.weight": rows, f"{base}lm_head.weight": rows.clone()}
    for layer in range(LAYERS):
        for name in ("q_proj", "k_proj", "v_proj", "o_proj"):
            key = f"{base}model.layers.{layer}.self_attn.{name}.lora_"
            state[f"{key}A.default.weight"] = torch.randn(RANK, WIDTH)
            state[f"{key}B.default.weight"] = torch.randn(WIDTH, RANK)
    state["llama_proj.weight"] = torch.randn(WIDTH, encoder.config.joint)
    state["llama_proj.bias"] = torch.randn(WIDTH)
    (folder / "nextgpt").mkdir()
    torch.save(state, folder / "nextgpt" / "pytorch_model.pt")


def _tokenizer() -> LlamaTokenizer:
    """A tokenizer of Llama's kind, of bytes and made-up words."""
    from transformers import LlamaTokenizer

    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    pieces += [f"▁w{number}" for number in range(VOCABULARY - len(pieces))]
    return LlamaTokenizer(vocab={piece: i for i, piece in enumerate(pieces)}, merges=[])
