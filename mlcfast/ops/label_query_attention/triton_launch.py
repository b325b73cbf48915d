"""Launches the kernels of triton_kernels.py: output tensors, layout, and how many programs there are."""

import torch
from torch import Tensor

from mlcfast.ops.label_query_attention import dropout as masks
from mlcfast.ops.label_query_attention import triton_kernels as kernels
from mlcfast.ops.label_query_attention.weights import empty, has_kept, is_by_head
from mlcfast.ops.tile_file import Tile
from mlcfast.ops.tiles import chosen_tile


def weights(
    scores: Tensor, scale: float, seed: Tensor | None, dropout: float, first_image: int, kept_by_head: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """S (B, N, K, H) -> W in its layout, U as wanted and r (B, K, H); r without elements where dropout is 0, U where
    it is W.
    """
    B, N, K, H = scores.shape
    found, wanted = torch.empty_like(scores), has_kept(dropout, scores, kept_by_head)
    kept = empty(scores, kept_by_head) if wanted else scores.new_empty(0)
    row_sums = scores.new_empty((B, K, H) if dropout > 0 else 0)
    if scores.numel():
        chosen = chosen_tile("weights_kernel", scores, B * K * H, N)
        kernels.weights_kernel[_programs(scores, chosen)](
            scores, scores if seed is None else seed, found, kept, row_sums, scale, first_image,
            *scores.shape[1:], masks.threshold(dropout), masks.scale(dropout),
            DROPOUT=dropout > 0, KEPT=wanted, SCORES_BY_HEAD=_by_head(scores), KEPT_BY_HEAD=kept_by_head, **chosen,
        )  # fmt: skip
    return found, kept, row_sums


def weights_backward(
    grad: Tensor,
    beta: Tensor | None,
    scale: float,
    weights: Tensor,
    seed: Tensor | None,
    dropout: float,
    first_image: int,
) -> tuple[Tensor, Tensor]:
    """dU (B, N, K, H), β (B, K, H) or None and W -> dS in the layout of W, U in that of dU; U without elements where
    it is W.
    """
    found, kept_by_head = torch.empty_like(weights), _by_head(grad)
    wanted = has_kept(dropout, weights, kept_by_head)
    kept = torch.empty_like(grad) if wanted else weights.new_empty(0)
    if weights.numel():
        B, N, K, H = weights.shape
        chosen = chosen_tile("weights_backward_kernel", weights, B * K * H, N)
        kernels.weights_backward_kernel[_programs(weights, chosen)](
            grad, weights if beta is None else beta.contiguous(), weights, weights if seed is None else seed,
            found, kept, scale, first_image, *weights.shape[1:], masks.threshold(dropout), masks.scale(dropout),
            DROPOUT=dropout > 0, KEPT=wanted, BETA=beta is not None, SCORES_BY_HEAD=_by_head(weights),
            KEPT_BY_HEAD=kept_by_head, **chosen,
        )  # fmt: skip
    return found, kept


def _programs(scores: Tensor, chosen: Tile) -> tuple[int]:
    B, _, K, H = scores.shape
    return (B * -(-K * H // chosen["BR"]),)


def _by_head(x: Tensor) -> bool:
    """Its layout; AssertionError where it has neither."""
    by_head = is_by_head(x)
    assert not by_head or x.permute(0, 1, 3, 2).is_contiguous(), "scores are (B, N, K, H) or a view of (B, N, H, K)"
    return by_head
