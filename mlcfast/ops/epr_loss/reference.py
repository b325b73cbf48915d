"""Expected positive regularisation in plain torch: the definition (arXiv 2106.09708, Eq. 5-6, with the code's 1/K)."""

import torch
from torch import Tensor

from mlcfast.ops.expected_positives.statistic import batch_statistic, expected_positives_penalty
from mlcfast.ops.reduce import upcast


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
    statistic: of the global batch, (4,), when this is one part of it, see mlcfast.ops.expected_positives.statistic.
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
