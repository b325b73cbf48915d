"""The backward pass of matmul.py, a slice of the batch at a time.

dcontext = dout W_o; the value side gives dU, plus b_v·dcontext where dropout leaves rows that do not sum to one;
dweights = dU ∘ mask / (1 − dropout);  dS = weights ∘ (dweights − Σ_n weights ∘ dweights); the key side gives dq.
The gradient of the key bias is exactly zero: it moves all scores of a row alike.
"""

import torch
from torch import Tensor

from mlcfast.ops.label_query_attention import dropout as masks
from mlcfast.ops.label_query_attention.matmul import Inputs, Options, Saved, attend, of, slices, value_bias, wide
from mlcfast.ops.label_query_attention.projected import Accumulator

Grads = tuple[Tensor, Tensor, Tensor | None, Tensor, Tensor, Tensor, Tensor]


class Totals:
    """Gradients that grow over the slices; half precision is summed in fp32 when there are several."""

    def __init__(self, inputs: Inputs, count: int, position_too: bool):
        like, D = inputs.queries, inputs.memory.shape[2]
        dtype = wide(like) if count > 1 else like.dtype
        self.in_proj_weight = (like.new_empty if count else like.new_zeros)(3 * D, D, dtype=dtype)
        self.wq, self.wk, self.wv = (Accumulator(weight) for weight in self.in_proj_weight.chunk(3))
        self.out_proj_weight = Accumulator(like.new_empty(D, D, dtype=dtype))
        self.in_proj_bias = like.new_zeros(3 * D, dtype=wide(like))
        self.out_proj_bias = like.new_zeros(D, dtype=wide(like))
        self.queries = None if count == 1 else torch.zeros_like(like, dtype=dtype)
        self.memory = None if count == 1 else torch.empty_like(inputs.memory)
        position = inputs.position if position_too else None
        self.position = None if position is None else torch.zeros_like(position, dtype=dtype)

    def add_images(self, images: slice, grad_queries: Tensor, grad_memory: Tensor) -> None:
        """Gradients of the projected queries and of memory from a slice; the only slice is taken as it is."""
        if self.queries is None or self.memory is None:
            self.queries, self.memory = grad_queries, grad_memory
        else:
            of(self.queries, images).add_(grad_queries)
            self.memory[images] = grad_memory

    def finish(self, inputs: Inputs) -> Grads:
        """Add the query projection; the gradients of `inputs` but the seed, in its order and dtypes."""
        dtype, D = inputs.queries.dtype, inputs.memory.shape[2]
        assert self.queries is not None and self.memory is not None, "the only slice gave them"
        queries = self.queries.to(dtype)
        rows = queries.reshape(-1, D)
        self.wq.add(rows.mT.unsqueeze(0), inputs.queries.reshape(1, -1, D))
        self.in_proj_bias[:D] = rows.sum(0, dtype=self.in_proj_bias.dtype)
        return (
            queries @ inputs.in_proj_weight[:D],
            self.memory,
            None if self.position is None else self.position.to(dtype),
            self.in_proj_weight.to(dtype),
            self.in_proj_bias.to(dtype),
            self.out_proj_weight.result(dtype),
            self.out_proj_bias.to(dtype),
        )


def backward(grad_out: Tensor, inputs: Inputs, options: Options, saved: Saved, position_too: bool) -> Grads:
    """Gradients of queries, memory, position (None unless `position_too`) and the four parameters."""
    pieces = slices(inputs, options)
    totals = Totals(inputs, len(pieces), position_too)
    for images in pieces:
        _add_slice(totals, grad_out[images], inputs, options, images, saved, position_too)
    return totals.finish(inputs)


def _add_slice(
    totals: Totals,
    grad_out: Tensor,
    inputs: Inputs,
    options: Options,
    images: slice,
    saved: Saved,
    position_too: bool,
) -> None:
    keys, values = options.sides()
    _, wk, wv = inputs.in_proj_weight.chunk(3)
    memory, position = inputs.memory[images].to(options.dtype), of(inputs.position, images)
    part, kept = attend(inputs, options, images, _sliced(saved, inputs, options, images))
    grad_context = through_out_proj(totals, grad_out, part.context, inputs).unflatten(2, (options.num_heads, -1))
    add_value_bias(totals, grad_context, kept.sum(1) if options.dropout > 0 else None)
    grad_kept, grad_memory = values.context_backward(grad_context, kept, part.value_side, memory, wv, totals.wv)
    if options.dropout > 0:
        grad_kept += (grad_context * value_bias(inputs, options)).sum(3).unsqueeze(1)
    grad_scores = _softmax_backward(masks.apply(grad_kept, inputs.seed, options.dropout, images.start), part.weights)
    grad_keys = torch.zeros_like(grad_memory) if position_too else grad_memory
    grad_queries = keys.scores_backward(
        grad_scores, part.queries, part.key_side, memory, position, wk, grad_keys, totals.wk
    )
    if position is not None and totals.position is not None:
        of(totals.position, images).add_(grad_keys.sum_to_size(position.shape))
        grad_memory += grad_keys
    totals.add_images(images, grad_queries, grad_memory)


def through_out_proj(totals: Totals, grad_out: Tensor, context: Tensor, inputs: Inputs) -> Tensor:
    """dout (B, K, D) -> dcontext (B, K, D); adds the output projection's gradients."""
    rows = grad_out.flatten(0, 1)
    totals.out_proj_weight.add(rows.mT.unsqueeze(0), context.flatten(0, 1).unsqueeze(0))
    totals.out_proj_bias += rows.sum(0, dtype=totals.out_proj_bias.dtype)
    return grad_out @ inputs.out_proj_weight


def add_value_bias(totals: Totals, grad_context: Tensor, row_sums: Tensor | None) -> None:
    """Adds the gradient of b_v; row_sums (B, K, H) of the dropped weights, None where they are all one."""
    if row_sums is not None:
        grad_context = grad_context * row_sums.unsqueeze(-1)
    D = totals.out_proj_bias.shape[0]
    totals.in_proj_bias[2 * D :] += grad_context.flatten(2).sum((0, 1), dtype=totals.in_proj_bias.dtype)


def _softmax_backward(grad: Tensor, weights: Tensor) -> Tensor:
    wide_weights = weights.to(wide(weights))
    products = grad * wide_weights
    return products.addcmul_(wide_weights, products.sum(1, keepdim=True), value=-1).to(weights.dtype)


def _sliced(saved: Saved, inputs: Inputs, options: Options, images: slice) -> Saved:
    """The slice's intermediates; what shared queries alone determine belongs to all images."""
    part = Saved(*(None if x is None else x[images] for x in saved))
    if inputs.queries.ndim == 3:
        return part
    return part._replace(queries=saved.queries, key_side=saved.key_side if options.fold_keys else part.key_side)
