"""Argument checks shared by the losses: a failure is a ValueError that names the argument and what would be right."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

REDUCTIONS = ("none", "mean", "sum")
_LOGITS = (torch.float32, torch.float64, torch.bfloat16, torch.float16)


# Whether torch.func's grad, vjp, jvp or vmap is at work.
in_transform: Callable[[], bool] = torch._C._are_functorch_transforms_active


def transformed() -> bool:
    """As in_transform, but for what traces a graph by the same means; Dynamo reads a transform as part of its graph."""
    return in_transform() and (torch.compiler.is_dynamo_compiling() or not torch.compiler.is_compiling())


def takes_constants() -> bool:
    """Whether a graph is made that takes numbers for constants, and is not torch.func's, which takes no operators."""
    return torch.compiler.is_compiling() and not transformed()


def outlives_call(tensor: Tensor) -> bool:
    """Whether a tensor made in this call may be kept: not one of torch.func, nor a fake one of a graph being traced."""
    if type(tensor) is Tensor:
        return not transformed()
    from torch._subclasses.fake_tensor import FakeTensor
    from torch._subclasses.functional_tensor import FunctionalTensor

    return not isinstance(tensor, FakeTensor | FunctionalTensor)


def check_pair(logits: Tensor, labels: Tensor, name: str = "targets") -> None:
    """`logits` floating, `labels` real, of the same shape and on the same device."""
    check_logits(logits)
    check_like(logits, labels, name)
    if labels.requires_grad:
        raise ValueError(f"{name} must not require a gradient: pass {name}.detach()")


def check_logits(logits: Tensor) -> None:
    """`logits` is a floating tensor of at least one dimension."""
    if not isinstance(logits, Tensor):
        raise ValueError(f"logits must be a tensor, not {type(logits).__name__}")
    if logits.dtype not in _LOGITS:
        raise ValueError(f"logits must be float32, float64, bfloat16 or float16, not {logits.dtype}")
    if logits.dim() == 0:
        raise ValueError("logits must have at least one dimension, (B, K)")


def check_like(logits: Tensor, other: Tensor, name: str) -> None:
    """`other` has the shape and the device of `logits` and a real dtype."""
    if not isinstance(other, Tensor):
        raise ValueError(f"{name} must be a tensor, not {type(other).__name__}")
    if other.layout != torch.strided:
        raise ValueError(f"{name} must be dense, not {other.layout}")
    if other.shape != logits.shape:
        raise ValueError(f"{name} must have the shape of logits {tuple(logits.shape)}, not {tuple(other.shape)}")
    if other.device != logits.device:
        raise ValueError(f"{name} must be on {logits.device} like logits, not on {other.device}")
    if other.dtype.is_complex:
        raise ValueError(f"{name} must be bool, integer or floating, not {other.dtype}")


def check_matrix(logits: Tensor) -> None:
    """`logits` is (B, K): the loss couples the labels of an image or the images of a batch."""
    if logits.dim() != 2:
        raise ValueError(f"logits must be (B, K), not {tuple(logits.shape)}")


def check_label_values(labels: Tensor, name: str = "targets") -> None:
    """Every label is in [-1, 1]. Reads the values: on a GPU this waits for the device; a traced graph cannot."""
    if labels.dtype == torch.bool or labels.numel() == 0 or torch.compiler.is_compiling() or in_transform():
        return
    low, high = (float(bound) for bound in labels.aminmax())  # as numbers: -1 would wrap in an unsigned tensor
    if not (low >= -1 and high <= 1):
        raise ValueError(f"{name} must lie in [-1, 1], found {low:g} to {high:g}")


def check_hard(labels: Tensor, name: str, loss: str) -> None:
    """No label is in (0, 1), for a loss that would count it as 1. Reads the values, as check_label_values does.

    Tensors of a class of their own, such as a planner's, may hold none and are not looked at.
    """
    if type(labels) is not Tensor or not labels.is_floating_point() or labels.layout != torch.strided or labels.is_meta:
        return
    soft = labels[(labels > 0) & (labels < 1)]
    if soft.numel():
        raise ValueError(
            f"{name} hold {float(soft[0]):g}, which {loss} would count as 1: round them, or take a loss with a meaning "
            "for shares, such as bce or asymmetric"
        )


def as_number(value: object, name: str) -> float:
    """`value` as a float; ValueError unless it is a finite real number."""
    try:
        number = math.nan if isinstance(value, str) else float(value)  # type: ignore[arg-type]  # TypeError below
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"{name} must be a finite number, not {value!r}")
    return number


def check_reduction(reduction: str) -> None:
    """`reduction` is one of none, mean, sum."""
    if reduction not in REDUCTIONS:
        raise ValueError(f"reduction must be one of {', '.join(REDUCTIONS)}, not {reduction!r}")
