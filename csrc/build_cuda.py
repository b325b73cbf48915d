"""Finds an nvcc that fits torch and compiles csrc/cuda; whoever lacks one gets the reason in one line.

What counts is the compiler, not a GPU: kernels are compiled for the architectures in MLCFAST_CUDA_ARCHS (default
"8.6;9.0", and PTX of the first for every later one; ./launch.sh takes those of the machine's cards, see cards.py); the
library says which, and a card that none of them fits gets Triton's kernels (mlcfast/ops/backend.py). The nvcc must be
of torch's CUDA major.minor version: the system's, or PyPI's nvidia-cuda-nvcc, nvidia-nvvm and nvidia-cuda-crt of that
version.
"""

import importlib.util
import os
import platform
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
KERNELS = ("elementwise", "pairwise_ranking", "expected_positives")


class CudaUnavailableError(Exception):
    """Why the CUDA kernels are not built, in words."""


@dataclass
class Toolkit:
    """An nvcc and where the headers and the runtime library of its version lie."""

    nvcc: Path
    includes: list[Path]
    runtime: Path


def find_toolkit() -> Toolkit:
    """The first nvcc of torch's CUDA version. Raises CudaUnavailableError with what was found instead."""
    import torch

    if os.environ.get("MLCFAST_CUDA", "1") == "0":
        raise CudaUnavailableError("MLCFAST_CUDA=0")
    if torch.version.cuda is None:
        raise CudaUnavailableError("this torch is built without CUDA")
    wanted = ".".join(torch.version.cuda.split(".")[:2])
    roots = list(dict.fromkeys(_roots(wanted.split(".")[0])))
    found = []
    for root in roots:
        nvcc = root / "bin" / "nvcc"
        version = _version(nvcc) if nvcc.exists() else None
        if version == wanted:
            return _complete(nvcc, roots)
        found += [f"{version} at {nvcc}"] if version else []
    seen = f"found {', '.join(found)}" if found else "found none"
    wish = f"pip install {' '.join(packages(wanted))} and reinstall to have them"
    raise CudaUnavailableError(f"nvcc {wanted} is needed, {seen}; {wish}")


def packages(version: str) -> list[str]:
    """What pip installs for an nvcc of this CUDA version."""
    wanted = ".".join(version.split(".")[:2])
    return [f"nvidia-{name}=={wanted}.*" for name in ("cuda-nvcc", "nvvm", "cuda-crt")]


def _roots(major: str) -> list[Path]:
    namespace = importlib.util.find_spec("nvidia")
    places = [Path(place) / f"cu{major}" for place in (namespace.submodule_search_locations or [])] if namespace else []
    home, on_path = os.environ.get("CUDA_HOME"), shutil.which("nvcc")
    system = [Path(home)] if home else []
    system += [_home(on_path)] if on_path else []
    return [*system, *places, Path("/usr/local/cuda")]


def _home(nvcc: str) -> Path:
    """Where nvcc's own installation lies, which nvcc says itself: what is on the PATH may be a script that calls it."""
    said = _run(nvcc, "--dryrun", "-c", "-x", "cu", "/dev/null")
    match = re.search(r"^#\$ TOP=(.+)$", said.stderr, re.MULTILINE) if said else None
    return Path(match.group(1).strip() if match else Path(nvcc).resolve().parents[1]).resolve()


def _version(nvcc: Path) -> str | None:
    said = _run(str(nvcc), "--version")
    match = re.search(r"release (\d+\.\d+)", said.stdout) if said else None
    return match.group(1) if match else None


def _run(*command: str) -> subprocess.CompletedProcess[str] | None:
    """What a compiler says; None of a file that does not run here."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return None


def _complete(nvcc: Path, roots: list[Path]) -> Toolkit:
    roots = sorted(roots, key=lambda root: root != nvcc.parents[1])
    roots = [place for root in roots for place in (root, root / "targets" / f"{platform.machine()}-linux")]
    includes = [root / "include" for root in roots if (root / "include").is_dir()]
    runtimes = [found for root in roots for lib in ("lib", "lib64") for found in (root / lib).glob("libcudart.so.*")]
    for header in ("cuda_runtime.h", "crt/host_config.h"):
        if not any((path / header).exists() for path in includes):
            raise CudaUnavailableError(f"{nvcc} is there but {header} is not")
    if not runtimes:
        raise CudaUnavailableError(f"{nvcc} is there but libcudart is not")
    return Toolkit(nvcc, includes, runtimes[0])


def architectures() -> list[str]:
    """What the kernels are compiled for: sm_86 is machine code for compute capability 8.6, compute_86 its PTX."""
    targets = (os.environ.get("MLCFAST_CUDA_ARCHS") or "8.6;9.0").replace(".", "").split(";")
    return [f"sm_{target}" for target in targets] + [f"compute_{targets[0]}"]


def nvcc_commands(toolkit: Toolkit, temporary: Path) -> list[tuple[list[str], Path, Path]]:
    """(command without -o, source, object) of each kernel file."""
    codes = [f"-gencode=arch=compute_{name.split('_')[1]},code={name}" for name in architectures()]
    includes = [f"-I{path}" for path in toolkit.includes]
    common = [str(toolkit.nvcc), "-std=c++20", "-O3", "-Xcompiler=-fPIC,-fvisibility=hidden", *codes, *includes, "-c"]
    return [
        ([*common, str(HERE / "cuda" / f"{name}.cu")], HERE / "cuda" / f"{name}.cu", temporary / f"cuda_{name}.o")
        for name in KERNELS
    ]
