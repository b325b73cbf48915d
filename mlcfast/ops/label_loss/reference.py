"""The losses for missing labels and those for full ones, in plain torch: their definitions.

Logits x and labels z are (B, K) floating, of one type; f = σ(x). z is 1 for an observed positive, 0 for an unknown
label and −1 for an observed negative; with full labels z above 0 is positive. Each function returns (B, K) unless it
says otherwise. Logarithms and powers of f are taken of the logit, so that nothing overflows and no gradient is NaN at
any finite logit.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

Number = float | Tensor  # 0-d


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
    up, down = softplus(-x), softplus(x)
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
    return torch.exp(-gamma * softplus(x)) * softplus(-x)


def self_paced_correction(x: Tensor, z: Tensor, corrected: float, margin: float, gamma: float) -> Tensor:
    """SPLC (arXiv 2112.07368, Eq. 7): focal cross-entropy; an unknown entry with f > τ counts as positive.

    Observed positives' logits are lowered by the margin first, corrected ones are not. corrected: the logit of τ, ∞ to
    correct nothing.
    """
    lowered = torch.where(z > 0, x - margin, x)
    positive = (z > 0) | ((z == 0) & (x > corrected))
    return torch.where(positive, focal_entry(lowered, gamma), focal_entry(-lowered, gamma))


def generalized_robust(
    x: Tensor, z: Tensor, w: Number, b: Number, mu: Number, sigma: Number, q2: float, q3: float
) -> Tensor:
    """GR (arXiv 2405.03501, Eqs. 5 to 9), with f̄ = f without gradient.

    z = 1: neglog(f), z = −1: neglog(1 − f), ε = 1e-7. z = 0: V [k (1 − f^q2)/q2 + (1 − k)(1 − (1 − f)^q3)/q3] with
    k = σ(w f̄ + b) and V = exp(−½ ((f̄ − μ)/σ)²).
    """
    f, g = torch.sigmoid(x), torch.sigmoid(-x)
    fixed = f.detach()
    k = torch.sigmoid(w * fixed + b)
    v = torch.exp(-0.5 * ((fixed - mu) / sigma) ** 2)
    as_positive = -torch.expm1(-q2 * softplus(-x)) / q2
    as_negative = -torch.expm1(-q3 * softplus(x)) / q3
    unknown = v * (k * as_positive + (1 - k) * as_negative)
    return by_label(z, neglog(f, 1e-7), unknown, neglog(g, 1e-7))


def focal(x: Tensor, z: Tensor, gamma: float, alpha: float | None) -> Tensor:
    """Focal loss (arXiv 1708.02002, Eq. 5), (B, K): −α_t (1 − p_t)^γ log p_t; α None weighs nothing."""
    up, down = focal_entry(x, gamma), focal_entry(-x, gamma)
    if alpha is not None:
        up, down = alpha * up, (1 - alpha) * down
    return torch.where(z > 0, up, down)


def poly(x: Tensor, z: Tensor, epsilon: float, gamma: float, alpha: float | None) -> Tensor:
    """Poly-1 (arXiv 2204.12511, Eqs. 6 and 8), (B, K): α_t [−(1 − p_t)^γ log p_t + ε (1 − p_t)^(γ + 1)]."""
    missing = torch.where(z > 0, softplus(x), softplus(-x))  # −log(1 − p_t)
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


class LogSumExp(NamedTuple):
    """log Σ e^x as m + log Σ e^(x − m): m the largest of x, without gradient, and the rest, −∞ where there is no x.

    The gradient is e^(x − m) / Σ e^(x − m). That of torch.logsumexp is e^(x − result), which the rounding of a large
    result makes wrong by as much; and of two large results of which one is taken from the other, m's differ exactly.
    """

    largest: Tensor
    rest: Tensor

    @classmethod
    def of(cls, x: Tensor, chosen: Tensor, dim: int) -> "LogSumExp":
        """Over the chosen entries."""
        if not x.shape[dim]:  # of which there is no largest
            nothing = x.sum(dim)
            return cls(torch.zeros_like(nothing), nothing - torch.inf)
        held = x.masked_fill(~chosen, -torch.inf)
        largest = held.detach().amax(dim, keepdim=True)
        largest = torch.where(largest.isfinite(), largest, 0.0)
        there, total = chosen.any(dim), torch.exp(held - largest).sum(dim)
        rest = torch.where(there, torch.log(torch.where(there, total, 1.0)), -torch.inf)  # log 0 has no derivative
        return cls(largest.squeeze(dim), rest)

    @property
    def value(self) -> Tensor:
        """The sum of both."""
        return self.largest + self.rest

    def double(self) -> "LogSumExp":
        """In fp64, whose sums of the two keep the digits of both."""
        return LogSumExp(self.largest.double(), self.rest.double())


def zlpr(x: Tensor, z: Tensor) -> Tensor:
    """ZLPR (arXiv 2208.02955, Eq. 6), (B,): log(1 + Σ_{z=0} e^x) + log(1 + Σ_{z=1} e^−x)."""
    return softplus(LogSumExp.of(x, z <= 0, 1).value) + softplus(LogSumExp.of(-x, z > 0, 1).value)


def softplus(x: Tensor) -> Tensor:
    """log(1 + e^x), also above 20, from where torch's own is x, with every derivative that torch has at any x."""
    return -F.logsigmoid(-x)


def two_way(x: Tensor, z: Tensor, tp: float, tn: float, parts: Tensor | None = None) -> Tensor:
    """Two-way loss (Kobayashi, CVPR 2023, Eq. 10): over the labels of images and over the images of labels, scalar.

    Each is the mean over rows or columns with a positive of softplus(Tn LSE_{z=0}(x/Tn) + Tp LSE_{z=1}(−x/Tp)).
    parts: (P, 2K + 1), the `two_way_part` of each part of the global batch, of which this is one: the plain average of
    the parts' losses, and of their gradients, is then that of the global batch.
    """
    there = (z > 0).any(1)
    rows = torch.where(there, _two_way(LogSumExp.of(x / tn, z <= 0, 1), LogSumExp.of(-x / tp, z > 0, 1), tp, tn), 0.0)
    down, up = LogSumExp.of(x / tn, z <= 0, 0), LogSumExp.of(-x / tp, z > 0, 0)
    if parts is None:
        return rows.sum() / there.sum().clamp(min=1) + _columns(down, up, tp, tn)
    K, parts = x.shape[1], parts.double()
    down, up = _of_whole(down.double(), parts[:, :K]), _of_whole(up.double(), parts[:, K : 2 * K])
    columns = _columns(down, up, tp, tn)
    own = len(parts) * (columns - columns.detach())
    of_rows = (len(parts) / parts[:, 2 * K].sum().clamp(min=1)).to(x.dtype)
    return rows.sum() * of_rows + (columns.detach() + own).to(x.dtype)


def two_way_part(x: Tensor, z: Tensor, tp: float, tn: float) -> Tensor:
    """What other parts of a batch must know of this one, (2K + 1,): both LSE of each label, images with a positive.

    In fp64: two large LSE of opposite signs are taken from each other, and fp32 has lost what is then left.
    """
    with torch.no_grad():
        down, up = LogSumExp.of(x / tn, z <= 0, 0), LogSumExp.of(-x / tp, z > 0, 0)
        return torch.cat([down.double().value, up.double().value, (z > 0).any(1).sum()[None].double()])


def _two_way(down: LogSumExp, up: LogSumExp, tp: float, tn: float) -> Tensor:
    """softplus(Tn down + Tp up): the largest logits, of opposite signs, are taken from each other first."""
    return softplus((tn * down.largest + tp * up.largest) + (tn * down.rest + tp * up.rest))


def _columns(down: LogSumExp, up: LogSumExp, tp: float, tn: float) -> Tensor:
    """The mean over labels with a positive; a rest of −∞ stands for a label without entries of a kind."""
    there = up.rest > -torch.inf
    return torch.where(there, _two_way(down, up, tp, tn), 0.0).sum() / there.sum().clamp(min=1)


def _of_whole(own: LogSumExp, parts: Tensor) -> LogSumExp:
    """The log-sum-exp over all parts, (K,) from (P, K), whose gradient runs through the entries of this part, `own`."""
    whole = LogSumExp.of(parts, torch.ones_like(parts, dtype=torch.bool), 0)  # a NaN of another part counts
    some = own.rest > -torch.inf
    apart = (own.largest - whole.largest) + (own.rest - whole.rest)
    share = torch.where(some, torch.exp(torch.where(some, apart, 0.0)), 0.0).detach()
    rest = torch.where(some, own.rest, 0.0)
    return LogSumExp(whole.largest, whole.rest + share * (rest - rest.detach()))
