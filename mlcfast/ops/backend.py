"""Chooses the implementation of an op by `MLCFAST_BACKEND` = auto | triton | native | reference, read at every call.

The compiled CUDA kernels run on a card that one of their images fits: machine code on cards of the same major version
with an equal or higher minor one, PTX, which the driver compiles, on any newer card.
"""

import contextlib
import logging
import os
import re
from collections.abc import Iterator
from importlib.util import find_spec

import torch

from mlcfast.ops.checks import in_transform, transformed
from mlcfast.ops.library import CUDA_ARCHITECTURES, MISSING

BACKENDS = ("auto", "triton", "native", "reference")
IN_WORDS = {"native": "the compiled kernels", "triton": "Triton's kernels", "reference": "the plain torch path"}
_logged: set[str] = set()
_unfit: dict[int, str] = {}  # CUDA device -> why the compiled kernels have no image for it
try:
    _HAS_TRITON = find_spec("triton") is not None
except (ImportError, ValueError):  # whoever keeps it from being imported may keep it from being looked for
    _HAS_TRITON = False
INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
# os.environ raises and catches a KeyError for a variable that is not set, a fifth of a small loss's whole step; the
# dictionary behind it answers at once.
_VARIABLES = getattr(os.environ, "_data", os.environ)
_VARIABLE = "MLCFAST_BACKEND" if _VARIABLES is os.environ else os.environ.encodekey("MLCFAST_BACKEND")


def requested() -> str:
    """The value of `MLCFAST_BACKEND` (default auto); ValueError names the allowed values.

    Inside torch.func's transforms it is reference: they take plain operators only.
    """
    if transformed():
        return "reference"
    if _VARIABLE not in _VARIABLES:
        return "auto"
    name = os.environ["MLCFAST_BACKEND"]
    if name not in BACKENDS:
        raise ValueError(f"MLCFAST_BACKEND={name!r} is not one of {', '.join(BACKENDS)}")
    return name


def compiled_on_cpu(logits: object, labels: object) -> bool:
    """Whether the compiled kernels of the CPU take these: the commonest case by the shortest question.

    False says nothing yet: `choose` does. The operators then check what goes into them as `check_pair` does.
    """
    return (
        isinstance(logits, torch.Tensor)
        and isinstance(labels, torch.Tensor)
        and logits.is_cpu
        and labels.is_cpu
        and _VARIABLE not in _VARIABLES
        and not MISSING["cpu"]
        and not torch.compiler.is_compiling()
        and not in_transform()
    )


@contextlib.contextmanager
def plain_torch() -> Iterator[None]:
    """Within it every op is torch's own operators, whatever `MLCFAST_BACKEND` says: for what others trace and load."""
    before = os.environ.get("MLCFAST_BACKEND")
    os.environ["MLCFAST_BACKEND"] = "reference"
    try:
        yield
    finally:
        os.environ.pop("MLCFAST_BACKEND")
        if before is not None:
            os.environ["MLCFAST_BACKEND"] = before


def log_once(message: str) -> None:
    """Log a warning the first time this process says it: a slower path is never taken silently."""
    if message not in _logged:
        _logged.add(message)
        logging.getLogger("mlcfast").warning(message)


def runs_on(capability: tuple[int, int], architectures: tuple[str, ...]) -> bool:
    """Whether a card runs kernels compiled for `architectures`: sm_86 is machine code for 8.6, compute_86 its PTX."""
    for kind, major, minor, only in re.findall(r"\b(sm|compute)_(\d+)(\d)([a-z]?)\b", " ".join(architectures)):
        built = (int(major), int(minor))
        newer = capability >= built and (kind == "compute" or capability[0] == built[0])
        if capability == built or (newer and not only):  # sm_90a is for 9.0 and nothing else
            return True
    return False


def card(index: int | None) -> tuple[int, tuple[int, int]] | None:
    """Number and compute capability of a CUDA device, the current one for None; None where there is no device."""
    if not torch.cuda.is_available():
        return None
    index = torch.cuda.current_device() if index is None else index
    return index, torch.cuda.get_device_capability(index)


def why_unfit(index: int | None) -> str:
    """Why the compiled kernels cannot run on a CUDA device, "" where they can and where there is no device to ask."""
    if index not in _unfit:
        found = card(index)
        if found is None or runs_on(found[1], CUDA_ARCHITECTURES):
            reason = ""
        else:
            built = ", ".join(CUDA_ARCHITECTURES) or "unknown architectures"
            name = ".".join(map(str, found[1]))
            reason = f"the compiled kernels are for {built}, CUDA device {found[0]} is of compute capability {name}"
        if index is None:  # another device may be the current one next time
            return reason
        _unfit[index] = reason
    return _unfit[index]


# What torch.compiler.assume_constant_result does (torch 2.14); calling it would import Dynamo with every import of ops.
why_unfit._dynamo_marked_constant = True  # type: ignore[attr-defined]  # a mark that only Dynamo looks for


def decide(device: torch.device | str, dtype: torch.dtype = torch.float32) -> tuple[str, str]:
    """native, triton or reference for a loss, and why a faster one is passed over, "" where none is.

    auto: native where it is built for the device, else triton on CUDA (fp64 excepted), else reference.
    """
    name = requested()
    if name == "reference":
        return name, ""
    device_type = device if isinstance(device, str) else device.type
    if name == "triton":
        reason = "Triton's kernels run on CUDA tensors other than fp64"
    else:
        reason = MISSING.get(device_type, "there are no compiled kernels for them")
        if device_type == "cuda" and not reason:
            reason = why_unfit(None if isinstance(device, str) else device.index)
        if not reason:
            return "native", ""
    if name != "native" and dtype != torch.float64 and has_triton(device_type):
        return "triton", "" if name == "triton" else reason
    return "reference", reason


def choose(device: torch.device | str, dtype: torch.dtype = torch.float32) -> str:
    """native, triton or reference for a loss on cpu or cuda tensors; what is passed over, and why, is logged once."""
    chosen, reason = decide(device, dtype)
    if reason and not torch.compiler.is_compiling():
        kind = device if isinstance(device, str) else device.type
        log_once(f"the losses take {IN_WORDS[chosen]} for {kind} tensors (MLCFAST_BACKEND={requested()}): {reason}")
    return chosen


def has_triton(device_type: str) -> bool:
    """True where Triton is installed and its kernels run on tensors of that device: CUDA, or any in its interpreter."""
    return _HAS_TRITON and (device_type == "cuda" or INTERPRETED)


def fuses(tensor: torch.Tensor, device_type: str | None = None) -> bool:
    """Whether a layer is one Triton kernel for this tensor: on CUDA, but for fp64, unless MLCFAST_BACKEND says no.

    device_type: as if the tensor were there. A graph that is being compiled keeps torch's operations, which the
    compiler fuses with their neighbours.
    """
    if torch.compiler.is_compiling() or tensor.dtype == torch.float64:
        return False
    name, device_type = requested(), device_type or tensor.device.type
    return (name == "triton" or (name == "auto" and device_type == "cuda")) and has_triton(device_type)


def passed_over(message: str) -> None:
    """Log once that kernels were asked for in vain; silent inside torch.compile, which cannot log."""
    if not torch.compiler.is_compiling():
        log_once(message)
