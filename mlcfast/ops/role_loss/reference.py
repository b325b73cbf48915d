"""ROLE, regularised online label estimation, in plain torch: the definition (arXiv 2106.09708, Eq. 7-11)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from mlcfast.ops.expected_positives.statistic import batch_statistic, expected_positives_penalty
from mlcfast.ops.reduce import upcast


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
    statistic: of the global batch, (4,), when this is one part of it, see mlcfast.ops.expected_positives.statistic.
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
