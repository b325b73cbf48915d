"""Activation checkpointing of a model's units: they are recomputed in the backward pass instead of stored."""

import contextlib
import re
from collections.abc import Callable, Iterator
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

BLOCK = re.compile(r"Block|Bottleneck|InvertedResidual|DepthwiseSeparable")
# What these compute from their input is a few times as large; what a transformer block does, some 20 times.
SMALL = re.compile(r"Bottleneck|BasicBlock|InvertedResidual|DepthwiseSeparable")
SLICE_BYTES = 32 << 20  # of a unit's input
LARGE_IMAGE = 2 << 20  # bytes


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


@runtime_checkable
class InUnits(Protocol):
    """A model that names the modules to recompute, as heads do."""

    def checkpoint_units(self) -> list[nn.Module]: ...


def enable_activation_checkpointing(model: nn.Module) -> None:
    """Recompute every module of `model.checkpoint_units()` in the backward pass of training.

    Non-reentrant torch.utils.checkpoint per unit, with the random state of the forward pass; parameter names stay as
    they are, and copies of the model keep the setting. BatchNorm statistics are updated by the forward pass only.

    A large batch goes through a unit in slices, so that what is recomputed exists for one slice at a time; the blocks
    of ResNets, which compute little, take it whole. Where a BatchNorm ties the images together only the unit's Mlp is
    sliced, if an image is large; it is computed once more.
    """
    if not isinstance(model, InUnits):
        raise TypeError(f"{type(model).__name__} has no checkpoint_units(), the modules to recompute")
    for unit in model.checkpoint_units():
        if _batch_norms(unit):
            for inner in [module for module in unit.modules() if type(module).__name__ == "Mlp"]:
                inner.__class__ = _variant(_SlicedWithin, type(inner))
        unit.__class__ = _variant(_Checkpointed, type(unit))


def recomputes(model: nn.Module) -> bool:
    """Whether a module of the model recomputes its activations in the backward pass."""
    return any(isinstance(module, (_Checkpointed, _SlicedWithin)) for module in model.modules())


_classes: dict[tuple[type, type], type] = {}


def _variant(behaviour: type, cls: type) -> type:
    """The subclass of a module class whose forward checkpoints itself; the class itself if it already does."""
    if issubclass(cls, behaviour):
        return cls
    if (behaviour, cls) not in _classes:
        _classes[behaviour, cls] = type(cls.__name__, (behaviour, cls), {})
    return _classes[behaviour, cls]


class _Checkpointed(nn.Module):
    def forward(self, *args: Any, **kwargs: Any) -> Any:
        forward = super().forward
        if not (self.training and torch.is_grad_enabled()):
            return forward(*args, **kwargs)
        whole = SMALL.search(type(self).__name__) or _batch_norms(self)
        parts = [args] if whole else _slices(args)
        return _joined([_recomputed(self, forward, part, kwargs) for part in parts])


class _SlicedWithin(nn.Module):
    def forward(self, x: Tensor) -> Any:
        forward = super().forward
        if not (self.training and torch.is_grad_enabled()) or _bytes_an_image(x) < LARGE_IMAGE:
            return forward(x)
        return _joined([_recomputed(self, forward, part, {}) for part in _slices((x,))])


def _recomputed(unit: nn.Module, forward: Callable, args: tuple, kwargs: dict[str, Any]) -> Any:
    def contexts() -> tuple[contextlib.AbstractContextManager, contextlib.AbstractContextManager]:
        return contextlib.nullcontext(), _kept_statistics(unit)

    return checkpoint(forward, *args, use_reentrant=False, context_fn=contexts, **kwargs)


def _bytes_an_image(x: Tensor) -> int:
    return x[0].numel() * x.element_size() if len(x) else 0


def _slices(args: tuple) -> list[tuple]:
    """The arguments in slices of about SLICE_BYTES of the first batched one, an image at least.

    Batched are tensors of three or more dimensions as long as the first of them: (B, N, D) and (B, C, H, W), but
    neither label embeddings (K, D) nor a position code (1, N, D).
    """
    batch = next((x for x in args if isinstance(x, Tensor) and x.ndim >= 3), None)
    rows = max(1, SLICE_BYTES // max(1, _bytes_an_image(batch))) if batch is not None else 0
    if batch is None or len(batch) <= rows:
        return [args]

    def part(x: Any, start: int) -> Any:
        batched = isinstance(x, Tensor) and x.ndim >= 3 and len(x) == len(batch)
        return x[start : start + rows] if batched else x

    return [tuple(part(x, start) for x in args) for start in range(0, len(batch), rows)]


def _joined(parts: list) -> Any:
    """Slices of a result, or of a tuple of results, as one."""
    if len(parts) == 1:
        return parts[0]
    if isinstance(parts[0], tuple):
        return tuple(_joined(list(column)) for column in zip(*parts, strict=True))
    return None if parts[0] is None else torch.cat(parts)


def _batch_norms(unit: nn.Module) -> list[_BatchNorm]:
    return [module for module in unit.modules() if isinstance(module, _BatchNorm)]


@contextlib.contextmanager
def _kept_statistics(unit: nn.Module) -> Iterator[None]:
    """Within it BatchNorm computes with the batch's statistics but leaves the running ones as they are.

    Momentum 0 rather than no running statistics: the recomputation must save the same tensors as the forward pass.
    """
    norms = _batch_norms(unit)
    kept = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm in norms:
        norm.momentum, norm.num_batches_tracked = 0.0, None
    try:
        yield
    finally:
        for norm, (momentum, num_batches_tracked) in zip(norms, kept, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, num_batches_tracked
