"""Runs a model without leaving a trace: its buffers, its modules' modes and the random numbers stay what they were."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from mlcfast.models.freezing import changing_buffers


@contextmanager
def buffers_untouched(module: nn.Module) -> Iterator[None]:
    """After the block every buffer has the values it had before, but for those of frozen normalisations: constants.

    Those of one type, such as BatchNorm's running statistics, are kept by one operation and put back by one.
    """
    kept = [(alike, torch.cat([buffer.detach().flatten() for buffer in alike])) for alike in _alike(module)]
    try:
        yield
    finally:
        with torch.no_grad():
            for buffers, values in kept:
                pieces = values.split([buffer.numel() for buffer in buffers])
                whole = [piece.view_as(buffer) for piece, buffer in zip(pieces, buffers, strict=True)]
                torch._foreach_copy_(buffers, whole)


def _alike(module: nn.Module) -> list[list[Tensor]]:
    by_type: dict[torch.dtype, list[Tensor]] = {}
    for _, buffer in changing_buffers(module):
        by_type.setdefault(buffer.dtype, []).append(buffer)
    return list(by_type.values())


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
