"""Layer normalisation computed in fp32 that returns its input's type, in plain torch: the definition."""

import torch
import torch.nn.functional as F
from torch import Tensor


def layer_norm(x: Tensor, weight: Tensor, bias: Tensor, eps: float = 1e-5) -> Tensor:
    """(x − mean)/√(var + eps) · weight + bias over the last dimension C.

    x: (…, C) floating; weight, bias: (C,) fp32 (or fp64 for fp64 x). Returns (…, C) in the type of x.
    """
    wide = torch.promote_types(x.dtype, torch.float32)
    return F.layer_norm(x.to(wide), weight.shape, weight.to(wide), bias.to(wide), eps).to(x.dtype)
