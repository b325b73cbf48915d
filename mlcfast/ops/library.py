"""The compiled libraries and the namespace of their operators: schemas in Python, implementations in csrc.

MISSING names each device type and why its compiled kernels cannot run, "" where they can; BUILT whether its library is
there for this torch, whether or not it loads. CUDA_ARCHITECTURES says what
the CUDA kernels were compiled for: `sm_86` is machine code for compute capability 8.6, `compute_86` its PTX.
"""

import os
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

LIBRARY = torch.library.Library("mlcfast", "FRAGMENT")
_ROOT = Path(__file__).resolve().parent.parent


def _file(kind: str) -> Path:
    major, minor = torch.__version__.split(".")[:2]
    return _ROOT / f"_native{kind}_torch{major}_{minor}.so"


def _load(kind: str) -> str:
    """Load one compiled library if it is there; the reason in words if it is not."""
    path = _file(kind)
    if not path.exists():
        return f"{path.name} is not built (reinstall with --no-build-isolation to build it)"
    try:
        torch.ops.load_library(str(path))
    except OSError as error:
        return f"{path.name} does not load: {error}"
    return ""


BUILT = {"cpu": _file("").exists(), "cuda": _file("_cuda").exists()}
MISSING = {"cpu": _load("")}
MISSING["cuda"] = MISSING["cpu"] or _load("_cuda")
LIBRARY.define("cuda_architectures() -> str")


def _architectures() -> tuple[str, ...]:
    """Nothing without the CUDA library, or with one built before it could say."""
    try:
        return () if MISSING["cuda"] else tuple(torch.ops.mlcfast.cuda_architectures().split())
    except NotImplementedError:
        return ()


CUDA_ARCHITECTURES = _architectures()


def direct(operator: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """What calling an overload comes to (torch 2.14), without the Python around it: not for a graph being compiled."""
    return getattr(operator, "_op", operator)


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


def on_triton(name: str, arguments: str, returns: str, fake: Callable, plain: Callable, kernel: Callable) -> None:
    """Define `name`: `kernel` for CUDA tensors, and for all in Triton's interpreter; `plain` for those of the CPU."""
    LIBRARY.define(f"{name}({arguments}) -> {returns}")
    torch.library.register_fake(f"mlcfast::{name}", fake, lib=LIBRARY)
    LIBRARY.impl(name, kernel, "CUDA")
    LIBRARY.impl(name, kernel if os.environ.get("TRITON_INTERPRET") == "1" else plain, "CPU")


def _triton_rescale(gradient: Tensor, incoming: Tensor, factor: float, mean: bool) -> None:
    from mlcfast.ops.triton_elementwise import rescale_

    rescale_(gradient, incoming, factor, mean)


define_forward(
    "rescale_gradient_",
    "Tensor(a!) gradient, Tensor incoming, float factor, bool mean",
    lambda gradient, incoming, factor, mean: None,
    _triton_rescale,
    returns="()",
)
