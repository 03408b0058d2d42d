"""Training of the encoders: contrast in a joint space, and details in every patch.

Pictures, films and sounds are pulled towards their captions and away from the others of
the batch (InfoNCE with a learned temperature: Radford et al. 2021, "CLIP", and Girdhar et
al. 2023, "ImageBind", section 3.2), and away from captions that are wrong in one attribute.

The language model reads patches, not the joint vector. So patches learn the world's truth
as well: each names the object that it shows, and small attention pools read background,
size, place, arrangement, motion, sound, count and direction. These heads (``Attributes``)
are thrown away after training.

Shape legend: B media of one modality, N of all, n tokens, W width, J joint width.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from heliograph.model.encoders.imagebind import ImageBind
from heliograph.model.parts import MODALITIES, Modality
from heliograph.model.primer.vocabulary import load
from heliograph.model.training.loop import Losses
from heliograph.model.training.pairs import IGNORED, Pairs, classes

NOTHING_WEIGHT = 0.1
"""Weight of patches that show no object: they are the many and the easy ones."""


class AttentionPool(nn.Module):
    """A learned query for each attribute reads the tokens, and a matrix names the class."""

    def __init__(self, width: int, tokens: int, sizes: Mapping[str, int]) -> None:
        super().__init__()
        self.names = tuple(sizes)
        self.positions = nn.Parameter(torch.randn(tokens, width) * 0.02)
        self.queries = nn.Parameter(torch.randn(len(sizes), width))
        self.heads = nn.ModuleList(nn.Linear(width, n) for n in sizes.values())

    def forward(self, tokens: Tensor) -> dict[str, Tensor]:
        """(B, n, W) -> logits (B, classes) of each attribute."""
        keys = tokens + self.positions
        weights = self.queries @ keys.transpose(1, 2) * tokens.shape[-1] ** -0.5  # (B, A, n)
        read = weights.softmax(-1) @ keys  # (B, A, W)
        heads = zip(self.names, self.heads, strict=True)
        return {name: head(read[:, i]) for i, (name, head) in enumerate(heads)}


class Attributes(nn.Module):
    """The heads that are thrown away: what tokens must tell of a scene."""

    weights: Tensor

    def __init__(self, encoder: ImageBind) -> None:
        super().__init__()
        objects = 1 + len(load().objects)
        self.objects = nn.Linear(encoder.width("image"), objects)
        self.pools = nn.ModuleDict(
            {m: AttentionPool(encoder.width(m), encoder.tokens(m), classes(m)) for m in MODALITIES}
        )
        weights = torch.ones(objects)
        weights[0] = NOTHING_WEIGHT
        self.register_buffer("weights", weights)

    def forward(
        self, modality: Modality, tokens: Tensor, labels: Mapping[str, Tensor]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Tokens (B, n, W) -> the sum of the attributes' losses, and the share of right ones."""
        total = tokens.new_zeros(())
        right: dict[str, Tensor] = {}
        for name, logits in self.pools[modality](tokens).items():
            label = labels[name]
            known = label != IGNORED  # its mean is not a number where a batch has none of it
            right[name] = (logits.argmax(-1) == label)[known].float().mean()
            if known.any():
                total = total + F.cross_entropy(logits, label, ignore_index=IGNORED)
        if modality != "audio":
            logits, label = self.objects(tokens).flatten(0, 1), labels["object"].flatten()
            # Weighted by how much of an object is seen in it, not by its number of patches.
            total = total + 2 * F.cross_entropy(logits, label, self.weights)
            seen = label > 0
            right["object"] = (logits[seen].argmax(-1) == label[seen]).float().mean()
        return total, right


def tokens_and_vectors(encoder: ImageBind, modality: Modality, x: Tensor) -> tuple[Tensor, Tensor]:
    """What ``patches`` (B, n, W) and ``pooled`` (B, J) give, in one pass of the trunk."""
    branch = "audio" if modality == "audio" else "vision"
    flat = x if modality == "image" else x.flatten(0, 1)  # (B C, ...)
    states = encoder.modality_trunks[branch](encoder.modality_preprocessors[branch](flat))
    head: Any = encoder.modality_heads[branch]
    norm, first, project = head
    states = norm(states)
    vectors = F.normalize(project(first(states)), dim=-1)
    tokens: Tensor = states[:, 1:]
    if modality != "image":
        clips = x.shape[:2]
        vectors = F.normalize(vectors.unflatten(0, clips).mean(1), dim=-1)
        tokens = tokens.unflatten(0, clips)  # (B, C, P, W)
        tokens = tokens.mean(1) if modality == "audio" else tokens.flatten(1, 2)
    return tokens, vectors


def contrast(vectors: Tensor, texts: Tensor, same: Tensor, scale: Tensor) -> Tensor:
    """InfoNCE both ways.

    Media (N, J) against texts (2 N, J), of which the i-th is the i-th medium's; ``same``
    (N, 2 N) marks texts that are true of a medium: the others of them are left out.
    """
    n = len(vectors)
    target = torch.arange(n)
    own = F.one_hot(target, 2 * n).bool()
    logits = (scale * vectors @ texts.T).masked_fill(same & ~own, -torch.inf)  # (N, 2 N)
    to_text = F.cross_entropy(logits, target)
    to_medium = F.cross_entropy(logits[:, :n].T, target)
    return (to_text + to_medium) / 2


def encoder_loss(
    encoder: ImageBind, attributes: Attributes, detail: float = 1.0
) -> Callable[[Pairs, torch.Generator], Losses]:
    """Contrast and attributes; ``detail`` weighs the second."""

    def loss(batch: Pairs, generator: torch.Generator) -> Losses:
        figures: dict[str, Tensor] = {}
        vectors: list[Tensor] = []
        details = torch.zeros(())
        for modality, x in batch.media.items():
            tokens, pooled = tokens_and_vectors(encoder, modality, x)
            vectors.append(pooled)
            told, right = attributes(modality, tokens, batch.labels[modality])
            details = details + told
            figures |= {f"{modality}_{name}": share for name, share in right.items()}
        media = torch.cat(vectors)
        texts = encoder.pooled_text(batch.texts)
        joint = contrast(media, texts, batch.same, encoder.logit_scale)
        score = (media @ texts.T).detach()
        n = len(media)
        figures["pair"] = (score.diagonal() > score.diagonal(n)).float().mean()
        return {"loss": joint + detail * details, "contrast": joint, "detail": details, **figures}

    return loss
