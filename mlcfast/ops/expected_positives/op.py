"""epr_loss and role_loss as a user calls them, over the registered operators that serve both."""

from typing import Any

import torch
from torch import Tensor

from mlcfast.ops.autograd import RecomputedGradient
from mlcfast.ops.backend import choose
from mlcfast.ops.checks import check_label_values, check_like, check_matrix, check_pair
from mlcfast.ops.expected_positives import reference
from mlcfast.ops.label_bce.weighted_bce import check_eps
from mlcfast.ops.library import LIBRARY, define_forward, fake_loss

_INPUTS = "Tensor logits, Tensor observed, Tensor? estimate_logits, Tensor? index"
_OPTIONS = "float expected_positives, float weight, float eps"
_ARGUMENTS = f"{_INPUTS}, Tensor? statistic, {_OPTIONS}"
LIBRARY.define(f"expected_positives({_ARGUMENTS}) -> Tensor")
_NATIVE = torch.ops.mlcfast.expected_positives.default  # bound once: the lookup costs more than the dispatch


@torch.library.register_fake("mlcfast::expected_positives", lib=LIBRARY)
def _fake(logits: Tensor, *arguments: object) -> Tensor:
    return fake_loss(logits, 1)


def _fake_forward(logits: Tensor, *arguments: object) -> tuple[Tensor, Tensor]:
    loss = fake_loss(logits, 1)
    return loss, loss.new_empty(4)


def _fake_backward(
    incoming: Tensor, logits: Tensor, observed: Tensor, estimate_logits: Tensor | None, *arguments: object
) -> tuple[Tensor, Tensor]:
    rows = logits.new_empty(0) if estimate_logits is None else estimate_logits.new_empty(logits.shape)
    return logits.new_empty(logits.shape), rows


def _triton_forward(*arguments: Any) -> tuple[Tensor, Tensor]:
    from mlcfast.ops.expected_positives.triton import forward

    return forward(*arguments)


def _triton_backward(*arguments: Any) -> tuple[Tensor, Tensor]:
    from mlcfast.ops.expected_positives.triton import backward

    return backward(*arguments)


define_forward("expected_positives_forward", _ARGUMENTS, _fake_forward, _triton_forward)
define_forward(
    "expected_positives_backward",
    f"Tensor incoming, {_INPUTS}, Tensor statistic, {_OPTIONS}",
    _fake_backward,
    _triton_backward,
)


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
    mlcfast.ops.expected_positives.reference. Returns a scalar, fp32 (fp64 for fp64 logits), 0 for an empty batch.
    Raises ValueError for wrong shapes, dtypes, devices, options and, on the CPU, label values.
    """
    backend = choose(logits.device, logits.dtype)
    check_inputs(logits, observed, statistic, backend)
    check_eps(eps)
    if backend == "reference":
        return reference.epr_loss(logits, observed, expected_positives, weight, eps, statistic)
    return run(backend, logits, observed, None, None, statistic, expected_positives, weight, eps)


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
    mlcfast.ops.expected_positives.reference. Returns a scalar, fp32 (fp64 for fp64 logits), 0 for an empty batch.
    Raises ValueError for wrong shapes, dtypes, devices, options and, on the CPU, label values and indices.
    """
    backend = choose(logits.device, logits.dtype)
    check_inputs(logits, observed, statistic, backend)
    check_estimate(logits, estimate_logits, index)
    check_eps(eps)
    if backend == "reference":
        if index is not None and index.device.type == "cpu":
            check_index_values(index, estimate_logits.shape[0])
        return reference.role_loss(logits, observed, estimate_logits, expected_positives, index, weight, eps, statistic)
    return run(backend, logits, observed, estimate_logits, index, statistic, expected_positives, weight, eps)


def check_inputs(logits: Tensor, observed: Tensor, statistic: Tensor | None, backend: str) -> None:
    """ValueError for wrong shapes, dtypes and devices; label values where the reference runs on the CPU."""
    check_pair(logits, observed, "observed")
    check_matrix(logits)
    if statistic is not None and statistic.shape != (4,):
        raise ValueError(f"statistic must be (4,) from batch_statistic, not {tuple(statistic.shape)}")
    if backend == "reference" and logits.device.type == "cpu":
        check_label_values(observed, "observed")


def check_estimate(logits: Tensor, estimate_logits: Tensor, index: Tensor | None) -> None:
    """ValueError unless the estimate is (B, K) rows, or an (N, K) table with a (B,) int64 index."""
    if not estimate_logits.dtype.is_floating_point:
        raise ValueError(f"estimate_logits must be floating, not {estimate_logits.dtype}")
    if index is None:
        check_like(logits, estimate_logits, "estimate_logits")
        return
    B, K = logits.shape
    if estimate_logits.dim() != 2 or estimate_logits.shape[1] != K:
        raise ValueError(f"estimate_logits with index must be (N, {K}), not {tuple(estimate_logits.shape)}")
    if index.shape != (B,) or index.dtype != torch.int64:
        raise ValueError(f"index must be ({B},) int64, not {tuple(index.shape)} {index.dtype}")
    if not (logits.device == estimate_logits.device == index.device):
        raise ValueError(f"estimate_logits and index must be on {logits.device} like logits")


def check_index_values(index: Tensor, rows: int) -> None:
    """ValueError for an index outside the table. Reads the values; a traced graph cannot."""
    if index.numel() and not torch.compiler.is_compiling() and not (index.min() >= 0 and index.max() < rows):
        raise ValueError(f"index must lie in [0, {rows}), found {int(index.min())} to {int(index.max())}")


def run(
    backend: str,
    logits: Tensor,
    observed: Tensor,
    estimate_logits: Tensor | None,
    index: Tensor | None,
    statistic: Tensor | None,
    expected_positives: float,
    weight: float,
    eps: float,
) -> Tensor:
    """The loss by the native or the Triton kernels."""
    arguments = (logits, observed, estimate_logits, index, statistic, expected_positives, weight, eps)
    if backend == "native":
        return _NATIVE(*arguments)
    return RecomputedGradient.apply(*arguments)
