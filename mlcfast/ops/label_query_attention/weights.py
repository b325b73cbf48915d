"""Makes scores the weights that pool the cells, and back: softmax over the cells, dropout, the sum of each row.

S (B, N, K, H) scores, m the mask over 1 − dropout: W = softmax_n(S), U = W ∘ m, r[b,k,h] = Σ_n U. The gradient of U is
dU + β, where β[b,k,h] = b_v·dcontext is what the value bias adds to every cell alike:
G = (dU + β) ∘ m, dS = W ∘ (G − Σ_n W ∘ G).

Two ways to the same numbers: in plain torch, and as two registered operators, which on a GPU are one Triton kernel each
(triton_kernels.py) and draw the mask inside.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from mlcfast.ops.label_query_attention import dropout as masks
from mlcfast.ops.library import on_triton


class Drawn(NamedTuple):
    """W and U (B, N, K, H) and r (B, K, H), all of one type; U is W and r None where dropout is 0."""

    weights: Tensor
    kept: Tensor
    row_sums: Tensor | None


def forward(scores: Tensor, scale: float, seed: Tensor | None, dropout: float, first_image: int) -> Drawn:
    """S -> W, U and r by the operator, in the type and layout of S: contiguous, or a view of (B, H, K, N).

    scale: what S is multiplied by first; first_image: the number in the batch of the scores' first image, for the mask.
    """
    weights, kept, row_sums = torch.ops.mlcfast.attention_weights(scores, scale, seed, dropout, first_image)
    return Drawn(weights, kept, row_sums) if dropout > 0 else Drawn(weights, weights, None)


def forward_reference(scores: Tensor, seed: Tensor | None, dropout: float, first_image: int) -> Drawn:
    """S -> W, U and r in plain torch."""
    weights = _softmax(scores)
    kept = masks.apply(weights, seed, dropout, first_image)
    return Drawn(weights, kept, kept.sum(1) if dropout > 0 else None)


def backward(
    grad: Tensor,
    beta: Tensor | None,
    scale: float,
    weights: Tensor,
    seed: Tensor | None,
    dropout: float,
    first_image: int,
) -> tuple[Tensor, Tensor]:
    """dU (B, N, K, H), β (B, K, H) or None, W -> (scale·dS, U) by the operator."""
    drawing = (weights, seed, dropout, first_image)
    scores, kept = torch.ops.mlcfast.attention_weights_backward(grad, beta, scale, *drawing)
    return scores, kept if dropout > 0 else weights


def backward_reference(
    grad: Tensor, beta: Tensor | None, weights: Tensor, seed: Tensor | None, dropout: float, first_image: int
) -> tuple[Tensor, Tensor]:
    """dU, which is overwritten, β and W -> (dS, U) in plain torch."""
    kept, wide_weights = weights, weights.to(wide(weights))
    if dropout > 0:
        assert seed is not None and beta is not None, "both come with dropout"
        mask, scale = masks.keep(seed, weights.shape, dropout, first_image), masks.scale(dropout)
        kept = weights * mask * scale
        grad += beta.unsqueeze(1)
        grad = grad * mask * scale
    products = grad * wide_weights
    return products.addcmul_(wide_weights, products.sum(1, keepdim=True), value=-1).to(weights.dtype), kept


def wide(x: Tensor) -> torch.dtype:
    """fp32, or fp64 for fp64: what sums over cells and slices are kept in."""
    return torch.promote_types(x.dtype, torch.float32)


def _softmax(scores: Tensor) -> Tensor:
    """Over the cells, dim 1, in the layout of the scores: contiguous, or a view of (B, H, K, N)."""
    if scores.is_contiguous():
        return torch.softmax(scores, 1, dtype=wide(scores)).to(scores.dtype)
    return torch.softmax(scores.permute(0, 3, 2, 1), 3, dtype=wide(scores)).to(scores.dtype).permute(0, 3, 2, 1)


Three = tuple[Tensor, Tensor, Tensor]


def _fake(scores: Tensor, scale: float, seed: Tensor | None, dropout: float, first_image: int) -> Three:
    B, _, K, H = scores.shape
    if dropout == 0:
        return torch.empty_like(scores), scores.new_empty(0), scores.new_empty(0)
    return torch.empty_like(scores), torch.empty_like(scores), scores.new_empty(B, K, H)


def _fake_backward(grad: Tensor, beta: Tensor | None, scale: float, weights: Tensor, *drawing: Any) -> tuple:
    return torch.empty_like(weights), torch.empty_like(weights) if drawing[1] > 0 else weights.new_empty(0)


def _plain(scores: Tensor, scale: float, seed: Tensor | None, dropout: float, first_image: int) -> Three:
    weights, kept, row_sums = forward_reference(scores * scale, seed, dropout, first_image)
    return weights, kept if dropout > 0 else scores.new_empty(0), scores.new_empty(0) if row_sums is None else row_sums


def _plain_backward(grad: Tensor, beta: Tensor | None, scale: float, weights: Tensor, *drawing: Any) -> tuple:
    scores, kept = backward_reference(grad.clone(), beta, weights, *drawing)
    return scores * scale, kept if drawing[1] > 0 else weights.new_empty(0)


def _triton(scores: Tensor, scale: float, seed: Tensor | None, dropout: float, first_image: int) -> Three:
    from mlcfast.ops.label_query_attention.triton_launch import weights  # Triton is loaded where it runs

    return weights(scores, scale, seed, dropout, first_image)


def _triton_backward(grad: Tensor, beta: Tensor | None, scale: float, weights: Tensor, *drawing: Any) -> tuple:
    from mlcfast.ops.label_query_attention.triton_launch import weights_backward

    return weights_backward(grad, beta, scale, weights, *drawing)


_DRAWING = "Tensor? seed, float dropout, int first_image"
on_triton(
    "attention_weights", f"Tensor scores, float scale, {_DRAWING}", "(Tensor, Tensor, Tensor)", _fake, _plain, _triton
)
on_triton(
    "attention_weights_backward", f"Tensor grad, Tensor? beta, float scale, Tensor weights, {_DRAWING}",
    "(Tensor, Tensor)", _fake_backward, _plain_backward, _triton_backward,
)  # fmt: skip
