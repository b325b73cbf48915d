"""QuickGELU that keeps only its input for the backward pass; autograd would keep x and σ(1.702 x).

Forward: y = x·s, s = σ(a·x), a = 1.702. Backward: dx = dy · s·(1 + a·x·(1 − s)), with s computed again. On a GPU each
is one Triton kernel, which computes in fp32; torch's operations would be three and eight.
"""

from typing import Any

import torch
from torch import Tensor

from mlcfast.ops.backend import fuses
from mlcfast.ops.library import on_triton

SLOPE = 1.702


def quick_gelu_reference(x: Tensor) -> Tensor:
    """The definition in plain torch: x · σ(1.702 x), elementwise, in the type of x."""
    return x * torch.sigmoid(SLOPE * x)


def _gradient(grad: Tensor, x: Tensor) -> Tensor:
    s = torch.sigmoid(SLOPE * x)
    return grad * (s * (1 + SLOPE * x * (1 - s)))


def _triton(x: Tensor) -> Tensor:
    from mlcfast.ops.triton_layers import quick_gelu  # Triton is loaded where it runs

    return quick_gelu(x, SLOPE)


def _triton_gradient(grad: Tensor, x: Tensor) -> Tensor:
    from mlcfast.ops.triton_layers import quick_gelu_backward

    return quick_gelu_backward(grad, x, SLOPE)


on_triton("quick_gelu", "Tensor x", "Tensor", torch.empty_like, quick_gelu_reference, _triton)
on_triton(
    "quick_gelu_backward", "Tensor grad, Tensor x", "Tensor", lambda grad, x: torch.empty_like(x), _gradient,
    _triton_gradient,
)  # fmt: skip


class _QuickGELU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return torch.ops.mlcfast.quick_gelu(x) if fuses(x) else quick_gelu_reference(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        if fuses(x) and not torch.is_grad_enabled():  # the kernel has no derivative of its own
            return torch.ops.mlcfast.quick_gelu_backward(grad, x)
        return _gradient(grad, x)


def quick_gelu(x: Tensor) -> Tensor:
    """x · σ(1.702 x), elementwise: any shape, any floating type; differentiable twice, saves only x."""
    return _QuickGELU.apply(x)
