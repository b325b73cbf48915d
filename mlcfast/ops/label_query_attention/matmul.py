"""The re-associated attention in torch's matrix products, a slice of the batch at a time; backward.py completes it.

What is large and temporary (A and P of folded.py, scores, masks) exists for one slice only. Kept between the passes:
weights and context where a side is folded, keys or values where it is not, and with `keep` also q, A and P.
"""

from types import ModuleType
from typing import NamedTuple, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from mlcfast.ops.label_query_attention import folded, projected, weights
from mlcfast.ops.label_query_attention.weights import wide

SLICE_BYTES = 32 << 20  # what stays in a CPU's caches
FUSED_SLICES = 16  # a GPU launches as much for a small slice as for a large one: slices as large as this many of those
MaybeTensor = TypeVar("MaybeTensor", Tensor, Tensor | None)


class Inputs(NamedTuple):
    """The tensors of the operator, contiguous; in_proj (3D, D) and out_proj (D, D) as in nn.MultiheadAttention.

    All are of the arithmetic's dtype but memory, which is cast by the slice: both decoder layers save one tensor.
    """

    queries: Tensor
    memory: Tensor
    position: Tensor | None
    in_proj_weight: Tensor
    in_proj_bias: Tensor
    out_proj_weight: Tensor
    out_proj_bias: Tensor
    seed: Tensor | None


class Options(NamedTuple):
    """Dtype of the arithmetic, heads H, dropout on the weights, which sides are folded, keep every intermediate, and
    whether softmax and dropout are one Triton kernel.
    """

    dtype: torch.dtype
    num_heads: int
    dropout: float
    fold_keys: bool
    fold_values: bool
    keep: bool
    triton: bool

    def sides(self) -> tuple[ModuleType, ModuleType]:
        """The modules that compute keys and values."""
        return folded if self.fold_keys else projected, folded if self.fold_values else projected

    def scales(self, width: int) -> tuple[float, float]:
        """What the queries and what the scores are multiplied by, 1/√W and 1 or the other way round.

        The kernel scales the scores for nothing; elsewhere the queries, which all images may share, cost less.
        """
        scale = (width // self.num_heads) ** -0.5
        return (1.0, scale) if self.triton else (scale, 1.0)


class Saved(NamedTuple):
    """Intermediates of some images; None where they are to be computed.

    row_sums (B, K, H): of the weights after dropout, None where there is no dropout.
    """

    queries: Tensor | None = None
    key_side: Tensor | None = None
    weights: Tensor | None = None
    value_side: Tensor | None = None
    context: Tensor | None = None
    row_sums: Tensor | None = None


def forward(inputs: Inputs, options: Options, need_weights: bool, save: bool) -> tuple[Tensor, Tensor | None, Saved]:
    """(out (B, K, D), head-averaged weights (B, K, N) if wanted, what the backward pass needs if `save`)."""
    (B, N, D), K = inputs.memory.shape, inputs.queries.shape[-2]
    out = inputs.queries.new_empty(B, K, D)
    mean_weights = inputs.queries.new_empty(B, K, N) if need_weights else None
    saved = empty_saved(inputs, options) if save else Saved()
    pieces = slices(inputs, options)
    for images in pieces:
        queries, key_side, drawn = attend(inputs, options, images, Saved())
        value_side, context = pool(inputs, options, images, Saved(), drawn.kept, drawn.row_sums)
        rows = context.flatten(0, 1)
        torch.addmm(inputs.out_proj_bias, rows, inputs.out_proj_weight.mT, out=out[images].flatten(0, 1))
        if mean_weights is not None:
            mean_weights[images] = drawn.weights.mean(3, dtype=wide(drawn.weights)).mT
        part = Saved(queries, key_side, drawn.weights, value_side, context, drawn.row_sums)
        saved = _stored(saved, part, images, whole=len(pieces) == 1)
    return out, mean_weights, saved


def slices(inputs: Inputs, options: Options) -> list[slice]:
    """The batch in even pieces, one image at least, whose largest temporary stays below SLICE_BYTES.

    With the kernels below FUSED_SLICES times that.
    """
    (B, N, D), K = inputs.memory.shape, inputs.queries.shape[-2]
    rows = K * options.num_heads
    per_image = max(rows * D if options.fold_values or options.fold_keys else K * D, 2 * rows * N)
    limit = SLICE_BYTES * (FUSED_SLICES if options.triton else 1)
    most = max(1, limit // max(1, per_image * inputs.queries.element_size()))
    step = max(1, -(-B // max(1, -(-B // most))))
    return [slice(start, min(start + step, B)) for start in range(0, B, step)]


def attend(inputs: Inputs, options: Options, images: slice, saved: Saved) -> tuple[Tensor, Tensor, weights.Drawn]:
    """q, the key side and the weights of a slice, computing what is not saved; saved weights are not drawn again."""
    keys, _ = options.sides()
    wq, wk, _ = inputs.in_proj_weight.chunk(3)
    memory, position = inputs.memory[images].to(options.dtype), of(inputs.position, images)
    queries, key_side = saved.queries, saved.key_side
    if queries is None:
        queries = F.linear(of(inputs.queries, images), wq, inputs.in_proj_bias[: len(wq)])
    of_queries, of_scores = options.scales(memory.shape[2])
    if key_side is None:
        key_side = keys.key_side(queries, memory, position, wk, options.num_heads, of_queries)
    if saved.weights is not None:
        return queries, key_side, weights.Drawn(saved.weights, saved.weights, saved.row_sums)
    scores = keys.scores(queries, key_side, memory, position, options.num_heads, of_queries)
    drawing = (inputs.seed, options.dropout, images.start, not options.fold_values)
    if options.triton:
        drawn = weights.forward(scores, of_scores, *drawing)
    else:
        drawn = weights.forward_reference(scores, *drawing)
    return queries, key_side, drawn


def pool(
    inputs: Inputs, options: Options, images: slice, saved: Saved, kept: Tensor, row_sums: Tensor | None
) -> tuple[Tensor, Tensor]:
    """The value side and the context (B, K, D) of a slice from its weights after dropout, unless they are saved."""
    _, values = options.sides()
    wv = inputs.in_proj_weight[2 * inputs.memory.shape[2] :]
    value_side, context = saved.value_side, saved.context
    if value_side is None:
        value_side = values.value_side(kept, inputs.memory[images].to(options.dtype), wv)
    if context is None:
        context, bias = values.context(kept, value_side, wv), value_bias(inputs, options)
        context = context.add_(bias) if row_sums is None else context.addcmul_(bias, row_sums.unsqueeze(-1))
        context = context.flatten(2)
    return value_side, context


def empty_saved(inputs: Inputs, options: Options) -> Saved:
    """Uninitialised room for what is kept between the passes, for the whole batch; also the fake kernel's answer."""
    (B, N, D), K, H = inputs.memory.shape, inputs.queries.shape[-2], options.num_heads
    batch = inputs.queries.shape[:-2]

    def new(*shape: int) -> Tensor:
        return inputs.memory.new_empty(shape, dtype=options.dtype)

    key_side = (*batch, K, H, D) if options.fold_keys else (B, N, D)
    value_side = (B, K, H, D) if options.fold_values else (B, N, D)
    return Saved(
        queries=new(*batch, K, D) if options.keep else None,
        key_side=new(*key_side) if options.keep or not options.fold_keys else None,
        weights=new(B, N, K, H) if options.fold_keys else None,
        value_side=new(*value_side) if options.keep or not options.fold_values else None,
        context=new(B, K, D) if options.keep or options.fold_values else None,
        row_sums=new(B, K, H) if options.dropout > 0 else None,
    )


def value_bias(inputs: Inputs, options: Options) -> Tensor:
    """b_v as (H, W)."""
    return inputs.in_proj_bias[2 * inputs.memory.shape[2] :].view(options.num_heads, -1)


def of(x: MaybeTensor, images: slice) -> MaybeTensor:
    """The slice's share; queries (K, D) and a position of one image belong to all images."""
    return x if x is None or x.ndim == 2 or len(x) == 1 else x[images]


def _stored(saved: Saved, part: Saved, images: slice, whole: bool) -> Saved:
    """`saved` with the slice's part written into it; a part that is the whole batch is taken as it is."""
    if whole:
        return Saved(*(None if room is None else value for room, value in zip(saved, part, strict=True)))
    for room, value in zip(saved, part, strict=True):
        if room is not None and value is not None:
            (room if room.shape == value.shape else room[images]).copy_(value)
    return saved
