"""Helpers of the losses' Triton kernels: a common formula, the sizes of a launch, the sum of partial losses.

A launch cuts the entries into chunks, one program each, and each program into blocks. Up to a number of entries one
program does everything in one launch; above, each leaves a partial loss and torch adds them up in a fixed order. Where
a sum is taken, tiles.py chooses these sizes.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from mlcfast.ops.tile_file import Tile

BLOCK = 1024
NUM_WARPS = 4
LEAST_BLOCK, A_THREAD = 128, 8  # entries of a program that goes over a row, and of one of its threads


@triton.jit
def sigmoid_pair(x):
    """(σ(x), σ(−x)), each to full relative accuracy: e = exp(−|x|), large = 1/(1+e), small = e·large."""
    e = tl.exp(-tl.abs(x))
    large = 1.0 / (1.0 + e)
    small = e * large
    return tl.where(x < 0, small, large), tl.where(x < 0, large, small)


def launch_size(entries: int, tile: Tile) -> tuple[int, int]:
    """(programs, entries of each), for a number of entries above 0."""
    if entries <= tile["ALONE"]:
        return 1, triton.cdiv(entries, tile["BLOCK"]) * tile["BLOCK"]
    return triton.cdiv(entries, tile["CHUNK"]), tile["CHUNK"]


def row_block(K: int) -> dict[str, int]:
    """Block and warps of a program that goes over a row of K entries: a short row leaves few threads idle."""
    block = min(max(triton.next_power_of_2(K), LEAST_BLOCK), BLOCK)
    return {"BLOCK": block, "num_warps": max(1, block // (32 * A_THREAD))}


def as_loaded(labels: Tensor) -> Tensor:
    """Contiguous labels of a type the kernels load: bool is read as bytes."""
    labels = labels.contiguous()
    return labels.view(torch.uint8) if labels.dtype == torch.bool else labels


def total_of(partial: Tensor) -> Tensor:
    """The scalar loss of a launch's partial losses."""
    return partial.view(()) if partial.numel() == 1 else partial.sum()


def check_supported(logits: Tensor) -> None:
    """fp64 has no Triton kernel: its callers compute it in plain torch."""
    if logits.dtype == torch.float64:
        raise ValueError("logits of float64 have no Triton kernel; set MLCFAST_BACKEND=reference")
