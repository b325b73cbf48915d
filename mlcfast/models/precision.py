"""Leaving autocast where a result must not be rounded."""

import contextlib

import torch
from torch import Tensor


def full_precision(tensor: Tensor) -> contextlib.AbstractContextManager:
    """A context without autocast on the tensor's device; the meta device has none to leave."""
    return contextlib.nullcontext() if tensor.is_meta else torch.autocast(tensor.device.type, enabled=False)
