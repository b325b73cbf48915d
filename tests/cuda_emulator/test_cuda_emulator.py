"""The CUDA kernels run on a CPU: they pass the losses' tests, and kernels that are broken on purpose do not."""

import os
import shutil
import signal
import subprocess
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from mlcfast.ops.library import MISSING
from tests.cuda_emulator import build
from tests.cuda_emulator.build import ROOT

pytestmark = [
    pytest.mark.skipif(bool(MISSING["cpu"]), reason=f"autograd is that of the compiled package: {MISSING['cpu']}"),
    pytest.mark.skipif(shutil.which(build.compiler()) is None, reason="no C++ compiler"),
]
CASES = "tests/cuda_emulator/emulated_losses.py"
SHARED_TESTS = ("tests/ops/test_loss_accuracy.py", "tests/ops/test_loss_operators.py")
# On a device a bad label or index makes the loss NaN, because an error would have to wait for it; a CPU raises it.
ERRORS_OF_THE_CPU = "wrong_arguments or wrong_estimates or byte_labels"


@dataclass
class Fault:
    """A change of one file of csrc, what has to be compiled again, and the test that must fail."""

    file: str
    old: str
    new: str
    compiled: str
    caught_by: str


FAULTS = {
    "the barrier before the block's sum is missing": Fault(
        "cuda/device.cuh",
        "  __syncthreads();\n  if (threadIdx.x % 32 == 0) of_warp",
        "  if (threadIdx.x % 32 == 0) of_warp",
        "pairwise_ranking.cu",
        "test_every_type_and_size and pr and 31",
    ),
    "the barrier within the block's sum is missing": Fault(
        "cuda/device.cuh",
        "of_warp[threadIdx.x / 32] = value;\n  __syncthreads();",
        "of_warp[threadIdx.x / 32] = value;",
        "pairwise_ranking.cu",
        "test_every_type_and_size and pr and 31",
    ),
    "a shuffle adds half a warp": Fault(
        "cuda/device.cuh", "int offset = 16;", "int offset = 8;", "pairwise_ranking.cu",
        "test_every_type_and_size and pr and 31",
    ),
    "a tail is one entry too long": Fault(
        "cuda/elementwise.cu", "if (at >= count) break;", "if (at > count) break;", "elementwise.cu",
        "test_every_type_and_size and an_ls and 31",
    ),
    "true labels are narrowed to the labels' type": Fault(
        "cuda/ops.cpp", "truth.le(0).logical_not_().to(", "truth.to(", "ops.cpp",
        "test_true_labels_of_another_type",
    ),
    "an empty estimate counts as none": Fault(
        "cuda/ops.cpp", "in.launch.role = estimate.has_value();",
        "in.launch.role = estimate.has_value() && estimate->const_data_ptr() != nullptr;", "ops.cpp",
        "test_part_of_a_global_batch and role and empty",
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def libraries(tmp_path_factory) -> dict[str, Future[Path]]:
    """The library of the kernels as they are, under "", and one for each fault; two compilers at a time."""
    folder = tmp_path_factory.mktemp("emulated")
    sources = build.write_sources(folder / "whole")
    with ThreadPoolExecutor(2) as pool:
        objects = {source.name: pool.submit(build.compile_object, source, folder / "whole") for source in sources}
        found = {"": pool.submit(lambda: build.link([o.result() for o in objects.values()], folder / "emulated.so"))}
        for number, (name, fault) in enumerate(FAULTS.items()):
            found[name] = pool.submit(faulty, fault, folder / str(number), objects)
    return found


def faulty(fault: Fault, folder: Path, objects: dict[str, Future[Path]]) -> Path:
    """The library with the fault, of which only `compiled` is compiled again."""
    sources = build.write_sources(folder, (fault.file, fault.old, fault.new))
    (source,) = (source for source in sources if source.name == fault.compiled)
    changed = {fault.compiled: build.compile_object(source, folder)}
    return build.link([changed.get(name) or found.result() for name, found in objects.items()], folder / "faulty.so")


def run_emulated(library: Path, *words: str, seed: int = 0) -> subprocess.CompletedProcess:
    """Pytest in a process whose CPU operators are those of `library`."""
    environment = os.environ | {
        "MLCFAST_EMULATED_LIBRARY": str(library), "MLCFAST_EMULATOR_SEED": str(seed), "MLCFAST_BACKEND": "auto",
        "MLCFAST_TEST_CASES": "50", "MLCFAST_TEST_ENTRIES": "300", "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "tests.cuda_emulator.plugin"]
    return subprocess.run(
        [*command, *words], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600, check=False
    )


@pytest.mark.parametrize("seed", (1, 2))
def test_kernels_agree_with_the_definitions(libraries, seed):
    done = run_emulated(libraries[""].result(), CASES, seed=seed)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]


def test_kernels_pass_the_tests_of_the_losses(libraries):
    done = run_emulated(libraries[""].result(), *SHARED_TESTS, "-k", f"not ({ERRORS_OF_THE_CPU})")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_caught(libraries, name):
    """By a failing assertion, or by the fence behind a tensor."""
    done = run_emulated(libraries[name].result(), CASES, "-x", "-k", FAULTS[name].caught_by)
    assert done.returncode in (pytest.ExitCode.TESTS_FAILED, -signal.SIGSEGV), done.stdout[-3000:] + done.stderr[-1000:]
