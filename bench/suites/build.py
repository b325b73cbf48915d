"""Compiles csrc into the tree for the torch that is here, and the CUDA kernels for this GPU's architecture alone."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

from bench.record import ROOT
from bench.suites import Context, Row, Rows

SOURCES = ROOT / "csrc"


def rows(context: Context) -> Rows:
    """One row a library: built and how long it took, up to date already, or refused and why."""
    sys.dont_write_bytecode = True  # a cache among the sources would make launch.sh install again
    sys.path.insert(0, str(SOURCES))
    import build_cuda
    import build_native

    if context.on_gpu:
        os.environ.setdefault("MLCFAST_CUDA_ARCHS", ".".join(map(str, torch.cuda.get_device_capability())))
    version = "torch" + "_".join(torch.__version__.split(".")[:2])
    yield _built(f"_native_{version}.so", build_native.build_cpu)
    try:
        build_cuda.find_toolkit()
    except build_cuda.CudaUnavailableError as reason:
        yield {"library": f"_native_cuda_{version}.so", "refused": str(reason)}
    else:
        yield _built(f"_native_cuda_{version}.so", build_native.build_cuda)


def _built(name: str, build: Callable[[Path, Path], None]) -> Row:
    library = ROOT / "mlcfast" / name
    newest = max(path.stat().st_mtime for path in SOURCES.rglob("*") if path.is_file() and path.suffix != ".pyc")
    if library.exists() and library.stat().st_mtime > newest:
        return {"library": name, "built": False, "reason": "newer than its sources"}
    started = time.monotonic()
    try:
        build(ROOT / "build" / library.stem, library.with_suffix(".partial"))
        library.with_suffix(".partial").replace(library)
    except (OSError, subprocess.CalledProcessError) as error:
        return {"library": name, "refused": (getattr(error, "stderr", None) or str(error)).strip()[:600]}
    return {"library": name, "built": True, "seconds": round(time.monotonic() - started, 1)}
