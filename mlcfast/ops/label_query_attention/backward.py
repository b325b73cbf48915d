"""The backward pass of matmul.py, a slice of the batch at a time.

dcontext = dout W_o; the value side gives dU, plus b_v·dcontext where dropout leaves rows that do not sum to one;
dweights = dU ∘ mask / (1 − dropout);  dS = weights ∘ (dweights − Σ_n weights ∘ dweights); the key side gives dq.
The gradient of the key bias is exactly zero: it moves all scores of a row alike.
"""

import torch
from torch import Tensor

from mlcfast.ops.label_query_attention import weights
from mlcfast.ops.label_query_attention.folded import per_head
from mlcfast.ops.label_query_attention.matmul import Inputs, Options, Saved, attend, of, pool, slices, value_bias
from mlcfast.ops.label_query_attention.projected import Accumulator
from mlcfast.ops.label_query_attention.weights import wide

Grads = tuple[Tensor, Tensor, Tensor | None, Tensor, Tensor, Tensor, Tensor]


class Totals:
    """Gradients that grow over the slices; half precision is summed in fp32 when there are several."""

    def __init__(self, inputs: Inputs, count: int, position_too: bool):
        like, D = inputs.queries, inputs.memory.shape[2]
        dtype = wide(like) if count > 1 else like.dtype
        self.in_proj_weight = (like.new_empty if count else like.new_zeros)(3 * D, D, dtype=dtype)
        self.in_proj_bias = like.new_zeros(3 * D, dtype=dtype)
        self.wq, self.wk, self.wv = (Accumulator(weight) for weight in self.in_proj_weight.chunk(3))
        self.bq, _, self.bv = (Accumulator(bias) for bias in self.in_proj_bias.chunk(3))
        self.out_proj_weight = Accumulator(like.new_empty(D, D, dtype=dtype))
        self.out_proj_bias = Accumulator(like.new_empty(D, dtype=dtype))
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

    def add_projections(self, grad_out: Tensor, context: Tensor, grad_context: Tensor, row_sums: Tensor | None) -> None:
        """Gradients of W_o, b_o and b_v; row_sums (B, K, H) of the dropped weights, None where they are all one."""
        rows, heads = grad_out.flatten(0, 1), grad_context.flatten(0, 1)
        self.out_proj_weight.add(rows.mT.unsqueeze(0), context.flatten(0, 1).unsqueeze(0))
        self.out_proj_bias.add_rows(rows)
        if row_sums is None:
            self.bv.add_rows(heads.flatten(1))
        else:  # Σ over images and labels of r·dcontext, a row times a matrix for each head
            self.bv.add(row_sums.flatten(0, 1).mT.unsqueeze(1), heads.transpose(0, 1))

    def finish(self, inputs: Inputs) -> Grads:
        """Add the query projection; the gradients of `inputs` but the seed, in its order and dtypes."""
        dtype, D = inputs.queries.dtype, inputs.memory.shape[2]
        assert self.queries is not None and self.memory is not None, "the only slice gave them"
        queries = self.queries.to(dtype)
        rows = queries.reshape(-1, D)
        self.wq.add(rows.mT.unsqueeze(0), inputs.queries.reshape(1, -1, D))
        self.bq.add_rows(rows)
        return (
            queries @ inputs.in_proj_weight[:D],
            self.memory,
            None if self.position is None else self.position.to(dtype),
            self.in_proj_weight.to(dtype),
            self.in_proj_bias.to(dtype),
            self.out_proj_weight.result(dtype),
            self.out_proj_bias.result(dtype),
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
    saved = _sliced(saved, inputs, options, images)
    queries, key_side, drawn = attend(inputs, options, images, saved)
    if saved.value_side is None and not options.fold_values:
        saved = saved._replace(value_side=values.value_side(drawn.kept, memory, wv))
    grad_context = (grad_out @ inputs.out_proj_weight).unflatten(2, (options.num_heads, -1))
    grad_kept, carried = values.kept_backward(grad_context, saved.value_side, memory, wv)
    beta = _of_value_bias(grad_context, value_bias(inputs, options)) if options.dropout > 0 else None
    of_queries, of_scores = options.scales(memory.shape[2])
    drawing = (drawn.weights, inputs.seed, options.dropout, images.start)
    if options.triton:
        grad_scores, kept = weights.backward(grad_kept, beta, of_scores, *drawing)
    else:
        grad_scores, kept = weights.backward_reference(grad_kept, beta, *drawing)
    row_sums = kept.sum(1) if drawn.row_sums is None and options.dropout > 0 else drawn.row_sums
    value_side, context = pool(inputs, options, images, saved, kept, row_sums)
    totals.add_projections(grad_out, context, grad_context, row_sums)
    grad_memory = values.context_backward(grad_context, carried, kept, value_side, memory, wv, totals.wv)
    grad_keys = torch.zeros_like(grad_memory) if position_too else grad_memory
    grad_queries = keys.scores_backward(
        grad_scores, queries, key_side, memory, position, wk, grad_keys, totals.wk, of_queries
    )
    if position is not None and totals.position is not None:
        of(totals.position, images).add_(grad_keys.sum_to_size(position.shape))
        grad_memory += grad_keys
    totals.add_images(images, grad_queries, grad_memory)


def _of_value_bias(grad_context: Tensor, bias: Tensor) -> Tensor:
    """β (B, K, H): dcontext (B, K, H, W) times b_v (H, W), the same for every cell."""
    return per_head(grad_context.flatten(0, 1), bias.unsqueeze(2)).view(grad_context.shape[:3])


def _sliced(saved: Saved, inputs: Inputs, options: Options, images: slice) -> Saved:
    """The slice's intermediates; what shared queries alone determine belongs to all images."""
    part = Saved(*(None if x is None else x[images] for x in saved))
    if inputs.queries.ndim == 3:
        return part
    return part._replace(queries=saved.queries, key_side=saved.key_side if options.fold_keys else part.key_side)
