"""Freezes a backbone's BatchNorm and early layers, as published or as asked.

A frozen BatchNorm y = s·x + t after a convolution is the convolution with weight s·w and bias t: no pass over the
activation is left of it, in training neither.
"""

import operator
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

RESNET_TRAINED = ("layer2", "layer3", "layer4")


class FrozenBatchNorm2d(nn.Module):
    """BatchNorm2d with fixed statistics and affine: one fused multiply-add that stores no activation.

    The state dict is BatchNorm2d's without num_batches_tracked, which is ignored when loaded; everything is a buffer.
    act: applied to the result, for timm's normalisations that include their activation. folded: a convolution before it
    does the affine part (see `FoldedConv2d`), and only the activation is left here.
    """

    weight: Tensor
    bias: Tensor
    running_mean: Tensor
    running_var: Tensor

    def __init__(self, num_features: int, eps: float = 1e-5, act: nn.Module | None = None):
        super().__init__()
        self.eps, self.act, self.folded = eps, act or nn.Identity(), False
        # Buffers and versions that affine() was computed from, and its result.
        self._known: tuple[tuple[Tensor, ...], list[int], tuple[Tensor, Tensor]] | None = None
        for name, value in (("weight", 1.0), ("bias", 0.0), ("running_mean", 0.0), ("running_var", 1.0)):
            self.register_buffer(name, torch.full((num_features,), value))

    @classmethod
    def from_batch_norm(cls, norm: nn.BatchNorm2d) -> "FrozenBatchNorm2d":
        """The frozen copy of a BatchNorm2d (or of timm's with an activation), on its device."""
        frozen = cls(norm.num_features, norm.eps, getattr(norm, "act", None)).to(norm.weight)
        frozen.load_state_dict(norm.state_dict())
        return frozen

    def affine(self) -> tuple[Tensor, Tensor]:
        """Scale and shift, each (C,): y = scale·x + shift; computed anew only after a buffer has changed.

        A graph that is being compiled computes them itself, and inference mode, whose tensors no training may use.
        """
        buffers = (self.weight, self.bias, self.running_mean, self.running_var)
        if torch.compiler.is_compiling() or torch.is_inference_mode_enabled() or self.weight.is_inference():
            return self._affine()
        versions = [buffer._version for buffer in buffers]
        if self._known is None or versions != self._known[1] or any(map(operator.is_not, buffers, self._known[0])):
            self._known = buffers, versions, self._affine()
        return self._known[2]

    def _affine(self) -> tuple[Tensor, Tensor]:
        scale = self.weight * (self.running_var + self.eps).rsqrt()
        return scale, self.bias - self.running_mean * scale

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> the same shape and dtype."""
        if self.folded:
            return self.act(x)
        scale, shift = (value.to(x.dtype)[:, None, None] for value in self.affine())
        return self.act(torch.addcmul(shift, x, scale))

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        state_dict.pop(prefix + "num_batches_tracked", None)
        super()._load_from_state_dict(state_dict, prefix, *args)


class FoldedConv2d(nn.Conv2d):
    """A convolution that applies the frozen normalisation following it: weight s·w, bias t.

    Made from a Conv2d by `fold_frozen_norms`; parameters and state dict stay those of the two modules.
    """

    following: tuple[FrozenBatchNorm2d]  # in a tuple, so that it is not registered a second time

    def forward(self, x: Tensor) -> Tensor:
        """(B, C_in, H, W) -> (B, C_out, H', W'), normalised."""
        scale, shift = self.following[0].affine()
        weight = self.weight * scale[:, None, None, None]
        return self._conv_forward(x, weight.to(self.weight.dtype), shift.to(self.weight.dtype))


def fold_frozen_norms(module: nn.Module) -> None:
    """Fold every frozen norm below `module` into the convolution, or sequence ending in one, registered before it.

    Right only where registration order is execution order, as in timm's ResNet.
    """
    previous = None
    for child in module.children():
        if isinstance(child, FrozenBatchNorm2d) and type(previous) is nn.Conv2d and previous.bias is None:
            previous.__class__ = FoldedConv2d
            previous.following = (child,)  # type: ignore[assignment]  # a FoldedConv2d since the line above
            child.folded = True
        fold_frozen_norms(child)
        previous = child[-1] if isinstance(child, nn.Sequential) and len(child) else child


def freeze_backbone(body: nn.Module, freeze: str) -> None:
    """Freeze the parameters of a timm model or CvT.

    freeze: none; published: ResNets keep their BatchNorm fixed and stem and layer1 untrained, TResNets stem and layer1
    untrained, all others train whole; backbone: nothing trains and every BatchNorm keeps its statistics.
    """
    family = type(body).__name__
    if freeze == "backbone":
        body.requires_grad_(False)
        fix_batch_norm(body)
    elif freeze == "published" and family in ("ResNet", "TResNet"):
        for name, parameter in body.named_parameters():
            parameter.requires_grad_(any(layer in name for layer in RESNET_TRAINED))
        if family == "ResNet":
            fix_batch_norm(body)
    if family == "ResNet":
        fold_frozen_norms(body)


def fix_batch_norm(module: nn.Module) -> None:
    """Replace every BatchNorm2d below `module` by its frozen copy."""
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm2d):
            setattr(module, name, FrozenBatchNorm2d.from_batch_norm(child))
        else:
            fix_batch_norm(child)


def changing_buffers(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Every buffer by name but those of frozen normalisations, which are constants."""
    for prefix, part in module.named_modules():
        if not isinstance(part, FrozenBatchNorm2d):
            for name, buffer in part.named_buffers(recurse=False):
                yield f"{prefix}.{name}" if prefix else name, buffer
