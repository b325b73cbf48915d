"""The pairwise ranking hinge in Triton, one program an image, mean or sum.

Forward, P positives and Q others in the row: L = Q Σ_pos not_p + P Σ_other p.
Backward: −Q p not_p for a positive, P p not_p for another; P and Q come from the first of two passes over the row.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from mlcfast.ops.autograd import REDUCTION_CODES
from mlcfast.ops.library import fake_gradient
from mlcfast.ops.triton_launch import BLOCK, NUM_WARPS, as_loaded, check_supported, sigmoid_pair, total_of


@triton.jit
def pairwise_kernel(logits, labels, loss, gradient, scale, K, WITH_GRADIENT: tl.constexpr, BLOCK: tl.constexpr):
    """One program a row: see the module for the mathematics."""
    row = tl.program_id(0).to(tl.int64)
    positives = tl.zeros([BLOCK], tl.float32)
    own = tl.zeros([BLOCK], tl.float32)
    other = tl.zeros([BLOCK], tl.float32)
    for start in range(0, K, BLOCK):
        at = start + tl.arange(0, BLOCK)
        inside = at < K
        x = tl.load(logits + row * K + at, mask=inside, other=0.0).to(tl.float32)
        z = tl.load(labels + row * K + at, mask=inside, other=0).to(tl.float32)
        p, not_p = sigmoid_pair(x)
        bad = (z < -1.0) | (z > 1.0) | (z != z)
        positives += tl.where(inside & (z > 0), 1.0, 0.0)
        own += tl.where(inside & (z > 0), not_p, 0.0)
        other += tl.where(bad, float("nan"), tl.where(inside & (z <= 0), p, 0.0))
    P = tl.sum(positives, axis=0)
    Q = K - P
    # Both terms are taken when either count is 0 too, so that a NaN logit is never hidden.
    tl.store(loss + row, (Q * tl.sum(own, axis=0) + P * tl.sum(other, axis=0)) * scale)
    if WITH_GRADIENT:
        for start in range(0, K, BLOCK):
            at = start + tl.arange(0, BLOCK)
            inside = at < K
            x = tl.load(logits + row * K + at, mask=inside, other=0.0).to(tl.float32)
            z = tl.load(labels + row * K + at, mask=inside, other=0).to(tl.float32)
            p, not_p = sigmoid_pair(x)
            result = tl.where(z > 0, -Q, P) * (p * not_p) * scale
            tl.store(gradient + row * K + at, result.to(gradient.dtype.element_ty), mask=inside)


def forward(logits: Tensor, labels: Tensor, reduction: int, with_gradient: bool) -> tuple[Tensor, Tensor]:
    """The loss and, with_gradient, its gradient."""
    check_supported(logits)
    logits, labels = logits.contiguous(), as_loaded(labels)
    B, K = logits.shape
    gradient = fake_gradient(logits, with_gradient)
    if B * K == 0:
        return torch.zeros((), device=logits.device), gradient
    scale = 1.0 / (B * K) if reduction == REDUCTION_CODES["mean"] else 1.0
    loss = torch.empty(B, device=logits.device)
    pairwise_kernel[(B,)](
        logits, labels, loss, gradient, scale, K, WITH_GRADIENT=with_gradient, BLOCK=BLOCK, num_warps=NUM_WARPS
    )
    return total_of(loss), gradient
