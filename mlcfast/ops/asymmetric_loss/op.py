"""The asymmetric loss as a user calls it: checks, the registered operator, and the choice of its implementation."""

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from mlcfast.ops.asymmetric_loss.reference import AsymmetricOptions
from mlcfast.ops.asymmetric_loss.reference import asymmetric_loss as reference
from mlcfast.ops.autograd import HALF_UNIT, REDUCTION_CODES, StoredGradient
from mlcfast.ops.backend import choose, compiled_on_cpu
from mlcfast.ops.checks import check_label_values, check_pair, check_reduction
from mlcfast.ops.label_loss.op import Formula, label_loss
from mlcfast.ops.library import LIBRARY, define_forward, direct, fake_gradient, fake_loss
from mlcfast.ops.numerics import Weights

_ARGUMENTS = "Tensor logits, Tensor targets, float[] options, int reduction, float scale"
LIBRARY.define(f"asymmetric_loss({_ARGUMENTS}) -> Tensor")
_NATIVE = torch.ops.mlcfast.asymmetric_loss.default  # bound once: the lookup costs more than the dispatch
_DIRECT = direct(_NATIVE)


@torch.library.register_fake("mlcfast::asymmetric_loss", lib=LIBRARY)
def _fake(logits: Tensor, targets: Tensor, options: list[float], reduction: int, scale: float) -> Tensor:
    return fake_loss(logits, reduction)


def _fake_forward(
    logits: Tensor, targets: Tensor, options: list[float], reduction: int, scale: float, with_gradient: bool
) -> tuple[Tensor, Tensor]:
    return fake_loss(logits, reduction), fake_gradient(logits, with_gradient)


def _triton_forward(*arguments: Any) -> tuple[Tensor, Tensor]:
    from mlcfast.ops.asymmetric_loss.triton import forward

    return forward(*arguments)


define_forward("asymmetric_loss_forward", f"{_ARGUMENTS}, bool with_gradient", _fake_forward, _triton_forward)


def asymmetric_loss(
    logits: Tensor,
    targets: Tensor,
    *options: float,
    reduction: str = "mean",
    scale: float = 1.0,
    weights: Weights | None = None,
    **named: float,
) -> Tensor:
    """The asymmetric focal loss of arXiv 2009.14119; the formula is in reference.py.

    logits: (B, K) or any shape, fp32, bf16, fp16 or fp64; targets: the same shape, in [-1, 1], any real dtype, −1
    counts as 0; soft targets are allowed. scale multiplies the reduced loss.
    options, named: gamma_neg, gamma_pos, clip, eps and detach_focal_weight, in this order or by name; AsymmetricOptions
    says what they are, and their defaults. All else is by name.
    weights: of positives and of other entries, (K,) each; a soft positive label lies between the two.
    Returns fp32 (fp64 for fp64 logits): (B, K) for reduction none, else a scalar; an empty batch has mean 0.
    Raises ValueError for wrong shapes, dtypes, devices, options and, on the CPU, label values, and TypeError for an
    option that there is not.
    """
    chosen = AsymmetricOptions(*options, **named)
    chosen.check()
    return checked_asymmetric_loss(logits, targets, chosen, reduction, scale, weights)


def _with_options_named(function: Callable) -> inspect.Signature:
    """The signature with the options of AsymmetricOptions one by one, for help() and editors."""
    written = inspect.signature(function)
    own = [p for p in written.parameters.values() if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    options = [
        inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=default, annotation=float)
        for name, default in AsymmetricOptions._field_defaults.items()
    ]
    return written.replace(parameters=[*own[:2], *options, *own[2:]])


asymmetric_loss.__signature__ = _with_options_named(asymmetric_loss)  # type: ignore[attr-defined]  # help() reads it


def checked_asymmetric_loss(
    logits: Tensor,
    targets: Tensor,
    options: AsymmetricOptions,
    reduction: str = "mean",
    scale: float = 1.0,
    weights: Weights | None = None,
) -> Tensor:
    """As asymmetric_loss, for options that were checked before: a loss module does so once, not in every step."""
    check_reduction(reduction)
    ready = compiled_on_cpu(logits, targets)
    if not ready:
        check_pair(logits, targets)
    if weights is not None:
        check_pair(logits, targets)
        plain = partial(reference, **options._asdict(), reduction="none")
        scaled = weights if scale == 1.0 else (scale * weights[0], scale * weights[1])
        formula = Formula.ASYMMETRIC
        return label_loss(formula, plain, logits, targets, tuple(options), reduction, weights=scaled, name="targets")
    backend = "native" if ready else choose(logits.device, logits.dtype)
    if backend == "reference":
        if logits.device.type == "cpu":
            check_label_values(targets)
        loss = reference(logits, targets, *options, reduction=reduction)
        return loss if scale == 1.0 else loss * scale
    if logits.dtype == torch.float16 and options.steepest() * HALF_UNIT > 1024:
        logits = logits.float()
    code, numbers = REDUCTION_CODES[reduction], list(options)  # torch takes a list faster than a named tuple
    if backend == "native":
        return (_DIRECT if ready else _NATIVE)(logits, targets, numbers, code, scale)
    return StoredGradient.apply("asymmetric_loss_forward", code, scale, logits, targets, numbers, code, scale)
