"""Asymmetric focal loss in plain torch: the definition the kernels are held to (arXiv 2009.14119, Eq. 4-7)."""

import torch
from torch import Tensor


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
    """L = −[y (1−p)^γ+ log max(p, eps) + (1−y) (1−q)^γ− log max(q, eps)], p = σ(logit), q = min(1 − p + clip, 1).

    logits: (B, K) floating; targets: (B, K) in [0, 1], any dtype. Computed in fp32 (fp64 for fp64 logits).
    detach_focal_weight: the focal weight is a constant in the backward pass, as in the published training.
    Returns (B, K) for reduction none, else a scalar; mean is over B·K and 0 for an empty batch.
    """
    x = logits if logits.dtype == torch.float64 else logits.float()
    y = targets.to(x.dtype)
    p = torch.sigmoid(x)
    q = (torch.sigmoid(-x) + clip).clamp(max=1)
    likelihood = y * torch.log(p.clamp(min=eps)) + (1 - y) * torch.log(q.clamp(min=eps))
    if gamma_neg > 0 or gamma_pos > 0:
        likelihood = likelihood * _focal_weight(p, q, y, gamma_neg, gamma_pos, detach_focal_weight)
    loss = -likelihood
    if reduction == "none":
        return loss
    return loss.sum() if reduction == "sum" else loss.sum() / max(loss.numel(), 1)


def _focal_weight(p: Tensor, q: Tensor, y: Tensor, gamma_neg: float, gamma_pos: float, detach: bool) -> Tensor:
    if detach:
        p, q = p.detach(), q.detach()
    p_target = p * y + q * (1 - y)
    gamma = gamma_pos * y + gamma_neg * (1 - y)
    return torch.pow(1 - p_target, gamma)
