"""Autograd for the Triton kernels, which have no C++ autograd of their own; csrc/autograd.cpp is its compiled twin."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

REDUCTION_CODES = {"none": 0, "mean": 1, "sum": 2}
HALF_UNIT = 16.0  # fp16 gradients are stored unreduced times this, clear of fp16's subnormals (csrc/ops.h)


class StoredGradient(torch.autograd.Function):
    """An elementwise loss whose forward operator also returns the gradient; backward only rescales it."""

    @staticmethod
    def forward(ctx: Any, name: str, reduction: int, scale: float, logits: Tensor, *arguments: object) -> Tensor:
        """`name`: the operator; `arguments`: what it takes after logits and before with_gradient."""
        operator = getattr(torch.ops.mlcfast, name).triton
        loss, gradient = operator(logits, *arguments, ctx.needs_input_grad[3])
        ctx.save_for_backward(gradient)
        ctx.reduction, ctx.scale, ctx.inputs = reduction, scale, 4 + len(arguments)
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, incoming: Tensor) -> tuple[Tensor | None, ...]:
        """The stored gradient times the incoming one: in place, unless the graph is kept for another backward pass."""
        (gradient,) = ctx.saved_tensors
        half = gradient.dtype == torch.float16
        factor = ctx.scale / HALF_UNIT if half else 1.0
        mean = half and ctx.reduction == REDUCTION_CODES["mean"]
        scaled = _rescaled(ctx, gradient, incoming, factor, mean)
        return (None, None, None, scaled) + (None,) * (ctx.inputs - 4)


def _is_several(incoming: Tensor) -> bool:
    """Whether a backward pass is for a batch of gradients, is_grads_batched=True (private in torch 2.14)."""
    return torch._C._functorch.is_legacy_batchedtensor(incoming)


def _rescaled(ctx: Any, gradient: Tensor, incoming: Tensor, factor: float, mean: bool) -> Tensor:
    if ctx.reduction == REDUCTION_CODES["none"] or torch.compiler.is_compiling() or _is_several(incoming):
        scale = incoming * factor / (max(gradient.numel(), 1) if mean else 1)
        return (gradient.to(incoming.dtype) * scale).to(gradient.dtype)
    own = gradient.clone() if torch._C._autograd._get_current_graph_task_keep_graph() else gradient
    torch.ops.mlcfast.rescale_gradient_.triton(own, incoming, factor, mean)
    return own


class RecomputedGradient(torch.autograd.Function):
    """EPR and ROLE: forward keeps its inputs and the batch's statistic, backward computes the gradients from them."""

    @staticmethod
    def forward(
        ctx: Any,
        logits: Tensor,
        observed: Tensor,
        estimate_logits: Tensor | None,
        index: Tensor | None,
        statistic: Tensor | None,
        expected_positives: float,
        weight: float,
        eps: float,
    ) -> Tensor:
        """The arguments of expected_positives_forward."""
        options = (expected_positives, weight, eps)
        operator = torch.ops.mlcfast.expected_positives_forward.triton
        loss, total = operator(logits, observed, estimate_logits, index, statistic, *options)
        ctx.save_for_backward(logits, observed, estimate_logits, index, total)
        ctx.options = options
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, incoming: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of the logits and of the estimate: its rows, or sparse rows of the table."""
        logits, observed, estimate, index, total = ctx.saved_tensors
        operator = torch.ops.mlcfast.expected_positives_backward.triton
        gradient, rows = operator(incoming, logits, observed, estimate, index, total, *ctx.options)
        return (gradient, None, _table_gradient(rows, index, estimate)) + (None,) * 5


def _table_gradient(rows: Tensor, index: Tensor | None, estimate: Tensor | None) -> Tensor | None:
    if estimate is None or index is None:
        return None if estimate is None else rows
    return torch.sparse_coo_tensor(index[None], rows, estimate.shape, check_invariants=False)
