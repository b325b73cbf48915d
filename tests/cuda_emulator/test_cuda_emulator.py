"""The CUDA kernels run on a CPU: they pass the losses' tests, and kernels that are broken on purpose do not."""

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from mlcfast.ops.library import MISSING
from tests import warm
from tests.cuda_emulator import build
from tests.cuda_emulator.build import ROOT

pytestmark = [
    pytest.mark.skipif(bool(MISSING["cpu"]), reason=f"autograd is that of the compiled package: {MISSING['cpu']}"),
    pytest.mark.skipif(shutil.which(build.compiler()) is None, reason="no C++ compiler"),
]
CASES = "tests/cuda_emulator/emulated_losses.py"
SHARED_TESTS = ("tests/ops/test_loss_accuracy.py", "tests/ops/test_loss_operators.py")
# On a device a bad label or index makes the loss NaN, because an error would have to wait for it; a CPU raises it.
ERRORS_OF_THE_CPU = "wrong_arguments or wrong_estimates or byte_labels or no_labels or no_label_is_named"

READ_BY_THE_HOST = (
    "item", "_local_scalar_dense", "is_nonzero", "nonzero", "cpu", "kCPU", "equal", "allclose", "unique", "tolist",
    "masked_select", "pin_memory", "record_stream", "malloc", "raw_alloc", "synchronize", "thrust", "new",
)  # fmt: skip
STOPPED = (pytest.ExitCode.TESTS_FAILED, -signal.SIGSEGV, -signal.SIGABRT, -signal.SIGILL)


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
        "cuda/device.cuh", "< count ? begin + block_entries : count)", "< count ? begin + block_entries : count + 1)",
        "elementwise.cu",
        "test_every_type_and_size and an_ls and 31",
    ),
    "the last pack reaches beyond the end": Fault(
        "cuda/pack.cuh", "down = end & ~", "down = (end + N - 1) & ~", "elementwise.cu",
        "test_every_type_and_size and an_ls and 31",
    ),
    "the first pack starts before the row": Fault(
        "cuda/pack.cuh", "up = (begin + N - 1) & ~", "up = begin & ~", "pairwise_ranking.cu",
        "test_every_type_and_size and pr and 31",
    ),
    "a quotient is not corrected": Fault(
        "cuda/math.cuh", "return fmaf(fmaf(-near, b, a), rough, near);", "return near;", "elementwise.cu",
        "test_every_type_and_size and an_ls and 31",
    ),
    "a pack is read at any address": Fault(
        "cuda/pack.cuh", "% 16 != 0) return false", "% 16 != 0) continue", "elementwise.cu", "test_unaligned_addresses",
    ),
    "the column of a table does not wrap": Fault(
        "cuda/estimates.cuh", "column -= table.K;", "", "expected_positives.cu",
        "test_rows_are_read_from_a_table",
    ),
    "a pack reaches into the next row of a table": Fault(
        "cuda/estimates.cuh", "table.packed && place.column + N <= place.table.K", "table.packed",
        "expected_positives.cu", "test_rows_are_read_from_a_table",
    ),
    "rows of a table count as aligned": Fault(
        "cuda/estimates.cuh", "packed && K % kPackOf<T> == 0", "packed", "expected_positives.cu",
        "test_rows_are_read_from_a_table",
    ),
    "true labels are narrowed to the labels' type": Fault(
        "cuda/ops.cpp", "truth.le(0).logical_not_().to(", "truth.to(", "ops.cpp",
        "test_true_labels_of_another_type",
    ),
    "an empty estimate counts as none": Fault(
        "cuda/expected_positives.cu", "static_cast<T*>(c.statistic), c.role,",
        "static_cast<T*>(c.statistic), in.estimate.data != nullptr,", "expected_positives.cu",
        "test_part_of_a_global_batch and role and empty",
    ),
    "the host reads a label": Fault(
        "cuda/ops.cpp", "launch.count = logits.numel();",
        "launch.count = logits.numel() - (static_cast<const char*>(labels.const_data_ptr())[0] == 77);", "ops.cpp",
        "test_the_host_looks_at_nothing",
    ),
    "launches are on the first stream": Fault(
        "cuda/ops.cpp", "return c10::cuda::getCurrentCUDAStream();", "return nullptr;", "ops.cpp",
        "test_the_host_looks_at_nothing",
    ),
}  # fmt: skip
NARROW = {  # found by entries beyond 2^31 or 2^32 alone
    "a block's first entry has 32 bits": Fault(
        "cuda/device.cuh", ": begin(blockIdx.x * block_entries)", ": begin(blockIdx.x * unsigned(block_entries))",
        "elementwise.cu", "",
    ),
    "a row's first entry has 32 bits": Fault(
        "cuda/pairwise_ranking.cu", "row(blockIdx.x * K, blockIdx.x * K + K,",
        "row(blockIdx.x * unsigned(K), blockIdx.x * unsigned(K) + K,", "pairwise_ranking.cu", "",
    ),
    "a row of a table has 32 bits": Fault(
        "cuda/estimates.cuh", "? found * table.K + column", "? unsigned(found) * table.K + column",
        "expected_positives.cu", "",
    ),
}  # fmt: skip
NO_ROOM = 77


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Iterator[dict[str, Future[CompletedProcess]]]:
    """Pytest's runs on the kernels as they are and with each fault: two compilers or runs at a time."""
    folder = tmp_path_factory.mktemp("emulated")
    sources = build.write_sources(folder / "whole")
    python = str(warm.shared().executable)  # here, not by two threads at once
    pool = ThreadPoolExecutor(2)
    objects = {source.name: pool.submit(build.compile_object, source, folder / "whole") for source in sources}
    whole = pool.submit(lambda: build.link([found.result() for found in objects.values()], folder / "emulated.so"))
    started = {
        "seed 1": pool.submit(run_emulated, python, whole, CASES, seed=1),
        "seed 2": pool.submit(run_emulated, python, whole, CASES, seed=2),
        "shared": pool.submit(run_emulated, python, whole, *SHARED_TESTS, "-k", f"not ({ERRORS_OF_THE_CPU})"),
    }
    for number, (name, fault) in enumerate(FAULTS.items()):
        library = pool.submit(faulty, fault, folder / str(number), objects)
        started[name] = pool.submit(run_emulated, python, library, CASES, "-x", "-k", fault.caught_by)
    started["large"] = pool.submit(run_large, objects, folder / "whole")
    for number, (name, fault) in enumerate(NARROW.items()):
        started[name] = pool.submit(run_large, objects, folder / f"narrow{number}", fault)
    yield started
    pool.shutdown(cancel_futures=True)


def faulty(fault: Fault, folder: Path, objects: dict[str, Future[Path]]) -> Path:
    """The library with the fault, of which only `compiled` is compiled again."""
    sources = build.write_sources(folder, (fault.file, fault.old, fault.new))
    (source,) = (source for source in sources if source.name == fault.compiled)
    changed = {fault.compiled: build.compile_object(source, folder, optimised=False)}
    return build.link([changed.get(name) or found.result() for name, found in objects.items()], folder / "faulty.so")


def run_large(objects: dict[str, Future[Path]], folder: Path, fault: Fault | None = None) -> CompletedProcess:
    """The program of large.cpp on the kernels as they are, whose tree is `folder`, or with a fault."""
    found = {name: made.result() for name, made in objects.items()}
    if fault:
        sources = build.write_sources(folder, (fault.file, fault.old, fault.new))
        (source,) = (source for source in sources if source.name == fault.compiled)
        found[fault.compiled] = build.compile_object(source, folder)
    program = build.link_large(list(found.values()), folder)
    return subprocess.run([str(program)], capture_output=True, text=True, check=False)


def run_emulated(python: str, library: Future[Path], *words: str, seed: int = 0) -> CompletedProcess:
    """Pytest in a process whose CPU operators are those of `library`."""
    environment = os.environ | {
        "MLCFAST_EMULATED_LIBRARY": str(library.result()), "MLCFAST_EMULATOR_SEED": str(seed),
        "MLCFAST_BACKEND": "auto", "MLCFAST_TEST_CASES": "50", "MLCFAST_TEST_ENTRIES": "300", "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    command = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "tests.cuda_emulator.plugin"]
    return subprocess.run([*command, *words], cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def said(run: CompletedProcess) -> str:
    """The end of what pytest printed."""
    return run.stdout[-3000:] + run.stderr[-1000:]


@pytest.mark.parametrize("name", ("seed 1", "seed 2"))
def test_kernels_agree_with_the_definitions(runs, name):
    run = runs[name].result()
    assert run.returncode == 0, said(run)


def test_kernels_pass_the_tests_of_the_losses(runs):
    run = runs["shared"].result()
    assert run.returncode == 0, said(run)


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_caught(runs, name):
    """By a failing assertion, by the fence behind a tensor, or by the check of an address."""
    run = runs[name].result()
    assert run.returncode in STOPPED and (run.returncode < 0 or " failed" in run.stdout), said(run)


def test_more_entries_than_32_bits_count(runs):
    """Above 2^32 entries, blocks on either side of 2^31 and 2^32 and the last find what a small problem finds."""
    run = runs["large"].result()
    if run.returncode == NO_ROOM:
        pytest.skip("100 GB of addresses, of which a few pages are touched, cannot be reserved here")
    assert run.returncode == 0, said(run)
    assert int(run.stdout) > 200_000


@pytest.mark.parametrize("name", NARROW)
def test_an_index_of_32_bits_is_caught(runs, name):
    """By a difference, or by an address that is nobody's."""
    run = runs[name].result()
    if run.returncode == NO_ROOM:
        pytest.skip("100 GB of addresses cannot be reserved here")
    assert run.returncode in (1, *STOPPED), said(run)


def test_host_code_waits_for_nothing_and_allocates_by_torch():
    """What a CUDA graph cannot capture: of CUDA and of c10::cuda only these names, of tensors nothing that is read."""
    named, read = set(), []
    for path in sorted((ROOT / "csrc" / "cuda").iterdir()):
        code = re.sub(r"//.*", "", path.read_text())
        code = re.sub(r"TORCH_LIBRARY_IMPL\(.*|#include.*", "", code)
        named |= set(re.findall(r"\bcuda(?:_\w+)?[A-Z]\w+|\bc10::cuda::\w+|\bcu[A-Z]\w+", code))
        read += re.findall(rf"\b(?:{'|'.join(READ_BY_THE_HOST)})\b", code)
    assert named == {"cudaStream_t", "c10::cuda::CUDAGuard", "c10::cuda::getCurrentCUDAStream"}
    assert read == []
