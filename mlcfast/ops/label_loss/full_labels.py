"""The losses of entries for full labels as a user calls them; the formulas are in reference.py.

logits: (B, K) or any shape, fp32, bf16, fp16 or fp64; labels: the same shape, in [-1, 1], any real dtype, above 0 is
positive. reduction: none | mean | sum, mean over B·K. weights: of positives and of other entries, (K,) each, or None.
Each returns fp32 (fp64 for fp64 logits), (B, K) for reduction none, else a scalar, 0 for the mean of an empty batch,
and raises ValueError for wrong shapes, dtypes, devices, options and, on the CPU, label values.
"""

import math
from functools import partial

from torch import Tensor

from mlcfast.ops.label_loss import reference
from mlcfast.ops.label_loss.op import Formula, label_loss
from mlcfast.ops.numerics import Weights


def focal(
    logits: Tensor,
    labels: Tensor,
    gamma: float = 2.0,
    alpha: float | None = 0.25,
    reduction: str = "mean",
    weights: Weights | None = None,
) -> Tensor:
    """Focal loss (arXiv 1708.02002); alpha None weighs positives and negatives alike."""
    plain = partial(reference.focal, gamma=gamma, alpha=alpha)
    return _focal(plain, logits, labels, 0.0, gamma, alpha, reduction, weights)


def poly(
    logits: Tensor,
    labels: Tensor,
    epsilon: float = 2.0,
    gamma: float = 0.0,
    alpha: float | None = None,
    reduction: str = "mean",
    weights: Weights | None = None,
) -> Tensor:
    """Poly-1 (arXiv 2204.12511) for many labels: the focal loss plus ε (1 − p_t)^(γ + 1)."""
    plain = partial(reference.poly, epsilon=epsilon, gamma=gamma, alpha=alpha)
    return _focal(plain, logits, labels, epsilon, gamma, alpha, reduction, weights)


def _focal(
    plain: partial,
    logits: Tensor,
    labels: Tensor,
    epsilon: float,
    gamma: float,
    alpha: float | None,
    reduction: str,
    weights: Weights | None,
) -> Tensor:
    positive, other = (1.0, 1.0) if alpha is None else (alpha, 1.0 - alpha)
    options = (gamma, epsilon, positive, other, 0.0, math.inf)
    steepest = max(abs(positive), abs(other)) * (1 + abs(gamma)) * (1 + abs(epsilon))
    return label_loss(Formula.FOCAL, plain, logits, labels, options, reduction, steepest, weights)
