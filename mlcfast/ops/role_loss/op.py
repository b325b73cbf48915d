"""ROLE as a user calls it."""

from torch import Tensor

from mlcfast.ops.backend import choose
from mlcfast.ops.expected_positives.op import check_estimate, check_index_values, check_inputs, run
from mlcfast.ops.role_loss.reference import role_loss as reference
from mlcfast.ops.weighted_bce.op import check_eps


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
    """A classifier and a label estimator trained on each other's output (arXiv 2106.09708), see reference.py.

    logits: (B, K), fp32, bf16, fp16 or fp64; observed: (B, K) in [-1, 1], any real dtype.
    estimate_logits: (B, K) rows; or, with index (B,) int64, the (N, K) table: the kernel gathers the rows itself and
    the table's gradient is a sparse tensor of the B rows. On a GPU an index outside [0, N) makes the loss NaN.
    expected_positives: κ. weight: λ. statistic: (4,) of the global batch when this is a part of it, see
    mlcfast.ops.expected_positives.statistic. Returns a scalar, fp32 (fp64 for fp64 logits), 0 for an empty batch.
    Raises ValueError for wrong shapes, dtypes, devices, options and, on the CPU, label values and indices.
    """
    backend = choose(logits.device, logits.dtype)
    check_inputs(logits, observed, statistic, backend)
    check_estimate(logits, estimate_logits, index)
    check_eps(eps)
    if backend == "reference":
        if index is not None and index.device.type == "cpu":
            check_index_values(index, estimate_logits.shape[0])
        return reference(logits, observed, estimate_logits, expected_positives, index, weight, eps, statistic)
    return run(backend, logits, observed, estimate_logits, index, statistic, expected_positives, weight, eps)
