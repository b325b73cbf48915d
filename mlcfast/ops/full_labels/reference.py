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


def poly(x: Tensor, z: Tensor, epsilon: float, gamma: float, alpha: float | None) -> Tensor:
    """Poly-1 (arXiv 2204.12511, Eqs. 6 and 8), (B, K): α_t [−(1 − p_t)^γ log p_t + ε (1 − p_t)^(γ + 1)]."""
    missing = torch.where(z > 0, F.softplus(x), F.softplus(-x))  # −log(1 − p_t)
    lead = epsilon * torch.exp(-(gamma + 1) * missing)
    if alpha is not None:
        lead = torch.where(z > 0, alpha * lead, (1 - alpha) * lead)
    return focal(x, z, gamma, alpha) + lead


def distribution_balanced(
    x: Tensor, z: Tensor, counts: Tensor, images: int, mapping: tuple[float, float, float],
    neg_scale: float, init_bias: float, gamma: float, balance: float,
) -> Tensor:  # fmt: skip
    """Distribution-balanced focal loss (arXiv 2007.09654, Eqs. 3 to 8, with the authors' constants), (B, K).

    n of M training images have a label; counts: (K,), above 0 and below M. An entry weighs α + σ(β (r − μ)), with
    mapping (α, β, μ) and r = (1/n_k) / Σ_{j positive} 1/n_j, infinite for an image without positives. With
    u = x − (κ/λ) log(M/n_k − 1), λ neg_scale, κ init_bias: positives b (1 − σ(u))^γ softplus(−u), others
    b σ(λu)^γ softplus(λu) / λ. γ = 0 leaves out both the focal weight and its balance b.
    """
    alpha, beta, mu = mapping
    inverse = 1 / counts
    positive = z > 0
    of_image = (positive * inverse).sum(-1, keepdim=True)
    weight = alpha + torch.sigmoid(beta * (inverse / of_image - mu))
    u = x - torch.log(images / counts - 1) * (init_bias / neg_scale)
    entries = torch.where(positive, focal_entry(u, gamma), focal_entry(-neg_scale * u, gamma) / neg_scale)
    return weight * entries * (balance if gamma > 0 else 1.0)


def log_sum_exp(x: Tensor, chosen: Tensor, dim: int) -> Tensor:
    """log Σ e^x over the chosen entries; −∞ where none is chosen."""
    return torch.logsumexp(x.masked_fill(~chosen, -torch.inf), dim)


def zlpr(x: Tensor, z: Tensor) -> Tensor:
    """ZLPR (arXiv 2208.02955, Eq. 6), (B,): log(1 + Σ_{z=0} e^x) + log(1 + Σ_{z=1} e^−x)."""
    return F.softplus(log_sum_exp(x, z <= 0, 1)) + F.softplus(log_sum_exp(-x, z > 0, 1))


def two_way(x: Tensor, z: Tensor, tp: float, tn: float, parts: Tensor | None = None) -> Tensor:
    """Two-way loss (Kobayashi, CVPR 2023, Eq. 10): over the labels of images and over the images of labels, scalar.

    Each is the mean over rows or columns with a positive of softplus(Tn LSE_{z=0}(x/Tn) + Tp LSE_{z=1}(−x/Tp)).
    parts: (P, 2K + 1), the `two_way_part` of each part of the global batch, of which this is one: the plain average of
    the parts' losses, and of their gradients, is then that of the global batch.
    """
    there = (z > 0).any(1)
    rows = torch.where(
        there, F.softplus(tn * log_sum_exp(x / tn, z <= 0, 1) + tp * log_sum_exp(-x / tp, z > 0, 1)), 0.0
    )
    down, up = log_sum_exp(x / tn, z <= 0, 0), log_sum_exp(-x / tp, z > 0, 0)
    if parts is None:
        return rows.sum() / there.sum().clamp(min=1) + _columns(down, up, tp, tn)
    K, parts = x.shape[1], parts.to(x.dtype)
    columns = _columns(_of_whole(down, parts[:, :K]), _of_whole(up, parts[:, K : 2 * K]), tp, tn)
    own = len(parts) * (columns - columns.detach())
    return rows.sum() * (len(parts) / parts[:, 2 * K].sum().clamp(min=1)) + (columns.detach() + own)


def two_way_part(x: Tensor, z: Tensor, tp: float, tn: float) -> Tensor:
    """What other parts of a batch must know of this one, (2K + 1,): both LSE of each label, images with a positive."""
    with torch.no_grad():
        down, up = log_sum_exp(x / tn, z <= 0, 0), log_sum_exp(-x / tp, z > 0, 0)
        return torch.cat([down, up, (z > 0).any(1).sum()[None].to(x.dtype)])


def _columns(down: Tensor, up: Tensor, tp: float, tn: float) -> Tensor:
    """The mean over labels with a positive; −∞ stands for a label without entries of a kind."""
    there = up > -torch.inf
    return torch.where(there, F.softplus(tn * down + tp * up), 0.0).sum() / there.sum().clamp(min=1)


def _of_whole(own: Tensor, parts: Tensor) -> Tensor:
    """The log-sum-exp over all parts, (K,) from (P, K), whose gradient runs through the entries of this part, `own`."""
    whole = torch.logsumexp(parts, 0)
    some = own > -torch.inf
    share = torch.where(some, torch.exp(torch.where(some, own - whole, 0.0)), 0.0).detach()
    finite = torch.where(some, own, 0.0)
    return whole + share * (finite - finite.detach())
