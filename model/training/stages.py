"""What the three stages share: which parameters train, and the condition loss.

The stages are those of Wu et al. 2023, "NExT-GPT" (arXiv 2309.05519), sections 4 and 5.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from heliograph.model.batching import Batch, Outputs
from heliograph.model.conditions import Condition, Shapes
from heliograph.model.core import AnyToAny
from heliograph.model.encoders import Encoder
from heliograph.model.language import LanguageModel
from heliograph.model.parts import MODALITIES, Modality
from heliograph.model.projections import InputProjectionConfig, OutputProjection
from heliograph.model.training.conversations import slots
from heliograph.model.training.presets import ProjectionSizes


class Conditioner(Protocol):
    """What stage 2 needs of a decoder: ``DiffusionDecoder`` is one."""

    @property
    def condition_shapes(self) -> Shapes: ...

    def encode_condition(self, captions: Sequence[str]) -> Condition: ...


def compose(
    language: LanguageModel,
    encoder: Encoder,
    conditioners: Mapping[Modality, Conditioner],
    sizes: ProjectionSizes,
    seed: int,
) -> AnyToAny:
    """A core with fresh projections between trained parts, nothing of it trainable yet."""
    torch.manual_seed(seed)
    inputs = {
        m: InputProjectionConfig(
            kind="linear" if sizes.pooled else "resampler",
            encoder_width=encoder.width(m),
            encoder_tokens=encoder.tokens(m),
            llm_width=language.width,
            tokens=sizes.tokens[m],
            layers=sizes.input_layers,
            heads=sizes.heads,
            hidden=sizes.input_hidden,
        ).build()
        for m in encoder.modalities
    }
    counts = {spec.modality: spec.count for spec in language.table.specs}
    outputs: dict[Modality, OutputProjection] = {}
    for m in MODALITIES:
        if m in conditioners:
            outputs[m] = OutputProjection.for_shapes(
                language.width,
                conditioners[m].condition_shapes,
                counts[m],
                hidden=sizes.hidden,
                layers=sizes.layers,
                heads=sizes.heads,
                ff=sizes.ff,
            )
    core = AnyToAny.build(language, inputs, outputs)
    return core.requires_grad_(False)


def parts(core: AnyToAny) -> dict[str, nn.Module]:
    """The core's trainable parts by name, as ``fit`` and ``averaged`` take them."""
    return {"inputs": core.inputs, "outputs": core.outputs, "language": core.language}


def train_new_rows(language: LanguageModel) -> int:
    """Let the embedding learn, but only the rows of the signal tokens and markers.

    The gradients of all other rows are dropped, so they stay as they are under an optimizer
    without weight decay. Gives how many numbers really train.
    """
    embedding = language.model.get_input_embeddings().weight
    assert isinstance(embedding, nn.Parameter)
    names = language.dialect.tokens(language.table.specs)
    ids = torch.tensor(language.tokenizer.convert_tokens_to_ids(names))
    kept = torch.zeros(len(embedding), 1).index_fill_(0, ids, 1.0)
    for weight in _unique([embedding, language.model.get_output_embeddings().weight]):
        weight.requires_grad_(True)
        weight.register_hook(lambda gradient: gradient * kept)
    return len(ids) * embedding.shape[1]


def slot_loss(core: AnyToAny) -> Callable[[Batch], Tensor]:
    """How far projected media are from the words that tell what they show.

    The base language model has read each medium as its caption, padded to the projection's
    length (``conversations.worded_row``). So each projected token has one that it should be:
    the distance to it, and the cross-entropy of finding it among all embeddings by distance.
    Zero for a batch without media.
    """
    table = core.language.model.get_input_embeddings().weight.detach()  # (V, W)
    squares = table.square().sum(-1)  # (V,)
    spread = squares.mean()

    def loss(batch: Batch) -> Tensor:
        far: list[Tensor] = []
        for group in batch.media:
            projected = core.inputs[group.modality](group.features)  # (k, m, W)
            length = projected.shape[1]
            ids = torch.tensor([slots(core.language, c, length) for c in group.captions])  # (k, m)
            # A token at its place among the embeddings is found with a margin of 12 nats.
            logits = (projected @ table.T - squares / 2) * (12 / spread)  # (k, m, V)
            far.append(F.cross_entropy(logits.flatten(0, 1), ids.flatten()))
            far.append((projected - table[ids]).square().sum(-1).mean() / spread)
        return torch.stack(far).sum() if far else torch.zeros(())

    return loss


def condition_loss(
    core: AnyToAny, conditioners: Mapping[Modality, Conditioner]
) -> Callable[[Outputs], dict[str, Tensor]]:
    """How far projected signals are from what the decoders' text encoders say of the captions.

    The mean squared error over the condition's tokens, averaged over its tensors, for each
    modality that occurs. Wu et al. 2023 (arXiv 2309.05519), section 4.2, take the Euclidean
    distance of each token instead, whose gradient is as long near the aim as far from it.
    """
    known: dict[tuple[Modality, str], Condition] = {}

    def aim(modality: Modality, captions: Sequence[str]) -> Condition:
        new = [c for c in dict.fromkeys(captions) if (modality, c) not in known]
        if new:
            encoded = conditioners[modality].encode_condition(new).unstack()
            known.update(((modality, c), row) for c, row in zip(new, encoded, strict=True))
        return Condition.stack([known[modality, c] for c in captions])

    def loss(outputs: Outputs) -> dict[str, Tensor]:
        if len(known) > 20_000:
            known.clear()
        far: dict[str, Tensor] = {}
        for modality, group in outputs.stacked.items():
            projection = core.outputs[modality]
            assert isinstance(projection, OutputProjection)
            projected = projection.condition(group.hidden, group.embeddings)  # k rows
            aimed = aim(modality, group.captions)
            errors = [
                F.mse_loss(x.float(), aimed[name].to(x.device))
                for name, x in projected.tensors.items()
            ]
            far[modality] = torch.stack(errors).mean()
        return far

    return loss


def _unique(weights: Iterable[Tensor]) -> list[Tensor]:
    return list({id(weight): weight for weight in weights}.values())
