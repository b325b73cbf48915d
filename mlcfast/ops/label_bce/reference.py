"""The losses of arXiv 2106.09708 in plain torch, the definitions.

weighted_bce is cross-entropy with one pair of weights per kind of label: bce, an, wan, iu and the smoothed forms.
pairwise_ranking has one term per pair of a positive and another label of an image.
"""

import torch
from torch import Tensor

from mlcfast.ops.numerics import reduce, upcast

Weights = tuple[float, float]


def weighted_bce(
    logits: Tensor,
    labels: Tensor,
    positive: Weights = (1.0, 0.0),
    unknown: Weights = (0.0, 1.0),
    negative: Weights = (0.0, 1.0),
    true_labels: Tensor | None = None,
    eps: float = 1e-5,
    reduction: str = "mean",
) -> Tensor:
    """L = a neglog(f) + b neglog(1−f), neglog(x) = −log(x + eps), f = σ(logit) (arXiv 2106.09708, Section 3 and code).

    logits: floating, (B, K) or any shape; labels: the same shape, in [-1, 1], any real dtype.
    (a, b) is `positive` at label 1, `unknown` at 0, `negative` at −1, and linear between: soft labels.
    true_labels: where given, an entry that is not positive counts as −1 if its true label is ≤ 0, else as 0.
    Computed in fp32 (fp64 for fp64 logits). Returns (B, K) for reduction none, else a scalar; mean is over B·K.
    """
    x = upcast(logits)
    z = labels.to(x.dtype)
    if true_labels is not None:
        z = torch.where(z > 0, z, -(true_labels <= 0).to(x.dtype))
    up, down = z.clamp(min=0), (-z).clamp(min=0)
    a, b = (u + up * (p - u) + down * (n - u) for p, u, n in zip(positive, unknown, negative, strict=True))
    loss = -(a * torch.log(torch.sigmoid(x) + eps) + b * torch.log(torch.sigmoid(-x) + eps))
    return reduce(loss, reduction)


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
