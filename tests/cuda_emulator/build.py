"""Compiles csrc/cuda for the CPU: the very same sources, with what no C++ compiler reads replaced.

A launch `kernel<<<blocks, threads, bytes, stream>>>(arguments)` becomes a call of the emulator, a shared variable one
that is NaN when a block starts, at::empty gives fenced memory, and the operators are registered for CPU tensors. The
headers of CUDA that the sources name are short stand-ins. The library holds the operators' CUDA half; autograd and
schemas are those of the installed package.
"""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT / "csrc"))
import build_cuda  # noqa: E402, F401
import build_native  # noqa: E402

SOURCES = ("ops.cpp", "elementwise.cu", "expected_positives.cu", "pairwise_ranking.cu")  # the slowest to compile first
HEADERS = {
    "cuda_runtime_api.h": "using cudaStream_t = void*;",
    "cuda_runtime.h": '#include "emulator.h"',
    "cuda_fp16.h": '#include "emulator.h"',
    "cuda_bf16.h": '#include "emulator.h"',
    "ATen/ops/empty.h": '#include_next <ATen/ops/empty.h>\n#include "fenced.h"',
    "c10/cuda/CUDAException.h": "#define C10_CUDA_KERNEL_LAUNCH_CHECK()",
    "c10/cuda/CUDAGuard.h": "namespace c10::cuda { struct CUDAGuard { explicit CUDAGuard(const c10::Device&) {} }; }",
    "c10/cuda/CUDAStream.h": "namespace emulator { extern void* current_stream; }\n"
    "namespace c10::cuda { inline void* getCurrentCUDAStream() { return emulator::current_stream; } }",
}
_LAUNCH = re.compile(r"(?P<kernel>\w+)<<<(?P<blocks>.+?), (?P<threads>\w+), 0, (?P<stream>\w+)>>>\(")
_SHARED = re.compile(r"__shared__ (?P<type>\w+) (?P<variables>[^;]+);")


def converted(source: str) -> str:
    """A CUDA source as C++."""
    source = _LAUNCH.sub(_launch, source)
    source = _SHARED.sub(_shared, source)
    source = source.replace("at::empty(", "emulator::empty(")
    return source.replace("TORCH_LIBRARY_IMPL(mlcfast, CUDA, m)", "TORCH_LIBRARY_IMPL(mlcfast, CPU, m)")


def _launch(match: re.Match[str]) -> str:
    call = f"[&](const auto&... arguments) {{ {match['kernel']}(arguments...); }}"
    return f"emulator::launch({match['blocks']}, {match['threads']}, {match['stream']}, {call}, "


def _shared(match: re.Match[str]) -> str:
    names = [variable.split("[")[0].strip() for variable in match["variables"].split(",")]
    fresh = " ".join(f"emulator::fresh(&{name}, sizeof {name});" for name in names)
    return f"static {match['type']} {match['variables']}; {fresh}"


def write_sources(folder: Path, change: tuple[str, str, str] | None = None) -> list[Path]:
    """Write the converted tree under `folder`; the sources to compile.

    change: (file of csrc, old text, new text), made before the conversion; ValueError unless old is there once.
    """
    for name, text in HEADERS.items():
        _write(folder / "shims" / name, f"#pragma once\n{text}\n")
    for path in (ROOT / "csrc").rglob("*"):
        if path.suffix not in {".h", ".cuh", ".cu", ".cpp"}:
            continue
        name, text = str(path.relative_to(ROOT / "csrc")), path.read_text()
        if change and name == change[0]:
            if text.count(change[1]) != 1:
                raise ValueError(f"{name} holds {change[1]!r} {text.count(change[1])} times, not once")
            text = text.replace(change[1], change[2])
        _write(folder / name, converted(text) if name.startswith("cuda/") else text)
    return [*(folder / "cuda" / name for name in SOURCES), HERE / "emulator.cpp"]


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def compile_object(source: Path, folder: Path, optimised: bool = True) -> Path:
    """One object under `folder`, whose tree write_sources has written. Raises CalledProcessError with the messages.

    optimised: false compiles kernels in half to two thirds of the time, for what runs a few cases.
    """
    target = folder / f"{source.stem}.o"
    includes = [f"-I{folder / 'shims'}", f"-I{HERE}", f"-I{folder}", *build_native._torch_flags()]
    language = ["-x", "c++", "-std=c++20", "-fPIC", "-fvisibility=hidden", "-fopenmp", "-Wno-unknown-pragmas"]
    language.append("-O1" if optimised else "-O0")
    if source.suffix == ".cu":  # what the kernels do at a wrong address is not left to chance
        language += ["-fsanitize=alignment,signed-integer-overflow", "-fsanitize-undefined-trap-on-error"]
    language.append('-DMLCFAST_CUDA_ARCHITECTURES="emulated"')
    command = [compiler(), *language, *includes, "-c", str(source), "-o", str(target)]
    subprocess.run(command, check=True, capture_output=True, text=True)
    return target


def link(objects: list[Path], library: Path) -> Path:
    """The library of operators, which torch.ops.load_library loads over the package's own."""
    libraries = [f"-L{build_native._torch_root() / 'lib'}", "-ltorch_cpu", "-lc10"]
    command = [compiler(), "-shared", *map(str, objects), *libraries, "-o", str(library)]
    subprocess.run(command, check=True, capture_output=True, text=True)
    return library


def link_large(objects: list[Path], folder: Path) -> Path:
    """The program of large.cpp, which calls the kernels without torch; `folder` as compile_object had it."""
    program, target = compile_object(HERE / "large.cpp", folder), folder / "large"
    without_torch = [path for path in objects if path.stem != "ops"]
    subprocess.run(
        [compiler(), *map(str, [program, *without_torch]), "-o", str(target)], check=True, capture_output=True
    )
    return target


def compiler() -> str:
    """The C++ compiler that setup.py would call."""
    return build_native._compiler()
