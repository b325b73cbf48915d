"""The asymmetric loss as a user calls it: checks, the registered operator, and the choice of its implementation."""

from functools import partial
from typing import Any

import torch
from torch import Tensor

from mlcfast.ops.asymmetric_loss.reference import asymmetric_loss as reference
from mlcfast.ops.autograd import HALF_UNIT, REDUCTION_CODES, StoredGradient
from mlcfast.ops.backend import choose
from mlcfast.ops.checks import as_number, check_label_values, check_pair, check_reduction
from mlcfast.ops.label_loss.op import Formula, label_loss
from mlcfast.ops.library import LIBRARY, define_forward, fake_gradient, fake_loss
from mlcfast.ops.numerics import Weights

_ARGUMENTS = (
    "Tensor logits, Tensor targets, float gamma_neg, float gamma_pos, float clip, float eps, "
    "bool detach_focal_weight, int reduction, float scale"
)
_INFINITY = float("inf")
LIBRARY.define(f"asymmetric_loss({_ARGUMENTS}) -> Tensor")
_NATIVE = torch.ops.mlcfast.asymmetric_loss.default  # bound once: the lookup costs more than the dispatch


@torch.library.register_fake("mlcfast::asymmetric_loss", lib=LIBRARY)
def _fake(logits: Tensor, targets: Tensor, *options: Any) -> Tensor:
    return fake_loss(logits, options[5])


def _fake_forward(logits: Tensor, targets: Tensor, *options: Any) -> tuple[Tensor, Tensor]:
    return fake_loss(logits, options[5]), fake_gradient(logits, options[7])


def _triton_forward(*arguments: Any) -> tuple[Tensor, Tensor]:
    from mlcfast.ops.asymmetric_loss.triton import forward

    return forward(*arguments)


define_forward("asymmetric_loss_forward", f"{_ARGUMENTS}, bool with_gradient", _fake_forward, _triton_forward)


def asymmetric_loss(
    logits: Tensor,
    targets: Tensor,
    gamma_neg: float = 4.0,
    gamma_pos: float = 1.0,
    clip: float = 0.05,
    eps: float = 1e-8,
    detach_focal_weight: bool = False,
    reduction: str = "mean",
    scale: float = 1.0,
    weights: Weights | None = None,
) -> Tensor:
    """The asymmetric focal loss of arXiv 2009.14119; the formula is in reference.py.

    logits: (B, K) or any shape, fp32, bf16, fp16 or fp64; targets: the same shape, in [-1, 1], any real dtype, −1
    counts as 0; soft targets are allowed. gamma_neg, gamma_pos ≥ 0; clip in [0, 1); eps in [1e-37, 1).
    detach_focal_weight: the focal weight is a constant in the backward pass. scale multiplies the reduced loss.
    weights: of positives and of other entries, (K,) each; a soft positive label lies between the two.
    Returns fp32 (fp64 for fp64 logits): (B, K) for reduction none, else a scalar; an empty batch has mean 0.
    Raises ValueError for wrong shapes, dtypes, devices, options and, on the CPU, label values.
    """
    check_pair(logits, targets)
    check_reduction(reduction)
    check_options(gamma_neg, gamma_pos, clip, eps)
    if weights is not None:
        plain = partial(
            reference, gamma_neg=gamma_neg, gamma_pos=gamma_pos, clip=clip, eps=eps,
            detach_focal_weight=detach_focal_weight, reduction="none",
        )  # fmt: skip
        options = (gamma_neg, gamma_pos, clip, eps, float(detach_focal_weight))
        scaled = weights if scale == 1.0 else (scale * weights[0], scale * weights[1])
        return label_loss(
            Formula.ASYMMETRIC, plain, logits, targets, options, reduction, weights=scaled, name="targets"
        )
    backend = choose(logits.device, logits.dtype)
    if backend == "reference":
        if logits.device.type == "cpu":
            check_label_values(targets)
        loss = reference(logits, targets, gamma_neg, gamma_pos, clip, eps, detach_focal_weight, reduction)
        return loss if scale == 1.0 else loss * scale
    if logits.dtype == torch.float16 and max(gamma_neg, gamma_pos) * HALF_UNIT > 1024:
        logits = logits.float()
    code = REDUCTION_CODES[reduction]
    arguments = (gamma_neg, gamma_pos, clip, eps, detach_focal_weight, code, scale)
    if backend == "native":
        return _NATIVE(logits, targets, *arguments)
    return StoredGradient.apply("asymmetric_loss_forward", code, scale, logits, targets, *arguments)


def check_options(gamma_neg: float, gamma_pos: float, clip: float, eps: float) -> None:
    """ValueError for an exponent, clip or eps that is no number or outside its range."""
    try:
        right = 0 <= gamma_neg < _INFINITY and 0 <= gamma_pos < _INFINITY and 0 <= clip < 1 and 1e-37 <= eps < 1
    except TypeError:
        right = False
    if not right:
        _refuse_options(gamma_neg, gamma_pos, clip, eps)


def _refuse_options(gamma_neg: float, gamma_pos: float, clip: float, eps: float) -> None:
    for name, value in (("gamma_neg", gamma_neg), ("gamma_pos", gamma_pos), ("clip", clip), ("eps", eps)):
        as_number(value, name)
    for name, gamma in (("gamma_neg", gamma_neg), ("gamma_pos", gamma_pos)):
        if gamma < 0:
            raise ValueError(f"{name} must be at least 0, not {gamma}")
    if not 0 <= clip < 1:
        raise ValueError(f"clip must be in [0, 1), not {clip}")
    if not 1e-37 <= eps < 1:
        raise ValueError(f"eps must be in [1e-37, 1), not {eps}")
