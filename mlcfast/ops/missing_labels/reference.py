"""Entries of the losses for missing labels, in plain torch.

Logits x and labels z are (B, K) floating, of one type; f = σ(x). z is 1 for an observed positive, 0 for an unknown
label and −1 for an observed negative. Each function returns (B, K). Logarithms and powers of f are taken of the logit,
so that nothing overflows and no gradient is NaN at any finite logit.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def by_label(z: Tensor, positive: Tensor, unknown: Tensor, negative: Tensor) -> Tensor:
    """The entry of each label's kind; z above 0 is positive, below 0 negative."""
    return torch.where(z > 0, positive, torch.where(z < 0, negative, unknown))


def neglog(p: Tensor, eps: float) -> Tensor:
    """−log(p + eps)."""
    return -torch.log(p + eps)


def entropy_maximisation(x: Tensor, z: Tensor, alpha: float, beta: float | None) -> Tensor:
    """EM and EM + APL (arXiv 2203.16219, Eqs. 4 and 6).

    z = 1: neglog(f). z = 0: −α [f neglog(f) + (1 − f) neglog(1 − f)]. z = −1: neglog(1 − f). With β, z in (−1, 0) is a
    soft negative pseudo-label s = −z: β [s neglog(f) + (1 − s) neglog(1 − f)]. ε = 1e-5.
    """
    f, g = torch.sigmoid(x), torch.sigmoid(-x)
    up, down = neglog(f, 1e-5), neglog(g, 1e-5)
    entries = by_label(z, up, -alpha * (f * up + g * down), down)
    if beta is None:
        return entries
    return torch.where((z < 0) & (z > -1), beta * (-z * up + (1 + z) * down), entries)


def large_loss_threshold(x: Tensor, z: Tensor, count: int) -> Tensor:
    """The `count`-th largest logit of an unknown entry, 0-d, −∞ where there are fewer: their losses rise with it."""
    if count > x.numel():
        return x.new_full((), -torch.inf)
    return torch.where(z == 0, x.detach(), -torch.inf).flatten().topk(count).values[-1]


def large_losses(x: Tensor, z: Tensor, threshold: Tensor | None, flip: bool) -> Tensor:
    """LL-R, LL-Ct and LL-Cp (arXiv 2206.03740): binary cross-entropy without the largest losses of unknown entries.

    Those whose logit is at least the threshold are 0, or with `flip` the cross-entropy of the opposite label.
    """
    up, down = F.softplus(-x), F.softplus(x)
    entries = torch.where(z > 0, up, down)
    if threshold is None:
        return entries
    return torch.where((z == 0) & (x >= threshold), up if flip else 0.0, entries)


def hill(x: Tensor, z: Tensor, lambda_: float, margin: float, gamma: float) -> Tensor:
    """Hill (arXiv 2112.07368, Eq. 4): z = 1: −(1 − σ(x − m))^γ log σ(x − m); else (λ − f) f²."""
    f = torch.sigmoid(x)
    return torch.where(z > 0, focal_entry(x - margin, gamma), (lambda_ - f) * f * f)


def focal_entry(x: Tensor, gamma: float) -> Tensor:
    """−(1 − σ(x))^γ log σ(x)."""
    return torch.exp(-gamma * F.softplus(x)) * F.softplus(-x)


def self_paced_correction(x: Tensor, z: Tensor, corrected: float, margin: float, gamma: float) -> Tensor:
    """SPLC (arXiv 2112.07368, Eq. 7): focal cross-entropy; an unknown entry with f > τ counts as positive.

    Observed positives' logits are lowered by the margin first, corrected ones are not. corrected: the logit of τ, ∞ to
    correct nothing.
    """
    lowered = torch.where(z > 0, x - margin, x)
    positive = (z > 0) | ((z == 0) & (x > corrected))
    return torch.where(positive, focal_entry(lowered, gamma), focal_entry(-lowered, gamma))


def generalized_robust(
    x: Tensor, z: Tensor, w: float, b: float, mu: float, sigma: float, q2: float, q3: float
) -> Tensor:
    """GR (arXiv 2405.03501, Eqs. 5 to 9), with f̄ = f without gradient.

    z = 1: neglog(f), z = −1: neglog(1 − f), ε = 1e-7. z = 0: V [k (1 − f^q2)/q2 + (1 − k)(1 − (1 − f)^q3)/q3] with
    k = σ(w f̄ + b) and V = exp(−½ ((f̄ − μ)/σ)²).
    """
    f, g = torch.sigmoid(x), torch.sigmoid(-x)
    fixed = f.detach()
    k = torch.sigmoid(w * fixed + b)
    v = torch.exp(-0.5 * ((fixed - mu) / sigma) ** 2)
    as_positive = -torch.expm1(-q2 * F.softplus(-x)) / q2
    as_negative = -torch.expm1(-q3 * F.softplus(x)) / q3
    unknown = v * (k * as_positive + (1 - k) * as_negative)
    return by_label(z, neglog(f, 1e-7), unknown, neglog(g, 1e-7))
