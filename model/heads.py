"""Causal LMs that transformers has no class for: the text models of Qwen2-VL and Qwen2.5-VL alone.

There they lie inside a model that sees. Each is transformers' own text model with a head, under
the names that its causal LMs have; what calls it is ``language.py``. Importing this loads
transformers.
"""

from __future__ import annotations

from torch import nn
from transformers import (
    AutoModelForCausalLM,
    GenerationMixin,
    Qwen2_5_VLTextModel,
    Qwen2VLTextModel,
)
from transformers.models.qwen2_5_vl.configuration_qwen2_5_vl import Qwen2_5_VLTextConfig
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import Qwen2_5_VLPreTrainedModel
from transformers.models.qwen2_vl.configuration_qwen2_vl import Qwen2VLTextConfig
from transformers.models.qwen2_vl.modeling_qwen2_vl import Qwen2VLPreTrainedModel


class Qwen2VLForCausalLM(Qwen2VLPreTrainedModel, GenerationMixin):  # type: ignore[misc]
    """Wang et al. 2024, Qwen2-VL (arXiv 2409.12191)."""

    config_class = Qwen2VLTextConfig
    _tied_weights_keys = {"lm_head.weight": "model.embed_tokens.weight"}

    def __init__(self, config: Qwen2VLTextConfig) -> None:
        super().__init__(config)
        self.model = Qwen2VLTextModel(config)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.post_init()


class Qwen2_5_VLForCausalLM(Qwen2_5_VLPreTrainedModel, GenerationMixin):  # type: ignore[misc]
    """Bai et al. 2025, Qwen2.5-VL (arXiv 2502.13923)."""

    config_class = Qwen2_5_VLTextConfig
    _tied_weights_keys = {"lm_head.weight": "model.embed_tokens.weight"}

    def __init__(self, config: Qwen2_5_VLTextConfig) -> None:
        super().__init__(config)
        self.model = Qwen2_5_VLTextModel(config)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.post_init()


def register() -> None:
    """Let ``AutoModelForCausalLM`` know them."""
    AutoModelForCausalLM.register(Qwen2VLTextConfig, Qwen2VLForCausalLM, exist_ok=True)
    AutoModelForCausalLM.register(Qwen2_5_VLTextConfig, Qwen2_5_VLForCausalLM, exist_ok=True)
