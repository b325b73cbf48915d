"""Attention dropout as a pure function of (seed, image, label, head, cell): nothing is stored for the backward pass.

Every implementation draws the same mask from the same seed, whatever its tiles or its chunks of the batch.
bits(row, n) = mix(mix(n + 1) ^ mix(mix(row) + seed)), row = (image·K + label)·H + head, in wrapping 32-bit arithmetic;
the weight is kept where the low 31 bits are at least dropout·2³¹. mix is an xorshift-multiply bijection of 32 bits.
"""

import torch
from torch import Tensor

MULTIPLIER_1 = 0x7FEB352D
MULTIPLIER_2 = 0x846CA68B
_SIGNED_2 = MULTIPLIER_2 - (1 << 32)


def draw_seed(device: torch.device) -> Tensor:
    """A scalar int64 seed from torch's generator for `device`, so that torch.manual_seed governs it; no host sync."""
    return torch.randint(0, 1 << 31, (), dtype=torch.int64, device=device)


def threshold(dropout: float) -> int:
    """The smallest 31-bit value that keeps a weight."""
    return min(round(dropout * (1 << 31)), (1 << 31) - 1)


def scale(dropout: float) -> float:
    """What a kept weight is multiplied by; dropout 1 keeps nothing."""
    return 0.0 if dropout == 1.0 else 1.0 / (1.0 - dropout)


def apply(x: Tensor, seed: Tensor | None, dropout: float, first_image: int = 0) -> Tensor:
    """x (B, N, K, H) of images first_image, first_image + 1, …, dropped and rescaled; x itself where dropout is 0.

    Linear in x, so that it serves the gradient too.
    """
    if dropout == 0:
        return x
    assert seed is not None, "a seed is drawn wherever dropout is above 0"
    return x * keep(seed, x.shape, dropout, first_image) * scale(dropout)


def keep(seed: Tensor, shape: tuple[int, ...], dropout: float, first_image: int = 0) -> Tensor:
    """The mask as bool of `shape` = (B, N, K, H)."""
    B, N, K, H = shape
    rows = torch.arange(first_image * K * H, (first_image + B) * K * H, dtype=torch.int64, device=seed.device)
    keys = _mix(_mix(rows.to(torch.int32)) + seed.to(torch.int32)).view(B, 1, K, H)
    cells = _mix(torch.arange(1, N + 1, dtype=torch.int32, device=seed.device)).view(1, N, 1, 1)
    return (_mix(cells ^ keys) & 0x7FFFFFFF) >= threshold(dropout)


def _mix(x: Tensor) -> Tensor:
    x = (x ^ ((x >> 16) & 0xFFFF)) * MULTIPLIER_1
    x ^= (x >> 15) & 0x1FFFF
    x *= _SIGNED_2
    x ^= (x >> 16) & 0xFFFF
    return x
