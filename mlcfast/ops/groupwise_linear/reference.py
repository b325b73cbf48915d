"""The group-wise linear head in plain torch: the definition."""

import torch
from torch import Tensor


def groupwise_linear(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """logits[b, k] = Σ_d x[b, k, d]·weight[k, d] + bias[k] (arXiv 2107.10834, Eq. 11).

    x: (B, K, D); weight: (1, K, D) or (K, D); bias: (1, K) or (K,); the leading 1 is the published checkpoints' layout.
    Returns (B, K). ValueError names the argument whose shape does not fit.
    """
    if x.ndim != 3:
        raise ValueError(f"x must be (B, K, D), got {tuple(x.shape)}")
    _, K, D = x.shape
    if tuple(weight.shape) not in {(K, D), (1, K, D)}:
        raise ValueError(f"weight must be ({K}, {D}) or (1, {K}, {D}) to match x, got {tuple(weight.shape)}")
    if tuple(bias.shape) not in {(K,), (1, K)}:
        raise ValueError(f"bias must be ({K},) or (1, {K}) to match x, got {tuple(bias.shape)}")
    return torch.einsum("bkd,kd->bk", x, weight.reshape(K, D)) + bias.reshape(K)
