"""The pre-norm transformer that every ImageBind trunk is, in its published parameter names.

Girdhar et al. 2023, "ImageBind: One Embedding Space To Bind Them All" (arXiv 2305.05665),
section 3.3: one ViT encoder (Dosovitskiy et al. 2021) for each modality. The audio trunk
adds one learned key and value to each attention, the text trunk is causal.

Shape legend: B rows, L tokens, W width, H heads, D = W / H.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

EPS = 1e-6


class Attention(nn.Module):
    """Multi-head self-attention with the parameters of ``nn.MultiheadAttention``.

    Written anew because ``nn.MultiheadAttention`` leaves its fused path as soon as it has
    ``bias_k``: here the learned key and value are one more token for the fused kernel.
    """

    def __init__(self, width: int, heads: int, bias_kv: bool = False) -> None:
        super().__init__()
        self.heads = heads
        self.in_proj_weight = nn.Parameter(torch.empty(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * width))
        self.out_proj = nn.Linear(width, width)
        self.bias_k = nn.Parameter(torch.empty(1, 1, width)) if bias_kv else None
        self.bias_v = nn.Parameter(torch.empty(1, 1, width)) if bias_kv else None
        nn.init.xavier_uniform_(self.in_proj_weight)
        nn.init.zeros_(self.out_proj.bias)
        if self.bias_k is not None and self.bias_v is not None:
            nn.init.xavier_normal_(self.bias_k)
            nn.init.xavier_normal_(self.bias_v)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Attend among the tokens of each row of ``x`` (B, L, W); ``mask`` (L, L) is added."""
        rows, _, width = x.shape
        q, k, v = F.linear(x, self.in_proj_weight, self.in_proj_bias).chunk(3, dim=-1)
        if self.bias_k is not None and self.bias_v is not None:
            k = torch.cat([k, self.bias_k.to(k.dtype).expand(rows, 1, width)], dim=1)  # (B, L+1, W)
            v = torch.cat([v, self.bias_v.to(v.dtype).expand(rows, 1, width)], dim=1)
        q, k, v = (t.unflatten(-1, (self.heads, -1)).transpose(1, 2) for t in (q, k, v))
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)  # (B, H, L, D)
        mixed: Tensor = self.out_proj(out.transpose(1, 2).flatten(2))  # (B, L, W)
        return mixed


class MLP(nn.Module):
    """The feed-forward half of a block, four times as wide inside."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, 4 * width)
        self.fc2 = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.fc2(F.gelu(self.fc1(x)))
        return out


class Block(nn.Module):
    """Attention and MLP, each on the normalised stream and added back to it."""

    def __init__(self, width: int, heads: int, bias_kv: bool, drop_path: float) -> None:
        super().__init__()
        self.norm_1 = nn.LayerNorm(width, eps=EPS)
        self.attn = Attention(width, heads, bias_kv)
        self.norm_2 = nn.LayerNorm(width, eps=EPS)
        self.mlp = MLP(width)
        self.drop_path = drop_path

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        x = x + self._dropped(self.attn(self.norm_1(x), mask))
        return x + self._dropped(self.mlp(self.norm_2(x)))

    def _dropped(self, branch: Tensor) -> Tensor:
        """Leave the branch out of some rows while training (stochastic depth, Huang 2016)."""
        if not self.training or self.drop_path == 0.0:
            return branch
        keep = 1.0 - self.drop_path
        chosen = torch.rand(branch.shape[0], 1, 1, device=branch.device) < keep
        return branch * chosen.to(branch.dtype) / keep


class Trunk(nn.Module):
    """A stack of blocks; ``drop_path`` grows linearly from none to its value with depth."""

    def __init__(
        self,
        width: int,
        blocks: int,
        heads: int,
        *,
        pre_norm: bool = False,
        bias_kv: bool = False,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        first: nn.Module = nn.LayerNorm(width, eps=EPS) if pre_norm else nn.Identity()
        # A Sequential of one: the published name is ``pre_transformer_layer.0``.
        self.pre_transformer_layer = nn.Sequential(first)
        self.blocks = nn.ModuleList(
            Block(width, heads, bias_kv, drop_path * i / max(1, blocks - 1)) for i in range(blocks)
        )

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Tokens (B, L, W) in, tokens of the same shape out."""
        x = self.pre_transformer_layer(x)
        for block in self.blocks:
            x = block(x, mask)
        return x
