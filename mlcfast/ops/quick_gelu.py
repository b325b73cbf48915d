"""QuickGELU that keeps only its input for the backward pass; autograd would keep x and σ(1.702 x).

Forward: y = x·s, s = σ(a·x), a = 1.702. Backward: dx = dy · s·(1 + a·x·(1 − s)), with s computed again.
"""

from typing import Any

import torch
from torch import Tensor

SLOPE = 1.702


def quick_gelu_reference(x: Tensor) -> Tensor:
    """The definition in plain torch: x · σ(1.702 x), elementwise, in the type of x."""
    return x * torch.sigmoid(SLOPE * x)


class _QuickGELU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return quick_gelu_reference(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        s = torch.sigmoid(SLOPE * x)
        return grad * (s * (1 + SLOPE * x * (1 - s)))


def quick_gelu(x: Tensor) -> Tensor:
    """x · σ(1.702 x), elementwise: any shape, any floating type; differentiable twice, saves only x."""
    return _QuickGELU.apply(x)
