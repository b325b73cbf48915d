"""Timing of alternatives in one process: interleaved rounds, quantiles, memory; and which implementation runs.

Memory is what torch's allocator holds on a GPU, what autograd saves, or the resident memory of a process of its own.
"""

import math
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

from bench.record import Row

VARIABLE = "MLCFAST_BACKEND"
FLUSHED = 512 << 20  # bytes


def interleaved(
    steps: dict[str, Callable[[], object]], rounds: int, device: str, at_least: float = 0.0
) -> dict[str, list[float]]:
    """Seconds of every step in every round; the steps take turns so that drift of the machine meets all alike.

    at_least: seconds a turn should last; a shorter step is repeated in its turn, and its seconds are the mean.
    """
    for step in steps.values():
        step()
    once = {name: _seconds(step, 1, device) for name, step in steps.items()} if at_least else {}
    repeats = {name: max(1, math.ceil(at_least / once[name])) if once else 1 for name in steps}
    seconds = {name: [] for name in steps}
    for _ in range(rounds):
        for name, step in steps.items():
            seconds[name].append(_seconds(step, repeats[name], device))
    return seconds


def _seconds(step: Callable[[], object], repeats: int, device: str) -> float:
    if device == "cuda":
        torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(repeats):
        step()
    if device == "cuda":
        torch.cuda.synchronize()
    return (time.perf_counter() - start) / repeats


def gpu_seconds(steps: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Seconds that the GPU takes for every step in every round; the steps take turns.

    Before each, memory beyond any cache is cleared, which also gives the host the time to launch the step: what
    launching costs is not counted.
    """
    for step in steps.values():
        step()
    scratch = torch.empty(FLUSHED, dtype=torch.int8, device="cuda")
    events: dict[str, list[tuple[torch.cuda.Event, torch.cuda.Event]]] = {name: [] for name in steps}
    for _ in range(rounds):
        for name, step in steps.items():
            begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            scratch.zero_()
            begin.record()
            step()
            end.record()
            events[name].append((begin, end))
    torch.cuda.synchronize()
    return {name: [begin.elapsed_time(end) / 1e3 for begin, end in pairs] for name, pairs in events.items()}


def quantiles_ms(seconds: list[float]) -> dict[str, float]:
    """p20, p50 and p80 in milliseconds."""
    cuts = statistics.quantiles(seconds, n=10, method="inclusive")
    return {"p20_ms": round(cuts[1] * 1e3, 3), "p50_ms": round(cuts[4] * 1e3, 3), "p80_ms": round(cuts[7] * 1e3, 3)}


def peak_extra_bytes(step: Callable[[], object], device: str) -> int | None:
    """What one step allocates at its peak beyond what was there before; None where torch does not count (the CPU)."""
    if device != "cuda":
        return None
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    step()
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated() - before


def peak_resident_bytes() -> int:
    """The high-water mark of this process's resident memory; getrusage's would start at its parent's."""
    fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(fields["VmHWM"].split()[0]) * 1024


def in_own_process(function: Callable[..., Row], *arguments: object) -> Row:
    """The function's result from a fresh process, so that its memory is its own."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


@contextmanager
def saved_bytes(exclude: Iterable[Tensor]) -> Iterator[list[int]]:
    """Bytes of the storages, fake ones too, that autograd saves inside, but for those of `exclude`; a list of one."""
    seen = {tensor.untyped_storage()._cdata for tensor in exclude}
    total = [0]

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in seen:
            seen.add(storage._cdata)
            total[0] += storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        yield total


@contextmanager
def forced(backend: str | None) -> Iterator[None]:
    """MLCFAST_BACKEND is `backend` inside the block; None leaves it as it is."""
    before = os.environ.get(VARIABLE)
    if backend is not None:
        os.environ[VARIABLE] = backend
    try:
        yield
    finally:
        if backend is not None:
            os.environ.pop(VARIABLE)
            os.environ.update({VARIABLE: before} if before is not None else {})
