"""The weighted cross-entropy as a user calls it: checks, the registered operator, the choice of its implementation."""

from typing import Any

import torch
from torch import Tensor

from mlcfast.ops.autograd import HALF_UNIT, REDUCTION_CODES, StoredGradient
from mlcfast.ops.backend import choose, compiled_on_cpu
from mlcfast.ops.checks import check_label_values, check_like, check_pair, check_reduction
from mlcfast.ops.label_bce.reference import Weights
from mlcfast.ops.label_bce.reference import weighted_bce as reference
from mlcfast.ops.label_loss.op import Formula, label_loss
from mlcfast.ops.library import LIBRARY, define_forward, direct, fake_gradient, fake_loss
from mlcfast.ops.numerics import Weights as EntryWeights

_ARGUMENTS = (
    "Tensor logits, Tensor labels, Tensor? true_labels, float positive_a, float positive_b, float unknown_a, "
    "float unknown_b, float negative_a, float negative_b, float eps, int reduction"
)
LIBRARY.define(f"weighted_bce({_ARGUMENTS}) -> Tensor")
_NATIVE = torch.ops.mlcfast.weighted_bce.default  # bound once: the lookup costs more than the dispatch
_DIRECT = direct(_NATIVE)


@torch.library.register_fake("mlcfast::weighted_bce", lib=LIBRARY)
def _fake(logits: Tensor, labels: Tensor, true_labels: Tensor | None, *options: Any) -> Tensor:
    return fake_loss(logits, options[7])


def _fake_forward(logits: Tensor, labels: Tensor, true_labels: Tensor | None, *options: Any) -> tuple[Tensor, Tensor]:
    return fake_loss(logits, options[7]), fake_gradient(logits, options[8])


def _triton_forward(*arguments: Any) -> tuple[Tensor, Tensor]:
    from mlcfast.ops.label_bce.triton import weighted_bce

    return weighted_bce(*arguments)


define_forward("weighted_bce_forward", f"{_ARGUMENTS}, bool with_gradient", _fake_forward, _triton_forward)


def weighted_bce(
    logits: Tensor,
    labels: Tensor,
    positive: Weights = (1.0, 0.0),
    unknown: Weights = (0.0, 1.0),
    negative: Weights = (0.0, 1.0),
    true_labels: Tensor | None = None,
    eps: float = 1e-5,
    reduction: str = "mean",
    weights: EntryWeights | None = None,
) -> Tensor:
    """Cross-entropy with one pair of weights per kind of label (arXiv 2106.09708); the formula is in reference.py.

    logits: (B, K) or any shape, fp32, bf16, fp16 or fp64; labels: the same shape, in [-1, 1], any real dtype.
    positive, unknown, negative: (a, b), the weights of neglog(f) and neglog(1 − f) at labels 1, 0 and −1, finite.
    true_labels: the same shape; where given, what is not positive counts as −1 if its true label is ≤ 0, else as 0.
    weights: of positives and of other entries, (K,) each; a soft positive label lies between the two.
    Returns fp32 (fp64 for fp64 logits): (B, K) for reduction none, else a scalar; an empty batch has mean 0.
    Raises ValueError for wrong shapes, dtypes, devices, options and, on the CPU, label values.
    """
    check_reduction(reduction)
    check_eps(eps)
    ready = compiled_on_cpu(logits, labels)
    if not ready:
        check_pair(logits, labels, "labels")
    if true_labels is not None:
        check_like(logits, true_labels, "true_labels")
    if weights is not None:
        if true_labels is not None:
            labels = torch.where(labels > 0, labels.to(torch.float32), -(true_labels <= 0).to(torch.float32))

        def plain(x: Tensor, z: Tensor) -> Tensor:
            return reference(x, z, positive, unknown, negative, None, eps, "none")

        options = (*positive, *unknown, *negative, eps)
        return label_loss(Formula.WEIGHTED_BCE, plain, logits, labels, options, reduction, weights=weights)
    backend = "native" if ready else choose(logits.device, logits.dtype)
    if backend == "reference":
        if logits.device.type == "cpu":
            check_label_values(labels, "labels")
        return reference(logits, labels, positive, unknown, negative, true_labels, eps, reduction)
    of_kinds = (*positive, *unknown, *negative)
    if logits.dtype == torch.float16 and max(map(abs, of_kinds)) * HALF_UNIT > 1024:
        logits = logits.float()
    code = REDUCTION_CODES[reduction]
    arguments = (*of_kinds, eps, code)
    if backend == "native":
        return (_DIRECT if ready else _NATIVE)(logits, labels, true_labels, *arguments)
    return StoredGradient.apply("weighted_bce_forward", code, 1.0, logits, labels, true_labels, *arguments)


def check_eps(eps: float) -> None:
    """ValueError for an eps that fp32 cannot hold as a normal number."""
    if not 1e-37 <= eps < 1:
        raise ValueError(f"eps must be in [1e-37, 1), not {eps}")
