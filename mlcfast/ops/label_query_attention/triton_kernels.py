"""Triton kernels of the folded attention: scores, softmax, dropout and pooling without (B, N, K, H) in memory.

R = K·H rows (label, head) an image; A (R, D) folded queries, x (N, D) cells, p (N, D) their position, keys k = x + p.

Forward   S = A kᵀ, L = log Σ_n exp S, W = exp(S − L), U = W ∘ mask / (1 − dropout), P = U x, row sums of U.
Rows      G = dP xᵀ + β (β the value bias's share of dU), dW = G ∘ mask / (1 − dropout), δ = Σ_n W ∘ dW,
          dS = W ∘ (dW − δ), dA = dS k, and P again.
Cells     dx = dSᵀ A + Uᵀ dP, which is the gradient through keys and values alike.

A program takes a tile of rows (cells) at a time. The tile's scores for all cells (rows) would not fit in registers, so
they go to a scratch of the program's own, small enough to stay in the second-level cache, and the width is streamed
twice: once to compute the scores, once to apply them. Tiles are handed out round robin over a fixed number of programs,
so the scratch does not grow with the batch.
"""

import triton
import triton.language as tl


@triton.jit
def _mix(x):
    x = (x ^ (x >> 16)) * 0x7FEB352D
    x = (x ^ (x >> 15)) * 0x846CA68B
    return x ^ (x >> 16)


@triton.jit
def _keep_scale(seed, first_row, row, cell, threshold, scale):
    """mask / (1 − dropout) of a tile, as in dropout.py."""
    keys = _mix(_mix((first_row + row).to(tl.uint32)) + tl.load(seed).to(tl.uint32))
    bits = _mix(_mix((cell + 1).to(tl.uint32))[None, :] ^ keys[:, None]) & 0x7FFFFFFF
    return tl.where(bits >= threshold, scale, 0.0)


@triton.jit
def _load(base, row, depth, rows, D):
    mask = (row < rows)[:, None] & (depth < D)[None, :]
    return tl.load(base + row[:, None] * D + depth[None, :], mask=mask, other=0.0)


@triton.jit
def _keys(x, p, cell, depth, N, D, POSITION: tl.constexpr):
    features = _load(x, cell, depth, N, D)
    if POSITION:
        moved = features.to(tl.float32) + _load(p, cell, depth, N, D).to(tl.float32)
        features = moved.to(features.dtype)
    return features


@triton.jit
def _scores(a, x, p, row, cell, R, N, D, POSITION: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr, BD: tl.constexpr):
    scores = tl.zeros((BM, BN), tl.float32)
    for start in range(0, D, BD):
        depth = start + tl.arange(0, BD)
        keys = _keys(x, p, cell, depth, N, D, POSITION)
        scores = tl.dot(_load(a, row, depth, R, D), tl.trans(keys), scores, input_precision="ieee")
    return scores


@triton.jit
def _weights_and_gradient(
    a, x, p, grad, lse, beta, row, cell, R, N, D,
    POSITION: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr, BD: tl.constexpr,
):  # fmt: skip
    """W and G of a tile, zero outside it."""
    scores = _scores(a, x, p, row, cell, R, N, D, POSITION, BM, BN, BD)
    gradient = _scores(grad, x, x, row, cell, R, N, D, False, BM, BN, BD)
    inside = (row < R)[:, None] & (cell < N)[None, :]
    offset = tl.load(lse + row, mask=row < R, other=0.0)
    weights = tl.where(inside, tl.exp(scores - offset[:, None]), 0.0)
    gradient += tl.load(beta + row, mask=row < R, other=0.0)[:, None]
    return weights, tl.where(inside, gradient, 0.0)


@triton.jit
def attend(
    a, x, p, seed, pooled, lse, row_sums, scratch, images, first_image, R, N, D, a_stride, p_stride, threshold, scale,
    POSITION: tl.constexpr, DROPOUT: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr, BD: tl.constexpr,
):  # fmt: skip
    """Forward. a_stride, p_stride: elements from one image's A or p to the next, 0 where images share it."""
    row_tiles = tl.cdiv(R, BM)
    columns = tl.cdiv(N, BN) * BN
    local = tl.arange(0, BM)
    mine = scratch + tl.program_id(0).to(tl.int64) * BM * columns + local[:, None] * columns
    for tile in range(tl.program_id(0), images * row_tiles, tl.num_programs(0)):
        image = (tile // row_tiles).to(tl.int64)
        row = (tile % row_tiles) * BM + local
        a_image, x_image, p_image = a + image * a_stride, x + image * N * D, p + image * p_stride
        largest = tl.full((BM,), float("-inf"), tl.float32)
        total = tl.zeros((BM,), tl.float32)
        for start in range(0, N, BN):
            cell = start + tl.arange(0, BN)
            scores = _scores(a_image, x_image, p_image, row, cell, R, N, D, POSITION, BM, BN, BD)
            scores = tl.where((cell < N)[None, :], scores, float("-inf"))
            raised = tl.maximum(largest, tl.max(scores, 1))
            total = total * tl.exp(largest - raised) + tl.sum(tl.exp(scores - raised[:, None]), 1)
            largest = raised
            tl.store(mine + cell[None, :], scores)
        log_sum = largest + tl.log(total)
        tl.store(lse + image * R + row, log_sum, mask=row < R)
        tl.debug_barrier()
        row_sum = tl.zeros((BM,), tl.float32)
        for start in range(0, N, BN):
            cell = start + tl.arange(0, BN)
            kept = tl.exp(tl.load(mine + cell[None, :]) - log_sum[:, None])
            if DROPOUT:
                kept *= _keep_scale(seed, (first_image + image) * R, row, cell, threshold, scale)
            row_sum += tl.sum(kept, 1)
            tl.store(mine + cell[None, :], kept)
        tl.store(row_sums + image * R + row, row_sum, mask=row < R)
        tl.debug_barrier()
        _apply_to_cells(mine, x_image, x_image, pooled + image * R * D, row, R, N, D, False, BM, BN, BD)
        tl.debug_barrier()


@triton.jit
def _apply_to_cells(
    tile, x, p, out, row, R, N, D, POSITION: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr, BD: tl.constexpr
):
    """out[row] = tile (BM, N) times the cells (with their position), a chunk of the width at a time."""
    for start in range(0, D, BD):
        depth = start + tl.arange(0, BD)
        sums = tl.zeros((BM, BD), tl.float32)
        for first in range(0, N, BN):
            cell = first + tl.arange(0, BN)
            features = _keys(x, p, cell, depth, N, D, POSITION)
            sums = tl.dot(tl.load(tile + cell[None, :]).to(features.dtype), features, sums, input_precision="ieee")
        mask = (row < R)[:, None] & (depth < D)[None, :]
        tl.store(out + row[:, None] * D + depth[None, :], sums, mask=mask)


@triton.jit
def backward_rows(
    a, x, p, seed, grad, lse, beta, grad_a, pooled, deltas, scratch, images, first_image, R, N, D,
    a_stride, p_stride, threshold, scale,
    POSITION: tl.constexpr, DROPOUT: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr, BD: tl.constexpr,
):  # fmt: skip
    """dA and P for every image, and δ for `backward_cells`; grad is dP."""
    row_tiles = tl.cdiv(R, BM)
    columns = tl.cdiv(N, BN) * BN
    local = tl.arange(0, BM)
    kept_tile = scratch + tl.program_id(0).to(tl.int64) * 2 * BM * columns + local[:, None] * columns
    grad_tile = kept_tile + BM * columns
    for tile in range(tl.program_id(0), images * row_tiles, tl.num_programs(0)):
        image = (tile // row_tiles).to(tl.int64)
        row = (tile % row_tiles) * BM + local
        a_image, x_image, p_image = a + image * a_stride, x + image * N * D, p + image * p_stride
        first = image * R
        delta = tl.zeros((BM,), tl.float32)
        for start in range(0, N, BN):
            cell = start + tl.arange(0, BN)
            weights, gradient = _weights_and_gradient(
                a_image, x_image, p_image, grad + first * D, lse + first, beta + first, row, cell, R, N, D,
                POSITION, BM, BN, BD,
            )  # fmt: skip
            if DROPOUT:
                gradient *= _keep_scale(seed, (first_image + image) * R, row, cell, threshold, scale)
            delta += tl.sum(weights * gradient, 1)
            tl.store(kept_tile + cell[None, :], weights)
            tl.store(grad_tile + cell[None, :], gradient)
        tl.store(deltas + first + row, delta, mask=row < R)
        tl.debug_barrier()
        for start in range(0, N, BN):
            cell = start + tl.arange(0, BN)
            weights = tl.load(kept_tile + cell[None, :])
            tl.store(grad_tile + cell[None, :], weights * (tl.load(grad_tile + cell[None, :]) - delta[:, None]))
            if DROPOUT:
                weights *= _keep_scale(seed, (first_image + image) * R, row, cell, threshold, scale)
            tl.store(kept_tile + cell[None, :], weights)
        tl.debug_barrier()
        _apply_to_cells(grad_tile, x_image, p_image, grad_a + first * D, row, R, N, D, POSITION, BM, BN, BD)
        _apply_to_cells(kept_tile, x_image, x_image, pooled + first * D, row, R, N, D, False, BM, BN, BD)
        tl.debug_barrier()


@triton.jit
def backward_cells(
    a, x, p, seed, grad, lse, beta, deltas, grad_x, scratch, images, first_image, R, N, D,
    a_stride, p_stride, threshold, scale,
    POSITION: tl.constexpr, DROPOUT: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr, BD: tl.constexpr,
):  # fmt: skip
    """dx for every image; grad is dP."""
    cell_tiles = tl.cdiv(N, BN)
    rows = tl.cdiv(R, BM) * BM
    column = tl.arange(0, BN)
    kept_tile = scratch + tl.program_id(0).to(tl.int64) * 2 * BN * rows + column[None, :]
    grad_tile = kept_tile + BN * rows
    for tile in range(tl.program_id(0), images * cell_tiles, tl.num_programs(0)):
        image = (tile // cell_tiles).to(tl.int64)
        cell = (tile % cell_tiles) * BN + column
        a_image, x_image, p_image = a + image * a_stride, x + image * N * D, p + image * p_stride
        first = image * R
        for start in range(0, R, BM):
            row = start + tl.arange(0, BM)
            weights, gradient = _weights_and_gradient(
                a_image, x_image, p_image, grad + first * D, lse + first, beta + first, row, cell, R, N, D,
                POSITION, BM, BN, BD,
            )  # fmt: skip
            kept = weights
            if DROPOUT:
                mask = _keep_scale(seed, (first_image + image) * R, row, cell, threshold, scale)
                gradient *= mask
                kept *= mask
            delta = tl.load(deltas + first + row, mask=row < R, other=0.0)
            tl.store(kept_tile + row[:, None] * BN, kept)
            tl.store(grad_tile + row[:, None] * BN, weights * (gradient - delta[:, None]))
        tl.debug_barrier()
        for chunk in range(0, D, BD):
            depth = chunk + tl.arange(0, BD)
            sums = tl.zeros((BN, BD), tl.float32)
            for start in range(0, R, BM):
                row = start + tl.arange(0, BM)
                folded = _load(a_image, row, depth, R, D)
                scores = tl.trans(tl.load(grad_tile + row[:, None] * BN).to(folded.dtype))
                sums = tl.dot(scores, folded, sums, input_precision="ieee")
                kept = tl.trans(tl.load(kept_tile + row[:, None] * BN).to(folded.dtype))
                sums = tl.dot(kept, _load(grad + first * D, row, depth, R, D), sums, input_precision="ieee")
            inside = (cell < N)[:, None] & (depth < D)[None, :]
            tl.store(grad_x + image * N * D + cell[:, None] * D + depth[None, :], sums, mask=inside)
        tl.debug_barrier()
