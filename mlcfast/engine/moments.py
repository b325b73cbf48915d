"""Adam's moments as checkpoints hold them, whichever optimizer keeps them and in whatever form."""

import torch
from torch import Tensor

from mlcfast.engine.base import MOMENTS


def moments_of(optimizer: torch.optim.Optimizer, parameter: Tensor) -> dict[str, Tensor]:
    """`exp_avg` and `exp_avg_sq`, fp32 and laid out like the parameter, and `step`, 0-d; empty before a step."""
    if hasattr(optimizer, "moments_of"):
        return optimizer.moments_of(parameter)
    state = optimizer.state.get(parameter, {})
    return {key: state[key] for key in (*MOMENTS, "step")} if "step" in state else {}


def set_moments(optimizer: torch.optim.Optimizer, parameter: Tensor, moments: dict[str, Tensor]) -> None:
    """Take over what `moments_of` gave; tensors laid out like the parameter and on its device."""
    if hasattr(optimizer, "set_moments"):
        optimizer.set_moments(parameter, moments)
    else:
        optimizer.state[parameter] = moments
