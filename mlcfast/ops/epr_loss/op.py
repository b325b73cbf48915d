"""Expected positive regularisation as a user calls it."""

from torch import Tensor

from mlcfast.ops.backend import choose
from mlcfast.ops.epr_loss.reference import epr_loss as reference
from mlcfast.ops.expected_positives.op import check_inputs, run
from mlcfast.ops.weighted_bce.op import check_eps


def epr_loss(
    logits: Tensor,
    observed: Tensor,
    expected_positives: float,
    weight: float = 1.0,
    eps: float = 1e-5,
    statistic: Tensor | None = None,
) -> Tensor:
    """Observed positives plus λ times the squared distance to κ positives an image (arXiv 2106.09708, reference.py).

    logits: (B, K), fp32, bf16, fp16 or fp64; observed: (B, K) in [-1, 1], any real dtype.
    expected_positives: κ. weight: λ. statistic: (4,) of the global batch when this is a part of it, see
    mlcfast.ops.expected_positives.statistic. Returns a scalar, fp32 (fp64 for fp64 logits), 0 for an empty batch.
    Raises ValueError for wrong shapes, dtypes, devices, options and, on the CPU, label values.
    """
    backend = choose(logits.device, logits.dtype)
    check_inputs(logits, observed, statistic, backend)
    check_eps(eps)
    if backend == "reference":
        return reference(logits, observed, expected_positives, weight, eps, statistic)
    return run(backend, logits, observed, None, None, statistic, expected_positives, weight, eps)
