"""The batch statistic that couples EPR's and ROLE's images: small, summable, and all that has to cross ranks.

A statistic is a (4,) tensor [Σ f, Σ ŷ, images, parts]: the two sums of probabilities over a part's (b, K) entries,
the number of its images b, and 1. Statistics of parts add up, over ranks and over the micro-batches of a step, to that
of the global batch. With S the total, the loss of one part is

    L_part = parts/images · Σ_part ℓ / K + λ R(S/images),    ∂R/∂x = R'(S/images) · parts/images · f(1−f)

so that the plain average of the parts' losses, and of their gradients, is the loss and the gradient of the global
batch, also when the parts are uneven. DDP's gradient average over ranks and 1/steps for accumulation are that average.
"""

import torch
from torch import Tensor

from mlcfast.ops.reduce import upcast


def batch_statistic(logits: Tensor, estimate_logits: Tensor | None = None) -> Tensor:
    """[Σ σ(logits), Σ σ(estimate_logits) or 0, B, 1] of one part, detached, fp32 (fp64 for fp64 logits), (4,)."""
    with torch.no_grad():
        total = torch.sigmoid(upcast(logits)).sum()
        estimate = torch.zeros_like(total) if estimate_logits is None else torch.sigmoid(upcast(estimate_logits)).sum()
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
