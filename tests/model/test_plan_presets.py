"""What the presets take at full size, and how they are placed on cards that people have.

Parts are on the meta device, in the sizes of the published checkpoints (their ``config.json``).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from heliograph.model.checkpoint import write_json
from heliograph.model.compose import Parts, input_projection
from heliograph.model.conditions import SEQUENCE
from heliograph.model.decoders.adapter import DiffusionDecoder
from heliograph.model.decoders.outline import outline
from heliograph.model.dialects import DEFAULT_SPECS, HELIOGRAPH
from heliograph.model.encoders import Encoder
from heliograph.model.errors import TooLittleMemory
from heliograph.model.needs import decoder_need, encoder_need, language_need
from heliograph.model.parts import MODALITIES, Modality
from heliograph.model.plan import GB, PROJECTIONS, Memory, Need, plan
from heliograph.model.presets import nextgpt_7b, open_7b, open_small
from heliograph.model.primer import weights_dir
from heliograph.model.projections import OutputProjection
from heliograph.model.published import (
    audioldm_l,
    clap_htsat,
    flux_schnell,
    imagebind_huge,
    qwen3_06b,
    qwen25_7b,
    sd15,
    siglip_base,
    siglip_so400m,
    vicuna_7b,
    wan_13b,
    zeroscope,
)
from heliograph.model.referenced import ROWS_FILE
from heliograph.model.sources import Source
from heliograph.model.training.alignment import memory
from heliograph.model.training.alignment.settings import Settings


def on_meta(build: Callable[[], Any]) -> Any:
    with torch.device("meta"):
        return build()


def decoder(build: Callable[[], Any]) -> DiffusionDecoder:
    return DiffusionDecoder(on_meta(build))


def primers(modality: Modality) -> DiffusionDecoder:
    return outline(weights_dir() / "decoders" / modality)


@cache
def preset(name: str) -> tuple[Need, ...]:
    """The needs of a preset's parts; of the open small one without the primer's films."""
    parts, language, encoders, decoders = {
        "nextgpt-7b": lambda: (
            nextgpt_7b(),
            vicuna_7b,
            {MODALITIES: imagebind_huge},
            {"image": decoder(sd15), "audio": decoder(audioldm_l), "video": decoder(zeroscope)},
        ),
        "open-7b": lambda: (
            open_7b(),
            qwen25_7b,
            {("image", "video"): siglip_so400m, ("audio",): clap_htsat},
            {
                "image": decoder(flux_schnell),
                "audio": primers("audio"),
                "video": decoder(wan_13b),
            },
        ),
        "open-small": lambda: (
            open_small(),
            qwen3_06b,
            {("image", "video"): siglip_base, ("audio",): clap_htsat},
            {m: primers(m) for m in ("image", "audio")},
        ),
    }[name]()
    model = on_meta(language)
    width = model.config.hidden_size
    found, count = [language_need(model)], 0
    for modalities, build in encoders.items():
        encoder = on_meta(build)
        found.append(encoder_need(build.__name__, encoder, modalities))
        count += sum(_projection(parts, encoder, m, width) for m in modalities)
    for modality, made in decoders.items():
        found.append(decoder_need(modality, made, type(made.pipeline).__name__))
        spec = next(spec for spec in DEFAULT_SPECS if spec.modality == modality)
        shapes = made.condition_shapes
        count += _count(on_meta(lambda: OutputProjection.for_shapes(width, shapes, spec.count)))  # noqa: B023
    return (found[0], Need(PROJECTIONS, "projections", count), *found[1:])


def _projection(parts: Parts, encoder: Encoder, modality: Modality, width: int) -> int:
    return _count(on_meta(lambda: input_projection(parts, encoder, modality, width)))


def _count(module: Any) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


TURNS = ("decoders in turn", "encoders in turn")
INT8, NF4 = "the language model in int8", "the language model in 4 bits"
IMAGE, VIDEO = "decoders/image on the processor", "decoders/video on the processor"
OFF = ("language on the processor", "projections on the processor")


@pytest.mark.parametrize(
    ("name", "concessions"),
    [
        ("open-small", dict.fromkeys((8, 12, 16, 24, 48, 80), ())),
        (
            "nextgpt-7b",
            {
                8: (*TURNS, NF4, VIDEO),
                12: (*TURNS, NF4),
                16: (*TURNS, INT8),
                24: TURNS[:1],
                48: (),
                80: (),
            },
        ),
        (
            "open-7b",
            {
                8: (*OFF, IMAGE, VIDEO),
                12: (NF4, IMAGE, VIDEO),
                16: (INT8, IMAGE, VIDEO),
                24: (IMAGE, VIDEO),
                48: (*TURNS, INT8),
                80: (),
            },
        ),
    ],
)
def test_presets_on_cards_that_people_have(
    name: str, concessions: dict[int, tuple[str, ...]]
) -> None:
    for gpu, expected in concessions.items():
        found = plan(preset(name), Memory(256 * GB, (gpu * GB,)))
        assert (gpu, found.concessions) == (gpu, expected)
        (peak,) = found.gpu_peaks
        assert peak <= 0.9 * gpu * GB or gpu * GB - peak >= 2 * GB


def test_presets_on_two_cards() -> None:
    spread = "the language model over 2 GPUs"
    for name, gpu, expected in (
        ("nextgpt-7b", 12, (*TURNS, spread)),
        ("nextgpt-7b", 16, (spread,)),
        ("nextgpt-7b", 24, ()),
        ("open-7b", 48, ()),
    ):
        found = plan(preset(name), Memory(256 * GB, (gpu * GB, gpu * GB)))
        assert found.concessions == expected
        assert all(p <= u for p, u in zip(found.gpu_peaks, found.memory.usable, strict=True))


def test_presets_without_a_gpu() -> None:
    small, nextgpt, large = map(preset, ("open-small", "nextgpt-7b", "open-7b"))
    assert plan(small, Memory(12 * GB)).concessions == ()
    assert plan(nextgpt, Memory(64 * GB)).concessions == ()
    assert plan(nextgpt, Memory(32 * GB)).concessions == ("everything in 16 bits",)
    with pytest.raises(TooLittleMemory, match=r"takes 75\.9 GB of memory where 64\.0 GB"):
        plan(large, Memory(64 * GB))


def test_parameters_are_those_of_the_published_checkpoints() -> None:
    millions = {need.part: need.parameters // 10**6 for need in preset("open-7b")}
    assert millions["language"] == 7615 and millions["encoders/siglip_so400m"] == 877
    assert millions["decoders/image"] == 16860  # Flux 11,891, T5 4,762, CLIP 123, VAE 84


@pytest.fixture(scope="module")
def composed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What counting reads of the core that the preset ``nextgpt-7b`` composes: its headers.

    Files have the published shapes, and holes in the place of numbers.
    """
    core = tmp_path_factory.mktemp("cores") / "nextgpt-7b"
    base, model = core.with_name("vicuna-7b-v0"), on_meta(vicuna_7b)
    model.config.save_pretrained(base)
    hollow(base / "model.safetensors", model.state_dict())
    parts, encoder, state = nextgpt_7b(), on_meta(imagebind_huge), {}
    for modality in MODALITIES:
        entrance = on_meta(lambda: input_projection(parts, encoder, modality, 4096))  # noqa: B023
        state |= {f"inputs.{modality}.{n}": x for n, x in entrance.state_dict().items()}
    for spec in DEFAULT_SPECS:
        shape = {"image": (77, 768), "audio": (1, 512), "video": (77, 1024)}[spec.modality]
        leaving = on_meta(
            lambda: OutputProjection.for_shapes(4096, {SEQUENCE: shape}, spec.count)  # noqa: B023
        )
        state |= {f"outputs.{spec.modality}.{n}": x for n, x in leaving.state_dict().items()}
    hollow(core / "projections.safetensors", state)
    ids = torch.arange(32_001, 32_001 + len(HELIOGRAPH.tokens(DEFAULT_SPECS)))
    rows = torch.zeros(len(ids), 4096, dtype=torch.float16)
    (core / "language").mkdir()
    save_file({"ids": ids, "embedding": rows, "head": rows.clone()}, core / "language" / ROWS_FILE)
    source = Source(path=str(base), sha256="0" * 64).to_dict()
    signals = {spec.modality: spec.count for spec in DEFAULT_SPECS}
    config = {"encoders": {}, "decoders": [], "signals": signals, "sources": {"language": source}}
    write_json(core / "config.json", config)
    return core


def hollow(path: Path, state: Mapping[str, torch.Tensor]) -> None:
    """A safetensors file of such shapes in half precision, of which only the header takes room."""
    entries, end = {}, 0
    for name, tensor in state.items():
        start, end = end, end + 2 * tensor.numel()
        shape = list(tensor.shape)
        entries[name] = {"dtype": "F16", "shape": shape, "data_offsets": [start, end]}
    header = json.dumps(entries).encode()
    path.parent.mkdir(exist_ok=True)
    with path.open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        file.truncate(8 + len(header) + end)


# Input projections: three linear layers of 1024 x 4096 weights and 4096 biases.
ENTRANCES = 3 * (1024 * 4096 + 4096)
# A Transformer 512 wide: four layers of attention and a network of 2048, four of attention to
# itself, to what was read and the same network, a norm before each of these and after each four.
ATTENTION, NETWORK, NORM = 4 * (512 * 512 + 512), 2 * 512 * 2048 + 2048 + 512, 2 * 512
READING, WRITING = ATTENTION + NETWORK + 2 * NORM, 2 * ATTENTION + NETWORK + 3 * NORM
TRANSFORMER = 4 * READING + 4 * WRITING + 2 * NORM
# Output projections: a linear layer from 4096 to 512, the Transformer, a query for each token of
# the condition (77 for pictures and films, 1 for sounds), and a linear layer to its width.
EXITS = 3 * (4096 * 512 + 512 + TRANSFORMER) + sum(
    tokens * 512 + 512 * width + width for tokens, width in ((77, 768), (1, 512), (77, 1024))
)
# Rows of 43 tokens (4 + 8 + 24 signals, 7 markers) in embedding and head.
ROWS = 43 * 4096 * 2
# Matrices of 32 x 4096 and 4096 x 32 at four places of 32 layers: 33 M, as in table 1 of the paper.
LORA = 32 * 4 * (32 * 4096 + 4096 * 32)
LLAMA = 6_738_415_616  # of LLaMA-7B, which has rows for 32,000 tokens; Vicuna v0 has one more


@pytest.mark.parametrize(
    ("stage", "trained", "share", "of_all"),
    [
        ("encode", {"input projections": ENTRANCES}, "0.18%", "0.11%"),
        ("decode", {"new rows": ROWS, "output projections": EXITS}, "1.40%", "0.82%"),
        (
            "instruct",
            {
                "LoRA": LORA,
                "new rows": ROWS,
                "input projections": ENTRANCES,
                "output projections": EXITS,
            },
            "2.07%",
            "1.20%",
        ),
    ],
)
def test_what_each_stage_of_nextgpt_trains(
    stage: str, trained: dict[str, int], share: str, of_all: str, composed: Path
) -> None:
    """What a dry run prints: the share of what a run holds, which is neither encoders nor decoders.

    With these it is the "only 1 %" of table 1 of Wu et al. 2023 (arXiv 2309.05519).
    """
    settings = Settings(stage, composed, composed, composed, composed.with_name("run"))
    parts = memory.parts(settings)
    assert {part.name: part.trained for part in parts if part.trained} == trained
    frozen = {part.name: part.numbers for part in parts if part.name not in trained}
    assert frozen.pop("language model") == LLAMA + 2 * 4096 + ROWS
    assert frozen.items() <= {"input projections": ENTRANCES, "output projections": EXITS}.items()
    total = sum(trained.values())
    assert f"{total / sum(part.numbers for part in parts):.2%}" == share
    beside = [need.parameters for need in preset("nextgpt-7b") if "/" in need.part]
    whole = sum(part.numbers for part in parts) + sum(beside)
    assert f"{total / whole:.2%}" == of_all
