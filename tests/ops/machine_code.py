"""What nvcc makes of csrc/cuda, read from its machine code.

    python -m tests.ops.machine_code

prints the table of docs/kernels.md. It needs nvcc and a disassembler, no GPU. Its times are predicted: a kernel takes
what its bytes need at the card's memory rate, or its instructions at the rate at which the card issues them, whichever
is longer, and at least what launching takes. Instructions are those of the loops over packs of entries with both sides
of every branch, and a share of those outside of loops, so they and the times that they decide are upper bounds.
"""

import argparse
import functools
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from tests.cuda_emulator.build import ROOT, build_cuda
from tests.ops.disassembly import Kernel, parsed
from tests.ops.launches import CARDS, Card

ARCHITECTURES = ("86", "90")  # an RTX 3060's, which the table shows, and an H100's
FP64 = re.compile(r"D(ADD|MUL|FMA|SETP|MNMX)\b|(F2F|I2F|F2I|MUFU)\b.*64")
DIVISION = re.compile(r"I2F\S*\.RP\b|CALL\S* .*__cuda_sm20_(div|rem)_")
SPECIAL = re.compile(r"(MUFU|I2F|F2I|F2F)\b")  # exp2, reciprocals, conversions: an eighth of the rate
ISSUED = {"RTX 3060": 28 * 128 * 1.78e9, "H100": 132 * 128 * 1.7e9}  # lanes' instructions a second, from data sheets
SHAPES = ((64, 80), (256, 9605))
BLOCK_ENTRIES = 4096  # of a large problem, see csrc/cuda/launch.h
ELEMENTWISE = (  # operator, labels, formula
    ("asymmetric", "unsigned char", "HardAsymmetric<"),
    ("asymmetric, fractional exponents", "unsigned char", "SoftAsymmetric<"),
    ("asymmetric, labels of fp32", "float", "AnyAsymmetric<"),
    ("weighted BCE", "unsigned char", "WeightedBceFormula<float, true, false>"),
    ("weighted BCE with true labels", "unsigned char", "WeightedBceFormula<float, true, true>"),
)


def disassembled(source: str, arch: str, toolkit: build_cuda.Toolkit, disassembler: str, folder: Path) -> list[Kernel]:
    """The kernels of one file of csrc/cuda for one architecture, by their readable names."""
    cubin = folder / f"{source}.sm_{arch}.cubin"
    includes = [f"-I{path}" for path in toolkit.includes]
    options = ["-std=c++20", "-O3", f"-gencode=arch=compute_{arch},code=sm_{arch}", "-cubin"]
    path = ROOT / "csrc" / "cuda" / f"{source}.cu"
    _output(str(toolkit.nvcc), *options, *includes, "-o", str(cubin), str(path))
    parts = re.split(r"\n\t\.section\s+\.text\.(\S+?),", _output(disassembler, "-c", str(cubin)))
    names = _output("c++filt", *parts[1::2]).splitlines()
    return [parsed(name, body) for name, body in zip(names, parts[2::2], strict=True)]


def _output(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def all_kernels(folder: Path, arch: str = ARCHITECTURES[0]) -> list[Kernel]:
    """Every kernel of csrc/cuda for one architecture. Raises CudaUnavailableError where there is no nvcc."""
    from triton import knobs

    toolkit, disassembler = build_cuda.find_toolkit(), knobs.nvidia.nvdisasm.path
    with ThreadPoolExecutor(2) as pool:
        read = functools.partial(disassembled, arch=arch, toolkit=toolkit, disassembler=disassembler, folder=folder)
        files = pool.map(read, build_cuda.KERNELS)
        return [kernel for file in files for kernel in file]


class Shown(NamedTuple):
    """A row: the operator, its kernel by the beginning of its name, its type of logits, bytes an entry."""

    operator: str
    kernel: str
    logits: str
    bytes: int

    @property
    def entries(self) -> int:
        """Of a pack, 16 bytes of logits."""
        return 4 if self.logits == "float" else 8

    def issued(self, kernel: Kernel) -> float:
        """Instructions an entry."""
        return len(set().union(*kernel.packed_loops())) / self.entries

    def seconds(self, kernel: Kernel, card: Card, B: int, K: int) -> tuple[float, float]:
        """What the bytes and the instructions of B·K entries need, where there are enough blocks for the card."""
        loops = set().union(*kernel.packed_loops())
        special = sum(bool(SPECIAL.match(kernel.instructions[i])) for i in loops) / self.entries
        short = self.kernel.startswith("pairwise_kernel<32")
        threads, block = 32 if short else 256, K if "pairwise" in self.kernel else BLOCK_ENTRIES
        issued = max(self.issued(kernel) + threads / block * kernel.outside_loops(), 8 * special)
        return B * K * self.bytes / card.bytes, B * K * issued / ISSUED[card.name]


def shown() -> Iterator[Shown]:
    """The kernels of a training step with byte labels, for fp32 and bf16 logits; small finishing kernels aside."""
    hidden = "mlcfast::gpu::(anonymous namespace)::"
    for logits, width in (("float", 4), ("__nv_bfloat16", 2)):
        both = 2 * width + 1  # logits and labels read, the gradient written
        for operator, labels, formula in ELEMENTWISE:
            name = f"elementwise_kernel<{logits}, {labels}, float, {hidden}{formula}"
            more = 3 if labels == "float" else 1 if "true labels" in operator else 0
            yield Shown(f"{operator}, forward", name, logits, both + more)
        yield Shown("their gradient, where it is scaled", f"rescale_kernel<{logits}>", logits, 2 * width)
        for source, (operator, estimate) in enumerate((("EPR", 0), ("ROLE", 4), ("ROLE, rows of a table", 4))):
            types = f"<({hidden}From){source}, {logits}, unsigned char, float>"
            yield Shown(f"{operator}, forward", f"sums_kernel{types}", logits, width + 1 + estimate)
            yield Shown(f"{operator}, backward", f"gradient_kernel{types}", logits, both + 2 * estimate)
        for threads, operator in ((32, "pairwise ranking, up to 512 labels"), (256, "pairwise ranking")):
            name = f"pairwise_kernel<{threads}, {logits}, unsigned char, float>"
            yield Shown(operator, name, logits, both + width + 1)


def found(kernels: list[Kernel], what: Shown) -> Kernel:
    """The kernel of a row."""
    (kernel,) = [kernel for kernel in kernels if what.kernel in kernel.name]
    return kernel


def row(kernel: Kernel, what: Shown) -> str:
    """A line of the table."""
    widths = [int(wide[1]) for text in kernel.instructions if (wide := re.match(r"LDG\.E\.(\d+)", text))]
    cells = [
        what.operator,
        "fp32" if what.logits == "float" else "bf16",
        f"{what.issued(kernel):.0f}",
        str(kernel.outside_loops()),
    ]
    cells += [str(len(kernel.within_loops(FP64))), str(max(widths, default=32)), str(kernel.count("STL"))]
    for card in CARDS:
        for B, K in SHAPES:
            cells.append(f"{1e6 * max(*what.seconds(kernel, card, B, K), card.kernel):.1f}")
    return f"| {' | '.join(cells)} |"


def build_parser() -> argparse.ArgumentParser:
    """The command line, which takes no arguments."""
    return argparse.ArgumentParser("python -m tests.ops.machine_code", description=__doc__)


def main() -> None:
    """Print the table."""
    build_parser().parse_args()
    with tempfile.TemporaryDirectory() as folder:
        kernels = all_kernels(Path(folder))
    titles = ["kernel", "logits", "instructions an entry", "outside, a thread"]
    titles += ["fp64 in loops", "widest load, bits", "spills"]
    titles += [f"{card.name}, {B}×{K}, µs" for card in CARDS for B, K in SHAPES]
    sys.stdout.write(f"| {' | '.join(titles)} |\n|{'---|' * len(titles)}\n")
    for what in shown():
        sys.stdout.write(f"{row(found(kernels, what), what)}\n")


if __name__ == "__main__":
    main()
