"""QuickGELU in plain torch: the definition."""

import torch
from torch import Tensor


def quick_gelu(x: Tensor) -> Tensor:
    """x · σ(1.702 x), elementwise, in the type of x."""
    return x * torch.sigmoid(1.702 * x)
