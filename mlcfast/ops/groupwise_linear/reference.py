"""The group-wise linear head in plain torch, the definition, and which labels share a query."""

import torch
import torch.nn.functional as F
from torch import Tensor


def groupwise_linear(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    norm_weight: Tensor | None = None,
    norm_bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """logits[b, k] = Σ_d y[b, g(k), d]·weight[k, d] + bias[k] in fp32 (fp64 for fp64), y = x or LayerNorm(x).

    x: (B, G, D) with label k reading row g(k) = k // ⌈K / G⌉; weight: (K, D); bias: (K,); norm_*: (D,) or None.
    """
    G, D = x.shape[1:]
    K = len(weight)
    wide = torch.promote_types(torch.promote_types(x.dtype, weight.dtype), torch.float32)
    y = x.to(wide)
    if norm_weight is not None:
        assert norm_bias is not None, "norm_weight and norm_bias go together"
        y = F.layer_norm(y, (D,), norm_weight.to(wide), norm_bias.to(wide), eps)
    per_label = y if K == G else y.repeat_interleave(-(-K // G), dim=1)[:, :K]
    return torch.einsum("bkd,kd->bk", per_label, weight.to(wide)) + bias.to(wide)


def group_size(num_labels: int, groups: int) -> int:
    """Labels a query, ⌈K / G⌉; ValueError where some query would be left without a label."""
    size = -(-num_labels // groups) if groups > 0 else 0
    used = -(-num_labels // size) if size else 0
    if groups < 1 or used != groups:
        fits = "1" if groups < 1 else str(min(used, num_labels))
        raise ValueError(f"{groups} query groups leave some without a label of {num_labels}; {fits} would fit")
    return size


def grouped(rows: Tensor, groups: int) -> Tensor:
    """(K, …) -> (G, m, …), padded with zeros where the last group is not full."""
    size = group_size(len(rows), groups)
    missing = groups * size - len(rows)
    padded = torch.cat([rows, rows.new_zeros(missing, *rows.shape[1:])]) if missing else rows
    return padded.unflatten(0, (groups, size))
