"""Timing of alternatives in one process: interleaved rounds, quantiles, peak memory, and where it was measured."""

import math
import platform
import statistics
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import torch


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
    _wait(device)
    start = time.perf_counter()
    for _ in range(repeats):
        step()
    _wait(device)
    return (time.perf_counter() - start) / repeats


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


def provenance(device: str) -> dict[str, str | int]:
    """Device, threads, versions and commit ("+" after it: with uncommitted changes)."""
    return {
        "device": torch.cuda.get_device_name() if device == "cuda" else _cpu_model(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "commit": _git("rev-parse", "--short", "HEAD") + ("+" if _git("status", "--porcelain", "mlcfast") else ""),
    }


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def _cpu_model() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    fields = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    family = "/".join(fields.get(key, "?") for key in ("cpu family", "model"))
    return f"{fields.get('model name', platform.processor())} (family/model {family})"


def _git(*arguments: str) -> str:
    try:
        return subprocess.run(["git", *arguments], capture_output=True, text=True, check=False).stdout.strip()
    except OSError:  # no git here
        return ""
