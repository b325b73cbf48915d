"""The pairwise ranking hinge as a user calls it: checks, the registered operator, the choice of its implementation."""

from typing import Any

import torch
from torch import Tensor

from mlcfast.ops.autograd import REDUCTION_CODES, StoredGradient
from mlcfast.ops.backend import choose
from mlcfast.ops.checks import check_label_values, check_matrix, check_pair, check_reduction
from mlcfast.ops.label_bce.reference import pairwise_ranking as reference
from mlcfast.ops.library import LIBRARY, define_forward, fake_gradient, fake_loss

_ARGUMENTS = "Tensor logits, Tensor labels, int reduction"
LIBRARY.define(f"pairwise_ranking({_ARGUMENTS}) -> Tensor")
_NATIVE = torch.ops.mlcfast.pairwise_ranking.default  # bound once: the lookup costs more than the dispatch


@torch.library.register_fake("mlcfast::pairwise_ranking", lib=LIBRARY)
def _fake(logits: Tensor, labels: Tensor, reduction: int) -> Tensor:
    return fake_loss(logits, reduction)


def _fake_forward(logits: Tensor, labels: Tensor, reduction: int, with_gradient: bool) -> tuple[Tensor, Tensor]:
    return fake_loss(logits, reduction), fake_gradient(logits, with_gradient)


def _triton_forward(*arguments: Any) -> tuple[Tensor, Tensor]:
    from mlcfast.ops.label_bce.triton import pairwise_ranking

    return pairwise_ranking(*arguments)


define_forward("pairwise_ranking_forward", f"{_ARGUMENTS}, bool with_gradient", _fake_forward, _triton_forward)


def pairwise_ranking(logits: Tensor, labels: Tensor, reduction: str = "mean") -> Tensor:
    """Every positive of an image against its other labels, hinge 1 − f_i + f_j; the formula is in reference.py.

    logits: (B, K), fp32, bf16, fp16 or fp64; labels: (B, K) in [-1, 1], any real dtype, above 0 is positive.
    Returns fp32 (fp64 for fp64 logits): (B, K) for reduction none, which always takes the plain torch path, else a
    scalar; an empty batch has mean 0.
    Raises ValueError for wrong shapes, dtypes, devices, options and, on the CPU, label values.
    """
    check_pair(logits, labels, "labels")
    check_matrix(logits)
    check_reduction(reduction)
    backend = choose(logits.device, logits.dtype)
    if backend == "reference" or reduction == "none":
        if logits.device.type == "cpu":
            check_label_values(labels, "labels")
        return reference(logits, labels, reduction)
    if logits.dtype == torch.float16:  # an entry's gradient grows with K, past fp16's range
        logits = logits.float()
    code = REDUCTION_CODES[reduction]
    if backend == "native":
        return _NATIVE(logits, labels, code)
    return StoredGradient.apply("pairwise_ranking_forward", code, 1.0, logits, labels, code)
