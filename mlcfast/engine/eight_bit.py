"""AdamW with 8-bit moments: bitsandbytes' kernels, extended by what the engines ask of every optimizer.

A moment is cut into blocks of 256 elements; each element is the index of the nearest of 256 values of a fixed code in
[-1, 1], times the largest magnitude of its block (Dettmers et al., arXiv 2110.02861). Tensors of fewer than 4096
elements stay in fp32.
"""

from collections.abc import Callable
from typing import Any

import torch
from bitsandbytes.optim import AdamW8bit
from torch import Tensor

BLOCK = 256


class EightBitAdamW(AdamW8bit):
    """Leaves the weights alone at `found_inf`, keeps their memory layout, and shows its moments in fp32.

    found_inf: as in torch's fused optimizers, a 0-d tensor; where it is 1 a step changes nothing. Reading it waits for
    the device, as bitsandbytes does after each tensor anyway.
    """

    found_inf: Tensor | None = None

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step, or none at all where the gradient was not finite."""
        if self.found_inf is not None and self.found_inf > 0:
            return None
        return super().step(closure)

    def init_state(self, group: dict, p: Tensor, gindex: int, pindex: int) -> None:
        """Zero moments, flat in the parameter's order in memory."""
        flat = _flat(p)
        super().init_state(group, flat, gindex, pindex)
        self.state[p] = self.state.pop(flat)

    def update_step(self, group: dict, p: Tensor, gindex: int, pindex: int) -> None:
        """Step a flat view: the base class would replace a weight in channels_last by a contiguous copy."""
        flat = _flat(p)
        assert p.grad is not None, "the base class steps parameters with a gradient"
        flat.grad = _flat(_like(p, p.grad))
        self.state[flat] = self.state[p]
        super().update_step(group, flat, gindex, pindex)
        del self.state[flat]

    def moments_of(self, parameter: Tensor) -> dict[str, Tensor]:
        """`exp_avg` and `exp_avg_sq` in fp32, laid out like the parameter, and `step`; empty before the first step."""
        state = self.state.get(parameter)
        if not state:
            return {}
        moments = {"step": torch.tensor(float(state["step"]))}
        for key, ending in (("exp_avg", "1"), ("exp_avg_sq", "2")):
            values = state[f"state{ending}"]
            if values.dtype == torch.uint8:
                scale = state[f"absmax{ending}"].repeat_interleave(BLOCK)[: values.numel()]
                values = state[f"qmap{ending}"][values.int()] * scale
            moments[key] = values.as_strided(parameter.shape, parameter.stride())
        return moments

    def set_moments(self, parameter: Tensor, moments: dict[str, Tensor]) -> None:
        """The inverse: moments this optimizer gave come back to the same codes, others to the nearest ones."""
        group = next(number for number, g in enumerate(self.param_groups) if any(p is parameter for p in g["params"]))
        self.init_state(self.param_groups[group], parameter, group, 0)
        state = self.state[parameter]
        state["step"] = int(moments["step"])
        for key, ending in (("exp_avg", "1"), ("exp_avg_sq", "2")):
            values = _flat(_like(parameter, moments[key]))
            if state[f"state{ending}"].dtype == torch.uint8:
                values, scale = _quantised(values, state[f"qmap{ending}"])
                state[f"absmax{ending}"].copy_(scale)
            state[f"state{ending}"].copy_(values)


def _like(parameter: Tensor, tensor: Tensor) -> Tensor:
    """The tensor in the parameter's memory layout."""
    return tensor if tensor.stride() == parameter.stride() else torch.empty_like(parameter).copy_(tensor)


def _flat(tensor: Tensor) -> Tensor:
    """The elements of a dense tensor in their order in memory, as a view."""
    return tensor.detach().as_strided((tensor.numel(),), (1,))


def _quantised(values: Tensor, code: Tensor) -> tuple[Tensor, Tensor]:
    """(uint8 indices of the nearest values of `code`, each block's scale).

    The largest value of a code is 1, but the smallest of a signed one is above -1. A block that went through the code
    once and whose largest magnitude is negative had a scale larger than that; with it, it comes back to the same codes.
    """
    blocks = torch.nn.functional.pad(values, (0, -values.numel() % BLOCK)).view(-1, BLOCK)
    highest, lowest = blocks.amax(1), blocks.amin(1)
    scale = torch.where(highest > -lowest, highest, lowest / code[0]) if code[0] < 0 else highest
    middles = (code[1:] + code[:-1]) / 2
    relative = blocks / scale.clamp(min=torch.finfo(scale.dtype).tiny)[:, None]
    return torch.bucketize(relative, middles, out_int32=True).to(torch.uint8).flatten()[: values.numel()], scale
