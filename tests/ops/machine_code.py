"""What nvcc makes of csrc/cuda, read from its machine code.

    python -m tests.ops.machine_code

prints the table of docs/kernels.md. It needs nvcc and a disassembler, no GPU. Its times are predicted: a kernel takes
what its bytes need at the card's memory rate, or its instructions at the rate at which the card issues them, whichever
is longer, and at least what launching takes. Instructions are those of the loops over packs of entries with both sides
of every branch, so they and the times that they decide are upper bounds.
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
from tests.ops.launches import CARDS, Card

ARCHITECTURE = "86"
FP64 = re.compile(r"D(ADD|MUL|FMA|SETP|MNMX)\b|(F2F|I2F|F2I|MUFU)\b.*64")
DIVISION = re.compile(r"I2F\S*\.RP\b|CALL\S* .*__cuda_sm20_(div|rem)_")
SPECIAL = re.compile(r"(MUFU|I2F|F2I|F2F)\b")  # exp2, reciprocals, conversions: an eighth of the rate
ISSUED = {"RTX 3060": 28 * 128 * 1.78e9, "H100": 132 * 128 * 1.7e9}  # lanes' instructions a second, from data sheets
SHAPES = ((64, 80), (256, 9605))
ELEMENTWISE = (  # operator, labels, formula
    ("asymmetric", "unsigned char", "HardAsymmetric<"),
    ("asymmetric, fractional exponents", "unsigned char", "SoftAsymmetric<"),
    ("asymmetric, labels of fp32", "float", "AnyAsymmetric<"),
    ("weighted BCE", "unsigned char", "WeightedBceFormula<float, true, false>"),
    ("weighted BCE with true labels", "unsigned char", "WeightedBceFormula<float, true, true>"),
)


@dataclass
class Kernel:
    """One kernel's instructions, and for each backward branch those that can run between its target and it."""

    name: str
    instructions: list[str]
    loops: list[set[int]]

    def within_loops(self, pattern: re.Pattern[str]) -> list[str]:
        """The instructions of loops that match."""
        return [self.instructions[i] for i in sorted(set().union(*self.loops)) if pattern.search(self.instructions[i])]

    def packed_loops(self) -> list[set[int]]:
        """The loops that read 128 bits at a time: those over packs, single entries aside."""
        return [loop for loop in self.loops if any(self.instructions[i].startswith("LDG.E.128") for i in loop)]

    def count(self, opcode: str) -> int:
        """Instructions whose opcode starts so."""
        return sum(instruction.startswith(opcode) for instruction in self.instructions)


def parsed(name: str, body: str) -> Kernel:
    """A kernel of nvdisasm's text."""
    instructions: list[str] = []
    labels: dict[str, int] = {}
    always: set[int] = set()  # instructions without a predicate
    for line in body.splitlines():
        if label := re.match(r"(\.L_\w+):", line):
            labels[label[1]] = len(instructions)
        elif found := re.match(r"\s+/\*[0-9a-f]{4,}\*/\s+(@!?U?P\w+\s+)?(.+?) ;", line):
            if not found[1]:
                always.add(len(instructions))
            instructions.append(found[2])
    following = _following(instructions, labels, always)
    before: list[list[int]] = [[] for _ in instructions]
    for at, targets in enumerate(following):
        for target in targets:
            before[target].append(at)
    ends = [(at, to) for at, targets in enumerate(following) for to in targets if to < at]
    return Kernel(name, instructions, [_reached(to, following) & _reached(at, before) for at, to in ends])


def _following(instructions: list[str], labels: dict[str, int], always: set[int]) -> list[list[int]]:
    """The instructions that may come after each; what a called function does is left out."""
    joins: dict[str, int] = {}  # barrier -> where the threads that wait at it go on
    following = []
    for at, text in enumerate(instructions):
        opcode, found = re.split(r"[ .]", text)[0], re.search(r"`\((\.L_\w+)\)", text)
        target = labels.get(found[1]) if found else None
        if opcode == "BSSY" and target is not None:
            joins[text.split()[1].rstrip(",")] = target
        goes = [target] if opcode == "BRA" else [joins.get(text.split()[-1])] if opcode == "BSYNC" else []
        if at not in always or opcode not in ("BRA", "BSYNC", "EXIT", "RET"):
            goes.append(at + 1)
        following.append([to for to in goes if to is not None and to < len(instructions)])
    return following


def _reached(start: int, following: list[list[int]]) -> set[int]:
    """What can be reached from an instruction, itself included."""
    seen, waiting = {start}, [start]
    while waiting:
        new = [to for to in following[waiting.pop()] if to not in seen]
        seen.update(new)
        waiting += new
    return seen


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

    def seconds(self, kernel: Kernel, card: Card) -> tuple[float, float]:
        """What the bytes and the instructions of an entry need."""
        loops = set().union(*kernel.packed_loops())
        special = sum(bool(SPECIAL.match(kernel.instructions[i])) for i in loops) / self.entries
        return self.bytes / card.bytes, max(self.issued(kernel), 8 * special) / ISSUED[card.name]


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
        yield Shown("pairwise ranking", f"pairwise_kernel<{logits}, unsigned char, float>", logits, both + width + 1)


def found(kernels: list[Kernel], what: Shown) -> Kernel:
    """The kernel of a row."""
    (kernel,) = [kernel for kernel in kernels if what.kernel in kernel.name]
    return kernel


def row(kernel: Kernel, what: Shown) -> str:
    """A line of the table."""
    widths = [int(wide[1]) for text in kernel.instructions if (wide := re.match(r"LDG\.E\.(\d+)", text))]
    cells = [what.operator, "fp32" if what.logits == "float" else "bf16", f"{what.issued(kernel):.0f}"]
    cells += [str(len(kernel.within_loops(FP64))), str(max(widths, default=32)), str(kernel.count("STL"))]
    for card in CARDS:
        for B, K in SHAPES:
            cells.append(f"{1e6 * max(max(what.seconds(kernel, card)) * B * K, card.kernel):.1f}")
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
        sys.stdout.write(f"{row(found(kernels, what), what)}\n")


if __name__ == "__main__":
    main()
