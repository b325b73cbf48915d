"""Keys and values computed per cell, as nn.MultiheadAttention does, except that shared queries stay out of the batch.

Same functions and letters as folded.py: k = (x + p) W_kᵀ, S = q·k / √W, context = U v, v = x W_vᵀ; biases as there.
The better form when the labels are many: folding costs K·D² an image where keys and values cost N·D².
"""

import torch
import torch.nn.functional as F
from torch import Tensor


class Accumulator:
    """A weight's gradient summed over slices of the batch, without a copy for the usual single slice.

    It adds batched matrix products into `total`, which may be a view of a packed gradient and starts uninitialised.
    A total wider than its operands (fp32 for half-precision slices) keeps the sum from rounding at every slice.
    """

    def __init__(self, total: Tensor):
        self.total = total
        self.empty = True

    def add(self, left_HIM: Tensor, right_HMJ: Tensor) -> None:
        """total (H·I, J) += left (H, I, M) times right (H, M, J), heads stacked."""
        view = self.total.view(left_HIM.shape[0], left_HIM.shape[1], right_HMJ.shape[2])
        if view.dtype == left_HIM.dtype:
            view.baddbmm_(left_HIM, right_HMJ, beta=0 if self.empty else 1)
        elif self.empty:
            view.copy_(torch.bmm(left_HIM, right_HMJ))
        else:
            view += torch.bmm(left_HIM, right_HMJ)
        self.empty = False

    def result(self, dtype: torch.dtype) -> Tensor:
        """The sum in `dtype`; zero if nothing was added."""
        return (self.total.zero_() if self.empty else self.total).to(dtype)


def key_side(
    queries: Tensor, memory: Tensor, position: Tensor | None, wk: Tensor, num_heads: int, scale: float
) -> Tensor:
    """k (B, N, D)."""
    return F.linear(memory if position is None else memory + position, wk)


def scores(
    queries: Tensor, keys: Tensor, memory: Tensor, position: Tensor | None, num_heads: int, scale: float
) -> Tensor:
    """S (B, N, K, H), a view of (B, H, K, N)."""
    return (_scaled(queries, num_heads, scale) @ _heads(keys, num_heads).mT).permute(0, 3, 2, 1)


def scores_backward(
    grad: Tensor,
    queries: Tensor,
    keys: Tensor,
    memory: Tensor,
    position: Tensor | None,
    wk: Tensor,
    grad_keys: Tensor,
    grad_wk: Accumulator,
    scale: float,
) -> Tensor:
    """dS (B, N, K, H) -> dq; adds the gradient of x + p to `grad_keys` (B, N, D)."""
    grad, num_heads = grad.permute(0, 3, 2, 1), grad.shape[3]
    keys = _heads(keys, num_heads)
    grad_queries = grad @ keys if scale == 1 else (grad @ keys).mul_(scale)
    grad_queries = grad_queries.transpose(1, 2).flatten(2)
    if queries.ndim == 2:
        grad_queries = grad_queries.sum(0)
    grad_projected = _flat(grad.mT @ _scaled(queries, num_heads, scale))
    features = memory if position is None else memory + position
    grad_keys.flatten(0, 1).addmm_(grad_projected, wk)
    grad_wk.add(grad_projected.mT.unsqueeze(0), features.flatten(0, 1).unsqueeze(0))
    return grad_queries


def value_side(kept: Tensor, memory: Tensor, wv: Tensor) -> Tensor:
    """v (B, N, D)."""
    return F.linear(memory, wv)


def context(kept: Tensor, values: Tensor, wv: Tensor) -> Tensor:
    """(B, K, H, W), without the value bias."""
    return (kept.permute(0, 3, 2, 1) @ _heads(values, kept.shape[3])).transpose(1, 2)


def kept_backward(grad: Tensor, values: Tensor, memory: Tensor, wv: Tensor) -> tuple[Tensor, None]:
    """dcontext (B, K, H, W) -> dU (B, N, K, H), a view of (B, H, K, N), and nothing for `context_backward`."""
    return (grad.transpose(1, 2) @ _heads(values, grad.shape[2]).mT).permute(0, 3, 2, 1), None


def context_backward(
    grad: Tensor, carried: None, kept: Tensor, values: Tensor, memory: Tensor, wv: Tensor, grad_wv: Accumulator
) -> Tensor:
    """dcontext (B, K, H, W) and U -> dx (B, N, D); adds the gradient of W_v."""
    grad_values = _flat(kept.permute(0, 3, 1, 2) @ grad.transpose(1, 2))
    grad_wv.add(grad_values.mT.unsqueeze(0), memory.flatten(0, 1).unsqueeze(0))
    return (grad_values @ wv).view(memory.shape)


def _heads(x: Tensor, num_heads: int) -> Tensor:
    return x.unflatten(-1, (num_heads, -1)).transpose(1, 2)


def _flat(x_BHNW: Tensor) -> Tensor:
    return x_BHNW.transpose(1, 2).flatten(2).flatten(0, 1)


def _scaled(queries: Tensor, num_heads: int, scale: float) -> Tensor:
    """q times `scale` as (1 or B, H, K, W)."""
    heads = _heads(queries if queries.ndim == 3 else queries.unsqueeze(0), num_heads)
    return heads if scale == 1 else heads * scale
