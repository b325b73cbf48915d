"""A mode in which nothing may wait for the pretended device: a GPU's work is only asked for, never looked at."""

from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from tests.pretend_device.tensors import COPIES, INDEXING, DeviceTensor

# What asks for a value, or for a result whose size hangs on values.
VALUES = {
    f"aten::{name}"
    for name in (
        "_local_scalar_dense", "equal", "nonzero", "masked_select", "_unique2", "unique_dim", "unique_consecutive",
        "bincount", "repeat_interleave.Tensor",
    )
}  # fmt: skip


class NoWaiting(TorchDispatchMode):
    """Within it a RuntimeError says which operator would have waited; copies between host and device are such too."""

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        """Run an operator that only adds to the device's work."""
        kwargs = kwargs or {}
        if any(isinstance(leaf, DeviceTensor) for leaf in tree_leaves((args, kwargs))):
            self._refuse(func, args)
        out = func(*args, **kwargs)
        if func in COPIES and (out.device != args[0].device or (len(args) > 1 and args[0].device != args[1].device)):
            raise RuntimeError(f"{func} waits: it copies between host and device")
        return out

    def _refuse(self, func: Any, args: tuple) -> None:
        masks = func in INDEXING and any(
            isinstance(leaf, Tensor) and leaf.dtype in (torch.bool, torch.uint8) for leaf in tree_leaves(args[1])
        )
        if masks or func._schema.name in VALUES:
            raise RuntimeError(f"{func} waits: what it gives hangs on values of the device")
