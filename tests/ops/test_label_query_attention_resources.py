"""The models' Triton kernels compile ahead of time for the architectures in use and fit a multiprocessor unspilt."""

import os
import re

import pytest

if os.environ.get("TRITON_INTERPRET") == "1":
    pytest.skip("the interpreter compiles nothing", allow_module_level=True)
pytest.importorskip("triton")

from bench.suites.resources import KERNELS, compiled, resources
from mlcfast.ops.layer_norm import WIDEST
from mlcfast.ops.tiles import CANDIDATES
from mlcfast.ops.triton_layers import norm_launch
from tests.ops.triton_spills import spills_outside_loops

TARGETS = [("bf16", 80), ("bf16", 86), ("fp32", 86), ("bf16", 90), ("bf16", 120)]
TENSOR_CORES = re.compile(r"\b(mma|wmma|wgmma|tcgen05)\b")
REGISTERS = 64 << 10  # of a multiprocessor
SHARED_BYTES = 99 << 10  # what a block may use on compute capability 8.6


def spills(usage: dict, **changed: int) -> bool:
    """Whether a kernel of these resources spills anything but what ptxas is known to put outside its loops."""
    if not usage["spilled_bytes"]:
        return False
    kernel, arch = usage["kernel"], usage["arch"]
    return not spills_outside_loops(kernel, arch, compiled(kernel, usage["dtype"], arch, **changed).asm["cubin"])


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize(("dtype", "arch"), TARGETS)
def test_no_spills_and_shared_memory_of_a_small_gpu(kernel, dtype, arch):
    usage = resources(kernel, dtype, arch)
    assert not spills(usage), usage
    assert usage["shared_bytes"] <= SHARED_BYTES, usage


TILES = [(kernel, tile) for kernel in KERNELS for tile in CANDIDATES.get(kernel, ())]
OTHER_TARGETS = [pytest.param(*target, marks=pytest.mark.slow) for target in TARGETS if target != ("bf16", 86)]


@pytest.mark.parametrize(("kernel", "tile"), TILES, ids=lambda value: str(value))
@pytest.mark.parametrize(("dtype", "arch"), [("bf16", 86), *OTHER_TARGETS])
def test_every_tile_that_may_be_chosen_fits(kernel, tile, dtype, arch):
    launched = norm_launch(1024, tile) if kernel.startswith("layer_norm") else tile
    usage = resources(kernel, dtype, arch, **launched)
    assert not spills(usage, **launched) and usage["shared_bytes"] <= SHARED_BYTES, usage


@pytest.mark.slow
@pytest.mark.parametrize("C", [192, 3072, WIDEST])
@pytest.mark.parametrize(("dtype", "arch"), TARGETS)
def test_layer_norms_of_every_width_fit(C, dtype, arch):
    for kernel in ("layer_norm_kernel", "layer_norm_backward_kernel"):
        for tile in CANDIDATES[kernel]:
            usage = resources(kernel, dtype, arch, **norm_launch(C, tile))
            assert usage["spilled_bytes"] == 0 and usage["shared_bytes"] <= SHARED_BYTES, (usage, tile)


@pytest.mark.parametrize("way", ["", "_backward"])
@pytest.mark.parametrize(("dtype", "arch"), TARGETS)
def test_the_head_reads_wide_and_leaves_registers_for_other_programs(dtype, arch, way):
    """A thousand threads at once on every card, 128 bits of the states at a time."""
    kernel = compiled(f"groupwise_linear{way}_kernel", dtype, arch)
    usage = resources(f"groupwise_linear{way}_kernel", dtype, arch)
    assert usage["registers"] * 1024 <= REGISTERS, usage
    assert "ld.global.v4" in kernel.asm["ptx"] and ("st.global.v4" in kernel.asm["ptx"] or not way)


@pytest.mark.parametrize("kernel", KERNELS)
def test_no_kernel_multiplies_matrices(kernel):
    """Those products are torch's, on tensor cores; a kernel that had one would be held to such instructions here."""
    assert not TENSOR_CORES.search(compiled(kernel, "bf16", 86).asm["ptx"])


def test_instructions_of_tensor_cores_are_told_from_others():
    for text in ("mma.sync.aligned.m16n8k16.row.col.f32", "wgmma.mma_async.sync", "tcgen05.mma.cta_group::1"):
        assert TENSOR_CORES.search(f"\t{text} {{%r1}};")
    assert not TENSOR_CORES.search("\tfma.rn.f32 %r1, %r2, %r3;")
