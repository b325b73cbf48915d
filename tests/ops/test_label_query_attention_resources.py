"""The models' Triton kernels compile ahead of time for the architectures in use and fit a multiprocessor unspilt."""

import os

import pytest

if os.environ.get("TRITON_INTERPRET") == "1":
    pytest.skip("the interpreter compiles nothing", allow_module_level=True)
pytest.importorskip("triton")

from bench.suites.resources import KERNELS, resources

TARGETS = [("bf16", 80), ("bf16", 86), ("fp32", 86), ("bf16", 90), ("bf16", 120)]
SHARED_BYTES = 99 << 10  # what a block may use on compute capability 8.6


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize(("dtype", "arch"), TARGETS)
def test_no_spills_and_shared_memory_of_a_small_gpu(kernel, dtype, arch):
    usage = resources(kernel, dtype, arch)
    assert usage["spilled_bytes"] == 0, usage
    assert usage["shared_bytes"] <= SHARED_BYTES, usage
