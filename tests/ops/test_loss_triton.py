"""The Triton kernels without a GPU: the same accuracy tests in Triton's interpreter, and compiled ahead of time."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.ops.triton_spills import spills_outside_loops

pytest.importorskip("triton")

ROOT = Path(__file__).parents[2]
ARCHITECTURES = (80, 86, 90, 120)


OF_ROWS = "db or two_way"  # whose programs go through an image again and again, which takes the interpreter long
CHOSEN = "twice or nan or empty or accumulation or sparse or second_backward or batch_of_gradients"


@pytest.mark.parametrize(
    ("chosen", "cases", "entries"),
    [(f"({CHOSEN}) and not (twice and ({OF_ROWS}))", 80, 300), (f"twice and ({OF_ROWS})", 8, 60)],
    ids=["most", "of rows"],
)
def test_interpreted_kernels_are_as_right_as_plain_torch(chosen, cases, entries):
    """In a process of its own: Triton decides for interpretation when it is imported."""
    environment = os.environ | {"TRITON_INTERPRET": "1", "MLCFAST_BACKEND": "triton"}
    environment |= {"MLCFAST_TEST_CASES": str(cases), "MLCFAST_TEST_ENTRIES": str(entries)}
    files = ["tests/ops/test_loss_accuracy.py", "tests/ops/test_loss_operators.py", "tests/losses/test_global_batch.py"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *files, "-k", chosen],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:]


def signatures() -> list[tuple[object, dict[str, str], dict[str, object]]]:
    """Every kernel with the argument types and constants of a training step in fp32 with byte labels."""
    from mlcfast.ops.asymmetric_loss.triton import asymmetric_kernel
    from mlcfast.ops.expected_positives.triton import finish_kernel, gradient_kernel, sums_kernel
    from mlcfast.ops.label_bce.triton import pairwise_kernel, weighted_bce_kernel
    from mlcfast.ops.label_loss import triton_rows as rows
    from mlcfast.ops.label_loss.op import Formula
    from mlcfast.ops.label_loss.triton import label_kernel
    from mlcfast.ops.triton_elementwise import rescale_kernel
    from mlcfast.ops.triton_launch import BLOCK

    bytes_ = {"labels": "*u8", "observed": "*u8", "truth": "*u8", "index": "*i64"}
    integers = {"B", "K", "entries", "chunk", "programs", "table_rows", "images"}
    pointers = {
        "threshold",
        "positive_weight",
        "other_weight",
        "logits",
        "loss",
        "gradient",
        "incoming",
        "estimate",
        "partial",
        "given",
        "statistic",
        "rows_gradient",
        "inverse",
        "shift",
        "rows",
        "columns",
        "share",
    }

    def entry(kernel, **constants):
        constants = {"BLOCK": BLOCK} | constants if "BLOCK" in kernel.arg_names else constants
        types = {}
        for name in kernel.arg_names:
            kind = bytes_.get(name) or ("*fp32" if name in pointers else "i32" if name in integers else "fp32")
            types[name] = "constexpr" if name in constants else kind
        return kernel, types, constants

    elementwise = {"PER_ENTRY": False, "WITH_GRADIENT": True}
    return [
        entry(asymmetric_kernel, POWER_NEG=3, POWER_POS=0, DETACH=False, **elementwise),
        entry(weighted_bce_kernel, WITH_TRUTH=True, **elementwise),
        entry(pairwise_kernel, WITH_GRADIENT=True),
        *(entry(label_kernel, FORMULA=int(f), WEIGHED=f % 2 == 0, **elementwise) for f in Formula),
        entry(rows.balanced_kernel, **elementwise),
        entry(rows.columns_kernel, ROWS=rows.TILE[0], COLUMNS=rows.TILE[1]),
        entry(rows.rows_kernel),
        entry(rows.two_way_finish_kernel, GIVEN=False, BLOCK=rows.FINISH_BLOCK),
        entry(rows.two_way_gradient_kernel),
        entry(rescale_kernel),
        entry(sums_kernel, ROLE=True, GATHER=True),
        entry(finish_kernel, ROLE=True, GIVEN=True),
        entry(gradient_kernel, ROLE=True, GATHER=True),
    ]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_kernels_compile_ahead_of_time_without_spills(architecture, record_property):
    """Registers, spills and shared memory of each kernel, from ptxas; none may spill but what is known to."""
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource, compile

    from mlcfast.ops.triton_launch import NUM_WARPS

    for kernel, types, constants in signatures():
        source = ASTSource(kernel, types, constants)
        binary = compile(source, target=GPUTarget("cuda", architecture, 32), options={"num_warps": NUM_WARPS})
        name, cubin = kernel.__name__, binary.asm["cubin"]
        usage = resources(cubin, architecture)
        record_property(f"{name} sm_{architecture}", usage)
        as_known = usage["spills"] == 0 or spills_outside_loops(name, architecture, cubin)
        assert as_known, (name, usage)
        assert usage["shared"] <= 48 * 1024, (name, usage)


OVER_ROWS = ("pairwise_kernel", "balanced_kernel", "rows_kernel", "two_way_gradient_kernel")


@pytest.mark.parametrize(
    ("architecture", "labels"),
    [(86, (80,)), *(pytest.param(each, (80, 200, 500), marks=pytest.mark.slow) for each in ARCHITECTURES)],
)
def test_other_tiles_and_short_rows_compile_without_spills(architecture, labels):
    """Each kernel in every block and number of warps that it may be launched with."""
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource, compile

    from mlcfast.ops.tiles import CANDIDATES
    from mlcfast.ops.triton_launch import BLOCK, NUM_WARPS, row_block

    short = [row_block(K) for K in labels]
    for kernel, types, constants in {kernel: (kernel, *others) for kernel, *others in signatures()}.values():
        name = kernel.__name__
        others = [tile for tile in CANDIDATES.get(name, ()) if tile["num_warps"] != NUM_WARPS or tile["BLOCK"] != BLOCK]
        for launch in short if name in OVER_ROWS else others:
            source = ASTSource(kernel, types, constants | {"BLOCK": launch["BLOCK"]})
            options = {"num_warps": launch["num_warps"]}
            binary = compile(source, target=GPUTarget("cuda", architecture, 32), options=options)
            cubin = binary.asm["cubin"]
            usage = resources(cubin, architecture)
            as_known = usage["spills"] == 0 or spills_outside_loops(name, architecture, cubin)
            assert as_known, (name, launch, usage)
            assert usage["shared"] <= 48 * 1024, (name, launch, usage)


def test_entries_in_sixteens_are_loaded_and_stored_128_bits_at_a_time():
    """As at run time for published shapes: Triton tells from the number of entries that a mask covers whole packs."""
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource, compile

    from mlcfast.ops.triton_launch import NUM_WARPS

    in_sixteens = {"entries", "chunk", "K"}
    for kernel, types, constants in {kernel: (kernel, *others) for kernel, *others in signatures()}.values():
        aligned = [i for i, name in enumerate(kernel.arg_names) if types[name][0] == "*" or name in in_sixteens]
        source = ASTSource(kernel, types, constants, attrs={(i,): [["tt.divisibility", 16]] for i in aligned})
        text = compile(source, target=GPUTarget("cuda", 86, 32), options={"num_warps": NUM_WARPS}).asm["ptx"]
        if not kernel.__name__.endswith("finish_kernel"):  # which adds a few numbers a launch
            assert "ld.global.v4" in text, kernel.__name__
            sums_alone = kernel.__name__ in ("sums_kernel", "rows_kernel", "columns_kernel")
            assert "st.global.v4" in text or sums_alone, kernel.__name__


def resources(cubin: bytes, architecture: int) -> dict[str, int]:
    """Registers a thread, spilled bytes and shared memory of a compiled kernel, as cuobjdump reports them."""
    import tempfile

    from triton import knobs

    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        command = [knobs.nvidia.cuobjdump.path, "-res-usage", file.name]
        text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    words = dict(word.split(":")[:2] for line in text.splitlines() for word in line.split() if word.count(":") == 1)
    spills = int(words["STACK"]) + int(words.get("LOCAL", 0))
    return {"registers": int(words["REG"]), "spills": spills, "shared": int(words["SHARED"])}
