"""The registered operator of the losses that are sums of entries: checks, schema, and the choice of its implementation.

Each loss is a formula with its options, in the order of cpu/kernels.h; its definition is the plain function it is given
beside them. It serves missing_labels.py, full_labels.py and, for weighed entries, asymmetric_loss and weighted_bce.
"""

from collections.abc import Callable
from enum import IntEnum
from typing import Any

import torch
from torch import Tensor

from mlcfast.ops.autograd import HALF_UNIT, REDUCTION_CODES, StoredGradient
from mlcfast.ops.backend import choose, compiled_on_cpu, has_triton, passed_over
from mlcfast.ops.checks import check_label_values, check_matrix, check_pair, check_reduction
from mlcfast.ops.library import LIBRARY, define_forward, direct, fake_gradient, fake_loss
from mlcfast.ops.numerics import Weights, reduce, upcast, weigh


class Formula(IntEnum):
    """The formulas of csrc/label_formulas.h and csrc/formulas.h by number."""

    ENTROPY = 0  # alpha, beta, 1 with soft negative labels
    HILL = 1  # lambda, margin, gamma
    FOCAL = 2  # gamma, epsilon, weight of positives, of others, margin, logit above which unknown is positive
    ROBUST = 3  # w, b, mu, sigma, q2, q3
    LARGE = 4  # 1 to flip, of which rank the threshold is where it is not given as a tensor (0: nothing is large)
    ASYMMETRIC = 5  # those of AsymmetricOptions
    WEIGHTED_BCE = 6  # the six weights, eps


class RowFormula(IntEnum):
    """The formulas of csrc/cpu/row_kernels.cpp and of triton_rows.py by number, which goes on from Formula's."""

    BALANCED = 7  # alpha, beta, mu, scale of negatives, gamma, balance; the columns are 1 / n and the shift of logits
    ZLPR = 8  # a factor of the loss
    TWO_WAY = 9  # tp, tn, what rows weigh (0: one over their number), a factor of the columns' gradient; columns U, D


_ARGUMENTS = (
    "Tensor logits, Tensor labels, Tensor? threshold, Tensor? positive_weight, Tensor? other_weight, int formula, "
    "float[] options, int reduction"
)
LIBRARY.define(f"label_loss({_ARGUMENTS}) -> Tensor")
_NATIVE = torch.ops.mlcfast.label_loss.default  # bound once: the lookup costs more than the dispatch
_DIRECT = direct(_NATIVE)


@torch.library.register_fake("mlcfast::label_loss", lib=LIBRARY)
def _fake(logits: Tensor, labels: Tensor, *rest: Any) -> Tensor:
    return fake_loss(logits, rest[5])


def _fake_forward(logits: Tensor, labels: Tensor, *rest: Any) -> tuple[Tensor, Tensor]:
    return fake_loss(logits, rest[5]), fake_gradient(logits, rest[6])


def _triton_forward(*arguments: Any) -> tuple[Tensor, Tensor]:
    from mlcfast.ops.label_loss import triton, triton_rows

    by_rows = arguments[5] in set(RowFormula)
    return triton_rows.forward(*arguments) if by_rows else triton.forward(*arguments)


define_forward("label_loss_forward", f"{_ARGUMENTS}, bool with_gradient", _fake_forward, _triton_forward)


def label_loss(
    formula: Formula,
    plain: Callable[[Tensor, Tensor], Tensor],
    logits: Tensor,
    labels: Tensor,
    options: tuple[float, ...],
    reduction: str,
    steepest: float = 1.0,
    weights: Weights | None = None,
    threshold: Tensor | None = None,
    name: str = "labels",
) -> Tensor:
    """The loss of `formula`, whose entries (…, K) are plain(logits, labels), both of the arithmetic's type.

    logits: (B, K) or any shape, fp32, bf16, fp16 or fp64; labels: the same shape, in [-1, 1], any real dtype.
    steepest: about the largest derivative of an entry, which fp16 must be able to hold. weights: of positives and of
    other entries, (K,) each. threshold: of the formula LARGE, 0-d. name: what an error calls the labels.
    Returns fp32 (fp64 for fp64 logits): (B, K) for reduction none, else a scalar; an empty batch has mean 0.
    Raises ValueError for wrong shapes, dtypes, devices, options and, on the CPU, label values.
    """
    check_reduction(reduction)
    positive, other = weights or (None, None)
    code = REDUCTION_CODES[reduction]
    if compiled_on_cpu(logits, labels) and logits.dtype != torch.float16:
        return _DIRECT(logits, labels, threshold, positive, other, int(formula), options, code)  # an enum takes longer
    check_pair(logits, labels, name)
    backend = backend_of(logits)
    if backend == "reference":
        if logits.device.type == "cpu":
            check_label_values(labels, name)
        x = upcast(logits)
        z = labels.to(x.dtype)
        return reduce(weigh(plain(x, z), z, weights), reduction)
    if logits.dtype == torch.float16 and (weights is not None or steepest * HALF_UNIT > 1024):
        logits = logits.float()
    if backend == "native":
        return _NATIVE(logits, labels, threshold, positive, other, formula, options, code)
    arguments = (logits, labels, threshold, positive, other, int(formula), list(options), code)
    return StoredGradient.apply("label_loss_forward", code, 1.0, *arguments)


def backend_of(logits: Tensor) -> str:
    """As backend.choose; on CUDA, which has no compiled kernels of this operator, Triton stands in for native."""
    device = logits.device.type
    chosen = choose(device, logits.dtype)
    if chosen != "native" or device == "cpu":
        return chosen
    if has_triton(device) and logits.dtype != torch.float64:
        return "triton"
    passed_over(f"the later losses take the plain torch path on {device}: they have no compiled kernels there")
    return "reference"


def row_loss(
    formula: RowFormula,
    plain: Callable[[Tensor, Tensor], Tensor],
    logits: Tensor,
    labels: Tensor,
    options: tuple[float, ...],
    reduction: str,
    columns: Weights | None = None,
    share: Tensor | None = None,
) -> Tensor:
    """The loss of a formula whose entries hang on others of their image, or of their label; ZLPR has no Triton kernel.

    plain(logits, labels), both of the arithmetic's type, is the whole loss. columns: two tensors (K,) that the formula
    takes. share: of TWO_WAY in Triton's kernels, what a row weighs, 0-d. The rest as in label_loss, but that logits are
    (B, K).
    """
    check_pair(logits, labels, "labels")
    check_matrix(logits)
    check_reduction(reduction)
    backend = backend_of(logits)
    if backend == "triton" and formula == RowFormula.ZLPR:
        backend = "reference"
        passed_over(f"zlpr takes the plain torch path on {logits.device.type}: it has no kernels there")
    if backend == "reference":
        if logits.device.type == "cpu":
            check_label_values(labels, "labels")
        x = upcast(logits)
        return plain(x, labels.to(x.dtype))
    if logits.dtype == torch.float16:  # whose largest number a gradient may exceed
        logits = logits.float()
    code, (positive, other) = REDUCTION_CODES[reduction], columns or (None, None)
    if backend == "native":
        return _NATIVE(logits, labels, None, positive, other, formula, options, code)
    arguments = (logits, labels, share, positive, other, int(formula), list(options), code)
    return StoredGradient.apply("label_loss_forward", code, 1.0, *arguments)
