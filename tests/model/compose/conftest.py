"""Parts that a core can be composed of, tiny and saved by their own libraries."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import transformers as tf

from heliograph.model.compose import Parts, compose
from heliograph.model.decoders.testing import small_pictures, small_sounds
from heliograph.model.encoders.small import clap, clip, imagebind
from heliograph.model.testing import CORPUS, small_config
from heliograph.model.tokenizer import train_tokenizer

CARD = "---\nlicense: apache-2.0\ntags: [tiny]\n---\n# A tiny part\n"
OUTPUT = {"hidden": 16, "layers": 1, "heads": 2, "ff": 32}


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``llama``, ``tied``, ``clip``, ``clap``, ``imagebind``, ``pictures`` and ``sounds``."""
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("parts")
    torch.manual_seed(0)
    tokenizer = train_tokenizer(CORPUS * 10, 400)
    for name, tied in (("llama", False), ("tied", True)):
        model = tf.LlamaForCausalLM(small_config(len(tokenizer), tied))
        model.half().save_pretrained(root / name)
        tokenizer.save_pretrained(root / name)
    (root / "llama" / "README.md").write_text(CARD)
    clip().save_pretrained(root / "clip")
    clap().save_pretrained(root / "clap")
    imagebind().save_pretrained(root / "imagebind")
    small_pictures().save_pretrained(root / "pictures")
    small_sounds().save_pretrained(root / "sounds")
    return root


@pytest.fixture(scope="session")
def parts(folders: Path) -> Parts:
    """A language model, two encoders for three modalities, and two decoders."""
    return Parts(
        str(folders / "llama"),
        {
            "image": str(folders / "clip"),
            "video": str(folders / "clip"),
            "audio": str(folders / "clap"),
        },
        {"image": str(folders / "pictures"), "audio": str(folders / "sounds")},
        tokens=3,
        output=OUTPUT,
    )


@pytest.fixture(scope="session")
def composed(parts: Parts, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A core that refers to ``parts``; don't change it."""
    out = tmp_path_factory.mktemp("composed") / "core"
    compose(parts, out)
    return out


@pytest.fixture
def composing(parts: Parts, tmp_path: Path) -> Callable[..., Path]:
    """Composes with some of the parts changed, into ``tmp_path / "core"``."""

    def run(copy: bool = False, **changes: object) -> Path:
        out = tmp_path / "core"
        compose(replace(parts, **changes), out, copy)  # type: ignore[arg-type]
        return out

    return run
