"""What nvcc makes of the CUDA kernels, read from the machine code: it needs nvcc and a disassembler, no GPU.

fp64 runs at a 64th of fp32's rate on most cards and an integer division takes some twenty instructions: neither may
stand in a loop over entries. Logits are to be loaded 128 bits at a time.
"""

import importlib.util
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cuda_emulator.build import ROOT, build_cuda

ARCHITECTURE = "86"
# total_kernel and finish_kernel add a few numbers a launch, in fp64 on purpose.
ENTRIES = ("elementwise_kernel", "rescale_kernel", "sums_kernel", "gradient_kernel", "pairwise_kernel")
FP64 = re.compile(r"D(ADD|MUL|FMA|SETP|MNMX)\b|(F2F|I2F|F2I|MUFU)\b.*64")
DIVISION = re.compile(r"I2F\S*\.RP\b|CALL\S* .*__cuda_sm20_(div|rem)_")


@dataclass
class Kernel:
    """One kernel's instructions, and the ranges of them that lie between a backward branch and its target."""

    name: str
    instructions: list[str]
    loops: list[range]

    def within_loops(self, pattern: re.Pattern[str]) -> list[str]:
        """The instructions of loops that match."""
        return [self.instructions[i] for loop in self.loops for i in loop if pattern.search(self.instructions[i])]

    def count(self, opcode: str) -> int:
        """Instructions whose opcode starts so."""
        return sum(instruction.startswith(opcode) for instruction in self.instructions)


def parsed(name: str, body: str) -> Kernel:
    """A kernel of nvdisasm's text."""
    instructions: list[str] = []
    labels: dict[str, int] = {}
    branches: list[tuple[int, str]] = []
    for line in body.splitlines():
        if label := re.match(r"(\.L_\w+):", line):
            labels[label[1]] = len(instructions)
        elif found := re.match(r"\s+/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+\s+)?(.+?) ;", line):
            if target := re.match(r"BRA\b.*`\((\.L_\w+)\)", found[1]):
                branches.append((len(instructions), target[1]))
            instructions.append(found[1])
    loops = [range(labels[target], at) for at, target in branches if labels.get(target, at) < at]
    return Kernel(name, instructions, loops)


def disassembled(source: str, toolkit: build_cuda.Toolkit, disassembler: str, folder: Path) -> list[Kernel]:
    """The kernels of one file of csrc/cuda, by their readable names."""
    cubin = folder / f"{source}.cubin"
    includes = [f"-I{path}" for path in toolkit.includes]
    options = ["-std=c++20", "-O3", f"-gencode=arch=compute_{ARCHITECTURE},code=sm_{ARCHITECTURE}", "-cubin"]
    path = ROOT / "csrc" / "cuda" / f"{source}.cu"
    _output(str(toolkit.nvcc), *options, *includes, "-o", str(cubin), str(path))
    parts = re.split(r"\n\t\.section\s+\.text\.(\S+?),", _output(disassembler, "-c", str(cubin)))
    names = _output("c++filt", *parts[1::2]).splitlines()
    return [parsed(name, body) for name, body in zip(names, parts[2::2], strict=True)]


def _output(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="module")
def kernels(tmp_path_factory) -> list[Kernel]:
    """Every kernel that computes in fp32; skipped, with the reason, where it cannot be compiled or read."""
    try:
        toolkit = build_cuda.find_toolkit()
    except build_cuda.CudaUnavailableError as reason:
        pytest.skip(str(reason))
    if importlib.util.find_spec("triton") is None:
        pytest.skip("Triton, which brings nvdisasm, is not installed")
    from triton import knobs

    folder = tmp_path_factory.mktemp("machine_code")
    disassembler = knobs.nvidia.nvdisasm.path
    with ThreadPoolExecutor(2) as pool:
        files = pool.map(lambda name: disassembled(name, toolkit, disassembler, folder), build_cuda.KERNELS)
        found = [kernel for file in files for kernel in file]
    return [kernel for kernel in found if not re.search(r"_kernel<[^(]*\bdouble\b", kernel.name)]


def of(kernels: list[Kernel], *names: str) -> list[Kernel]:
    """The kernels of these names, of which there must be some."""
    found = [kernel for kernel in kernels if any(f"::{name}<" in kernel.name for name in names)]
    assert found, f"no {names} among {len(kernels)} kernels"
    return found


@pytest.mark.parametrize("name", ENTRIES)
def test_no_fp64_and_no_integer_division_in_a_loop_over_entries(kernels, name):
    for kernel in of(kernels, name):
        assert kernel.loops, f"{kernel.name} has no loop, which it should"
        assert not kernel.within_loops(FP64), kernel.name
        assert not kernel.within_loops(DIVISION), kernel.name


def test_packs_are_loaded_and_stored_128_bits_at_a_time(kernels):
    """Packs of 16 bytes of logits; labels and losses that are wider or narrower take more or fewer instructions."""
    packed = [
        kernel for kernel in of(kernels, "elementwise_kernel", "rescale_kernel") if "_kernel<1," not in kernel.name
    ]
    assert len(packed) == len(of(kernels, "elementwise_kernel", "rescale_kernel")) / 2
    for kernel in packed:
        assert kernel.count("LDG.E.128") >= 1 and kernel.count("STG.E.128") >= 1, kernel.name


@pytest.mark.parametrize("name", ENTRIES)
def test_nothing_spills(kernels, name):
    for kernel in of(kernels, name):
        assert kernel.count("STL") == kernel.count("LDL") == 0, kernel.name


def test_the_reader_sees_what_it_looks_for():
    """A loop with an fp64 addition and a division in it, and both outside."""
    lines = ["        /*0000*/                   DADD R2, R2, R4 ;", ".L_x_0:"]
    lines += [f"        /*00{at}0*/              @!P0 {text} ;" for at, text in enumerate(LOOP, 1)]
    kernel = parsed("made up", "\n".join(lines))
    assert kernel.within_loops(FP64) == [LOOP[0], LOOP[1]] and kernel.within_loops(DIVISION) == [LOOP[2], LOOP[3]]
    assert kernel.count("LDG.E.128") == 1 and len(kernel.instructions) == len(LOOP) + 1


LOOP = (
    "F2F.F64.F32 R4, R6",
    "DFMA R2, R4, R2, R6",
    "I2F.U32.RP R1, R2",
    "CALL.REL.NOINC `($__internal_0_$__cuda_sm20_div_s64)",
    "LDG.E.128.CONSTANT R4, [R2.64]",
    "BRA `(.L_x_0)",
)
