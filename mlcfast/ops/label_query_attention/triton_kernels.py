"""Triton kernels of weights.py: softmax over the cells, dropout and row sums in one, their gradient in the other.

A tile, which tiles.py chooses, is BN cells of BR rows (label, head) of one image; a program goes twice over the cells
of its rows, the second time out of the cache: for the largest score and the sum of exponentials, then for the weights.
The same in the backward pass: δ = Σ_n W ∘ G, then dS = W ∘ (G − δ). The R rows of a cell lie side by side, row k·H + h,
or by head, row h·K + k: S, W and dS as SCORES_BY_HEAD says, U and dU as KEPT_BY_HEAD says. KEPT: whether U is wanted
where there is no dropout.
"""

import triton
import triton.language as tl


@triton.jit
def _mix(x):
    x = (x ^ (x >> 16)) * 0x7FEB352D
    x = (x ^ (x >> 15)) * 0x846CA68B
    return x ^ (x >> 16)


@triton.jit
def _keep_scale(keys, cell, threshold, scale):
    """mask / (1 − dropout) of a tile, as in dropout.py."""
    bits = _mix(_mix((cell + 1).to(tl.uint32))[:, None] ^ keys[None, :]) & 0x7FFFFFFF
    return tl.where(bits >= threshold, scale, 0.0)


@triton.jit
def _row_number(row, K, H, BY_HEAD: tl.constexpr):
    """k·H + h of a row in memory."""
    number = row
    if BY_HEAD:
        number = (row % K) * H + row // K
    return number


@triton.jit
def _place(number, row, K, H, ROW_BY_HEAD: tl.constexpr, BY_HEAD: tl.constexpr):
    """Where the row k·H + h = number lies in memory; `row` is where it lies by ROW_BY_HEAD."""
    place = row
    if ROW_BY_HEAD != BY_HEAD:
        place = number
        if BY_HEAD:
            place = (number % H) * K + number // H
    return place


@triton.jit
def _row_keys(seed, image, first_image, number, R):
    row = (first_image + image) * R + number
    return _mix(_mix(row.to(tl.uint32)) + tl.load(seed).to(tl.uint32))


@triton.jit
def _tile(start, inside, N, BN: tl.constexpr):
    """The cells from `start` on, and which entries of the tile there are."""
    cell = start + tl.arange(0, BN)
    return cell, (cell < N)[:, None] & inside[None, :]


@triton.jit
def weights_kernel(
    scores, seed, weights, kept, row_sums, temperature, first_image, N, K, H, threshold, scale,
    DROPOUT: tl.constexpr, KEPT: tl.constexpr, SCORES_BY_HEAD: tl.constexpr, KEPT_BY_HEAD: tl.constexpr,
    BN: tl.constexpr, BR: tl.constexpr,
):  # fmt: skip
    """W of temperature·S, U and r; one program a block of rows."""
    R = K * H
    blocks = tl.cdiv(R, BR)
    image = (tl.program_id(0) // blocks).to(tl.int64)
    row = (tl.program_id(0) % blocks) * BR + tl.arange(0, BR)
    inside = row < R
    first = image * N * R
    number = _row_number(row, K, H, SCORES_BY_HEAD)
    kept_row = _place(number, row, K, H, SCORES_BY_HEAD, KEPT_BY_HEAD)
    largest = tl.full((BR,), float("-inf"), tl.float32)
    total = tl.zeros((BR,), tl.float32)
    for start in range(0, N, BN):
        cell, mask = _tile(start, inside, N, BN)
        score = tl.load(scores + (first + cell[:, None] * R + row[None, :]), mask=mask, other=0.0).to(tl.float32)
        score = tl.where((cell < N)[:, None], score * temperature, float("-inf"))
        raised = tl.maximum(largest, tl.max(score, 0))
        total = total * tl.exp(largest - raised) + tl.sum(tl.exp(score - raised[None, :]), 0)
        largest = raised
    share = 1.0 / total
    if DROPOUT:
        keys = _row_keys(seed, image, first_image, number, R)
    row_sum = tl.zeros((BR,), tl.float32)
    for start in range(0, N, BN):
        cell, mask = _tile(start, inside, N, BN)
        at = first + cell[:, None] * R + row[None, :]
        score = tl.load(scores + at, mask=mask, other=0.0).to(tl.float32)
        weight = (tl.exp(score * temperature - largest[None, :]) * share[None, :]).to(weights.dtype.element_ty)
        tl.store(weights + at, weight, mask=mask)
        if KEPT:
            drawn = weight.to(tl.float32)
            if DROPOUT:
                drawn *= _keep_scale(keys, cell, threshold, scale)
                row_sum += tl.sum(tl.where(mask, drawn, 0.0), 0)
            at = first + cell[:, None] * R + kept_row[None, :]
            tl.store(kept + at, drawn.to(kept.dtype.element_ty), mask=mask)
    if DROPOUT:
        tl.store(row_sums + image * R + number, row_sum.to(row_sums.dtype.element_ty), mask=inside)


@triton.jit
def weights_backward_kernel(
    grad, beta, weights, seed, grad_scores, kept, temperature, first_image, N, K, H, threshold, scale,
    DROPOUT: tl.constexpr, KEPT: tl.constexpr, BETA: tl.constexpr, SCORES_BY_HEAD: tl.constexpr,
    KEPT_BY_HEAD: tl.constexpr, BN: tl.constexpr, BR: tl.constexpr,
):  # fmt: skip
    """temperature·dS and U; one program a block of rows."""
    R = K * H
    blocks = tl.cdiv(R, BR)
    image = (tl.program_id(0) // blocks).to(tl.int64)
    row = (tl.program_id(0) % blocks) * BR + tl.arange(0, BR)
    inside = row < R
    first = image * N * R
    number = _row_number(row, K, H, SCORES_BY_HEAD)
    kept_row = _place(number, row, K, H, SCORES_BY_HEAD, KEPT_BY_HEAD)
    if DROPOUT:
        keys = _row_keys(seed, image, first_image, number, R)
    added = tl.zeros((BR,), tl.float32)
    if BETA:
        added = tl.load(beta + image * R + number, mask=inside, other=0.0).to(tl.float32)
    delta = tl.zeros((BR,), tl.float32)
    for start in range(0, N, BN):
        cell, mask = _tile(start, inside, N, BN)
        weight = tl.load(weights + (first + cell[:, None] * R + row[None, :]), mask=mask, other=0.0).to(tl.float32)
        at = first + cell[:, None] * R + kept_row[None, :]
        gradient = tl.load(grad + at, mask=mask, other=0.0).to(tl.float32) + added[None, :]
        if DROPOUT:
            gradient *= _keep_scale(keys, cell, threshold, scale)
        delta += tl.sum(weight * gradient, 0)
    for start in range(0, N, BN):
        cell, mask = _tile(start, inside, N, BN)
        at, kept_at = first + cell[:, None] * R + row[None, :], first + cell[:, None] * R + kept_row[None, :]
        weight = tl.load(weights + at, mask=mask, other=0.0).to(tl.float32)
        gradient = tl.load(grad + kept_at, mask=mask, other=0.0).to(tl.float32) + added[None, :]
        drawn = weight
        if DROPOUT:
            factor = _keep_scale(keys, cell, threshold, scale)
            gradient *= factor
            drawn = weight * factor
        if KEPT:
            tl.store(kept + kept_at, drawn.to(kept.dtype.element_ty), mask=mask)
        score = weight * (gradient - delta[None, :]) * temperature
        tl.store(grad_scores + at, score.to(grad_scores.dtype.element_ty), mask=mask)
