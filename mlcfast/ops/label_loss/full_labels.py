"""The losses of entries for full labels as a user calls them; the formulas are in reference.py.

logits: (B, K) or any shape, fp32, bf16, fp16 or fp64; labels: the same shape, in [-1, 1], any real dtype, above 0 is
positive. reduction: none | mean | sum, mean over B·K. weights: of positives and of other entries, (K,) each, or None.
Each returns fp32 (fp64 for fp64 logits), (B, K) for reduction none, else a scalar, 0 for the mean of an empty batch,
and raises ValueError for wrong shapes, dtypes, devices, options and, on the CPU, label values.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from mlcfast.ops.label_loss import reference
from mlcfast.ops.label_loss.op import Formula, RowFormula, label_loss, row_loss
from mlcfast.ops.numerics import Weights, reduce, upcast


def focal(
    logits: Tensor,
    labels: Tensor,
    gamma: float = 2.0,
    alpha: float | None = 0.25,
    reduction: str = "mean",
    weights: Weights | None = None,
) -> Tensor:
    """Focal loss (arXiv 1708.02002); alpha None weighs positives and negatives alike."""

    def plain(x: Tensor, z: Tensor) -> Tensor:
        return reference.focal(x, z, gamma, alpha)

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

    def plain(x: Tensor, z: Tensor) -> Tensor:
        return reference.poly(x, z, epsilon, gamma, alpha)

    return _focal(plain, logits, labels, epsilon, gamma, alpha, reduction, weights)


def distribution_balanced(
    logits: Tensor,
    labels: Tensor,
    counts: Tensor,
    images: int,
    mapping: tuple[float, float, float] = (0.1, 10.0, 0.2),
    neg_scale: float = 2.0,
    init_bias: float = 0.05,
    gamma: float = 2.0,
    balance: float = 2.0,
    reduction: str = "mean",
    columns: Weights | None = None,
) -> Tensor:
    """Distribution-balanced focal loss (arXiv 2007.09654) of logits (B, K).

    counts: (K,), of how many of the `images` training images each label is, above 0 and below `images`. columns: what
    `balanced_columns` makes of them, where the caller keeps it.
    """

    def plain(x: Tensor, z: Tensor) -> Tensor:
        own = counts.to(x)
        entries = reference.distribution_balanced(x, z, own, images, mapping, neg_scale, init_bias, gamma, balance)
        return reduce(entries, reduction)

    columns = columns or balanced_columns(counts, images, neg_scale, init_bias)
    options = (*mapping, neg_scale, gamma, balance if gamma > 0 else 1.0)
    return row_loss(RowFormula.BALANCED, plain, logits, labels, options, reduction, columns)


def balanced_columns(counts: Tensor, images: int, neg_scale: float, init_bias: float) -> Weights:
    """1 / n and the shift of the logits of each label, (K,) each, in fp64."""
    counts = counts.double()
    return 1 / counts, torch.log(images / counts - 1) * (init_bias / neg_scale)


def zlpr(logits: Tensor, labels: Tensor) -> Tensor:
    """ZLPR (arXiv 2208.02955) of logits (B, K), a scalar: the mean over images."""

    def plain(x: Tensor, z: Tensor) -> Tensor:
        return reference.zlpr(x, z).sum() / max(len(x), 1)

    return row_loss(RowFormula.ZLPR, plain, logits, labels, (float(logits.shape[-1]),), "mean")


def two_way(logits: Tensor, labels: Tensor, tp: float = 4.0, tn: float = 1.0, parts: Tensor | None = None) -> Tensor:
    """The two-way loss (Kobayashi, CVPR 2023) of logits (B, K), a scalar; parts: see reference.two_way."""

    def plain(x: Tensor, z: Tensor) -> Tensor:
        return reference.two_way(x, z, tp, tn, parts)

    if parts is None:
        return row_loss(RowFormula.TWO_WAY, plain, logits, labels, (tp, tn, 0.0, 1.0), "sum")
    if not len(logits) or torch.compiler.is_compiling():
        x = upcast(logits)  # the loop of the CPU asks for the number of images, which a compiled graph does not know
        return plain(x, labels.to(x.dtype))
    K, parts = logits.shape[1], parts.double()
    columns = (torch.logsumexp(parts[:, K : 2 * K], 0), torch.logsumexp(parts[:, :K], 0))
    share = len(parts) / parts[:, 2 * K].sum().clamp(min=1)
    options = (tp, tn, float(share) if logits.device.type == "cpu" else 0.0, float(len(parts)))
    return row_loss(RowFormula.TWO_WAY, plain, logits, labels, options, "sum", columns, share)


def _focal(
    plain: Callable[[Tensor, Tensor], Tensor],
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
