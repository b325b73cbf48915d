"""EPR and ROLE in plain torch: the definitions (arXiv 2106.09708, Eq. 5-11, EPR with the code's 1/K).

What couples the images of a batch is its statistic: small, summable, and all that has to cross ranks.

A statistic is a (4,) tensor [Σ f, Σ ŷ, images, parts]: the two sums of probabilities over a part's (b, K) entries,
the number of its images b, and 1. Statistics of parts add up, over ranks and over the micro-batches of a step, to that
of the global batch. With S the total, the loss of one part is

    L_part = parts/images · Σ_part ℓ / K + λ R(S/images),    ∂R/∂x = R'(S/images) · parts/images · f(1−f)

so that the plain average of the parts' losses, and of their gradients, is the loss and the gradient of the global
batch, also when the parts are uneven. DDP's gradient average over ranks and 1/steps for accumulation are that average.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from mlcfast.ops.numerics import upcast


def batch_statistic(logits: Tensor, estimate_logits: Tensor | None = None) -> Tensor:
    """[Σ σ(logits), Σ σ(estimate_logits) or 0, B, 1] of one part, detached, fp32 (fp64 for fp64 logits), (4,)."""
    with torch.no_grad():  # which stops no forward-mode derivative, as detach() does
        total = torch.sigmoid(upcast(logits.detach())).sum()
        estimate = torch.zeros_like(total)
        if estimate_logits is not None:
            estimate = torch.sigmoid(upcast(estimate_logits.detach())).sum()
        counts = torch.tensor([logits.shape[0], 1], dtype=total.dtype, device=total.device)
        return torch.cat([total[None], estimate.to(total.dtype)[None], counts])


def expected_positives_penalty(
    probability_sum: Tensor, total: Tensor, statistic: Tensor, expected: float, K: int
) -> Tensor:
    """R = ((global mean of Σ_k f) − κ)² / K²; its gradient runs through this part's `probability_sum`."""
    images, parts = statistic[2].clamp(min=1), statistic[3]
    local = probability_sum * (parts / images)
    mean = total / images + (local - local.detach())
    return ((mean - expected) / K) ** 2


def epr_loss(
    logits: Tensor,
    observed: Tensor,
    expected_positives: float,
    weight: float = 1.0,
    eps: float = 1e-5,
    statistic: Tensor | None = None,
) -> Tensor:
    """L = Σ_{observed positive} neglog(f) / (B·K) + λ ((mean_b Σ_k f) − κ)² / K², neglog(x) = −log(x + eps).

    logits: (B, K) floating; observed: (B, K), 1 for an observed positive, anything ≤ 0 is left to the regulariser, and
    a soft positive weighs its term. expected_positives: κ, per image. weight: λ.
    statistic: of the global batch, (4,), when this is one part of it, see batch_statistic.
    Computed in fp32 (fp64 for fp64 logits). Returns a scalar, 0 for an empty batch.
    """
    B, K = logits.shape
    x = upcast(logits)
    if B * K == 0 and statistic is None:
        return x.sum()
    f = torch.sigmoid(x)
    z = observed.to(x.dtype).clamp(min=0)
    statistic = batch_statistic(logits) if statistic is None else statistic.to(x.dtype)
    entries = -(z * torch.log(f + eps)).sum() * (statistic[3] / (statistic[2] * K))
    return entries + weight * expected_positives_penalty(f.sum(), statistic[0], statistic, expected_positives, K)


def role_loss(
    logits: Tensor,
    observed: Tensor,
    estimate_logits: Tensor,
    expected_positives: float,
    index: Tensor | None = None,
    weight: float = 1.0,
    eps: float = 1e-5,
    statistic: Tensor | None = None,
) -> Tensor:
    """L = ½ Σ [pos(f) + pos(ŷ) + bce(f, sg ŷ) + bce(ŷ, sg f)] / (B·K) + ½ λ [R(F) + R(Ŷ)], ŷ = σ(estimate), sg stops.

    pos(x) = z neglog(x), bce(x, t) = t neglog(x) + (1−t) neglog(1−x), neglog(x) = −log(x + eps), R as in epr_loss.
    logits: (B, K) floating; observed: (B, K), z = 1 for an observed positive, ≤ 0 carries no label term.
    estimate_logits: (B, K) rows; or, with index (B,) int64, the whole (N, K) table, whose gradient is then sparse.
    statistic: of the global batch, (4,), when this is one part of it, see batch_statistic.
    Computed in fp32 (fp64 for fp64 logits). Returns a scalar, 0 for an empty batch.
    """
    B, K = logits.shape
    rows = estimate_logits if index is None else F.embedding(index, estimate_logits, sparse=True)
    x, e = upcast(logits), upcast(rows)
    if B * K == 0 and statistic is None:
        return x.sum() + e.sum()
    f, estimate = torch.sigmoid(x), torch.sigmoid(e)
    statistic = batch_statistic(logits, rows) if statistic is None else statistic.to(x.dtype)
    z = observed.to(x.dtype).clamp(min=0)
    terms = _half(x, z, estimate.detach(), eps) + _half(e, z, f.detach(), eps)
    penalty = expected_positives_penalty(f.sum(), statistic[0], statistic, expected_positives, K)
    penalty = penalty + expected_positives_penalty(estimate.sum(), statistic[1], statistic, expected_positives, K)
    return 0.5 * (terms.sum() * (statistic[3] / (statistic[2] * K)) + weight * penalty)


def _half(x: Tensor, z: Tensor, target: Tensor, eps: float) -> Tensor:
    """pos(σ(x)) + bce(σ(x), target)."""
    return -((z + target) * torch.log(torch.sigmoid(x) + eps) + (1 - target) * torch.log(torch.sigmoid(-x) + eps))
