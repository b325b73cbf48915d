"""Asymmetric focal loss in plain torch: the definition the kernels are held to (arXiv 2009.14119, Eq. 4-7)."""

import torch
from torch import Tensor

from mlcfast.ops.numerics import reduce, upcast


def asymmetric_loss(
    logits: Tensor,
    targets: Tensor,
    gamma_neg: float = 4.0,
    gamma_pos: float = 1.0,
    clip: float = 0.05,
    eps: float = 1e-8,
    detach_focal_weight: bool = False,
    reduction: str = "mean",
) -> Tensor:
    """L = −[y log max(p, eps) + (1−y) log max(q, eps)] · (1−t)^γ, p = σ(logit), q = min(1 − p + clip, 1).

    t = y p + (1−y) q and γ = y γ+ + (1−y) γ−: for y in {0, 1} the paper's loss, between them its usual soft-label form.
    logits: floating, (B, K) or any shape; targets: the same shape, in [-1, 1], any real dtype; below 0 counts as 0.
    detach_focal_weight: the focal weight is a constant in the backward pass, as in the published training.
    Computed in fp32 (fp64 for fp64 logits). Returns (B, K) for reduction none, else a scalar; mean is over B·K.
    """
    x = upcast(logits)
    y = targets.to(x.dtype).clamp(min=0)
    p, not_p = torch.sigmoid(x), torch.sigmoid(-x)
    q = (not_p + clip).clamp(max=1)
    likelihood = y * torch.log(p.clamp(min=eps)) + (1 - y) * torch.log(q.clamp(min=eps))
    if gamma_neg > 0 or gamma_pos > 0:
        distance = y * not_p + (1 - y) * (p - clip).clamp(min=0)
        if detach_focal_weight:
            distance = distance.detach()
        likelihood = likelihood * _focal_weight(distance, gamma_pos * y + gamma_neg * (1 - y))
    return reduce(-likelihood, reduction)


def _focal_weight(distance: Tensor, gamma: Tensor) -> Tensor:
    """distance^gamma with a derivative of 0 at distance 0 also for gamma < 1, where pow alone gives inf · 0."""
    return torch.pow(distance.clamp(min=torch.finfo(distance.dtype).tiny), gamma)
