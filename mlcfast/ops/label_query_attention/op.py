"""The operator `mlcfast::label_query_attention`: schema, fake kernel, backward pass, and the function users call.

Its outputs after the first two are what the backward pass wants; one that is not kept has no elements.
"""

from typing import Any

import torch
from torch import Tensor

from mlcfast.ops.backend import requested
from mlcfast.ops.label_query_attention import dropout as masks
from mlcfast.ops.label_query_attention import matmul
from mlcfast.ops.label_query_attention.backward import backward
from mlcfast.ops.label_query_attention.matmul import Inputs, Options, Saved
from mlcfast.ops.label_query_attention.plan import PLANS, choose
from mlcfast.ops.label_query_attention.reference import label_query_attention as reference
from mlcfast.ops.label_query_attention.validate import check
from mlcfast.ops.numerics import active_dtype, suspended

Gradients = tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]
Outputs = tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]


def label_query_attention(
    queries: Tensor,
    memory: Tensor,
    position: Tensor | None,
    in_proj_weight: Tensor,
    in_proj_bias: Tensor,
    out_proj_weight: Tensor,
    out_proj_bias: Tensor,
    num_heads: int,
    dropout: float = 0.0,
    need_weights: bool = False,
    plan: str | None = None,
) -> tuple[Tensor, Tensor | None]:
    """Attend from labels to feature cells (arXiv 2107.10834, §3.2); `position` is added to the keys only.

    queries: (K, D) shared by the batch or (B, K, D); memory: (B, N, D); position: (1 or B, N, D) or None.
    Weights and biases: as in nn.MultiheadAttention, in_proj (3D, D) and (3D,), out_proj (D, D) and (D,); all of one
    floating dtype, or cast to autocast's.
    dropout: probability on the attention weights, applied whenever it is above 0; torch.manual_seed governs it.
    plan: folded | mixed | projected overrides the rule in plan.py; the results agree to rounding.
    Returns (B, K, D) and, with need_weights, the head-averaged weights (B, K, N) before dropout, without gradient.
    ValueError names the argument whose shape, dtype or value does not fit.
    """
    tensors = (queries, memory, position, in_proj_weight, in_proj_bias, out_proj_weight, out_proj_bias)
    autocast = active_dtype(memory)
    check(*tensors, num_heads, dropout, plan, autocast is not None)
    dtype = autocast or memory.dtype
    if requested() == "reference" or torch.onnx.is_in_onnx_export():
        queries, memory, position = (
            queries.to(dtype),
            memory.to(dtype),
            None if position is None else position.to(dtype),
        )
        in_weight, in_bias, out_weight, out_bias = (parameter.to(dtype) for parameter in tensors[3:])
        parameters = (in_weight, in_bias, out_weight, out_bias)
        return reference(queries, memory, position, *parameters, num_heads, dropout, need_weights)
    (_, N, D), K = memory.shape, queries.shape[-2]
    chosen = choose(queries.ndim == 2, K, N, D, num_heads, memory.device.type, dtype, plan)
    seed = masks.draw_seed(memory.device) if dropout > 0 else None
    save = torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in tensors)
    options = (dtype, num_heads, dropout, *PLANS[chosen.form], chosen.keep, chosen.triton)
    out, weights, *_ = _forward(*tensors, seed, *options, need_weights, save)
    return out, weights if need_weights else None


@torch.library.custom_op("mlcfast::label_query_attention", mutates_args=())
def _forward(
    queries: Tensor,
    memory: Tensor,
    position: Tensor | None,
    in_proj_weight: Tensor,
    in_proj_bias: Tensor,
    out_proj_weight: Tensor,
    out_proj_bias: Tensor,
    seed: Tensor | None,
    dtype: torch.dtype,
    num_heads: int,
    dropout: float,
    fold_keys: bool,
    fold_values: bool,
    keep: bool,
    triton: bool,
    need_weights: bool,
    save: bool,
) -> Outputs:
    parameters = (in_proj_weight, in_proj_bias, out_proj_weight, out_proj_bias)
    inputs = _inputs(dtype, queries, memory, position, parameters, seed)
    options = Options(dtype, num_heads, dropout, fold_keys, fold_values, keep, triton)
    with suspended(memory):
        out, weights, saved = matmul.forward(inputs, options, need_weights, save)
    q, key_side, kept, value_side, context, row_sums = (_present(x, out) for x in saved)
    return out, _present(weights, out), q, key_side, kept, value_side, context, row_sums


@_forward.register_fake
def _(
    queries: Tensor, memory: Tensor, position: Tensor | None, w: Tensor, b: Tensor, out_w: Tensor, out_b: Tensor,
    seed: Tensor | None, dtype: torch.dtype, *options_and_flags: Any,
) -> tuple[Tensor, ...]:  # fmt: skip
    (B, N, D), K = memory.shape, queries.shape[-2]
    *options, weights, save = options_and_flags
    inputs = Inputs(queries, memory, position, w, b, out_w, out_b, seed)
    saved = matmul.empty_saved(inputs, Options(dtype, *options)) if save else Saved()
    out = memory.new_empty(B, K, D, dtype=dtype)
    return out, *(_present(x, out) for x in (out.new_empty(B, K, N) if weights else None, *saved))


@torch.library.custom_op("mlcfast::label_query_attention_backward", mutates_args=())
def _backward(
    grad_out: Tensor,
    saved: list[Tensor],
    queries: Tensor,
    memory: Tensor,
    position: Tensor | None,
    in_proj_weight: Tensor,
    in_proj_bias: Tensor,
    out_proj_weight: Tensor,
    out_proj_bias: Tensor,
    seed: Tensor | None,
    dtype: torch.dtype,
    num_heads: int,
    dropout: float,
    fold_keys: bool,
    fold_values: bool,
    keep: bool,
    triton: bool,
    position_too: bool,
) -> Gradients:
    parameters = (in_proj_weight, in_proj_bias, out_proj_weight, out_proj_bias)
    inputs = _inputs(dtype, queries, memory, position, parameters, seed)
    options = Options(dtype, num_heads, dropout, fold_keys, fold_values, keep, triton)
    kept = Saved(*(x if x.numel() else None for x in saved))
    originals = (queries, memory, position, *parameters)
    with suspended(memory):
        incoming = grad_out.to(dtype).contiguous()
        grads = backward(incoming, inputs, options, kept, position_too)
        pairs = zip(grads, originals, strict=True)
        cast = (memory.new_empty(0) if g is None or t is None else g.to(t.dtype) for g, t in pairs)
        d_queries, d_memory, d_position, d_in_weight, d_in_bias, d_out_weight, d_out_bias = cast
        return d_queries, d_memory, d_position, d_in_weight, d_in_bias, d_out_weight, d_out_bias


@_backward.register_fake
def _(
    grad_out: Tensor, saved: list[Tensor], queries: Tensor, memory: Tensor, position: Tensor | None,
    w: Tensor, b: Tensor, out_w: Tensor, out_b: Tensor, *options: Any,
) -> tuple[Tensor, ...]:  # fmt: skip
    position = memory.new_empty(0) if position is None or not options[-1] else position
    return tuple(x.new_empty(x.shape) for x in (queries, memory, position, w, b, out_w, out_b))


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: Outputs) -> None:
    tensors, options = inputs[:8], inputs[8:15]
    _, weights, *saved = output
    ctx.mark_non_differentiable(weights, *saved)
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(*tensors, *saved)
    ctx.options = options


def _backward_formula(ctx: Any, grad_out: Tensor | None, *_: Tensor | None) -> tuple[Tensor | None, ...]:
    if torch.is_grad_enabled():
        raise NotImplementedError(
            "label_query_attention has no second derivative: set MLCFAST_BACKEND=reference for create_graph=True"
        )
    if grad_out is None:
        return (None,) * 17
    kept = ctx.saved_tensors  # read once: activation checkpointing hands each saved tensor out a single time
    grads = _backward(grad_out, list(kept[8:]), *kept[:8], *ctx.options, ctx.needs_input_grad[2])
    wanted = (g if needs else None for g, needs in zip(grads, ctx.needs_input_grad, strict=False))
    return *wanted, *(None,) * 10


_forward.register_autograd(_backward_formula, setup_context=_setup_context)


def _inputs(
    dtype: torch.dtype,
    queries: Tensor,
    memory: Tensor,
    position: Tensor | None,
    parameters: tuple[Tensor, Tensor, Tensor, Tensor],
    seed: Tensor | None,
) -> Inputs:
    position = None if position is None else position.to(dtype).contiguous()
    in_weight, in_bias, out_weight, out_bias = (parameter.to(dtype).contiguous() for parameter in parameters)
    queries, memory = queries.to(dtype).contiguous(), memory.contiguous()
    return Inputs(queries, memory, position, in_weight, in_bias, out_weight, out_bias, seed)


def _present(x: Tensor | None, like: Tensor) -> Tensor:
    """Operators return tensors: none is one without elements."""
    return like.new_empty(0) if x is None else x
