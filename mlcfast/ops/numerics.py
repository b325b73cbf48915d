"""Helpers of every op: reduction and weighting of (B, K) terms, the precision they are computed in, autocast."""

import contextlib

import torch
from torch import Tensor

Weights = tuple[Tensor, Tensor]  # of positives and of other entries, (K,) each


def reduce(loss: Tensor, reduction: str) -> Tensor:
    """none: as it is; sum: a scalar; mean: the sum over the number of entries, 0 for an empty batch."""
    if reduction == "none":
        return loss
    return loss.sum() if reduction == "sum" else loss.sum() / max(loss.numel(), 1)


def weigh(loss: Tensor, labels: Tensor, weights: Weights | None) -> Tensor:
    """Entries (…, K) times their weights, None for 1; a soft positive label lies between the two."""
    if weights is None:
        return loss
    positive, other = weights
    return loss * (other + labels.to(loss.dtype).clamp(min=0) * (positive - other))


def upcast(x: Tensor) -> Tensor:
    """The arithmetic's precision: fp64 stays, anything else is fp32."""
    return x if x.element_size() == 8 else x.float()


def suspended(x: Tensor) -> contextlib.AbstractContextManager:
    """A context without autocast on the tensor's device."""
    return contextlib.nullcontext() if x.is_meta else torch.autocast(x.device.type, enabled=False)


def active_dtype(x: Tensor) -> torch.dtype | None:
    """What autocast casts the tensor to on its device; None where it is off and for fp64, which it leaves alone."""
    if x.is_meta or x.dtype == torch.float64 or not torch.is_autocast_enabled(x.device.type):
        return None
    return torch.get_autocast_dtype(x.device.type)
