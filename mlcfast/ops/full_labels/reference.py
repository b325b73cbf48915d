"""Losses for full labels, in plain torch; logits x and labels z are (B, K), z above 0 is positive."""

import torch
import torch.nn.functional as F
from torch import Tensor

from mlcfast.ops.missing_labels.reference import focal_entry


def focal(x: Tensor, z: Tensor, gamma: float, alpha: float | None) -> Tensor:
    """Focal loss (arXiv 1708.02002, Eq. 5), (B, K): −α_t (1 − p_t)^γ log p_t; α None weighs nothing."""
    up, down = focal_entry(x, gamma), focal_entry(-x, gamma)
    if alpha is not None:
        up, down = alpha * up, (1 - alpha) * down
    return torch.where(z > 0, up, down)


def log_sum_exp(x: Tensor, chosen: Tensor, dim: int) -> Tensor:
    """log Σ e^x over the chosen entries; −∞ where none is chosen."""
    return torch.logsumexp(x.masked_fill(~chosen, -torch.inf), dim)


def zlpr(x: Tensor, z: Tensor) -> Tensor:
    """ZLPR (arXiv 2208.02955, Eq. 6), (B,): log(1 + Σ_{z=0} e^x) + log(1 + Σ_{z=1} e^−x)."""
    return F.softplus(log_sum_exp(x, z <= 0, 1)) + F.softplus(log_sum_exp(-x, z > 0, 1))


def two_way(x: Tensor, z: Tensor, tp: float, tn: float) -> Tensor:
    """Two-way loss (Kobayashi, CVPR 2023, Eq. 10): over the labels of images and over the images of labels, scalar."""
    return _one_way(x, z, tp, tn, 1) + _one_way(x, z, tp, tn, 0)


def _one_way(x: Tensor, z: Tensor, tp: float, tn: float, dim: int) -> Tensor:
    """The mean over rows or columns with a positive of softplus(Tn LSE_{z=0}(x/Tn) + Tp LSE_{z=1}(−x/Tp))."""
    positive = z > 0
    there = positive.any(dim)
    value = F.softplus(tn * log_sum_exp(x / tn, ~positive, dim) + tp * log_sum_exp(-x / tp, positive, dim))
    return torch.where(there, value, 0.0).sum() / there.sum().clamp(min=1)
