"""Autocast as the ops see it; the meta device has none."""

import contextlib

import torch
from torch import Tensor


def suspended(x: Tensor) -> contextlib.AbstractContextManager:
    """A context without autocast on the tensor's device."""
    return contextlib.nullcontext() if x.is_meta else torch.autocast(x.device.type, enabled=False)


def active_dtype(x: Tensor) -> torch.dtype | None:
    """What autocast casts the tensor to on its device; None where it is off and for fp64, which it leaves alone."""
    if x.is_meta or x.dtype == torch.float64 or not torch.is_autocast_enabled(x.device.type):
        return None
    return torch.get_autocast_dtype(x.device.type)
