"""The fixed 2-D sine position code of DETR and Query2Label."""

import math

import torch
from torch import Tensor

TEMPERATURE = 10_000
EPS = 1e-6


def sine_position(height: int, width: int, dim: int) -> Tensor:
    """(1, height·width, dim) fp32: dim/2 features of the row, then dim/2 of the column; cells in row-major order.

    A row r of H (counted from 1) is the angle a = 2π r / (H + 1e-6); feature i of n = dim/2 is sin(a / T^(2⌊i/2⌋/n))
    for even i and its cosine for odd i, T = 10000. Raises ValueError when dim is not divisible by 4.
    """
    if dim % 4:
        raise ValueError(f"embed_dim {dim} is not divisible by 4, as the sine and cosine of rows and columns need")
    rows = _axis_code(height, dim // 2)[:, None].expand(height, width, -1)
    columns = _axis_code(width, dim // 2)[None, :].expand(height, width, -1)
    return torch.cat((rows, columns), dim=-1).reshape(1, height * width, dim)


def _axis_code(length: int, features: int) -> Tensor:
    """(length, features): sine and cosine interleaved."""
    angle = torch.arange(1, length + 1, dtype=torch.float32) / (length + EPS) * (2 * math.pi)
    period = TEMPERATURE ** (torch.arange(0, features, 2, dtype=torch.float32) / features)
    phase = angle[:, None] / period
    return torch.stack((phase.sin(), phase.cos()), dim=-1).flatten(1)
