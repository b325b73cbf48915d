"""Compiles csrc for setup.py.

Environment: MLCFAST_NATIVE=0 leaves all compiled code out; where it is unset (or 1), CPU kernels that cannot be built
fail the installation with the reason, and with MLCFAST_NATIVE=auto the reason is a line on stderr and the package goes
without them, as it does on other systems than Linux. The CUDA kernels are left out with a line where there is no nvcc,
and with MLCFAST_CUDA=0. MAX_JOBS bounds the number of compilers at once; CXX names the C++ compiler. The CPU kernels
are compiled for x86-64, AVX2 and AVX-512 and chosen when the library loads, so that a wheel runs on other machines than
the one that built it. Objects stay in build/, so that another build compiles only what has changed.
"""

import os
import platform
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from build_cuda import CudaUnavailableError, architectures, find_toolkit, nvcc_commands
from setuptools import Extension
from setuptools.command.build_ext import build_ext

HERE = Path(__file__).resolve().parent
OPERATORS = (  # the slowest to compile first
    "autograd",
    "register",
    "asymmetric_loss",
    "weighted_bce",
    "label_loss",
    "large_loss_threshold",
    "pairwise_ranking",
    "rescale_gradient",
    "expected_positives",
    "pixels",
)
KERNELS = ("label_kernels", "kernels", "row_kernels", "two_way_kernels", "pixel_kernels")
INSTRUCTION_SETS = {
    "baseline": [],
    "avx2": ["-march=x86-64-v3"],
    "avx512": ["-march=x86-64-v4", "-mprefer-vector-width=512"],
}


@dataclass
class Unit:
    """One compiler call: a source, the object it makes and its own flags."""

    source: Path
    object: str
    flags: list[str] = field(default_factory=list)

    def compilation(self, temporary: Path) -> tuple[list[str], Path, Path]:
        """(command without -o, source, object)."""
        command = [_compiler(), "-std=c++20", "-fPIC", "-fvisibility=hidden", *self.flags, "-c", str(self.source)]
        return command, self.source, temporary / f"{self.object}.o"


def native_extensions() -> list[Extension]:
    """What setup() builds: one optional library named after torch's version, or nothing, with the reason on stderr."""
    if _wanted() == "0":
        return _skipped("MLCFAST_NATIVE=0")
    if sys.platform != "linux":
        return _skipped(f"they are built on Linux only, not on {sys.platform}")
    try:
        import torch
    except ImportError:
        return _failed("compiled kernels", "torch is not importable here: install torch first")
    major, minor = torch.__version__.split(".")[:2]
    names = [f"mlcfast._native_torch{major}_{minor}"]
    try:
        find_toolkit()
        names.append(f"mlcfast._native_cuda_torch{major}_{minor}")
    except CudaUnavailableError as reason:
        _say(f"CUDA kernels skipped: {reason}")
    return [Extension(name, sources=[], optional=True) for name in names]


def _wanted() -> str:
    return os.environ.get("MLCFAST_NATIVE", "1")


def _failed(what: str, reason: str) -> list[Extension]:
    """Say what is left out and why, where MLCFAST_NATIVE=auto allows that; else end the installation with it."""
    if _wanted() == "auto":
        _say(f"{what} skipped: {reason}")
        return []
    raise SystemExit(f"mlcfast: {what} cannot be built: {reason} (MLCFAST_NATIVE=0 installs without compiled code)")


def _skipped(reason: str) -> list[Extension]:
    _say(f"compiled kernels skipped: {reason}")
    return []


def _say(message: str) -> None:
    print(f"mlcfast: {message}", file=sys.stderr)


class BuildNative(build_ext):
    """Builds the extension with the system's compiler; a failure leaves a package without it."""

    def get_ext_filename(self, fullname: str) -> str:
        """The library holds no Python module, so its name carries no Python ABI."""
        return str(Path(*fullname.split("."))) + ".so"

    def build_extension(self, ext: Extension) -> None:
        """Compile every unit, then link; without the CPU's kernels see `_failed`, without CUDA's there is a line."""
        library, on_cuda = Path(self.get_ext_fullpath(ext.name)), "_cuda_" in ext.name
        try:
            build = build_cuda if on_cuda else build_cpu
            build(self._objects(), library)
        except (OSError, subprocess.CalledProcessError) as error:
            detail = (getattr(error, "stderr", None) or str(error)).strip()
            if on_cuda:
                _say(f"{library.name} skipped, its build failed: {detail}")
            else:
                _failed(library.name, detail)

    def _objects(self) -> Path:
        """build/ beside csrc, which outlives this build, for this version of torch; elsewhere if it is not ours."""
        import torch

        place = HERE.parent / "build" / f"native-torch{torch.__version__}"
        try:
            place.mkdir(parents=True, exist_ok=True)
        except OSError:
            return Path(self.build_temp)
        return place if os.access(place, os.W_OK) else Path(self.build_temp)


def build_cpu(temporary: Path, library: Path) -> None:
    """Compile the CPU library to `library`. Raises CalledProcessError with the compiler's message in stderr."""
    objects = _compile_all([unit.compilation(temporary) for unit in _units()], temporary, library)
    torch_lib = _torch_root() / "lib"
    # OpenMP's symbols stay open: they bind to the runtime torch already loaded, so that torch.set_num_threads holds.
    _run([_compiler(), "-shared", *objects, f"-L{torch_lib}", "-ltorch_cpu", "-lc10", "-o", str(library)])


def build_cuda(temporary: Path, library: Path) -> None:
    """Compile the CUDA library to `library`. Raises CalledProcessError with the compiler's message in stderr."""
    toolkit = find_toolkit()
    includes = [f"-isystem{path}" for path in toolkit.includes]
    # The library says what it was compiled for, so that a card without an image of the kernels gets Triton's instead.
    define = f'-DMLCFAST_CUDA_ARCHITECTURES="{" ".join(architectures())}"'
    host = Unit(HERE / "cuda" / "ops.cpp", "cuda_ops", ["-O2", "-fopenmp", define, *_torch_flags(), *includes])
    objects = _compile_all([*nvcc_commands(toolkit, temporary), host.compilation(temporary)], temporary, library)
    libraries = [f"-L{_torch_root() / 'lib'}", "-ltorch_cpu", "-lc10", "-lc10_cuda", str(toolkit.runtime)]
    _run([_compiler(), "-shared", *objects, *libraries, "-o", str(library)])


def _compile_all(compilations: list[tuple[list[str], Path, Path]], temporary: Path, library: Path) -> list[str]:
    """The objects, compiled as many at once as MAX_JOBS or the processors allow."""
    temporary.mkdir(parents=True, exist_ok=True)
    library.parent.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(int(os.environ.get("MAX_JOBS", os.cpu_count() or 1))) as pool:
        return list(pool.map(lambda compilation: _compile(*compilation), compilations))


def _units() -> list[Unit]:
    x86 = platform.machine() in ("x86_64", "AMD64")
    define = ["-DMLCFAST_X86"] if x86 else []
    plain = ["-O3", "-fno-math-errno", "-fno-trapping-math"]
    options = dict.fromkeys(KERNELS, plain)
    options["pixel_kernels"] = [*plain, "-ffp-contract=off"]  # no product joined with its sum
    kernels = [
        Unit(HERE / "cpu" / f"{name}.cpp", f"{name}_{isa}", [*options[name], f"-DMLCFAST_ISA={isa}", *flags])
        for name in KERNELS
        for isa, flags in INSTRUCTION_SETS.items()
        if x86 or isa == "baseline"
    ]
    with_torch = ["-O2", "-fopenmp", *_torch_flags()]
    operators = [Unit(HERE / f"{name}.cpp", name, with_torch) for name in OPERATORS]
    return [*operators, *kernels, Unit(HERE / "cpu" / "dispatch.cpp", "dispatch", ["-O2", *define])]


def _compile(command: list[str], source: Path, target: Path) -> str:
    """Run one compiler unless its object is newer than the source, every header and the command."""
    stamp = target.with_suffix(".command")
    headers = [path for path in HERE.rglob("*") if path.suffix in (".h", ".cuh")]
    newest = max(path.stat().st_mtime for path in (source, *headers))
    fresh = target.exists() and target.stat().st_mtime > newest and stamp.exists() and stamp.read_text() == str(command)
    if not fresh:
        _run([*command, "-o", str(target)])
        stamp.write_text(str(command))
    return str(target)


def _run(command: list[str]) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True)


def _compiler() -> str:
    return os.environ.get("CXX", "g++")


def _torch_root() -> Path:
    import torch

    return Path(torch.__file__).resolve().parent


def _torch_flags() -> list[str]:
    import torch

    include = _torch_root() / "include"
    abi = int(torch._C._GLIBCXX_USE_CXX11_ABI)
    folders = [include, include / "torch" / "csrc" / "api" / "include"]
    return [f"-D_GLIBCXX_USE_CXX11_ABI={abi}", *(f"-isystem{folder}" for folder in folders)]
