"""EPR and ROLE in Triton: forward sums everything in one pass, backward computes the gradients in another.

Forward: S = [Σ ℓ, Σ f, Σ ŷ]. EPR: ℓ = −z log(f + eps). ROLE: ℓ = side(f, ŷ) + side(ŷ, f) with
side(u, t) = −((z + t) log(u + eps) + (1 − t) log(1 − u + eps)).
Backward, with t = parts/images and g the incoming gradient (halved for ROLE):
dx = f (1−f) (g t/K ((1−ŷ)/(1−f+eps) − (z+ŷ)/(f+eps)) + g t λ 2 (S/images − κ)/K²), the same for ŷ's logits.
Labels outside [−1, 1] and indices outside the table make the loss NaN.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from mlcfast.ops.tiles import chosen_tile
from mlcfast.ops.triton_launch import BLOCK, NUM_WARPS, as_loaded, check_supported, launch_size, sigmoid_pair


@triton.jit
def _entry(logits, observed, estimate, index, at, inside, K, table_rows, ROLE: tl.constexpr, GATHER: tl.constexpr):
    """f, not_f, ŷ, not_ŷ, z and whether a label or an index is wrong, for one block of entries."""
    x = tl.load(logits + at, mask=inside, other=0.0).to(tl.float32)
    z = tl.load(observed + at, mask=inside, other=0).to(tl.float32)
    bad = inside & ((z < -1.0) | (z > 1.0) | (z != z))
    z = tl.where(z > 0, z, 0.0)
    f, not_f = sigmoid_pair(x)
    e = x
    if ROLE:
        source = at
        known = inside
        if GATHER:
            row = tl.load(index + at // K, mask=inside, other=0)
            known = inside & (row >= 0) & (row < table_rows)
            bad = bad | (inside & ~known)
            source = row * K + at % K
        e = tl.load(estimate + source, mask=known, other=0.0).to(tl.float32)
    y, not_y = sigmoid_pair(e)
    return f, not_f, y, not_y, z, bad


@triton.jit
def sums_kernel(
    logits, observed, estimate, index, partial, eps, K, table_rows, entries, chunk, programs,
    ROLE: tl.constexpr, GATHER: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """partial (3, programs): Σ ℓ, Σ f, Σ ŷ of each chunk."""
    program = tl.program_id(0).to(tl.int64)
    loss = tl.zeros([BLOCK], tl.float32)
    sum_f = tl.zeros([BLOCK], tl.float32)
    sum_y = tl.zeros([BLOCK], tl.float32)
    for start in range(0, chunk, BLOCK):
        at = program * chunk + start + tl.arange(0, BLOCK)
        inside = at < entries
        f, not_f, y, not_y, z, bad = _entry(logits, observed, estimate, index, at, inside, K, table_rows, ROLE, GATHER)
        if ROLE:
            value = (z + y) * tl.log(f + eps) + (1.0 - y) * tl.log(not_f + eps)
            value += (z + f) * tl.log(y + eps) + (1.0 - f) * tl.log(not_y + eps)
            sum_y += tl.where(inside, y, 0.0)
        else:
            value = z * tl.log(f + eps)
        loss += tl.where(bad, float("nan"), tl.where(inside, -value, 0.0))
        sum_f += tl.where(inside, f, 0.0)
    tl.store(partial + program, tl.sum(loss, axis=0))
    tl.store(partial + programs + program, tl.sum(sum_f, axis=0))
    tl.store(partial + 2 * programs + program, tl.sum(sum_y, axis=0))


@triton.jit
def finish_kernel(
    partial, given, loss, statistic, expected, weight, K, images, programs,
    ROLE: tl.constexpr, GIVEN: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """One program: the partial sums in a fixed order, then the loss and the (4,) statistic."""
    terms = tl.zeros([BLOCK], tl.float32)
    sum_f = tl.zeros([BLOCK], tl.float32)
    sum_y = tl.zeros([BLOCK], tl.float32)
    for start in range(0, programs, BLOCK):
        at = start + tl.arange(0, BLOCK)
        inside = at < programs
        terms += tl.load(partial + at, mask=inside, other=0.0)
        sum_f += tl.load(partial + programs + at, mask=inside, other=0.0)
        sum_y += tl.load(partial + 2 * programs + at, mask=inside, other=0.0)
    f = tl.sum(sum_f, axis=0)
    y = tl.sum(sum_y, axis=0)
    count = images * 1.0
    parts = 1.0
    if GIVEN:
        f = tl.load(given)
        y = tl.load(given + 1)
        count = tl.load(given + 2)
        parts = tl.load(given + 3)
    tl.store(statistic, f)
    tl.store(statistic + 1, y)
    tl.store(statistic + 2, count)
    tl.store(statistic + 3, parts)
    shared = tl.maximum(count, 1.0)
    distance = (f / shared - expected) / K
    penalty = distance * distance
    half = 1.0
    if ROLE:
        distance = (y / shared - expected) / K
        penalty += distance * distance
        half = 0.5
    tl.store(loss, half * (tl.sum(terms, axis=0) * (parts / shared) / K + weight * penalty))


@triton.jit
def gradient_kernel(
    incoming, logits, observed, estimate, index, statistic, gradient, rows_gradient, expected, weight, eps,
    K, table_rows, entries, ROLE: tl.constexpr, GATHER: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """One program a block: see the module for the mathematics."""
    images = tl.maximum(tl.load(statistic + 2), 1.0)
    g = tl.load(incoming).to(tl.float32) * (tl.load(statistic + 3) / images)
    if ROLE:
        g = g * 0.5
    scale = g / K
    coupling = g * weight * 2.0 / K
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = at < entries
    f, not_f, y, not_y, z, bad = _entry(logits, observed, estimate, index, at, inside, K, table_rows, ROLE, GATHER)
    c = coupling * ((tl.load(statistic) / images - expected) / K)
    if ROLE:
        result = f * not_f * (scale * ((1.0 - y) / (not_f + eps) - (z + y) / (f + eps)) + c)
        c = coupling * ((tl.load(statistic + 1) / images - expected) / K)
        of_rows = y * not_y * (scale * ((1.0 - f) / (not_y + eps) - (z + f) / (y + eps)) + c)
        of_rows = tl.where(bad, float("nan"), of_rows)
        tl.store(rows_gradient + at, of_rows.to(rows_gradient.dtype.element_ty), mask=inside)
    else:
        result = f * not_f * (c - scale * z / (f + eps))
    result = tl.where(bad, float("nan"), result)
    tl.store(gradient + at, result.to(gradient.dtype.element_ty), mask=inside)


def _inputs(logits: Tensor, observed: Tensor, estimate: Tensor | None, index: Tensor | None) -> tuple[Tensor, ...]:
    """The four pointers; logits stand in for what is absent."""
    check_supported(logits)
    logits = logits.contiguous()
    return (
        logits,
        as_loaded(observed),
        logits if estimate is None else estimate.contiguous(),
        logits if index is None else index.contiguous(),
    )


def forward(
    logits: Tensor,
    observed: Tensor,
    estimate_logits: Tensor | None,
    index: Tensor | None,
    statistic: Tensor | None,
    expected_positives: float,
    weight: float,
    eps: float,
) -> tuple[Tensor, Tensor]:
    """(loss, statistic of the global batch)."""
    (B, K), entries = logits.shape, logits.numel()
    total = torch.zeros(4, device=logits.device)
    loss = torch.zeros((), device=logits.device)
    if entries == 0 and statistic is None:
        return loss, total
    chosen = chosen_tile("sums_kernel", logits, max(entries, 1))
    programs, chunk = launch_size(max(entries, 1), chosen)
    partial = torch.empty(3, programs, device=logits.device)
    role, gather = estimate_logits is not None, index is not None
    pointers = _inputs(logits, observed, estimate_logits, index)
    rows = 0 if estimate_logits is None else estimate_logits.shape[0]
    sums_kernel[(programs,)](
        *pointers, partial, eps, K, rows, entries, chunk, programs,
        ROLE=role, GATHER=gather, BLOCK=chosen["BLOCK"], num_warps=chosen["num_warps"],
    )  # fmt: skip
    given = total if statistic is None else statistic.float().contiguous()
    finish_kernel[(1,)](
        partial, given, loss, total, expected_positives, weight, K, B, programs,
        ROLE=role, GIVEN=statistic is not None, BLOCK=BLOCK, num_warps=NUM_WARPS,
    )  # fmt: skip
    return loss, total


def backward(
    incoming: Tensor,
    logits: Tensor,
    observed: Tensor,
    estimate_logits: Tensor | None,
    index: Tensor | None,
    statistic: Tensor,
    expected_positives: float,
    weight: float,
    eps: float,
) -> tuple[Tensor, Tensor]:
    """(gradient of the logits, gradient of the estimate's rows or an empty tensor)."""
    role, gather = estimate_logits is not None, index is not None
    pointers = _inputs(logits, observed, estimate_logits, index)
    entries, K = logits.numel(), logits.shape[1]
    gradient = torch.empty_like(pointers[0])
    rows = logits.new_empty(0) if estimate_logits is None else estimate_logits.new_empty(logits.shape)
    if entries:
        gradient_kernel[(triton.cdiv(entries, BLOCK),)](
            incoming, *pointers, statistic, gradient, rows, expected_positives, weight, eps, K,
            0 if estimate_logits is None else estimate_logits.shape[0], entries,
            ROLE=role, GATHER=gather, BLOCK=BLOCK, num_warps=NUM_WARPS,
        )  # fmt: skip
    return gradient, rows
