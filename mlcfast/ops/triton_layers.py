"""Triton kernels of quick_gelu.py and layer_norm.py, which hold the formulas, and their host side.

QuickGELU is one kernel each way. LayerNorm is one kernel forward; backward another, whose programs each add up dw and
db of some rows, and torch's sum over the programs. A program normalises whole rows, so a row has to fit its registers.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from mlcfast.ops.tile_file import Tile
from mlcfast.ops.tiles import chosen_tile

BLOCK = 1024  # entries of a program of QuickGELU
NUM_WARPS = 4  # of QuickGELU
MOST_WARPS = 16  # of LayerNorm
PROGRAMS = 512  # of LayerNorm's backward pass at most: each leaves a row of dw and one of db


@triton.jit
def quick_gelu_kernel(x, y, entries, SLOPE: tl.constexpr, BLOCK: tl.constexpr):
    """y = x·σ(SLOPE x)."""
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    value = tl.load(x + at, mask=at < entries, other=0.0).to(tl.float32)
    tl.store(y + at, (value * tl.sigmoid(SLOPE * value)).to(y.dtype.element_ty), mask=at < entries)


@triton.jit
def quick_gelu_backward_kernel(grad, x, dx, entries, SLOPE: tl.constexpr, BLOCK: tl.constexpr):
    """dx = dy·s·(1 + SLOPE·x·(1 − s))."""
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    value = tl.load(x + at, mask=at < entries, other=0.0).to(tl.float32)
    incoming = tl.load(grad + at, mask=at < entries, other=0.0).to(tl.float32)
    s = tl.sigmoid(SLOPE * value)
    incoming *= s * (1.0 + SLOPE * value * (1.0 - s))
    tl.store(dx + at, incoming.to(dx.dtype.element_ty), mask=at < entries)


@triton.jit
def layer_norm_kernel(x, weight, bias, y, mean, rstd, rows, C, eps, BR: tl.constexpr, BC: tl.constexpr):
    """y, μ and r of BR rows."""
    row = tl.program_id(0).to(tl.int64) * BR + tl.arange(0, BR)
    column = tl.arange(0, BC)
    at = row[:, None] * C + column[None, :]
    mask = (row < rows)[:, None] & (column < C)[None, :]
    value = tl.load(x + at, mask=mask, other=0.0).to(tl.float32)
    centre = tl.sum(value, 1) / C
    value = tl.where(mask, value - centre[:, None], 0.0)
    scale = 1.0 / tl.sqrt(tl.sum(value * value, 1) / C + eps)
    w = tl.load(weight + column, mask=column < C, other=0.0)
    b = tl.load(bias + column, mask=column < C, other=0.0)
    out = value * scale[:, None] * w[None, :] + b[None, :]
    tl.store(y + at, out.to(y.dtype.element_ty), mask=mask)
    tl.store(mean + row, centre, mask=row < rows)
    tl.store(rstd + row, scale, mask=row < rows)


@triton.jit
def layer_norm_backward_kernel(
    grad, x, weight, mean, rstd, dx, dw, db, rows, C, tiles, BR: tl.constexpr, BC: tl.constexpr
):  # fmt: skip
    """dx, and a program's share of dw and db; its tiles of BR rows lie as many apart as there are programs."""
    column = tl.arange(0, BC)
    w = tl.load(weight + column, mask=column < C, other=0.0)
    dw_sum, db_sum = tl.zeros((BC,), tl.float32), tl.zeros((BC,), tl.float32)
    for tile in range(tl.program_id(0), tiles, tl.num_programs(0)):
        row = (tile * BR + tl.arange(0, BR)).to(tl.int64)
        at = row[:, None] * C + column[None, :]
        mask = (row < rows)[:, None] & (column < C)[None, :]
        scale = tl.load(rstd + row, mask=row < rows, other=0.0)
        centre = tl.load(mean + row, mask=row < rows, other=0.0)
        incoming = tl.load(grad + at, mask=mask, other=0.0).to(tl.float32)
        hat = tl.load(x + at, mask=mask, other=0.0).to(tl.float32)
        hat = tl.where(mask, (hat - centre[:, None]) * scale[:, None], 0.0)
        dw_sum += tl.sum(incoming * hat, 0)
        db_sum += tl.sum(incoming, 0)
        g = incoming * w[None, :]
        out = g - tl.sum(g, 1)[:, None] / C - hat * (tl.sum(g * hat, 1)[:, None] / C)
        tl.store(dx + at, (out * scale[:, None]).to(dx.dtype.element_ty), mask=mask)
    first = tl.program_id(0).to(tl.int64) * C
    tl.store(dw + first + column, dw_sum, mask=column < C)
    tl.store(db + first + column, db_sum, mask=column < C)


def quick_gelu(x: Tensor, slope: float) -> Tensor:
    """x: any dense layout; the result has it too."""
    x = _dense(x)
    y = torch.empty_like(x)
    if x.numel():
        quick_gelu_kernel[(triton.cdiv(x.numel(), BLOCK),)](x, y, x.numel(), slope, BLOCK, num_warps=NUM_WARPS)
    return y


def quick_gelu_backward(grad: Tensor, x: Tensor, slope: float) -> Tensor:
    """dx, laid out like x where that is dense."""
    x = _dense(x)
    if grad.stride() != x.stride():
        grad = torch.empty_like(x).copy_(grad)
    dx = torch.empty_like(x)
    if x.numel():
        programs = (triton.cdiv(x.numel(), BLOCK),)
        quick_gelu_backward_kernel[programs](grad, x, dx, x.numel(), slope, BLOCK, num_warps=NUM_WARPS)
    return dx


def layer_norm(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """x (…, C) -> y of its type, μ and r (rows,) fp32."""
    x = x.contiguous()
    rows, C = _rows(x), x.shape[-1]
    y, (mean, rstd) = torch.empty_like(x), x.new_empty(2, rows, dtype=torch.float32)
    if x.numel():
        sizes = norm_launch(C, chosen_tile("layer_norm_kernel", x, rows, C))
        programs = (triton.cdiv(rows, sizes["BR"]),)
        layer_norm_kernel[programs](x, weight, bias, y, mean, rstd, rows, C, eps, **sizes)
    return y, mean, rstd


def layer_norm_backward(
    grad: Tensor, x: Tensor, weight: Tensor, mean: Tensor, rstd: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """dy (…, C) -> dx of the type of x, dw and db (C,) fp32."""
    grad, x = grad.contiguous(), x.contiguous()
    rows, C = _rows(x), x.shape[-1]
    sizes = norm_launch(C, chosen_tile("layer_norm_backward_kernel", x, rows, C))
    tiles = triton.cdiv(rows, sizes["BR"])
    dx, shares = torch.empty_like(x), x.new_empty(2, min(tiles, PROGRAMS), C, dtype=torch.float32)
    if x.numel():
        layer_norm_backward_kernel[(shares.shape[1],)](
            grad, x, weight, mean, rstd, dx, *shares, rows, C, tiles, **sizes
        )
    dw, db = shares.sum(1)
    return dx, dw, db


def _dense(x: Tensor) -> Tensor:
    return x if x.is_contiguous() or x.is_contiguous(memory_format=torch.channels_last) else x.contiguous()


def _rows(x: Tensor) -> int:
    return x.numel() // x.shape[-1] if x.numel() else 0


def norm_launch(C: int, chosen: Tile) -> dict[str, int]:
    """Rows and columns of the tile of a LayerNorm of C channels, and the warps of a program."""
    width = triton.next_power_of_2(C)
    rows = max(1, chosen["ENTRIES"] // width)
    warps = rows * width // (32 * chosen["A_THREAD"])
    return {"BR": rows, "BC": width, "num_warps": min(max(warps, 1), MOST_WARPS)}
