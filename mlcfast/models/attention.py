"""LabelQueryAttention: nn.MultiheadAttention's parameters over the label-query attention op."""

import torch
from torch import Tensor, nn

from mlcfast.ops import label_query_attention


class LabelQueryAttention(nn.Module):
    """Cross-attention from label queries to a feature map; the state dict is nn.MultiheadAttention's.

    embed_dim: width D; num_heads divides it (ValueError otherwise); dropout: on the attention weights, in training;
    plan: folded | mixed | projected overrides the op's choice by shape (ops/label_query_attention/plan.py).
    """

    def __init__(self, embed_dim: int, num_heads: int, dropout: float = 0.0, plan: str | None = None):
        super().__init__()
        if num_heads < 1 or embed_dim % num_heads:
            raise ValueError(f"embed_dim {embed_dim} is not divisible by num_heads {num_heads}")
        self.embed_dim, self.num_heads, self.dropout, self.plan = embed_dim, num_heads, dropout, plan
        self.in_proj_weight = nn.Parameter(torch.empty(3 * embed_dim, embed_dim))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * embed_dim))
        self.out_proj = nn.Linear(embed_dim, embed_dim)
        nn.init.xavier_uniform_(self.in_proj_weight)
        nn.init.zeros_(self.out_proj.bias)

    def forward(
        self, queries: Tensor, memory: Tensor, position: Tensor | None = None, need_weights: bool = False
    ) -> Tensor | tuple[Tensor, Tensor]:
        """queries (K, D) or (B, K, D), memory (B, N, D), position (1 or B, N, D) or None -> (B, K, D).

        With need_weights also the head-averaged attention weights (B, K, N), without gradient.
        """
        out, weights = label_query_attention(
            queries,
            memory,
            position,
            self.in_proj_weight,
            self.in_proj_bias,
            self.out_proj.weight,
            self.out_proj.bias,
            self.num_heads,
            self.dropout if self.training else 0.0,
            need_weights,
            self.plan,
        )
        return out if weights is None else (out, weights)

    def extra_repr(self) -> str:
        """What print(model) shows of this module."""
        plan = "by shape" if self.plan is None else self.plan
        return f"embed_dim={self.embed_dim}, num_heads={self.num_heads}, dropout={self.dropout}, plan={plan}"
