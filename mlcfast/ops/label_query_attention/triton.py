"""The folded attention with its core in Triton: forward and backward of a slice between torch's matrix products.

Kept between the passes: context and the log-sum-exp of every row; q, A and P are computed again.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from mlcfast.ops.label_query_attention import folded
from mlcfast.ops.label_query_attention.backward import Grads, Totals, add_value_bias, through_out_proj
from mlcfast.ops.label_query_attention.matmul import Inputs, Options, Saved, of, slices, value_bias
from mlcfast.ops.label_query_attention.triton_launch import Rows, attend, attend_backward


def forward(inputs: Inputs, options: Options, need_weights: bool, save: bool) -> tuple[Tensor, Tensor | None, Saved]:
    """As matmul.forward."""
    (B, N, D), K = inputs.memory.shape, inputs.queries.shape[-2]
    new = inputs.queries.new_empty
    out, context = new(B, K, D), new(B, K, D)
    log_sums, row_sums = (new(B, K, options.num_heads, dtype=torch.float32) for _ in range(2))
    mean_weights = new(B, K, N) if need_weights else None
    wv = inputs.in_proj_weight[2 * D :]
    for images in slices(inputs, options):
        queries, rows = _rows(inputs, options, images)
        pooled, log_sums[images], row_sums[images] = attend(rows)
        bias = row_sums[images].unsqueeze(-1).to(pooled.dtype) * value_bias(inputs, options)
        context[images] = (folded.context(None, pooled, wv) + bias).flatten(2)
        if mean_weights is not None:
            scores = folded.scores(queries, rows.folded, rows.memory, rows.position, options.num_heads)
            mean_weights[images] = (scores - log_sums[images].unsqueeze(1)).exp_().mean(3).mT
    torch.addmm(inputs.out_proj_bias, context.view(-1, D), inputs.out_proj_weight.mT, out=out.view(-1, D))
    return out, mean_weights, Saved(context=context, log_sums=log_sums, row_sums=row_sums) if save else Saved()


def backward(grad_out: Tensor, inputs: Inputs, options: Options, saved: Saved) -> Grads:
    """As backward.backward, without a gradient of the position."""
    pieces = slices(inputs, options)
    totals = Totals(inputs, len(pieces), position_too=False)
    for images in pieces:
        _add_slice(totals, grad_out[images], inputs, options, images, saved)
    return totals.finish(inputs)


def _add_slice(totals: Totals, grad_out: Tensor, inputs: Inputs, options: Options, images: slice, saved: Saved) -> None:
    assert saved.context is not None and saved.log_sums is not None and saved.row_sums is not None, "forward keeps them"
    _, wk, wv = inputs.in_proj_weight.chunk(3)
    queries, rows = _rows(inputs, options, images)
    grad_context = through_out_proj(totals, grad_out, saved.context[images], inputs)
    grad_context = grad_context.unflatten(2, (options.num_heads, -1))
    row_sums = saved.row_sums[images].to(grad_context.dtype) if options.dropout > 0 else None
    add_value_bias(totals, grad_context, row_sums)
    beta = (grad_context * value_bias(inputs, options)).sum(3, dtype=torch.float32)
    grad_pooled = folded.pooled_gradient(grad_context, wv)
    grad_folded, pooled, grad_memory = attend_backward(rows, grad_pooled, saved.log_sums[images], beta)
    folded.add_value_weight(totals.wv, grad_context, pooled)
    if queries.ndim == 2:
        grad_folded = grad_folded.sum(0, keepdim=True)
    grad_queries = folded.queries_backward(grad_folded.flatten(0, 1), queries, wk, totals.wk)
    totals.add_images(images, grad_queries, grad_memory)


def _rows(inputs: Inputs, options: Options, images: slice) -> tuple[Tensor, Rows]:
    """Projected queries of the slice, and what its kernels take."""
    wq, wk, _ = inputs.in_proj_weight.chunk(3)
    memory, position = inputs.memory[images].to(options.dtype), of(inputs.position, images)
    queries = F.linear(of(inputs.queries, images), wq, inputs.in_proj_bias[: len(wq)])
    queries_folded = folded.key_side(queries, memory, position, wk, options.num_heads)
    return queries, Rows(queries_folded, memory, position, inputs.seed, options.dropout, images.start)
