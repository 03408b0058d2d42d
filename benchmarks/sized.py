"""The core of the preset ``nextgpt-7b`` with random weights, made on the device where it computes.

Nothing is downloaded, and nothing but a few small files is written. Random weights take the time
of trained ones, but say nothing of worth: ``Scripted`` is told what to say, after it has computed
what it would have said itself. ``TINY`` has parts of the same classes that a processor can do.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from heliograph.model import published
from heliograph.model.compose import input_projection
from heliograph.model.conditions import Shapes
from heliograph.model.core import AnyToAny
from heliograph.model.data.prepared import (
    TOKENS,
    FileHashes,
    Prepared,
    caption_key,
    conditions_folder,
    features_folder,
)
from heliograph.model.data.store import Shards, ShardWriter
from heliograph.model.decoders.adapter import DiffusionDecoder
from heliograph.model.decoders.small import small
from heliograph.model.dialects import DEFAULT_SPECS
from heliograph.model.encoders.pooled import PooledEncoder
from heliograph.model.encoders.small import imagebind
from heliograph.model.language import LanguageModel
from heliograph.model.parts import MODALITIES, Modality
from heliograph.model.presets import nextgpt_7b
from heliograph.model.primer import scenes
from heliograph.model.projections import InputProjection, OutputProjection
from heliograph.model.quiet import quiet
from heliograph.model.testing import small_config
from heliograph.model.tokenizer import END_ID, train_tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from heliograph.model.encoders import Encoder

DTYPE = torch.bfloat16
VOCABULARY = 1000
"""Of the tokenizer, for captions of the primer's world: about a token for a word."""
ROWS = 96
"""Of each data set: a third of them for each modality."""
TURNS = 6
"""Questions in a dialogue of the third stage."""


@dataclass(frozen=True, eq=False)
class Size:
    """The parts of a core of one size, built where torch's default device is."""

    language: Callable[[], PreTrainedModel]
    encoder: Callable[[], Encoder]
    decoders: Mapping[Modality, Callable[[], DiffusionDecoder]]
    output: Mapping[str, int]
    """Sizes of the output projections where they aren't NExT-GPT's."""
    words: int
    """Tokens of an answer."""
    warm: int
    """Steps of a stage that aren't counted."""
    steps: int
    """Those that are: as many as are drawn and sorted together, or a multiple of it."""


def _small_llama() -> PreTrainedModel:
    from transformers import AutoModelForCausalLM

    config = small_config(2 * VOCABULARY, tied=False, context=1024)
    model: PreTrainedModel = AutoModelForCausalLM.from_config(config, dtype=DTYPE)
    return model.eval()


FULL = Size(
    lambda: published.vicuna_7b(DTYPE),
    published.imagebind_huge,
    {
        "image": lambda: DiffusionDecoder(published.sd15()),
        "audio": lambda: DiffusionDecoder(published.audioldm_l()),
        "video": lambda: DiffusionDecoder(published.zeroscope()),
    },
    {},
    words=96,
    warm=8,
    steps=16,
)
TINY = Size(
    _small_llama,
    lambda: PooledEncoder(imagebind().eval(), 8),
    {
        "image": lambda: small("StableDiffusionPipeline"),
        "audio": lambda: small("AudioLDMPipeline"),
        "video": lambda: small("TextToVideoSDPipeline"),
    },
    {"hidden": 16, "layers": 1, "heads": 2, "ff": 32},
    words=4,
    warm=1,
    steps=2,
)


class Scripted(LanguageModel):
    """A language model that says what it is told to."""

    script: list[int]
    """The ids that it is to choose next; a run of signal tokens is one choice, of its first."""

    def logits(self, hidden: Tensor) -> Tensor:
        """As they are, but for the token whose turn it is."""
        scores = super().logits(hidden)
        if self.script:
            scores[..., self.script.pop(0)] = torch.inf
        return scores


def core_of(
    size: Size, device: torch.device, seen: bool = False, made: Sequence[Modality] = ()
) -> AnyToAny:
    """A core on a device, in bfloat16.

    Args:
        size: of its parts.
        device: where it is made.
        seen: whether its encoder is there.
        made: the modalities of which the decoders are there.
    """
    tokenizer = train_tokenizer(captions(500), VOCABULARY)
    with device:
        model = size.language()
    model.generation_config.eos_token_id = END_ID
    language = Scripted(model, tokenizer).eval()
    language.script = []
    with torch.no_grad():  # the likeliest of thousands is above nothing, so it never ends by itself
        model.get_output_embeddings().weight[~language.plain_ids.to(device)] = 0.0
    outline, shapes = _outlines(size)
    parts, counts = nextgpt_7b(), {spec.modality: spec.count for spec in DEFAULT_SPECS}
    width = language.width
    with device:
        inputs = {m: input_projection(parts, outline, m, width) for m in MODALITIES}
        outputs = {
            m: OutputProjection.for_shapes(width, shapes[m], counts[m], **size.output)
            for m in MODALITIES
        }
        encoders = {"imagebind": size.encoder()} if seen else {}
        decoders = {m: size.decoders[m]() for m in made}
    for part in (*inputs.values(), *outputs.values(), *encoders.values()):
        assert isinstance(part, nn.Module)
        part.to(device, DTYPE)
    with quiet("diffusers"):
        for decoder in decoders.values():
            decoder.pipeline.to(device, DTYPE)
    return AnyToAny.build(language, inputs, outputs, encoders, decoders).eval()


@cache
def _outlines(size: Size) -> tuple[Encoder, dict[Modality, Shapes]]:
    """The encoder on the meta device, and the shapes of the decoders' conditions."""
    with torch.device("meta"):
        return size.encoder(), {m: made().condition_shapes for m, made in size.decoders.items()}


def captions(count: int) -> list[str]:
    """Captions of about a dozen words."""
    chance = random.Random(0)
    kinds: list[Any] = [scenes.One, scenes.Pair, scenes.Several]
    return [scenes.caption(scenes.sample(chance, chance.choice(kinds))) for _ in range(count)]


def write_data(folder: Path) -> None:
    """A data set for each stage, as mixtures ``encode.json``, ``decode.json``, ``instruct.json``.

    Pairs of media and captions for the first two, for the third dialogues in which a medium is
    shown and another one made. The media are files that nobody can open: their features are
    prepared.
    """
    said = captions(ROWS)
    pairs, talks = [], []
    for number, caption in enumerate(said):
        modality = MODALITIES[number % len(MODALITIES)]
        name = f"{number}.bin"
        (folder / name).write_bytes(number.to_bytes(4, "big"))
        pairs.append({f"{modality}_name": name, "caption": caption})
        others = [said[(number + i) % ROWS] for i in range(1, 2 * TURNS)]
        turns = [(f"<{modality}>\nWhat is this?", f"It is {caption}.")]
        turns += [
            (f"And {others[2 * i]}?", f"There is {others[2 * i + 1]}, and {caption}.")
            for i in range(TURNS - 2)
        ]
        turns.append((f"Now make {caption}.", f"Here it is: <{modality}>"))
        talks.append(
            {
                f"input_{modality}": name,
                f"{modality}_captions": caption,
                "conversations": [
                    {"from": who, "value": text}
                    for turn in turns
                    for who, text in zip(("human", "gpt"), turn, strict=True)
                ],
            }
        )
    (folder / "pairs.json").write_text(json.dumps(pairs))
    (folder / "talks.json").write_text(json.dumps(talks))
    sources: dict[str, dict[str, str]] = {
        "encode": {"path": "pairs.json"},
        "decode": {"path": "pairs.json", "pairs": "make"},
        "instruct": {"path": "talks.json"},
    }
    for stage, source in sources.items():
        (folder / f"{stage}.json").write_text(json.dumps({"sources": [source]}))


def prepared(core: AnyToAny, folder: Path) -> Prepared:
    """Features and conditions of random numbers, as if the data in a folder were prepared."""
    generator = torch.Generator().manual_seed(0)
    features, conditions = features_folder(folder, "0"), conditions_folder(folder, "0")
    entrance = core.inputs["image"]
    assert isinstance(entrance, InputProjection)
    shape = (entrance.config.encoder_tokens, entrance.config.encoder_width)
    if not features.exists():
        writer = ShardWriter(features)
        for path in sorted(folder.glob("*.bin")):
            tokens = torch.randn(shape, generator=generator)
            writer.add(hashlib.sha256(path.read_bytes()).hexdigest(), {TOKENS: tokens.half()})
        writer.flush()
        for modality in core.makes:
            writer = ShardWriter(conditions / modality)
            leaving = core.outputs[modality]
            assert isinstance(leaving, OutputProjection)
            for caption in dict.fromkeys(captions(ROWS)):
                made = {
                    name: torch.randn(sizes, generator=generator).half()
                    for name, sizes in leaving.shapes.items()
                }
                writer.add(caption_key(caption), made)
            writer.flush()
    return Prepared(
        folder,
        dict.fromkeys(core.sees, Shards(features)),
        {m: Shards(conditions / m) for m in core.makes},
        FileHashes(folder),
    )
