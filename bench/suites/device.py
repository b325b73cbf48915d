"""What the device is and how it was found: driver, memory, clocks, and the packages beside it."""

import importlib.metadata
import platform
import subprocess

import torch

from bench.suites import Context, Rows

QUERIED = (
    "driver_version,pstate,clocks.sm,clocks.mem,clocks.max.sm,clocks.max.mem,"
    "power.limit,temperature.gpu,ecc.mode.current"
)
PACKAGES = ("numpy", "timm", "torchvision", "triton", "pydantic", "deepspeed", "pycocotools", "bitsandbytes")


def rows(context: Context) -> Rows:
    """One row for the packages and one for the GPU."""
    versions = {found.name: found.version for found in importlib.metadata.distributions()}
    yield {"packages": {name: versions.get(name) for name in PACKAGES}, "python": platform.python_version()}
    if not context.on_gpu:
        return
    properties = torch.cuda.get_device_properties(0)
    yield {
        "gpu": properties.name,
        "capability": f"{properties.major}.{properties.minor}",
        "multiprocessors": properties.multi_processor_count,
        "memory_bytes": properties.total_memory,
        "l2_bytes": properties.L2_cache_size,
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
        **_as_found(),
    }


def _as_found() -> dict[str, str]:
    command = ["nvidia-smi", f"--query-gpu={QUERIED}", "--format=csv,noheader", "--id=0"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        return {"nvidia_smi": f"did not answer: {error}"}
    return dict(zip(QUERIED.split(","), (value.strip() for value in done.stdout.split(",")), strict=False))
