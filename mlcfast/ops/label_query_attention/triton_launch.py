"""Launches the kernels of triton_kernels.py: output tensors, layout, and how many programs there are."""

import torch
from torch import Tensor

from mlcfast.ops.label_query_attention import dropout as masks
from mlcfast.ops.label_query_attention import triton_kernels as kernels

TILE = {"BN": 64, "BR": 32}  # cells and rows; 32 rows of two bytes are two sectors of memory


def weights(
    scores: Tensor, scale: float, seed: Tensor | None, dropout: float, first_image: int
) -> tuple[Tensor, Tensor, Tensor]:
    """S (B, N, K, H) -> W and U in its layout and r (B, K, H); U and r without elements where dropout is 0."""
    B, _, K, H = scores.shape
    found = torch.empty_like(scores)
    kept = torch.empty_like(scores) if dropout > 0 else scores.new_empty(0)
    row_sums = scores.new_empty((B, K, H) if dropout > 0 else 0)
    if scores.numel():
        kernels.weights_kernel[_programs(scores)](
            scores, scores if seed is None else seed, found, kept, row_sums, scale, first_image,
            *_layout(scores), masks.threshold(dropout), masks.scale(dropout),
            DROPOUT=dropout > 0, HEADS_FIRST=_heads_first(scores), **TILE, num_warps=kernels.NUM_WARPS,
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
    """dU (B, N, K, H), β (B, K, H) or None and W -> dS and U in its layout; U without elements where dropout is 0."""
    if grad.stride() != weights.stride():
        grad = torch.empty_like(weights).copy_(grad)
    found = torch.empty_like(weights)
    kept = torch.empty_like(weights) if dropout > 0 else weights.new_empty(0)
    if weights.numel():
        kernels.weights_backward_kernel[_programs(weights)](
            grad, weights if beta is None else beta.contiguous(), weights, weights if seed is None else seed,
            found, kept, scale, first_image, *_layout(weights), masks.threshold(dropout), masks.scale(dropout),
            DROPOUT=dropout > 0, BETA=beta is not None, HEADS_FIRST=_heads_first(weights), **TILE,
            num_warps=kernels.NUM_WARPS,
        )  # fmt: skip
    return found, kept


def _programs(scores: Tensor) -> tuple[int]:
    B, _, K, H = scores.shape
    return (B * -(-K * H // TILE["BR"]),)


def _layout(scores: Tensor) -> tuple[int, int, int, int, int]:
    """N, K, H, and the distance in memory from a cell and from a row to the next."""
    _, N, K, H = scores.shape
    return (N, K, H, 1, N) if _heads_first(scores) else (N, K, H, K * H, 1)


def _heads_first(scores: Tensor) -> bool:
    """Whether it is a view of (B, H, K, N); AssertionError where it is neither that nor contiguous."""
    if scores.is_contiguous():
        return False
    assert scores.permute(0, 3, 2, 1).is_contiguous(), "scores are (B, N, K, H) or a view of (B, H, K, N)"
    return True
