"""What torch says of its CUDA device while the tests pretend that there is one: a GeForce RTX 3060, as it were."""

import ctypes
import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import torch

from tests.pretend_device.tensors import Rules, is_pinned, pin

CARD = SimpleNamespace(name="pretended", total_memory=12 << 30, multi_processor_count=28, major=8, minor=6)


def _always(value: Any) -> Any:
    return lambda *_, **__: value


class Event:
    """A point in a stream of work that is done at once, as all is here."""

    def __init__(self, enable_timing: bool = False):
        self.enable_timing = enable_timing

    def record(self, stream: Any = None) -> None:
        """Nothing is ahead of it."""

    def synchronize(self) -> None:
        """It has passed."""

    def elapsed_time(self, end: "Event") -> float:
        """Milliseconds up to another one."""
        assert self.enable_timing and end.enable_timing
        return 0.0


class Stream:
    """A stream whose work is done at once."""

    def __init__(self, device: Any = None):
        self.device = device

    def record_event(self) -> Event:
        """Where it is now."""
        return Event()

    def wait_event(self, event: Event) -> None:
        """The event has passed."""

    def synchronize(self) -> None:
        """All that was asked of it is done."""


ANSWERS = {
    "Event": Event,
    "Stream": Stream,
    "stream": lambda stream: nullcontext(),
    "current_stream": Stream,
    "is_available": _always(True),
    "device_count": _always(1),
    "current_device": _always(0),
    "set_device": _always(None),
    "_lazy_init": _always(None),
    "get_device_name": _always(CARD.name),
    "get_device_capability": _always((CARD.major, CARD.minor)),
    "get_device_properties": _always(CARD),
    "mem_get_info": _always((11 << 30, CARD.total_memory)),
    "max_memory_allocated": _always(1 << 20),
    "max_memory_reserved": _always(2 << 20),
    "memory_reserved": _always(2 << 20),
    "reset_peak_memory_stats": _always(None),
    "empty_cache": _always(None),
    "is_bf16_supported": _always(True),
    "is_current_stream_capturing": _always(False),
    "synchronize": _always(None),
    "manual_seed_all": _always(None),  # its numbers come from the host's generator
    "get_rng_state": lambda *_: torch.random.get_rng_state(),
    "set_rng_state": lambda state, *_: torch.random.set_rng_state(state),
}
ACCELERATOR = {
    "is_available": _always(True),
    "current_accelerator": _always(torch.device("cuda")),
    "current_device_index": _always(0),
    "device_count": _always(1),
    "set_device_index": _always(None),
}


def build_guard(folder: Path) -> ctypes.CDLL:
    """Compile guard.cpp into `folder`; CalledProcessError if it does not compile."""
    root, file = Path(torch.__file__).parent, folder / "guard.so"
    words = [os.environ.get("CXX", "c++"), "-std=c++20", "-shared", "-fPIC", f"-I{root / 'include'}"]
    source = Path(__file__).with_name("guard.cpp")
    subprocess.run([*words, str(source), f"-L{root / 'lib'}", "-ltorch_cpu", "-lc10", "-o", str(file)], check=True)
    return ctypes.CDLL(str(file))


@contextmanager
def pretend_device(guard: ctypes.CDLL) -> Iterator[None]:
    """Within it there is one CUDA device, whose tensors keep a GPU's rules; other threads make none of them anew."""
    with ExitStack() as stack:
        for name, answer in ANSWERS.items():
            stack.enter_context(mock.patch.object(torch.cuda, name, answer))
        for name, answer in ACCELERATOR.items():
            stack.enter_context(mock.patch.object(torch.accelerator, name, answer))
        stack.enter_context(mock.patch.object(torch.Tensor, "pin_memory", lambda tensor, *_: pin(tensor)))
        stack.enter_context(mock.patch.object(torch.Tensor, "record_stream", _always(None)))
        stack.enter_context(mock.patch.object(torch.Tensor, "is_pinned", lambda tensor, *_: is_pinned(tensor)))
        stack.enter_context(torch.backends.cudnn.flags(enabled=False))  # batch_norm would ask for its kernels by name
        stack.callback(torch._C._set_only_lift_cpu_tensors, torch._C._only_lift_cpu_tensors())
        torch._C._set_only_lift_cpu_tensors(True)  # torch.tensor(…, device=…) then copies by an operator
        future = torch.__future__
        stack.callback(
            future.set_overwrite_module_params_on_conversion, future.get_overwrite_module_params_on_conversion()
        )
        future.set_overwrite_module_params_on_conversion(True)  # a parameter of the host cannot become one of ours
        guard.change_places()
        stack.callback(guard.change_places)
        stack.enter_context(torch.autograd.set_multithreading_enabled(False))  # threads were counted before
        stack.enter_context(Rules())
        yield
