"""Watches what a step asks torch for: how many operations, and whether the host waits for one of them."""

from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

# Asking a tensor for a value waits for the device, and so does an operation whose result's shape depends on values.
READS = {"item", "tolist", "numpy", "cpu", "__bool__", "__float__", "__int__", "__index__", "__array__", "nonzero"}
VALUES = ("_local_scalar_dense", "is_nonzero", "nonzero", "masked_select", "_unique2", "equal")
MAKES = {"tensor", "as_tensor", "asarray", "from_numpy"}


class WaitError(AssertionError):
    """The host waited for the device, or would have, had the tensors been on one."""


class Operations(TorchDispatchMode):
    """Notes every operation that reaches the dispatcher; one that reads a value, or copies to the host, is WaitError.

    fused: what has no form for fake tensors, and is only noted.
    """

    def __init__(self, fused: tuple[Any, ...] = ()) -> None:
        super().__init__()
        self.seen: list[str] = []
        self.fused = fused

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        if not name.startswith("_record_function"):  # a note for profilers
            self.seen.append(name)
        if name in VALUES:
            raise WaitError(f"{name} reads a value")
        if func in self.fused:
            return None
        out = func(*args, **kwargs or {})
        sources = [arg for arg in args if isinstance(arg, Tensor)]
        if name in ("_to_copy", "copy_") and sources[0].device.type != sources[-1].device.type:
            raise WaitError(f"{name} from {sources[-1].device} to {sources[0].device}")
        if name == "_to_copy" and isinstance(out, Tensor) and out.device.type != sources[0].device.type:
            raise WaitError(f"{name} from {sources[0].device} to {out.device}")
        return out


class HostQuestions(TorchFunctionMode):
    """WaitError where Python asks a tensor for its values, moves one without non_blocking or makes one of numbers.

    It needs no device: on the CPU such a call costs nothing and is found all the same.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name, kwargs = getattr(func, "__name__", ""), kwargs or {}
        if name in READS and args and isinstance(args[0], Tensor):
            raise WaitError(f"Tensor.{name}")
        if name in MAKES and kwargs.get("device") is not None:
            raise WaitError(f"torch.{name} copies numbers to {kwargs['device']} from memory that is not pinned")
        if name in ("to", "cuda") and not kwargs.get("non_blocking"):
            places = [torch.device(p) for p in (*args[1:2], kwargs.get("device")) if isinstance(p, str | torch.device)]
            if any(place.type != args[0].device.type for place in places):
                raise WaitError(f"Tensor.{name} without non_blocking")
        return func(*args, **kwargs)
