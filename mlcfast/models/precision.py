"""Keeps results from being rounded: leaves autocast, and keeps statistics in fp32 beside half-precision weights."""

import contextlib

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


def full_precision(tensor: Tensor) -> contextlib.AbstractContextManager:
    """A context without autocast on the tensor's device; the meta device has none to leave."""
    return contextlib.nullcontext() if tensor.is_meta else torch.autocast(tensor.device.type, enabled=False)


def prepare_half_weights(model: nn.Module, dtype: torch.dtype) -> None:
    """Make a model whose parameters, but not its buffers, will be cast to `dtype` compute consistently.

    Every BatchNorm keeps fp32 statistics and reads its affine parameters in fp32; buffers outside the state dict, which
    are constants such as attention masks, become `dtype`. Parameter names stay.
    """
    saved = model.state_dict()
    for prefix, module in model.named_modules():
        if isinstance(module, _BatchNorm):
            module.__class__ = _wide_affine(type(module))
        for name, buffer in module.named_buffers(recurse=False):
            if buffer.is_floating_point() and (f"{prefix}.{name}" if prefix else name) not in saved:
                module._buffers[name] = buffer.to(dtype)


_classes: dict[type, type] = {}


def _wide_affine(cls: type) -> type:
    """The subclass of a normalisation class that reads weight and bias in fp32, itself if it does already."""
    if issubclass(cls, _WideAffine):
        return cls
    return _classes.setdefault(cls, type(cls.__name__, (_WideAffine, cls), {}))


class _WideAffine:
    _parameters: dict[str, nn.Parameter | None]  # of the normalisation that it is mixed into

    @property
    def weight(self) -> Tensor | None:
        parameter = self._parameters["weight"]
        return None if parameter is None else parameter.float()

    @property
    def bias(self) -> Tensor | None:
        parameter = self._parameters["bias"]
        return None if parameter is None else parameter.float()
