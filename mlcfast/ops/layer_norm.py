"""Layer normalisation that keeps a half-precision input as it came; autograd would keep its fp32 copy.

x̂ = (x − μ)·r, r = 1/√(σ² + eps), y = x̂·w + b. With g = dy·w and means over C: dx = r·(g − mean(g) − x̂·mean(g·x̂)),
dw = Σ dy·x̂, db = Σ dy. Kept: x in its own type, μ and r in fp32. On a GPU Triton's kernels read and write half
precision; torch's would go through fp32 copies.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from mlcfast.ops.backend import fuses
from mlcfast.ops.library import on_triton

HALF = (torch.bfloat16, torch.float16)
WIDEST = 8192  # channels that a program of the kernels holds


def layer_norm_reference(x: Tensor, weight: Tensor, bias: Tensor, eps: float = 1e-5) -> Tensor:
    """The definition in plain torch: (x − mean)/√(var + eps) · weight + bias over the last dimension C, in fp32.

    x: (…, C) floating; weight, bias: (C,) fp32 (or fp64 for fp64 x). Returns (…, C) in the type of x.
    """
    wide = torch.promote_types(x.dtype, torch.float32)
    return F.layer_norm(x.to(wide), weight.shape, weight.to(wide), bias.to(wide), eps).to(x.dtype)


def _plain(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    y, mean, rstd = torch.native_layer_norm(x.float(), weight.shape, weight, bias, eps)
    return y.to(x.dtype), mean, rstd


def _plain_backward(
    grad: Tensor, x: Tensor, weight: Tensor, mean: Tensor, rstd: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    backward = torch.ops.aten.native_layer_norm_backward
    statistics = (value.view(*x.shape[:-1], 1) for value in (mean, rstd))
    dx, dw, db = backward(grad.float(), x.float(), weight.shape, *statistics, weight, weight, [True] * 3)
    return dx.to(x.dtype), dw, db


def _flat_plain(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    y, mean, rstd = _plain(x, weight, bias, eps)
    return y, mean.flatten(), rstd.flatten()


def _fake(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    rows = (x.numel() // x.shape[-1],)
    y = torch.empty_like(x, memory_format=torch.contiguous_format)
    return y, x.new_empty(rows, dtype=torch.float32), x.new_empty(rows, dtype=torch.float32)


def _fake_backward(
    grad: Tensor, x: Tensor, weight: Tensor, mean: Tensor, rstd: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    dx = torch.empty_like(x, memory_format=torch.contiguous_format)
    return dx, torch.empty_like(weight), torch.empty_like(weight)


def _triton(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    from mlcfast.ops.triton_layers import layer_norm  # Triton is loaded where it runs

    return layer_norm(x, weight, bias, eps)


def _triton_backward(
    grad: Tensor, x: Tensor, weight: Tensor, mean: Tensor, rstd: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    from mlcfast.ops.triton_layers import layer_norm_backward

    return layer_norm_backward(grad, x, weight, mean, rstd)


_THREE = "(Tensor, Tensor, Tensor)"
on_triton("layer_norm", "Tensor x, Tensor weight, Tensor bias, float eps", _THREE, _fake, _flat_plain, _triton)
on_triton(
    "layer_norm_backward", "Tensor grad, Tensor x, Tensor weight, Tensor mean, Tensor rstd", _THREE, _fake_backward,
    _plain_backward, _triton_backward,
)  # fmt: skip


class _HalfLayerNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
        ctx.fused = fuses(x) and x.shape[-1] <= WIDEST
        if ctx.fused:
            y, mean, rstd = torch.ops.mlcfast.layer_norm(x, weight, bias, eps)
        else:
            y, mean, rstd = _plain(x, weight, bias, eps)
        ctx.save_for_backward(x, weight, bias, mean, rstd)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, bias, mean, rstd = ctx.saved_tensors
        wanted = list(ctx.needs_input_grad[:3])
        if ctx.fused:
            found = torch.ops.mlcfast.layer_norm_backward(grad, x, weight, mean, rstd)
            return *(g if wants else None for g, wants in zip(found, wanted, strict=True)), None
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
