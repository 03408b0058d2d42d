"""What stands before and after the trunk of each ImageBind branch, in the published names.

Girdhar et al. 2023 (arXiv 2305.05665), section 3: patches and positions
before the trunk, a norm and a linear map after it, and a fixed or learned scale.

Shape legend: B rows, L tokens, P patches, W width of a branch, J width of the joint space.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from heliograph.model.encoders.config import AudioConfig, TextConfig, VisionConfig
from heliograph.model.encoders.layers import EPS

LARGEST_SCALE = 100.0


class Positions(nn.Module):
    """Learned positions of the class token and the patches."""

    def __init__(self, tokens: int, width: int) -> None:
        super().__init__()
        self.pos_embed = nn.Parameter(torch.randn(1, tokens, width) * width**-0.5)


class VisionStem(nn.Module):
    """Patches of two frames; a picture is a film of the same frame twice."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        kernel = (2, config.patch, config.patch)
        # The published stem pads pictures in a module before the convolution, hence index 1.
        self.proj = nn.ModuleDict(
            {"1": nn.Conv3d(3, config.width, kernel, stride=kernel, bias=False)}
        )
        self.patch = config.patch

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) or (B, 3, 2, H, W) -> (B, P, W)."""
        weight: Tensor = self.proj["1"].get_parameter("weight")
        # Patches don't overlap, so the convolution is one matrix product; for a picture the
        # kernel's two frames see the same pixels and may be added first.
        if x.dim() == 4:
            x, weight = x.unsqueeze(2), weight.sum(2, keepdim=True)
        rows, channels, depth, height, width = x.shape
        p = self.patch
        x = x.view(rows, channels, depth, height // p, p, width // p, p)
        x = x.permute(0, 3, 5, 1, 2, 4, 6).reshape(rows, -1, channels * depth * p * p)
        return F.linear(x, weight.flatten(1))


class AudioStem(nn.Module):
    """Overlapping patches of a spectrogram."""

    def __init__(self, config: AudioConfig) -> None:
        super().__init__()
        self.proj = nn.Conv2d(1, config.width, config.kernel, stride=config.stride, bias=False)
        self.norm_layer = nn.LayerNorm(config.width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 1, mel_bins, frames) -> (B, P, W)."""
        out: Tensor = self.norm_layer(self.proj(x).flatten(2).transpose(1, 2))
        return out


class PatchPreprocessor(nn.Module):
    """Stem, class token and positions of the vision or the audio branch."""

    def __init__(self, stem: nn.Module, patches: int, width: int) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.randn(1, 1, width) * width**-0.5)
        self.rgbt_stem = stem
        self.pos_embedding_helper = Positions(1 + patches, width)

    def forward(self, x: Tensor) -> Tensor:
        tokens: Tensor = self.rgbt_stem(x)
        first = self.cls_token.to(tokens.dtype).expand(len(tokens), 1, -1)
        tokens = torch.cat([first, tokens], dim=1)  # (B, 1+P, W)
        return tokens + self.pos_embedding_helper.pos_embed


class TextPreprocessor(nn.Module):
    """Embeddings and positions of the text branch, and its causal mask."""

    mask: Tensor

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.token_embedding = nn.Embedding(config.vocabulary, config.width)
        self.pos_embed = nn.Parameter(torch.randn(1, config.context, config.width) * 0.01)
        mask = torch.full((config.context, config.context), -math.inf).triu(1)
        self.register_buffer("mask", mask)
        nn.init.normal_(self.token_embedding.weight, std=0.02)

    def forward(self, ids: Tensor) -> Tensor:
        tokens: Tensor = self.token_embedding(ids)  # (B, L) -> (B, L, W)
        return tokens + self.pos_embed[:, : ids.shape[1]]


class FirstToken(nn.Module):
    """The class token of each row, (B, L, W) -> (B, W)."""

    def forward(self, x: Tensor) -> Tensor:
        return x[:, 0]


class TextHead(nn.Module):
    """Norm and projection of the token that ends the text."""

    def __init__(self, width: int, joint: int) -> None:
        super().__init__()
        self.proj = nn.Sequential(nn.LayerNorm(width, eps=EPS), nn.Linear(width, joint, bias=False))

    def forward(self, x: Tensor, ends: Tensor) -> Tensor:
        """Tokens (B, L, W) and the places of the ends (B,) -> (B, J)."""
        out: Tensor = self.proj(x[torch.arange(len(x), device=x.device), ends])
        return out


class Normalize(nn.Module):
    """Vectors of length one."""

    def forward(self, x: Tensor) -> Tensor:
        return F.normalize(x, dim=-1)


class LogitScale(nn.Module):
    """A factor kept as its logarithm, learned or not, at most 100."""

    log_logit_scale: Tensor

    def __init__(self, first: float, learned: bool) -> None:
        super().__init__()
        value = torch.tensor(math.log(first))
        if learned:
            self.log_logit_scale = nn.Parameter(value)
        else:
            self.register_buffer("log_logit_scale", value)

    def factor(self) -> Tensor:
        return self.log_logit_scale.exp().clamp(max=LARGEST_SCALE)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.factor()


def patch_head(width: int, joint: int) -> nn.Sequential:
    """Norm, class token, projection: (B, L, W) -> (B, J)."""
    return nn.Sequential(
        nn.LayerNorm(width, eps=EPS), FirstToken(), nn.Linear(width, joint, bias=False)
    )
