"""The two layouts of NExT-GPT checkpoints: their tokens, their prompts and their files.

Prompts follow training (Wu et al. 2023, arXiv 2309.05519, and its code): in the legacy
layout ``### Human: …\\n### Assistant: …\\n###``, in the head's layout Vicuna's of version 1.1,
which ends an answer with ``</s>``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from heliograph.model.checkpoints.nextgpt import INPUTS, OUTPUTS, part
from heliograph.model.dialects import NEXTGPT, NEXTGPT_HEAD, Dialect
from heliograph.model.errors import WeightsError

LEGACY_TEMPLATE = (
    "{{ bos_token }}"
    "{% for message in messages %}"
    "{% if message['role'] == 'system' %}{{ message['content'] }}\n"
    "{% elif message['role'] == 'assistant' %}### Assistant: {{ message['content'] }}\n"
    "{% else %}### Human: {{ message['content'] }}\n{% endif %}"
    "{% endfor %}"
    "###{% if add_generation_prompt %} Assistant: {% endif %}"
)
SYSTEM = (
    "A chat between a curious user and an artificial intelligence assistant. The assistant gives "
    "helpful, detailed, and polite answers to the user's questions."
)
"""What Vicuna was told in training, where nothing else is said."""
HEAD_TEMPLATE = (
    "{{ bos_token }}"
    "{% if messages[0]['role'] != 'system' %}" + SYSTEM + " {% endif %}"
    "{% for message in messages %}"
    "{% if message['role'] == 'system' %}{{ message['content'] }} "
    "{% elif message['role'] == 'assistant' %}ASSISTANT: {{ message['content'] }}{{ eos_token }}"
    "{% else %}USER: {{ message['content'] }} {% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}ASSISTANT:{% endif %}"
)


@dataclass(frozen=True)
class Layout:
    """What a checkpoint of one layout is like."""

    name: str
    dialect: Dialect
    template: str
    """How a conversation is laid out, where the checkpoint's tokenizer doesn't say it."""
    stops: tuple[str, ...]
    """Strings that end an answer, if no token does."""
    pooled: bool
    """One vector of ImageBind for each medium, or its patch tokens."""
    files: tuple[str, ...]
    """Names without suffix of the files in a checkpoint's directory, a later one over an
    earlier."""
    licence: str
    """Of the language model that it was trained on: Vicuna's model cards for v0 and v1.5."""


# After words "###" is written "\n###"; a signal token takes the line's end, and a word's mark
# comes in its place.
LEGACY = Layout(
    "legacy",
    NEXTGPT,
    LEGACY_TEMPLATE,
    ("\n###", " ###", "###"),
    pooled=True,
    files=("pytorch_model", "model"),
    licence="LLaMA, non-commercial",
)
HEAD = Layout(
    "head",
    NEXTGPT_HEAD,
    HEAD_TEMPLATE,
    (),
    pooled=False,
    files=("mm_input_projector", "mm_output_projector", "non_lora_trainables", "adapter_model"),
    licence="llama2",
)
SUFFIXES = (".pt", ".bin", ".pth", ".safetensors")


def layout_of(names: Iterable[str]) -> Layout:
    """Which layout a state dict is of.

    Raises:
        WeightsError: it has nothing of a NExT-GPT.
    """
    names = dict.fromkeys(names)
    for index, layout in enumerate((LEGACY, HEAD)):
        modules = [INPUTS[index], *(both[index] for both in OUTPUTS.values())]
        if any(part(names, module) for module in modules):
            return layout
    raise WeightsError(
        "These weights are of no NExT-GPT: they have neither an input nor an output projection."
    )
