"""What ./launch.sh asks about the CUDA kernels where there is an NVIDIA driver; every answer is one line.

python csrc/cards.py packages        what pip is to install for an nvcc that fits torch; nothing where one is there
python csrc/cards.py architectures   MLCFAST_CUDA_ARCHS for the machine's cards; nothing where they are unknown
python csrc/cards.py outcome         what the kernels were built for, or why they were not and what runs instead
"""

import os
import re
import subprocess
import sys

import build_cuda

Capability = tuple[int, int]


def packages() -> list[str]:
    """What brings an nvcc of torch's CUDA version; nothing where one is there, or where none would help."""
    import torch

    try:
        build_cuda.find_toolkit()
    except build_cuda.CudaUnavailableError:
        version = torch.version.cuda
        return [] if version is None or os.environ.get("MLCFAST_CUDA") == "0" else build_cuda.packages(version)
    return []


def capabilities() -> list[Capability]:
    """The compute capabilities of the machine's cards, the lowest first; empty where neither driver nor torch says."""
    command = ["nvidia-smi", "--query-gpu=compute_cap", "--format=csv,noheader"]
    try:
        said = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120).stdout
    except (OSError, subprocess.TimeoutExpired):
        said = ""
    if found := re.findall(r"^\s*(\d+)\.(\d+)\s*$", said, re.MULTILINE):
        return sorted({(int(major), int(minor)) for major, minor in found})
    import torch  # a driver before 510 does not know this question

    if not torch.cuda.is_available():
        return []
    return sorted({torch.cuda.get_device_capability(number) for number in range(torch.cuda.device_count())})


def architectures() -> str:
    """For each card the newest architecture up to its own that nvcc knows; PTX of the first, the lowest, fits all."""
    try:
        nvcc = build_cuda.find_toolkit().nvcc
    except build_cuda.CudaUnavailableError:
        return ""
    listed = subprocess.run([str(nvcc), "--list-gpu-code"], capture_output=True, text=True, check=False).stdout
    known = [(int(major), int(minor)) for major, minor in re.findall(r"\bsm_(\d+)(\d)\b", listed)]
    up_to = [[each for each in known if each <= card] for card in capabilities()]
    return ";".join(f"{major}.{minor}" for major, minor in sorted({max(each) for each in up_to if each}))


def outcome() -> str:
    """What the CUDA kernels of the losses were built for, or why they were not and what runs instead."""
    import torch

    sys.path.insert(0, str(build_cuda.HERE.parent))
    from mlcfast.ops.backend import IN_WORDS, has_triton, runs_on
    from mlcfast.ops.library import BUILT, CUDA_ARCHITECTURES, MISSING

    instead = f"{IN_WORDS['triton']} run" if has_triton("cuda") else f"{IN_WORDS['reference']} runs"
    if MISSING["cuda"]:
        runs = "nothing runs on the card" if torch.version.cuda is None else f"{instead} instead"
        if BUILT["cpu"] and BUILT["cuda"]:  # one of them does not load
            return f"CUDA kernels of the losses: {MISSING['cuda']}; {runs}"
        return f"CUDA kernels of the losses: not built, {runs}: {_why_not()}"
    built = f"CUDA kernels of the losses: built for {', '.join(CUDA_ARCHITECTURES)}"
    unfit = [f"{major}.{minor}" for major, minor in capabilities() if not runs_on((major, minor), CUDA_ARCHITECTURES)]
    return f"{built}; not for compute capability {', '.join(unfit)}, where {instead}" if unfit else built


def _why_not() -> str:
    if os.environ.get("MLCFAST_NATIVE") == "0":
        return "MLCFAST_NATIVE=0"
    try:
        build_cuda.find_toolkit()
    except build_cuda.CudaUnavailableError as reason:
        return str(reason)
    return "nvcc is there and the build failed; .venv/bin/python setup.py build_ext --inplace says how"


def main() -> None:
    """Print the answer to the one question."""
    answer = {"packages": packages, "architectures": architectures, "outcome": outcome}[sys.argv[1]]()
    print(answer if isinstance(answer, str) else " ".join(answer))


if __name__ == "__main__":
    main()
