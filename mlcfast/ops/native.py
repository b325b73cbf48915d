"""The compiled library and the namespace its operators live in: schemas in Python, implementations in csrc."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from mlcfast.ops.backend import log_once

LIBRARY = torch.library.Library("mlcfast", "FRAGMENT")
_ROOT = Path(__file__).resolve().parent.parent


def _library(suffix: str) -> Path:
    major, minor = torch.__version__.split(".")[:2]
    return _ROOT / f"_native{suffix}_torch{major}_{minor}.so"


@cache
def has_native(device_type: str) -> bool:
    """Whether compiled kernels for cpu or cuda are loaded; the first call loads them, or logs why not."""
    if device_type == "cuda":
        return has_native("cpu") and _load(_library("_cuda"))
    return device_type == "cpu" and _load(_library(""))


def _load(path: Path) -> bool:
    if not path.exists():
        log_once(
            f"{path.name} is not built: the losses run without it (reinstall with --no-build-isolation to build it)"
        )
        return False
    try:
        torch.ops.load_library(str(path))
    except OSError as error:
        log_once(f"{path.name} does not load, the losses run without it: {error}")
        return False
    return True


def fake_loss(logits: Tensor, reduction: int) -> Tensor:
    """The shape and dtype of a reduced loss, for fake implementations."""
    dtype = torch.float64 if logits.dtype == torch.float64 else torch.float32
    return logits.new_empty(logits.shape if reduction == 0 else (), dtype=dtype)


def fake_gradient(logits: Tensor, with_gradient: bool) -> Tensor:
    """The stored gradient, contiguous and in the logits' dtype, or the empty tensor in its place."""
    return logits.new_empty(logits.shape if with_gradient else (0,))


def define_forward(
    name: str, arguments: str, fake: Callable, triton: Callable, returns: str = "(Tensor, Tensor)"
) -> None:
    """Define `name`, implemented in csrc, and its overload `name.triton`, implemented by `triton`."""
    for operator in (name, f"{name}.triton"):
        LIBRARY.define(f"{operator}({arguments}) -> {returns}")
        torch.library.register_fake(f"mlcfast::{operator}", fake, lib=LIBRARY)
    LIBRARY.impl(f"{name}.triton", triton, "CompositeExplicitAutograd")


def _triton_rescale(gradient: Tensor, incoming: Tensor, factor: float, mean: bool) -> None:
    from mlcfast.ops.rescale_triton import rescale_

    rescale_(gradient, incoming, factor, mean)


define_forward(
    "rescale_gradient_",
    "Tensor(a!) gradient, Tensor incoming, float factor, bool mean",
    lambda gradient, incoming, factor, mean: None,
    _triton_rescale,
    returns="()",
)
