"""Activation checkpointing of a model's units: they are recomputed in the backward pass instead of stored."""

import contextlib
import re
from collections.abc import Iterator

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

BLOCK = re.compile(r"Block|Bottleneck|InvertedResidual|DepthwiseSeparable")


def backbone_units(body: nn.Module) -> list[nn.Module]:
    """The outermost modules whose class is named like a block; `body` itself when there is none."""
    found: list[nn.Module] = []
    pending = list(body.children())[::-1]
    while pending:
        module = pending.pop()
        if BLOCK.search(type(module).__name__):
            found.append(module)
        else:
            pending.extend(list(module.children())[::-1])
    return found or [body]


def enable_activation_checkpointing(model: nn.Module) -> None:
    """Recompute every module of `model.checkpoint_units()` in the backward pass of training.

    Non-reentrant torch.utils.checkpoint per unit, with the random state of the forward pass; parameter names stay as
    they are, and copies of the model keep the setting. BatchNorm statistics are updated by the forward pass only.
    """
    for unit in model.checkpoint_units():
        unit.__class__ = _checkpointed(type(unit))


_classes: dict[type, type] = {}


def _checkpointed(cls: type) -> type:
    """The subclass of a module class whose forward checkpoints itself; the class itself if it already does."""
    if cls in _classes.values():
        return cls
    if cls not in _classes:
        _classes[cls] = type(cls.__name__, (_Checkpointed, cls), {})
    return _classes[cls]


class _Checkpointed:
    def forward(self, *args, **kwargs):
        forward = super().forward
        if not (self.training and torch.is_grad_enabled()):
            return forward(*args, **kwargs)
        return checkpoint(
            forward,
            *args,
            use_reentrant=False,
            context_fn=lambda: (contextlib.nullcontext(), _kept_statistics(self)),
            **kwargs,
        )


@contextlib.contextmanager
def _kept_statistics(unit: nn.Module) -> Iterator[None]:
    """Within it BatchNorm computes with the batch's statistics but leaves the running ones as they are.

    Momentum 0 rather than no running statistics: the recomputation must save the same tensors as the forward pass.
    """
    norms = [module for module in unit.modules() if isinstance(module, _BatchNorm)]
    kept = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm in norms:
        norm.momentum, norm.num_batches_tracked = 0.0, None
    try:
        yield
    finally:
        for norm, (momentum, num_batches_tracked) in zip(norms, kept, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, num_batches_tracked
