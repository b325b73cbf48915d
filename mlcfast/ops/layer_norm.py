"""Layer normalisation that keeps a half-precision input as it came; autograd would keep its fp32 copy.

x̂ = (x − μ)·r, r = 1/√(σ² + eps), y = x̂·w + b. With g = dy·w and means over C: dx = r·(g − mean(g) − x̂·mean(g·x̂)),
dw = Σ dy·x̂, db = Σ dy. Kept: x in its own type, μ and r in fp32.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

HALF = (torch.bfloat16, torch.float16)


def layer_norm_reference(x: Tensor, weight: Tensor, bias: Tensor, eps: float = 1e-5) -> Tensor:
    """The definition in plain torch: (x − mean)/√(var + eps) · weight + bias over the last dimension C, in fp32.

    x: (…, C) floating; weight, bias: (C,) fp32 (or fp64 for fp64 x). Returns (…, C) in the type of x.
    """
    wide = torch.promote_types(x.dtype, torch.float32)
    return F.layer_norm(x.to(wide), weight.shape, weight.to(wide), bias.to(wide), eps).to(x.dtype)


class _HalfLayerNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
        y, mean, rstd = torch.native_layer_norm(x.float(), weight.shape, weight, bias, eps)
        ctx.save_for_backward(x, weight, bias, mean, rstd)
        return y.to(x.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, bias, mean, rstd = ctx.saved_tensors
        wanted = list(ctx.needs_input_grad[:3])
        dx, dw, db = torch.ops.aten.native_layer_norm_backward(
            grad.float(), x.float(), weight.shape, mean, rstd, weight, bias, wanted
        )
        return dx if dx is None else dx.to(x.dtype), dw, db, None


def layer_norm(x: Tensor, weight: Tensor, bias: Tensor, eps: float = 1e-5) -> Tensor:
    """Layer normalisation over the last dimension, in fp32 inside, in the type of x outside.

    x: (…, C) floating; weight, bias: (C,), fp32 or of the type of a half-precision x. Returns (…, C). Half-precision
    inputs are kept as they are for the backward pass, with fp32 weights differentiable once; others take torch's path.
    """
    if x.dtype in HALF and weight.dtype == x.dtype:  # torch's kernels compute in fp32 and keep x as it is
        return F.layer_norm(x, weight.shape, weight, bias, eps)
    if x.dtype not in HALF or weight.dtype != torch.float32:
        return layer_norm_reference(x, weight, bias, eps)
    return _HalfLayerNorm.apply(x, weight, bias, eps)
