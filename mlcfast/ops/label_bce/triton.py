"""The weighted cross-entropy and the pairwise ranking hinge in Triton: loss and gradient, nothing in between stored.

Weighted cross-entropy, in one pass over the logits. Forward: L = −(a log(p + eps) + b log(not_p + eps)); (a, b) =
unknown + up (positive − unknown) + down (negative − unknown), up = max(z, 0), down = max(−z, 0). Backward:
dL/dx = p not_p (b / (not_p + eps) − a / (p + eps)).

Pairwise ranking, one program an image, mean or sum. Forward, P positives and Q others in the row:
L = Q Σ_pos not_p + P Σ_other p. Backward: −Q p not_p for a positive, P p not_p for another; P and Q come from the first
of two passes over the row.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from mlcfast.ops.autograd import REDUCTION_CODES
from mlcfast.ops.library import fake_gradient
from mlcfast.ops.triton_elementwise import run_elementwise
from mlcfast.ops.triton_launch import as_loaded, check_supported, row_block, sigmoid_pair, total_of


@triton.jit
def weighted_bce_kernel(
    logits, labels, loss, gradient, truth, pos_a, pos_b, unk_a, unk_b, neg_a, neg_b, eps,
    loss_scale, gradient_scale, entries, chunk,
    WITH_TRUTH: tl.constexpr, PER_ENTRY: tl.constexpr, WITH_GRADIENT: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """One program a chunk: see the module for the mathematics."""
    program = tl.program_id(0).to(tl.int64)
    total = tl.zeros([BLOCK], tl.float32)
    for start in range(0, chunk, BLOCK):
        at = program * chunk + start + tl.arange(0, BLOCK)
        inside = at < entries
        x = tl.load(logits + at, mask=inside, other=0.0).to(tl.float32)
        z = tl.load(labels + at, mask=inside, other=0).to(tl.float32)
        bad = (z < -1.0) | (z > 1.0) | (z != z)
        if WITH_TRUTH:
            true = tl.load(truth + at, mask=inside, other=0).to(tl.float32)
            z = tl.where(z > 0, z, tl.where(true <= 0, -1.0, 0.0))
        up = tl.where(z > 0, z, 0.0)
        down = tl.where(z < 0, -z, 0.0)
        a = unk_a + up * (pos_a - unk_a) + down * (neg_a - unk_a)
        b = unk_b + up * (pos_b - unk_b) + down * (neg_b - unk_b)
        p, not_p = sigmoid_pair(x)
        value = tl.where(bad, float("nan"), -(a * tl.log(p + eps) + b * tl.log(not_p + eps)))
        if PER_ENTRY:
            tl.store(loss + at, value * loss_scale, mask=inside)
        else:
            total += tl.where(inside, value, 0.0)
        if WITH_GRADIENT:
            derivative = p * not_p * (b / (not_p + eps) - a / (p + eps)) * gradient_scale
            result = tl.where(bad, float("nan"), derivative)
            tl.store(gradient + at, result.to(gradient.dtype.element_ty), mask=inside)
    if not PER_ENTRY:
        tl.store(loss + program, tl.sum(total, axis=0) * loss_scale)


def weighted_bce(logits: Tensor, labels: Tensor, true_labels: Tensor | None, *options: float) -> tuple[Tensor, Tensor]:
    """The loss and, with_gradient, its gradient as csrc/ops.h stores it; options as in the operator's schema."""
    check_supported(logits)
    *weights_and_eps, reduction, with_gradient = options
    codes = (int(reduction), 1.0, bool(with_gradient))
    truth = labels if true_labels is None else true_labels
    others = (as_loaded(truth), *weights_and_eps)
    return run_elementwise(weighted_bce_kernel, logits, labels, others, *codes, WITH_TRUTH=true_labels is not None)


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


def pairwise_ranking(logits: Tensor, labels: Tensor, reduction: int, with_gradient: bool) -> tuple[Tensor, Tensor]:
    """The loss and, with_gradient, its gradient."""
    check_supported(logits)
    logits, labels = logits.contiguous(), as_loaded(labels)
    B, K = logits.shape
    gradient = fake_gradient(logits, with_gradient)
    if B * K == 0:
        return torch.zeros((), device=logits.device), gradient
    scale = 1.0 / (B * K) if reduction == REDUCTION_CODES["mean"] else 1.0
    loss = torch.empty(B, device=logits.device)
    pairwise_kernel[(B,)](logits, labels, loss, gradient, scale, K, WITH_GRADIENT=with_gradient, **row_block(K))
    return total_of(loss), gradient
