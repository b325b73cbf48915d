"""Keys and values folded away: W_k goes into the queries, and raw features are pooled before W_v.

B images, K labels, N cells, D width, H heads, W = D / H; x memory, p position, q projected queries, U dropped weights.

Keys    A[k,h] = W_k[h]ᵀ q[k,h] / √W;  S[b,n,k,h] = A[k,h]·(x[b,n] + p[n]); the key bias is alike for all n and cancels.
        dA[k,h] = Σ_n dS[n,k,h] (x[n] + p[n]);  dx[n] += Σ_kh dS[n,k,h] A[k,h];
        dq[k,h] = W_k[h] dA[k,h] / √W;  dW_k[h] = Σ_k q[k,h] dA[k,h]ᵀ / √W.
Values  P[b,k,h] = Σ_n U[b,n,k,h] x[b,n];  context[b,k,h] = W_v[h] P[b,k,h].
        dP = W_v[h]ᵀ dcontext;  dU[n,k,h] = dP[k,h]·x[n];  dx[n] += Σ_kh U[n,k,h] dP[k,h];  dW_v[h] = Σ_bk dcontext Pᵀ.

With queries shared by the batch A has no batch dimension, the scores of all images are one matrix product,
(B·N, D)·(D, K·H), and A·p is a constant of the layer. It is computed apart when the images are many enough that adding
p to each of them costs more.
"""

import torch
from torch import Tensor

from mlcfast.ops.label_query_attention.projected import Accumulator

MANY_IMAGES = 12


def key_side(
    queries: Tensor, memory: Tensor, position: Tensor | None, wk: Tensor, num_heads: int, scale: float
) -> Tensor:
    """A: (K, H, D) for shared queries (K, D), (B, K, H, D) for queries per image (B, K, D).

    scale: 1/√W, or 1 where the scores are scaled later.
    """
    D = queries.shape[-1]
    folded = per_head(_heads(queries, num_heads, scale), wk.view(num_heads, -1, D))
    return folded.view(*queries.shape[:-1], num_heads, D)


def scores(
    queries: Tensor, folded: Tensor, memory: Tensor, position: Tensor | None, num_heads: int, scale: float
) -> Tensor:
    """S (B, N, K, H)."""
    B, N, D = memory.shape
    K, H = folded.shape[-3:-1]
    memory, constant = _keys(memory, position, folded)
    if folded.ndim == 4:
        return torch.bmm(memory, folded.view(B, K * H, D).mT).view(B, N, K, H)
    rows = folded.view(K * H, D)
    out = (memory.view(B * N, D) @ rows.mT).view(B, N, K * H)
    if constant is not None:
        out += constant @ rows.mT
    return out.view(B, N, K, H)


def scores_backward(
    grad: Tensor,
    queries: Tensor,
    folded: Tensor,
    memory: Tensor,
    position: Tensor | None,
    wk: Tensor,
    grad_keys: Tensor,
    grad_wk: Accumulator,
    scale: float,
) -> Tensor:
    """dS (B, N, K, H) -> dq; adds the gradient of x + p to `grad_keys` (B, N, D)."""
    B, N, D = memory.shape
    K, H = grad.shape[2:]
    grad = grad.reshape(B, N, K * H)
    memory, constant = _keys(memory, position, folded)
    if folded.ndim == 4:
        grad_folded = torch.bmm(grad.mT, memory)
        grad_keys.baddbmm_(grad, folded.view(B, K * H, D))
    else:
        grad_folded = _summed_over_images(grad, memory)
        if constant is not None:
            grad_folded += grad.sum(0).mT @ constant
        grad_keys.view(B * N, D).addmm_(grad.reshape(B * N, K * H), folded.view(K * H, D))
    grad_folded = grad_folded.view(-1, H, D)
    _add_per_head_outer(grad_wk, _heads(queries, H, scale), grad_folded)
    grad_queries = per_head(grad_folded, wk.view(H, -1, D).mT).view(queries.shape)
    return grad_queries if scale == 1 else grad_queries.mul_(scale)


def value_side(kept: Tensor, memory: Tensor, wv: Tensor) -> Tensor:
    """P (B, K, H, D) from U (B, N, K, H)."""
    B, N, K, H = kept.shape
    return torch.bmm(kept.reshape(B, N, K * H).mT, memory).view(B, K, H, -1)


def context(kept: Tensor, pooled: Tensor, wv: Tensor) -> Tensor:
    """(B, K, H, W), without the value bias."""
    B, K, H, D = pooled.shape
    return per_head(pooled.view(B * K, H, D), wv.view(H, -1, D).mT).view(B, K, H, -1)


def kept_backward(grad: Tensor, pooled: Tensor | None, memory: Tensor, wv: Tensor) -> tuple[Tensor, Tensor]:
    """dcontext (B, K, H, W) -> dU (B, N, K, H), and dP (B, K·H, D) for `context_backward`; P is not asked for."""
    (B, K, H, W), (_, N, D) = grad.shape, memory.shape
    grad_pooled = per_head(grad.flatten(0, 1), wv.view(H, W, D)).view(B, K * H, D)
    return torch.bmm(memory, grad_pooled.mT).view(B, N, K, H), grad_pooled


def context_backward(
    grad: Tensor, grad_pooled: Tensor, kept: Tensor, pooled: Tensor, memory: Tensor, wv: Tensor, grad_wv: Accumulator
) -> Tensor:
    """dcontext (B, K, H, W), dP, U and P -> dx (B, N, D); adds the gradient of W_v."""
    B, N, K, H = kept.shape
    _add_per_head_outer(grad_wv, grad.flatten(0, 1), pooled.flatten(0, 1))
    return torch.bmm(kept.reshape(B, N, K * H), grad_pooled)


def _keys(memory: Tensor, position: Tensor | None, folded: Tensor) -> tuple[Tensor, Tensor | None]:
    """x + p and None, or, for shared queries, one code and many images, x and p (N, D) apart."""
    if position is None:
        return memory, None
    if folded.ndim == 3 and len(position) == 1 and len(memory) >= MANY_IMAGES:
        return memory, position[0]
    return memory + position, None


def _heads(queries: Tensor, num_heads: int, scale: float) -> Tensor:
    """q times `scale` as (K or B·K, H, W)."""
    heads = queries.reshape(-1, num_heads, queries.shape[-1] // num_heads)
    return heads if scale == 1 else heads * scale


def _summed_over_images(grad: Tensor, features: Tensor) -> Tensor:
    """Σ_bn grad[b, n, r] features[b, n, :] -> (R, D), one matrix product."""
    return grad.flatten(0, 1).mT @ features.flatten(0, 1)


def per_head(x_MHI: Tensor, weight_HIJ: Tensor) -> Tensor:
    """(M, H, J): row m of head h times that head's matrix, without a transposing copy."""
    M, H, _ = x_MHI.shape
    out = x_MHI.new_empty(M, H, weight_HIJ.shape[2])
    torch.bmm(x_MHI.transpose(0, 1), weight_HIJ, out=out.transpose(0, 1))
    return out


def _add_per_head_outer(total: Accumulator, left_MHI: Tensor, right_MHJ: Tensor) -> None:
    """total (H·I, J) += Σ_m left[m, h]ᵀ right[m, h], the gradient of a per-head weight."""
    total.add(left_MHI.permute(1, 2, 0), right_MHJ.transpose(0, 1))
