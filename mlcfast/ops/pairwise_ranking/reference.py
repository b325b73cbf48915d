"""Pairwise ranking hinge in plain torch: the definition, one term per (positive, other) pair of an image."""

import torch
from torch import Tensor

from mlcfast.ops.numerics import reduce, upcast


def pairwise_ranking(logits: Tensor, labels: Tensor, reduction: str = "mean") -> Tensor:
    """L_bi = [i positive] Σ_{j not positive} max(0, 1 − f_bi + f_bj), f = σ(logit) (arXiv 2106.09708, code).

    logits: (B, K) floating; labels: (B, K), above 0 is positive. f lies in [0, 1], so no pair's hinge is ever closed
    and the sum over j is Q (1 − f_bi) + Σ_j f_bj with Q the number of entries that are not positive: O(K) an image.
    Computed in fp32 (fp64 for fp64 logits). Returns (B, K) for reduction none, else a scalar; mean is over B·K.
    """
    x = upcast(logits)
    positive = (labels > 0).to(x.dtype)
    other = 1 - positive
    others_mass = (other * torch.sigmoid(x)).sum(dim=1, keepdim=True)
    others = other.sum(dim=1, keepdim=True)
    return reduce(positive * (others * torch.sigmoid(-x) + others_mass), reduction)
