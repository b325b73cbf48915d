"""What nvcc makes of the CUDA kernels, read from the machine code: it needs nvcc and a disassembler, no GPU.

fp64 runs at a 64th of fp32's rate on most cards and an integer division takes some twenty instructions: neither may
stand in a loop over entries. Logits are to be loaded 128 bits at a time.
"""

import importlib.util
import re
import sys

import pytest

from tests.conftest import ROOT
from tests.cuda_emulator.build import build_cuda
from tests.ops import machine_code
from tests.ops.disassembly import Kernel, parsed
from tests.ops.launches import CARDS
from tests.ops.machine_code import ARCHITECTURES, DIVISION, FP64, all_kernels, found, shown

# total_kernel and finish_kernel add a few numbers a launch, in fp64 on purpose.
ENTRIES = ("elementwise_kernel", "rescale_kernel", "sums_kernel", "gradient_kernel", "pairwise_kernel")
# architecture -> types of logits, labels and true labels of the kernels that keep 8 bytes in memory: an address,
# stored and loaded again once a pack of eight entries.
SPILT = {"86": set(), "90": {("__half", "long", "long"), ("__nv_bfloat16", "long", "long")}}


@pytest.fixture(scope="module", params=ARCHITECTURES, ids=lambda arch: f"sm_{arch}")
def arch(request) -> str:
    """What the kernels are compiled for."""
    return request.param


@pytest.fixture(scope="module")
def kernels(arch, tmp_path_factory) -> list[Kernel]:
    """Every kernel that computes in fp32; skipped, with the reason, where it cannot be compiled or read."""
    try:
        build_cuda.find_toolkit()
    except build_cuda.CudaUnavailableError as reason:
        pytest.skip(str(reason))
    if importlib.util.find_spec("triton") is None:
        pytest.skip("Triton, which brings nvdisasm, is not installed")
    every = all_kernels(tmp_path_factory.mktemp("machine_code"), arch)
    return [kernel for kernel in every if not re.search(r"_kernel<.*\bdouble\b.*>\(", kernel.name)]


def of(kernels: list[Kernel], *names: str) -> list[Kernel]:
    """The kernels of these names, of which there must be some."""
    named = [kernel for kernel in kernels if any(f"::{name}<" in kernel.name for name in names)]
    assert named, f"no {names} among {len(kernels)} kernels"
    return named


@pytest.mark.parametrize("name", ENTRIES)
def test_no_fp64_and_no_integer_division_in_a_loop_over_entries(kernels, name):
    for kernel in of(kernels, name):
        assert kernel.loops, f"{kernel.name} has no loop, which it should"
        assert not kernel.within_loops(FP64), kernel.name
        assert not kernel.within_loops(DIVISION), kernel.name


@pytest.mark.parametrize("name", ENTRIES)
def test_loops_load_and_store_128_bits_at_a_time(kernels, name):
    """Packs of 16 bytes of logits; what is wider or narrower takes more or fewer instructions."""
    for kernel in of(kernels, name):
        arrays = 2 if re.search(r"From\)[12],", kernel.name) else 1  # ROLE also has estimates of 4 bytes
        assert len(kernel.within_loops(re.compile(r"LDG\.E\.128"))) >= arrays, kernel.name
        if name != "sums_kernel":  # which writes no entries
            assert len(kernel.within_loops(re.compile(r"STG\.E\.128"))) >= arrays, kernel.name


def test_memory_not_arithmetic_bounds_a_training_step_on_a_small_card(arch, kernels):
    """In fp32, 256×9605, on an RTX 3060; soft labels, exponents that are no integers and tables may take longer.

    On an H100 some forward passes take longer than their bytes; the gradients and pairwise ranking do not.
    """
    card = CARDS[ARCHITECTURES.index(arch)]
    slower = ("fractional", "labels of fp32", "rows of a table, forward")
    for what in shown():
        if card is not CARDS[0] and "backward" not in what.operator and "pairwise" not in what.operator:
            continue
        if what.logits == "float" and not any(words in what.operator for words in slower):
            bytes_need, instructions_need = what.seconds(found(kernels, what), card, 256, 9605)
            assert instructions_need <= bytes_need, (what, instructions_need, bytes_need)


@pytest.mark.parametrize("name", ENTRIES)
def test_nothing_spills_but_what_is_known_to(arch, kernels, name):
    spilt = [kernel for kernel in of(kernels, name) if kernel.count("STL") or kernel.count("LDL")]
    types = {tuple(re.findall(r"(\w+) const\*", kernel.name)) for kernel in spilt}  # logits, labels, true labels
    assert types == (SPILT[arch] if name == "elementwise_kernel" else set())
    for kernel in spilt:
        assert "WeightedBceFormula<float, true, true>" in kernel.name, kernel.name
        local = [text for text in kernel.instructions if text.startswith(("STL", "LDL"))]
        assert {re.search(r"\[(\S+?)\]", text)[1] for text in local} == {"R1", "R1+0x4"}, (kernel.name, local)
        assert all(re.match(r"(STL|LDL(\.LU)?) ", text) for text in local), (kernel.name, local)  # 4 bytes each
        assert len(kernel.within_loops(re.compile("LDL"))) == len(kernel.within_loops(re.compile("STL"))) == 2


def test_the_table_of_the_document_is_printed(kernels, monkeypatch, capsys):
    """`python -m tests.ops.machine_code`, without the compiler: the document's columns and kernels, in its order."""
    monkeypatch.setattr(sys, "argv", ["machine_code"])
    monkeypatch.setattr(machine_code, "all_kernels", lambda folder: kernels)
    machine_code.main()
    titles, _, *rows = capsys.readouterr().out.splitlines()
    lines = (ROOT / "docs" / "kernels.md").read_text(encoding="utf-8").splitlines()
    recorded = lines[lines.index(titles) + 2 :][: len(rows)]
    assert [line.split(" | ")[:2] for line in rows] == [line.split(" | ")[:2] for line in recorded]


def test_the_reader_sees_what_it_looks_for():
    """A loop with an fp64 addition and a division in it, and both outside."""
    lines = ["        /*0000*/                   DADD R2, R2, R4 ;", ".L_x_0:"]
    lines += [f"        /*00{at}0*/              @!P0 {text} ;" for at, text in enumerate(LOOP, 1)]
    kernel = parsed("made up", "\n".join(lines))
    assert kernel.within_loops(FP64) == [LOOP[0], LOOP[1]] and kernel.within_loops(DIVISION) == [LOOP[2], LOOP[3]]
    assert kernel.count("LDG.E.128") == 1 and len(kernel.instructions) == len(LOOP) + 1


def test_a_loop_is_what_can_run_between_a_branch_and_its_target():
    """A path moved behind the kernel's end belongs to its loop, what stands between them does not."""
    lines = [text if text.startswith(".L") else f"        /*0000*/  {text} ;" for text in ROUND]
    kernel = parsed("made up", "\n".join(lines))
    ((loop),) = {frozenset(loop) for loop in kernel.packed_loops()}
    assert [kernel.instructions[i].split()[0] for i in sorted(loop)] == INSIDE


ROUND = (
    ".L_x_0:",
    "LDG.E.128 R4, [R2.64]",
    "BSSY B0, `(.L_x_2)",
    "@P0 BRA `(.L_x_1)",
    "BSYNC B0",
    ".L_x_2:",
    "@P1 BRA `(.L_x_0)",
    "STG.E [R2.64], R4",
    "EXIT",
    ".L_x_1:",
    "MUFU.RCP R4, R4",
    "BSYNC B0",
)
INSIDE = ["LDG.E.128", "BSSY", "BRA", "BSYNC", "BRA", "MUFU.RCP", "BSYNC"]
LOOP = (
    "F2F.F64.F32 R4, R6",
    "DFMA R2, R4, R2, R6",
    "I2F.U32.RP R1, R2",
    "CALL.REL.NOINC `($__internal_0_$__cuda_sm20_div_s64)",
    "LDG.E.128.CONSTANT R4, [R2.64]",
    "BRA `(.L_x_0)",
)
