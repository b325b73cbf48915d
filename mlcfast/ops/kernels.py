"""Whether Triton kernels can run on a device: on CUDA, or anywhere in Triton's interpreter."""

import os
from importlib.util import find_spec

import torch

from mlcfast.ops.backend import log_once

_FOUND = find_spec("triton") is not None
INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"


def has_triton(device_type: str) -> bool:
    """True where Triton is installed and its kernels run on tensors of that device."""
    return _FOUND and (device_type == "cuda" or INTERPRETED)


def passed_over(message: str) -> None:
    """Log once that kernels were asked for in vain; silent inside torch.compile, which cannot log."""
    if not torch.compiler.is_compiling():
        log_once(message)
