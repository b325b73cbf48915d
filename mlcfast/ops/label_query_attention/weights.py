"""Makes scores the weights that pool the cells, and back: softmax over the cells, dropout, the sum of each row.

S (B, N, K, H) scores, m the mask over 1 − dropout: W = softmax_n(S), U = W ∘ m, r[b,k,h] = Σ_n U. The gradient of U is
dU + β, where β[b,k,h] = b_v·dcontext is what the value bias adds to every cell alike:
G = (dU + β) ∘ m, dS = W ∘ (G − Σ_n W ∘ G).

Two ways to the same numbers: in plain torch, and as two registered operators, which on a GPU are one Triton kernel each
(triton_kernels.py) and draw the mask inside. In memory each tensor is contiguous or, by head, a view of (B, N, H, K):
S, W and dS as folded or projected keys have it, U and dU as folded or projected values have it.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from mlcfast.ops.label_query_attention import dropout as masks
from mlcfast.ops.library import on_triton


class Drawn(NamedTuple):
    """W and U (B, N, K, H) and r (B, K, H), all of one type; where dropout is 0, r is None and U may be W."""

    weights: Tensor
    kept: Tensor
    row_sums: Tensor | None


def forward(
    scores: Tensor, scale: float, seed: Tensor | None, dropout: float, first_image: int, kept_by_head: bool
) -> Drawn:
    """S -> W in its layout, U by head if wanted, and r, by the operator, in the type of S.

    scale: what S is multiplied by first; first_image: the number in the batch of the scores' first image, for the mask.
    """
    drawing = (seed, dropout, first_image)
    weights, kept, row_sums = torch.ops.mlcfast.attention_weights(scores, scale, *drawing, kept_by_head)
    return Drawn(weights, kept if kept.numel() else weights, row_sums if dropout > 0 else None)


def forward_reference(
    scores: Tensor, seed: Tensor | None, dropout: float, first_image: int, kept_by_head: bool
) -> Drawn:
    """S -> W, U and r in plain torch."""
    weights = _softmax(scores)
    kept = masks.apply(weights, seed, dropout, first_image)
    return Drawn(weights, laid_out(kept, kept_by_head), kept.sum(1) if dropout > 0 else None)


def backward(
    grad: Tensor,
    beta: Tensor | None,
    scale: float,
    weights: Tensor,
    seed: Tensor | None,
    dropout: float,
    first_image: int,
) -> tuple[Tensor, Tensor]:
    """dU (B, N, K, H), β (B, K, H) or None, W -> (scale·dS in the layout of W, U in that of dU) by the operator."""
    drawing = (weights, seed, dropout, first_image)
    scores, kept = torch.ops.mlcfast.attention_weights_backward(grad, beta, scale, *drawing)
    return scores, kept if kept.numel() else weights


def backward_reference(
    grad: Tensor, beta: Tensor | None, weights: Tensor, seed: Tensor | None, dropout: float, first_image: int
) -> tuple[Tensor, Tensor]:
    """dU, which is overwritten, β and W -> (dS, U) in plain torch."""
    kept, wide_weights, kept_by_head = weights, weights.to(wide(weights)), is_by_head(grad)
    if dropout > 0:
        assert seed is not None and beta is not None, "both come with dropout"
        mask, scale = masks.keep(seed, weights.shape, dropout, first_image), masks.scale(dropout)
        kept = weights * mask * scale
        grad += beta.unsqueeze(1)
        grad = grad * mask * scale
    products = grad * wide_weights
    scores = products.addcmul_(wide_weights, products.sum(1, keepdim=True), value=-1).to(weights.dtype)
    return laid_out(scores, is_by_head(weights)), laid_out(kept, kept_by_head)


def is_by_head(x: Tensor) -> bool:
    """Whether (B, N, K, H) is a view of (B, N, H, K) in memory; with one head or one label the two are the same."""
    return not x.is_contiguous()


def laid_out(x: Tensor, by_head: bool) -> Tensor:
    """x (B, N, K, H) by head or contiguous in memory: itself where it is so."""
    return x.permute(0, 1, 3, 2).contiguous().permute(0, 1, 3, 2) if by_head else x.contiguous()


def wide(x: Tensor) -> torch.dtype:
    """fp32, or fp64 for fp64: what sums over cells and slices are kept in."""
    return torch.promote_types(x.dtype, torch.float32)


def _softmax(scores: Tensor) -> Tensor:
    """Over the cells, dim 1, in the layout of the scores."""
    if is_by_head(scores):
        return _softmax(scores.permute(0, 1, 3, 2)).permute(0, 1, 3, 2)
    return torch.softmax(scores, 1, dtype=wide(scores)).to(scores.dtype)


Three = tuple[Tensor, Tensor, Tensor]


def _fake(scores: Tensor, scale: float, seed: Tensor | None, dropout: float, first_image: int, by_head: bool) -> Three:
    B, _, K, H = scores.shape
    kept = empty(scores, by_head) if has_kept(dropout, scores, by_head) else scores.new_empty(0)
    return torch.empty_like(scores), kept, scores.new_empty((B, K, H) if dropout > 0 else 0)


def _fake_backward(grad: Tensor, beta: Tensor | None, scale: float, weights: Tensor, *drawing: Any) -> tuple:
    wanted = has_kept(drawing[1], weights, is_by_head(grad))
    return torch.empty_like(weights), torch.empty_like(grad) if wanted else weights.new_empty(0)


def empty(like: Tensor, by_head: bool) -> Tensor:
    """As `like` (B, N, K, H) with nothing in it, by head or contiguous in memory."""
    B, N, K, H = like.shape
    return like.new_empty(B, N, H, K).permute(0, 1, 3, 2) if by_head else like.new_empty(B, N, K, H)


def has_kept(dropout: float, weights: Tensor, by_head: bool) -> bool:
    """Whether U is another tensor than W: it has a mask, or another layout. Where not, the operators return none."""
    return dropout > 0 or is_by_head(weights) != by_head


def _plain(scores: Tensor, scale: float, seed: Tensor | None, dropout: float, first_image: int, by_head: bool) -> Three:
    weights, kept, row_sums = forward_reference(scores * scale, seed, dropout, first_image, by_head)
    kept = kept if has_kept(dropout, scores, by_head) else scores.new_empty(0)
    return weights, kept, scores.new_empty(0) if row_sums is None else row_sums


def _plain_backward(grad: Tensor, beta: Tensor | None, scale: float, weights: Tensor, *drawing: Any) -> tuple:
    scores, kept = backward_reference(grad.clone(), beta, weights, *drawing)
    return scores * scale, kept if has_kept(drawing[1], weights, is_by_head(grad)) else weights.new_empty(0)


def _triton(scores: Tensor, scale: float, *drawing: Any) -> Three:
    from mlcfast.ops.label_query_attention.triton_launch import weights  # Triton is loaded where it runs

    return weights(scores, scale, *drawing)


def _triton_backward(grad: Tensor, beta: Tensor | None, scale: float, weights: Tensor, *drawing: Any) -> tuple:
    from mlcfast.ops.label_query_attention.triton_launch import weights_backward

    return weights_backward(grad, beta, scale, weights, *drawing)


_DRAWING = "Tensor? seed, float dropout, int first_image"
on_triton(
    "attention_weights", f"Tensor scores, float scale, {_DRAWING}, bool kept_by_head", "(Tensor, Tensor, Tensor)",
    _fake, _plain, _triton,
)  # fmt: skip
on_triton(
    "attention_weights_backward", f"Tensor grad, Tensor? beta, float scale, Tensor weights, {_DRAWING}",
    "(Tensor, Tensor)", _fake_backward, _plain_backward, _triton_backward,
)  # fmt: skip
