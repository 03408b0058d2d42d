"""Language models that see or hear by themselves: which ones are read so, and how.

A checkpoint of such a model holds a tower that sees or hears and a projector from it into the
language model beside it. A core takes them apart: the language model is read as the causal LM that
it is, and tower and projector together are an encoder (``encoders/own.py``).

Where the language model looks both ways within a picture (Gemma 3), its core says so, and attention
follows (``masks.py``). Where it numbers positions in three dimensions (Qwen2-VL, Qwen2.5-VL), a
picture's features say them (``axes.py``).

Not covered, because more than that enters their language models: prompts that are read both ways as
a whole (PaliGemma). Of pictures that are cut into tiles or keep their size (``encoders/tiles.py``,
``encoders/sized.py``) those of Idefics 2 aren't, nor Pixtral's before another language model than
Mistral 3; nor are films, which some of these models read too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from heliograph.model.checkpoint import read_json
from heliograph.model.errors import WeightsError
from heliograph.model.headers import Header, headers
from heliograph.model.parts import Modality

CAUSAL: Mapping[str, str] = {
    r"^language_model\.": "",
    r"^model\.language_model\.": "model.",
    r"^model\.text_model\.": "model.",
}
"""How a causal LM calls the tensors of the language model in such a checkpoint: patterns of
layouts, and what to put in their place. In another (Qwen2-VL) they have these names already."""
BODY = r"^(?:lm_head|model\.(?:embed_tokens|layers|norm))\."
"""The names that they have then."""
GRID = 6
"""Tiles on a side for which Idefics 3 has marks."""
TOWERS = ("clip_vision_model", "siglip_vision_model")
"""Towers that see each picture, or each of its tiles, in one size."""


class Frame(NamedTuple):
    """What stands around a medium in the texts that the model was trained on."""

    opening: str = ""
    """Before it, special tokens included; ``{}`` is its number among those of a conversation."""
    closing: str = ""
    """After it, special tokens included."""
    tail: str = ""
    """Then this, encoded together with the words that follow."""
    head: str = ""
    """Before all that, encoded together with the words that precede."""
    marks: Sequence[str] = ()
    """What stands between its embeddings, special tokens included; its features say where."""
    placeholder: str = ""
    """What the chat template writes for it, where the template begins a message otherwise if it is
    the first thing in it."""
    lead: str = ""
    """What that template writes otherwise, encoded together with the words that follow."""
    joined: bool = False
    """Whether the tail stands behind the last of several alone."""


@dataclass(frozen=True)
class Sense:
    """A class of models, and what they do by themselves."""

    kind: str
    """Of transformers."""
    modality: Modality
    tower: str
    """The tower's name in the class's base model."""
    frame: Frame
    towers: tuple[str, ...] = TOWERS
    """The kinds of tower with which it is read."""
    two_way: bool = False
    """Whether the language model looks both ways within each medium."""
    language: str = "language_model"
    """The language model's name in the class's base model."""


IDEFICS3 = Frame(
    marks=(
        "<fake_token_around_image>",
        "<global-img>",
        "\n",
        "\n\n",
        *(f"<row_{i + 1}_col_{j + 1}>" for i in range(GRID) for j in range(GRID)),
    ),
    placeholder="<image>",
    lead=" ",
)
"""Tiles after fake and place, a new line behind each row of them, two before the whole picture."""
SENSES: Mapping[str, Sense] = {
    "llava": Sense("LlavaForConditionalGeneration", "image", "vision_tower", Frame(tail="\n")),
    "qwen2_audio": Sense(
        "Qwen2AudioForConditionalGeneration",
        "audio",
        "audio_tower",
        Frame("Audio {}: <|audio_bos|>", "<|audio_eos|>", "\n"),
    ),
    "llava_next": Sense(
        "LlavaNextForConditionalGeneration", "image", "vision_tower", Frame(tail="\n")
    ),
    "llava_onevision": Sense(
        "LlavaOnevisionForConditionalGeneration",
        "image",
        "vision_tower",
        Frame(tail="\n", placeholder="<image>", joined=True),
    ),
    "internvl": Sense(
        "InternVLForConditionalGeneration",
        "image",
        "vision_tower",
        Frame("<img>", "</img>", "\n"),
        ("internvl_vision",),
    ),
    "mistral3": Sense(
        "Mistral3ForConditionalGeneration",
        "image",
        "vision_tower",
        Frame(marks=("[IMG_BREAK]", "[IMG_END]")),
        ("pixtral",),
    ),
    "idefics3": Sense(
        "Idefics3ForConditionalGeneration",
        "image",
        "vision_model",
        IDEFICS3,
        ("idefics3_vision",),
        language="text_model",
    ),
    "smolvlm": Sense(
        "SmolVLMForConditionalGeneration",
        "image",
        "vision_model",
        IDEFICS3,
        ("smolvlm_vision",),
        language="text_model",
    ),
    "gemma3": Sense(
        "Gemma3ForConditionalGeneration",
        "image",
        "vision_tower",
        Frame("<start_of_image>", "<end_of_image>", "\n\n", "\n\n"),
        two_way=True,
    ),
    "qwen2_vl": Sense(
        "Qwen2VLForConditionalGeneration",
        "image",
        "visual",
        Frame("<|vision_start|>", "<|vision_end|>"),
        ("qwen2_vl_vision",),
    ),
    "qwen2_5_vl": Sense(
        "Qwen2_5_VLForConditionalGeneration",
        "image",
        "visual",
        Frame("<|vision_start|>", "<|vision_end|>"),
        ("qwen2_5_vl_vision",),
    ),
}
"""By the ``model_type`` of their configurations."""


def sense_in(folder: Path) -> Sense | None:
    """What the model in a folder does by itself, if it is one of ``SENSES``.

    Raises:
        WeightsError: its ``config.json`` is missing or damaged.
    """
    return SENSES.get(str(read_json(folder / "config.json").get("model_type")))


def taken_apart(folder: Path) -> bool:
    """Whether the language model in a folder lies beside a tower that is read apart from it.

    Raises:
        WeightsError: its ``config.json`` is missing or damaged.
    """
    return sense_in(folder) is not None


def on_three_axes(model_type: str) -> bool:
    """Whether a language model of this kind numbers positions in three dimensions (``axes.py``).

    Transformers has no causal LM of them; ``heads.py`` has.
    """
    return model_type.removesuffix("_text") in ("qwen2_vl", "qwen2_5_vl")


def text_config(config: Any, folder: Path) -> Any:
    """The configuration from which transformers builds the causal LM in a checkpoint.

    Args:
        config: the checkpoint's, of transformers.
        folder: where it lies, for errors.

    Raises:
        WeightsError: the model sees or hears, and it isn't known how to read it.
    """
    from transformers import MODEL_FOR_CAUSAL_LM_MAPPING

    text = config.get_text_config()
    if sense := SENSES.get(config.model_type):
        tower = getattr(config, "vision_config", None)
        if tower is None or tower.model_type in sense.towers:
            said = getattr(config, "tie_word_embeddings", False)
            # Some classes say so where nothing is said, also of a checkpoint with its own head.
            text.tie_word_embeddings = said and "lm_head.weight" not in language_headers(folder)
            return text
    elif text is config:
        return config
    else:
        causal = MODEL_FOR_CAUSAL_LM_MAPPING.get(type(config), None)
        if causal is not None and causal.config_class is type(text):
            return config  # of Llama 4 and Qwen3.5 transformers itself reads the text half alone
    kind = (config.architectures or [config.model_type])[0]
    *known, last = (sense.kind for sense in SENSES.values())
    raise WeightsError(
        f"The {kind} in {folder} can't be a core's language model: of those that see or hear by "
        f"themselves, {', '.join(known)} and {last} can, with the eyes that docs/models.md names."
    )


def language_headers(folder: Path) -> dict[str, Header]:
    """The tensors of the causal LM in a folder, by the names that its class has for them.

    Raises:
        WeightsError: there are none, or a file is damaged.
    """
    found = headers(folder)
    if not taken_apart(folder):
        return found
    return {_causal(name): h for name, h in found.items() if _is_language(name)}


def sense_headers(folder: Path) -> dict[str, Header]:
    """The tensors of tower and projector in a folder.

    Raises:
        WeightsError: there are none, or a file is damaged.
    """
    return {name: h for name, h in headers(folder).items() if not _is_language(name)}


def _is_language(name: str) -> bool:
    return _causal(name) != name or re.match(BODY, name) is not None


def _causal(name: str) -> str:
    for pattern, place in CAUSAL.items():
        found, count = re.subn(pattern, place, name)
        if count:
            return found
    return name
