"""The group-wise linear head: the function users call, and the operator that joins the final LayerNorm to it."""

from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from mlcfast.ops.backend import has_triton, passed_over, requested
from mlcfast.ops.groupwise_linear import matmul
from mlcfast.ops.groupwise_linear.reference import group_size, grouped
from mlcfast.ops.groupwise_linear.reference import groupwise_linear as reference
from mlcfast.ops.numerics import suspended


def groupwise_linear(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    norm_weight: Tensor | None = None,
    norm_bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """logits[b, k] = Σ_d y[b, g(k), d]·weight[k, d] + bias[k] (arXiv 2107.10834, Eq. 11), y = x or LayerNorm(x).

    x: (B, G, D); weight: (1, K, D) or (K, D); bias: (1, K) or (K,); the leading 1 is the published checkpoints' layout.
    G = K: a query a label. G < K: label k reads query g(k) = k // ⌈K / G⌉ (the group decoding of arXiv 2111.12933).
    norm_weight, norm_bias: (D,), both or neither: x is normalised over D first (eps), without writing the result.
    Returns (B, K), computed and returned in fp32 (fp64 for fp64) whatever the autocast.
    ValueError names the argument whose shape does not fit.
    """
    K, D = _check(x, weight, bias, norm_weight, norm_bias)
    weight, bias = weight.reshape(K, D), bias.reshape(K)
    with suspended(x):
        if requested() == "reference" or torch.onnx.is_in_onnx_export() or x.numel() == 0:
            return reference(x, weight, bias, norm_weight, norm_bias, eps)
        wide = torch.promote_types(torch.promote_types(x.dtype, weight.dtype), torch.float32)
        weight, bias = grouped(weight.to(wide), x.shape[1]), grouped(bias.to(wide), x.shape[1])
        if norm_weight is None or norm_bias is None:  # both, as _check saw to
            logits = torch.bmm(x.to(wide).transpose(0, 1), weight.mT).transpose(0, 1) + bias
        else:
            kernels = _kernels(x, weight)
            logits, _, _ = _forward(x, weight, bias, norm_weight.to(wide), norm_bias.to(wide), eps, kernels)
    return logits.flatten(1)[:, :K]


def _check(
    x: Tensor, weight: Tensor, bias: Tensor, norm_weight: Tensor | None, norm_bias: Tensor | None
) -> tuple[int, int]:
    """K and D."""
    if x.ndim != 3:
        raise ValueError(f"x must be (B, G, D), got {tuple(x.shape)}")
    _, G, D = x.shape
    if weight.ndim not in (2, 3) or weight.shape[-1] != D or weight.shape[:-2] not in {(), (1,)}:
        raise ValueError(f"weight must be (K, {D}) or (1, K, {D}) to match x, got {tuple(weight.shape)}")
    K = weight.shape[-2]
    if K != G:
        group_size(K, G)
    if tuple(bias.shape) not in {(K,), (1, K)}:
        raise ValueError(f"bias must be ({K},) or (1, {K}) to match weight, got {tuple(bias.shape)}")
    if (norm_weight is None) != (norm_bias is None):
        raise ValueError("norm_weight and norm_bias go together: give both or neither")
    for name, tensor in (("norm_weight", norm_weight), ("norm_bias", norm_bias)):
        if tensor is not None and tensor.shape != (D,):
            raise ValueError(f"{name} must be ({D},) to match x, got {tuple(tensor.shape)}")
    return K, D


@torch.library.custom_op("mlcfast::normed_groupwise_linear", mutates_args=())
def _forward(
    x: Tensor, weight: Tensor, bias: Tensor, gamma: Tensor, beta: Tensor, eps: float, kernels: bool
) -> tuple[Tensor, Tensor, Tensor]:
    with suspended(x):
        return tuple(_implementation(kernels).forward(x, weight, bias, gamma, beta, eps))


@_forward.register_fake
def _(
    x: Tensor, weight: Tensor, bias: Tensor, gamma: Tensor, beta: Tensor, eps: float, kernels: bool
) -> tuple[Tensor, Tensor, Tensor]:
    B, G, _ = x.shape
    return weight.new_empty(B, G, weight.shape[1]), weight.new_empty(B, G), weight.new_empty(B, G)


@torch.library.custom_op("mlcfast::normed_groupwise_linear_backward", mutates_args=())
def _backward(
    grad: Tensor, x: Tensor, weight: Tensor, gamma: Tensor, beta: Tensor, mean: Tensor, rstd: Tensor, kernels: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    with suspended(x):
        return _implementation(kernels).backward(grad, x, weight, gamma, beta, mean, rstd)


@_backward.register_fake
def _(
    grad: Tensor, x: Tensor, weight: Tensor, gamma: Tensor, beta: Tensor, mean: Tensor, rstd: Tensor, kernels: bool
) -> tuple[Tensor, ...]:
    bias = weight.new_empty(weight.shape[:2])
    return tuple(torch.empty_like(t) for t in (x, weight, bias, gamma, beta))


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor, Tensor]) -> None:
    x, weight, _, gamma, beta, _, ctx.kernels = inputs
    _, mean, rstd = output
    ctx.mark_non_differentiable(mean, rstd)
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(x, weight, gamma, beta, mean, rstd)


def _backward_formula(ctx: Any, grad: Tensor | None, *_: Tensor | None) -> tuple[Tensor | None, ...]:
    if grad is None:
        return (None,) * 7
    return *_backward(grad, *ctx.saved_tensors, ctx.kernels), None, None


_forward.register_autograd(_backward_formula, setup_context=_setup_context)


def _kernels(x: Tensor, weight: Tensor) -> bool:
    """Whether the Triton kernels run: they have not been timed on a GPU, so only when asked for."""
    if requested() != "triton":
        return False
    if weight.shape[1] == 1 and weight.dtype == torch.float32 and has_triton(x.device.type):
        return True
    passed_over(
        "groupwise_linear: no Triton kernels for this device, dtype or grouping; torch's operations run instead"
    )
    return False


def _implementation(kernels: bool) -> ModuleType:
    """matmul, or triton, which is imported only where it runs."""
    if not kernels:
        return matmul
    from mlcfast.ops.groupwise_linear import triton

    return triton
