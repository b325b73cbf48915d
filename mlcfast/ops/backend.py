"""Which implementation of an op runs: `MLCFAST_BACKEND` = auto | triton | native | reference, read at every call."""

import logging
import os
from importlib.util import find_spec

import torch

from mlcfast.ops.checks import in_transform
from mlcfast.ops.library import MISSING

BACKENDS = ("auto", "triton", "native", "reference")
_logged: set[str] = set()
_HAS_TRITON = find_spec("triton") is not None
_INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
# os.environ raises and catches a KeyError for a variable that is not set, a fifth of a small loss's whole step; the
# dictionary behind it answers at once.
_VARIABLES = getattr(os.environ, "_data", os.environ)
_VARIABLE = "MLCFAST_BACKEND" if _VARIABLES is os.environ else os.environ.encodekey("MLCFAST_BACKEND")


def requested() -> str:
    """The value of `MLCFAST_BACKEND` (default auto); ValueError names the allowed values.

    Inside torch.func's transforms it is reference: they take plain operators only.
    """
    if not torch.compiler.is_compiling() and in_transform():
        return "reference"
    if _VARIABLE not in _VARIABLES:
        return "auto"
    name = os.environ["MLCFAST_BACKEND"]
    if name not in BACKENDS:
        raise ValueError(f"MLCFAST_BACKEND={name!r} is not one of {', '.join(BACKENDS)}")
    return name


def log_once(message: str) -> None:
    """Log a warning the first time this process says it: a slower path is never taken silently."""
    if message not in _logged:
        _logged.add(message)
        logging.getLogger("mlcfast").warning(message)


def choose(device_type: str, dtype: torch.dtype = torch.float32) -> str:
    """native, triton or reference for a loss on cpu or cuda tensors: what is asked for, else the best there is.

    auto: native where it is built for the device, else triton on CUDA (fp64 excepted), else reference. What is passed
    over, and why, is logged once.
    """
    name = requested()
    if name == "reference":
        return name
    missing = MISSING.get(device_type, f"no compiled kernels for {device_type}")
    if name != "triton" and not missing:
        return "native"
    if name != "native" and _HAS_TRITON and dtype != torch.float64 and (device_type == "cuda" or _INTERPRETED):
        return "triton"
    if not torch.compiler.is_compiling():
        reason = missing if name != "triton" else "Triton's kernels run on CUDA tensors other than fp64"
        log_once(f"the losses take the plain torch path for {device_type} tensors (MLCFAST_BACKEND={name}): {reason}")
    return "reference"
