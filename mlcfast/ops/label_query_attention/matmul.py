"""The re-associated attention in torch's matrix products, a slice of the batch at a time; backward.py completes it.

What is large and temporary (A and P of folded.py, scores, masks) exists for one slice only. Kept between the passes:
weights and context where a side is folded, keys or values where it is not, and with `keep` also q, A and P.
"""

from types import ModuleType
from typing import NamedTuple, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from mlcfast.ops.label_query_attention import dropout as masks
from mlcfast.ops.label_query_attention import folded, projected

SLICE_BYTES = 32 << 20
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
    whether the Triton kernels run (folded sides only, nothing but context and sums kept).
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


class Saved(NamedTuple):
    """Intermediates of some images; None where they are to be computed. The sums (B, K, H) are the kernels' own."""

    queries: Tensor | None = None
    key_side: Tensor | None = None
    weights: Tensor | None = None
    value_side: Tensor | None = None
    context: Tensor | None = None
    log_sums: Tensor | None = None
    row_sums: Tensor | None = None


class Attended(NamedTuple):
    """The first five of Saved, all there."""

    queries: Tensor
    key_side: Tensor
    weights: Tensor
    value_side: Tensor
    context: Tensor


def forward(inputs: Inputs, options: Options, need_weights: bool, save: bool) -> tuple[Tensor, Tensor | None, Saved]:
    """(out (B, K, D), head-averaged weights (B, K, N) if wanted, what the backward pass needs if `save`)."""
    (B, N, D), K = inputs.memory.shape, inputs.queries.shape[-2]
    out = inputs.queries.new_empty(B, K, D)
    mean_weights = inputs.queries.new_empty(B, K, N) if need_weights else None
    saved = empty_saved(inputs, options) if save else Saved()
    pieces = slices(inputs, options)
    for images in pieces:
        part, _ = attend(inputs, options, images, Saved())
        rows = part.context.flatten(0, 1)
        torch.addmm(inputs.out_proj_bias, rows, inputs.out_proj_weight.mT, out=out[images].flatten(0, 1))
        if mean_weights is not None:
            mean_weights[images] = part.weights.mean(3, dtype=wide(part.weights)).mT
        saved = _stored(saved, part, images, whole=len(pieces) == 1)
    return out, mean_weights, saved


def slices(inputs: Inputs, options: Options) -> list[slice]:
    """The batch in pieces whose largest temporary stays near SLICE_BYTES, one image at least."""
    (B, N, D), K = inputs.memory.shape, inputs.queries.shape[-2]
    rows = K * options.num_heads
    per_image = max(rows * D if options.fold_values or options.fold_keys else K * D, 2 * rows * N)
    step = max(1, SLICE_BYTES // max(1, per_image * inputs.queries.element_size()))
    return [slice(start, min(start + step, B)) for start in range(0, B, step)]


def attend(inputs: Inputs, options: Options, images: slice, saved: Saved) -> tuple[Attended, Tensor]:
    """Every intermediate of a slice, computing what is not saved, and the weights after dropout U (B, N, K, H)."""
    keys, values = options.sides()
    wq, wk, wv = inputs.in_proj_weight.chunk(3)
    memory, position = inputs.memory[images].to(options.dtype), of(inputs.position, images)
    queries, key_side, weights, value_side, context, *_ = saved
    if queries is None:
        queries = F.linear(of(inputs.queries, images), wq, inputs.in_proj_bias[: len(wq)])
    if key_side is None:
        key_side = keys.key_side(queries, memory, position, wk, options.num_heads)
    if weights is None:
        weights = _softmax(keys.scores(queries, key_side, memory, position, options.num_heads))
    kept = masks.apply(weights, inputs.seed, options.dropout, images.start)
    if value_side is None:
        value_side = values.value_side(kept, memory, wv)
    if context is None:
        bias = value_bias(inputs, options)
        bias = bias * kept.sum(1).unsqueeze(-1) if options.dropout > 0 else bias
        context = (values.context(kept, value_side, wv) + bias).flatten(2)
    return Attended(queries, key_side, weights, value_side, context), kept


def empty_saved(inputs: Inputs, options: Options) -> Saved:
    """Uninitialised room for what is kept between the passes, for the whole batch; also the fake kernel's answer."""
    (B, N, D), K, H = inputs.memory.shape, inputs.queries.shape[-2], options.num_heads
    batch = inputs.queries.shape[:-2]

    def new(*shape: int, dtype: torch.dtype = options.dtype) -> Tensor:
        return inputs.memory.new_empty(shape, dtype=dtype)

    if options.triton:
        sums = (new(B, K, H, dtype=torch.float32) for _ in range(2))
        return Saved(None, None, None, None, new(B, K, D), *sums)
    key_side = (*batch, K, H, D) if options.fold_keys else (B, N, D)
    value_side = (B, K, H, D) if options.fold_values else (B, N, D)
    return Saved(
        queries=new(*batch, K, D) if options.keep else None,
        key_side=new(*key_side) if options.keep or not options.fold_keys else None,
        weights=new(B, N, K, H) if options.fold_keys else None,
        value_side=new(*value_side) if options.keep or not options.fold_values else None,
        context=new(B, K, D) if options.fold_values else None,
    )


def value_bias(inputs: Inputs, options: Options) -> Tensor:
    """b_v as (H, W)."""
    return inputs.in_proj_bias[2 * inputs.memory.shape[2] :].view(options.num_heads, -1)


def of(x: MaybeTensor, images: slice) -> MaybeTensor:
    """The slice's share; queries (K, D) and a position of one image belong to all images."""
    return x if x is None or x.ndim == 2 or len(x) == 1 else x[images]


def wide(x: Tensor) -> torch.dtype:
    """fp32, or fp64 for fp64: what sums over cells and slices are kept in."""
    return torch.promote_types(x.dtype, torch.float32)


def _softmax(scores: Tensor) -> Tensor:
    """Over the cells, dim 1, in the layout of the scores: contiguous, or a view of (B, H, K, N)."""
    if scores.is_contiguous():
        return torch.softmax(scores, 1, dtype=wide(scores)).to(scores.dtype)
    return torch.softmax(scores.permute(0, 3, 2, 1), 3, dtype=wide(scores)).to(scores.dtype).permute(0, 3, 2, 1)


def _stored(saved: Saved, part: Attended, images: slice, whole: bool) -> Saved:
    """`saved` with the slice's part written into it; a part that is the whole batch is taken as it is.

    The sums at the end of `saved` have no part here: they are the kernels' own.
    """
    if whole:
        return Saved(*(None if room is None else value for room, value in zip(saved, part, strict=False)))
    for room, value in zip(saved, part, strict=False):
        if room is not None:
            (room if room.shape == value.shape else room[images]).copy_(value)
    return saved
