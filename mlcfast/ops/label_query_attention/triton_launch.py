"""Launches the kernels of triton_kernels.py: output tensors, tile sizes, scratch and the number of programs."""

from typing import NamedTuple

import torch
from torch import Tensor

from mlcfast.ops.label_query_attention import dropout as masks
from mlcfast.ops.label_query_attention import triton_kernels as kernels

SCRATCH_BYTES = 32 << 20
NUM_WARPS, NUM_STAGES = 8, 2


class Rows(NamedTuple):
    """What a slice of the batch attends with: A (K, H, D) or (b, K, H, D), x (b, N, D), p, and how to drop."""

    folded: Tensor
    memory: Tensor
    position: Tensor | None
    seed: Tensor | None
    dropout: float
    first_image: int

    def sizes(self) -> tuple[int, int, int, int]:
        """Images b, rows R = K·H, cells N, width D."""
        (b, N, D), (K, H) = self.memory.shape, self.folded.shape[-3:-1]
        return b, K * H, N, D


def tiles(dtype: torch.dtype) -> dict[str, int]:
    """Rows BM, cells BN and width BD of a tile, small enough that nothing spills on the architectures tested."""
    return {"BM": 32, "BN": 32, "BD": 32 if dtype == torch.float32 else 64}


def attend(rows: Rows) -> tuple[Tensor, Tensor, Tensor]:
    """P (b, K, H, D), log-sum-exp of the scores (b, K, H) and row sums of the dropped weights (b, K, H), both fp32."""
    b, R, N, D = rows.sizes()
    K, H = rows.folded.shape[-3:-1]
    pooled = rows.memory.new_empty(b, K, H, D)
    lse, row_sums = (rows.memory.new_empty(b, K, H, dtype=torch.float32) for _ in range(2))
    block = tiles(rows.memory.dtype)
    programs, scratch = _scratch(rows.memory, b * -(-R // block["BM"]), block["BM"] * _up(N, block["BN"]))
    kernels.attend[(programs,)](*_inputs(rows), pooled, lse, row_sums, scratch, *_scalars(rows), **_constants(rows))
    return pooled, lse, row_sums


def attend_backward(rows: Rows, grad_pooled: Tensor, lse: Tensor, beta: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """dP (b, K, H, D) -> dA (b, K, H, D), P (b, K, H, D) and dx (b, N, D); beta (b, K, H) fp32."""
    b, R, N, _ = rows.sizes()
    grad_folded, pooled = torch.empty_like(grad_pooled), torch.empty_like(grad_pooled)
    deltas, grad_memory = torch.empty_like(lse), torch.empty_like(rows.memory)
    block = tiles(rows.memory.dtype)
    BM, BN = block["BM"], block["BN"]
    incoming = (*_inputs(rows), grad_pooled, lse, beta)
    scalars, constants = _scalars(rows), _constants(rows)
    programs, scratch = _scratch(rows.memory, b * -(-R // BM), 2 * BM * _up(N, BN))
    kernels.backward_rows[(programs,)](*incoming, grad_folded, pooled, deltas, scratch, *scalars, **constants)
    programs, scratch = _scratch(rows.memory, b * -(-N // BN), 2 * BN * _up(R, BM))
    kernels.backward_cells[(programs,)](*incoming, deltas, grad_memory, scratch, *scalars, **constants)
    return grad_folded, pooled, grad_memory


def _inputs(rows: Rows) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Pointers; an absent position or seed is never read."""
    position = rows.memory if rows.position is None else rows.position
    seed = rows.memory if rows.seed is None else rows.seed
    return rows.folded, rows.memory, position, seed


def _scalars(rows: Rows) -> tuple[int | float, ...]:
    b, R, N, D = rows.sizes()
    a_stride = R * D if rows.folded.ndim == 4 else 0
    p_stride = N * D if rows.position is not None and len(rows.position) > 1 else 0
    return b, rows.first_image, R, N, D, a_stride, p_stride, masks.threshold(rows.dropout), masks.scale(rows.dropout)


def _constants(rows: Rows) -> dict[str, int | bool]:
    flags = {"POSITION": rows.position is not None, "DROPOUT": rows.dropout > 0}
    return flags | tiles(rows.memory.dtype) | {"num_warps": NUM_WARPS, "num_stages": NUM_STAGES}


def _scratch(like: Tensor, wanted: int, elements: int) -> tuple[int, Tensor]:
    """How many programs run (two a multiprocessor, within SCRATCH_BYTES) and their fp32 scratch."""
    room = max(1, SCRATCH_BYTES // (4 * elements))
    programs = min(wanted, 2 * _multiprocessors(like.device), room)
    return programs, like.new_empty(programs * elements, dtype=torch.float32)


def _multiprocessors(device: torch.device) -> int:
    return torch.cuda.get_device_properties(device).multi_processor_count if device.type == "cuda" else 2


def _up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple
