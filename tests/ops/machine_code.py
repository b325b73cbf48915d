"""What nvcc makes of csrc/cuda, read from its machine code.

    python -m tests.ops.machine_code

prints the table of docs/kernels.md. It needs nvcc and a disassembler, no GPU. Its times are predicted: a kernel takes
what its bytes need at the card's memory rate, or its instructions at the rate at which the card issues them, whichever
is longer, and at least what launching takes. Instructions are those of the loop over entries with both sides of every
branch, so they and the times that they decide are upper bounds.
"""

import argparse
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from tests.cuda_emulator.build import ROOT, build_cuda
from tests.ops.launches import CARDS

ARCHITECTURE = "86"
FP64 = re.compile(r"D(ADD|MUL|FMA|SETP|MNMX)\b|(F2F|I2F|F2I|MUFU)\b.*64")
DIVISION = re.compile(r"I2F\S*\.RP\b|CALL\S* .*__cuda_sm20_(div|rem)_")
ISSUED = {"RTX 3060": 28 * 128 * 1.78e9, "H100": 132 * 128 * 1.7e9}  # lanes' instructions a second, from data sheets
SHAPES = ((64, 80), (256, 9605))


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


def all_kernels(folder: Path) -> list[Kernel]:
    """Every kernel of csrc/cuda. Raises CudaUnavailableError where there is no nvcc."""
    from triton import knobs

    toolkit, disassembler = build_cuda.find_toolkit(), knobs.nvidia.nvdisasm.path
    with ThreadPoolExecutor(2) as pool:
        files = pool.map(lambda name: disassembled(name, toolkit, disassembler, folder), build_cuda.KERNELS)
        return [kernel for file in files for kernel in file]


class Shown(NamedTuple):
    """A row: the operator, its kernel by the beginning of its name, entries a thread takes at once, bytes an entry."""

    operator: str
    kernel: str
    entries: int
    bytes: int


def shown() -> Iterator[Shown]:
    """The kernels of a training step with byte labels, for fp32 and bf16 logits; small finishing kernels aside."""
    for logits, width, pack in (("float", 4, 4), ("__nv_bfloat16", 2, 8)):
        both = 2 * width + 1  # logits and labels read, the gradient written
        for operator, formula in (("asymmetric", "Asymmetric"), ("weighted BCE", "WeightedBce")):
            name = f"elementwise_kernel<{pack}, {logits}, unsigned char, float, mlcfast::gpu::(anonymous namespace)::"
            yield Shown(f"{operator}, forward", f"{name}{formula}Formula<float>", pack, both)
        yield Shown("their gradient, where it is scaled", f"rescale_kernel<{pack}, {logits}>", pack, 2 * width)
        for role, operator, estimate in (("false", "EPR", 0), ("true", "ROLE", 4)):
            types = f"{role}, {logits}, unsigned char, float>"
            yield Shown(f"{operator}, forward", f"sums_kernel<{types}", 1, width + 1 + estimate)
            yield Shown(f"{operator}, backward", f"gradient_kernel<{types}", 1, both + 2 * estimate)
        yield Shown("pairwise ranking", f"pairwise_kernel<{logits}, unsigned char, float>", 1, both + width + 1)


def row(kernel: Kernel, what: Shown) -> str:
    """A line of the table."""
    lengths = [len(loop) for loop in kernel.loops if len(loop) > 20]
    # A loop that nvcc has unrolled stands beside the one for what remains, which shows an entry's instructions.
    issued = sum(length for length in lengths if length < 2.5 * min(lengths)) / what.entries
    widths = [int(found[1]) for text in kernel.instructions if (found := re.match(r"LDG\.E\.(\d+)", text))]
    cells = [what.operator, "bf16" if "bfloat16" in what.kernel else "fp32", f"{issued:.0f}"]
    cells += [str(len(kernel.within_loops(FP64))), str(max(widths, default=32)), str(kernel.count("STL"))]
    for card in CARDS:
        for B, K in SHAPES:
            needed = max(what.bytes / card.bytes, issued / ISSUED[card.name]) * B * K
            cells.append(f"{1e6 * max(needed, card.kernel):.1f}")
    return f"| {' | '.join(cells)} |"


def build_parser() -> argparse.ArgumentParser:
    """The command line, which takes no arguments."""
    return argparse.ArgumentParser("python -m tests.ops.machine_code", description=__doc__)


def main() -> None:
    """Print the table."""
    build_parser().parse_args()
    with tempfile.TemporaryDirectory() as folder:
        kernels = all_kernels(Path(folder))
    titles = ["kernel", "logits", "instructions an entry", "fp64 in loops", "widest load, bits", "spills"]
    titles += [f"{card.name}, {B}×{K}, µs" for card in CARDS for B, K in SHAPES]
    sys.stdout.write(f"| {' | '.join(titles)} |\n|{'---|' * len(titles)}\n")
    for what in shown():
        (found,) = [kernel for kernel in kernels if what.kernel in kernel.name]
        sys.stdout.write(f"{row(found, what)}\n")


if __name__ == "__main__":
    main()
