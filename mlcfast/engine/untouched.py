"""Runs a model without leaving a trace: its buffers, its modules' modes and the random numbers stay what they were."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


@contextmanager
def buffers_untouched(module: nn.Module) -> Iterator[None]:
    """After the block every buffer, such as BatchNorm's running statistics, has the values it had before."""
    buffers = list(module.buffers())
    kept = [buffer.detach().clone() for buffer in buffers]
    try:
        yield
    finally:
        if buffers:
            with torch.no_grad():
                torch._foreach_copy_(buffers, kept)


@contextmanager
def untouched(module: nn.Module, device: torch.device) -> Iterator[None]:
    """The same for the buffers, for whether each module trains, and for the generators of the host and of `device`."""
    modes = [(part, part.training) for part in module.modules()]
    generators = [device] if device.type == "cuda" else []
    with buffers_untouched(module), torch.random.fork_rng(generators):
        try:
            yield
        finally:
            for part, training in modes:
                part.training = training
