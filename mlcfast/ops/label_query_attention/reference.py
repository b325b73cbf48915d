"""Label-query cross-attention with the mathematics of nn.MultiheadAttention, in plain torch: the definition."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def label_query_attention(
    queries: Tensor,
    memory: Tensor,
    position: Tensor | None,
    in_proj_weight: Tensor,
    in_proj_bias: Tensor,
    out_proj_weight: Tensor,
    out_proj_bias: Tensor,
    num_heads: int,
    dropout: float = 0.0,
    need_weights: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """Attend from labels to feature cells; `position` is added to the keys only.

    queries: (K, D) shared by the batch or (B, K, D); memory: (B, N, D); position: (1 or B, N, D) or None.
    Weights and biases: as in nn.MultiheadAttention, in_proj (3D, D) and (3D,), out_proj (D, D) and (D,).
    dropout: probability on the attention weights, applied whenever it is above 0.
    Returns (B, K, D) and, with need_weights, the head-averaged weights (B, K, N) before dropout, without gradient.
    """
    (B, N, D), K = memory.shape, queries.shape[-2]
    width = D // num_heads
    wq, wk, wv = in_proj_weight.chunk(3)
    bq, bk, bv = in_proj_bias.chunk(3)
    keys = memory if position is None else memory + position
    q = F.linear(queries, wq, bq).expand(B, K, D).reshape(B, K, num_heads, width).transpose(1, 2)
    k = F.linear(keys, wk, bk).view(B, N, num_heads, width).transpose(1, 2)
    v = F.linear(memory, wv, bv).view(B, N, num_heads, width).transpose(1, 2)
    weights = torch.softmax((q / math.sqrt(width)) @ k.transpose(-2, -1), dim=-1)
    kept = F.dropout(weights, dropout) if dropout > 0 else weights
    pooled = (kept @ v).transpose(1, 2).reshape(B, K, D)
    out = F.linear(pooled, out_proj_weight, out_proj_bias)
    return out, weights.detach().mean(dim=1) if need_weights else None
