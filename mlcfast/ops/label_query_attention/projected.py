"""Keys and values computed per cell, as nn.MultiheadAttention does, except that shared queries stay out of the batch.

Same functions and letters as folded.py: k = (x + p) W_kᵀ, S = q·k / √W, context = U v, v = x W_vᵀ; biases as there.
The better form when the labels are many: folding costs K·D² an image where keys and values cost N·D².

S, U and their gradients are views of (B, N, H, K) here: a head's columns of them, of k, v, q and the context are
matrices whose rows lie apart, which a matrix product reads and writes where they are. One batched product a head, and
no copies.
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

    def add_rows(self, rows_MJ: Tensor) -> None:
        """total (J,) += the sum of rows (M, J)."""
        if not self.empty:
            self.total += rows_MJ.sum(0, dtype=self.total.dtype)
        else:
            torch.sum(rows_MJ, 0, dtype=self.total.dtype, out=self.total)
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
    """S (B, N, K, H), a view of (B, N, H, K)."""
    out = keys.new_empty(*keys.shape[:2], num_heads, queries.shape[-2])
    queries, keys, by_head = _batched(queries if scale == 1 else queries * scale, keys, out)
    for q, k, s in zip(_columns(queries, num_heads), _columns(keys, num_heads), by_head.unbind(2), strict=True):
        torch.bmm(k, q.mT, out=s)
    return out.permute(0, 1, 3, 2)


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
    """dS (B, N, K, H), as S -> dq; adds the gradient of x + p to `grad_keys` (B, N, D)."""
    num_heads, scaled = grad.shape[3], queries if scale == 1 else queries * scale
    scaled, keys, by_head = _batched(scaled, keys, grad.permute(0, 1, 3, 2))
    grad_queries, grad_projected = torch.empty_like(scaled), torch.empty_like(keys)
    tensors = (scaled, keys, grad_queries, grad_projected)
    for s, *columns in zip(by_head.unbind(2), *(_columns(x, num_heads) for x in tensors), strict=True):
        q, k, dq, dk = columns
        torch.bmm(s.mT, k, out=dq)
        torch.bmm(s, q, out=dk)
    features = memory if position is None else memory + position
    rows = grad_projected.flatten(0, 1)
    grad_keys.flatten(0, 1).addmm_(rows, wk)
    grad_wk.add(rows.mT.unsqueeze(0), features.flatten(0, 1).unsqueeze(0))
    grad_queries = grad_queries.view(queries.shape)
    return grad_queries if scale == 1 else grad_queries.mul_(scale)


def value_side(kept: Tensor, memory: Tensor, wv: Tensor) -> Tensor:
    """v (B, N, D)."""
    return F.linear(memory, wv)


def context(kept: Tensor, values: Tensor, wv: Tensor) -> Tensor:
    """U (B, N, K, H), a view of (B, N, H, K), and v -> (B, K, H, W), without the value bias."""
    B, _, K, H = kept.shape
    out = values.new_empty(B, K, H, values.shape[2] // H)
    for u, v, c in zip(kept.unbind(3), _columns(values, H), out.unbind(2), strict=True):
        torch.bmm(u.mT, v, out=c)
    return out


def kept_backward(grad: Tensor, values: Tensor, memory: Tensor, wv: Tensor) -> tuple[Tensor, None]:
    """dcontext (B, K, H, W) -> dU (B, N, K, H), as U, and nothing for `context_backward`."""
    (B, K, H, _), N = grad.shape, values.shape[1]
    out = values.new_empty(B, N, H, K)
    for c, v, u in zip(grad.unbind(2), _columns(values, H), out.unbind(2), strict=True):
        torch.bmm(v, c.mT, out=u)
    return out.permute(0, 1, 3, 2), None


def context_backward(
    grad: Tensor, carried: None, kept: Tensor, values: Tensor, memory: Tensor, wv: Tensor, grad_wv: Accumulator
) -> Tensor:
    """dcontext (B, K, H, W) and U -> dx (B, N, D); adds the gradient of W_v."""
    grad_values = torch.empty_like(values)
    for c, u, v in zip(grad.unbind(2), kept.unbind(3), _columns(grad_values, grad.shape[2]), strict=True):
        torch.bmm(u, c, out=v)
    rows = grad_values.flatten(0, 1)
    grad_wv.add(rows.mT.unsqueeze(0), memory.flatten(0, 1).unsqueeze(0))
    return (rows @ wv).view(memory.shape)


def _columns(x_BMD: Tensor, num_heads: int) -> tuple[Tensor, ...]:
    """The heads' columns, (B, M, W) each."""
    return x_BMD.chunk(num_heads, 2)


def _batched(queries: Tensor, keys: Tensor, scores_BNHK: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The three with a batch in common: for shared queries all cells are those of one image."""
    if queries.ndim == 3:
        return queries, keys, scores_BNHK
    return queries.unsqueeze(0), keys.flatten(0, 1).unsqueeze(0), scores_BNHK.flatten(0, 1).unsqueeze(0)
