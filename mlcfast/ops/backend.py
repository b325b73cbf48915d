"""Which implementation of an op runs: `MLCFAST_BACKEND` = auto | triton | native | reference, read at every call."""

import logging
import os
from functools import cache
from importlib.util import find_spec

BACKENDS = ("auto", "triton", "native", "reference")
_logged: set[str] = set()


def requested() -> str:
    """The value of `MLCFAST_BACKEND` (default auto); ValueError names the allowed values."""
    name = os.environ.get("MLCFAST_BACKEND", "auto")
    if name not in BACKENDS:
        raise ValueError(f"MLCFAST_BACKEND={name!r} is not one of {', '.join(BACKENDS)}")
    return name


def log_once(message: str) -> None:
    """Log a warning the first time this process says it: a slower path is never taken silently."""
    if message not in _logged:
        _logged.add(message)
        logging.getLogger("mlcfast").warning(message)


def choose(device_type: str) -> str:
    """native, triton or reference for a loss on cpu or cuda tensors: what is asked for, else the best there is.

    auto: native where it is built for the device, else triton on CUDA, else reference. A named backend that cannot run
    here gives way to the reference and says so once.
    """
    name = requested()
    if name == "reference":
        return name
    if name != "triton" and _native(device_type):
        return "native"
    if name != "native" and _triton(device_type):
        return "triton"
    if name != "auto":
        log_once(f"MLCFAST_BACKEND={name} is not available for {device_type} tensors: the plain torch path is used")
    return "reference"


@cache
def _native(device_type: str) -> bool:
    from mlcfast.ops.native import has_native

    return has_native(device_type)


@cache
def _triton(device_type: str) -> bool:
    interpreted = os.environ.get("TRITON_INTERPRET") == "1"
    return (interpreted or device_type == "cuda") and find_spec("triton") is not None
