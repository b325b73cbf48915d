"""The Triton kernels against the native path, in Triton's interpreter.

The interpreter has to be on before Triton loads, so the first test runs the others in a process of their own; those of
test_groupwise_linear_triton.py go with them.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from bench.cases.attention import accurate, gradients, learn, make
from bench.cases.problem import verdict
from mlcfast.ops import label_query_attention
from mlcfast.ops.label_query_attention import matmul
from mlcfast.ops.label_query_attention.reference import label_query_attention as reference
from tests.not_run import LEFT_TO_IT, ran_elsewhere

interpreted = pytest.mark.interpreted
CASES = [(2, 3, 7, 24, 2), (1, 1, 1, 16, 1), (2, 17, 40, 36, 2)]  # B, K, N, D, H; tiles are 32 rows of 32 cells


def test_the_kernels_in_the_interpreter(pytestconfig):
    pytest.importorskip("triton")
    environment = {**os.environ, "TRITON_INTERPRET": "1", "MLCFAST_BACKEND": "triton"}
    files = [__file__, str(Path(__file__).with_name("test_groupwise_linear_triton.py"))]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "interpreted", *files]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout[-4000:]
    assert ran_elsewhere(pytestconfig, "Triton's interpreter", done.stdout) >= pytestconfig.stash[LEFT_TO_IT]


@pytest.fixture(autouse=True)
def poisoned(monkeypatch):
    """Uninitialised memory is NaN, so that a store that misses shows."""
    torch.use_deterministic_algorithms(True)
    monkeypatch.setattr(torch.utils.deterministic, "fill_uninitialized_memory", True)
    yield
    torch.use_deterministic_algorithms(False)


def _both(tensors, heads, dropout, monkeypatch):
    """Outputs and gradients by the kernels and natively, from the same seed."""
    results = []
    for backend in ("triton", "native"):
        monkeypatch.setenv("MLCFAST_BACKEND", backend)
        learnt = learn(tensors)
        learnt[2] = None if learnt[2] is None else learnt[2].detach()
        torch.manual_seed(11)
        out, weights = label_query_attention(*learnt, heads, dropout, True, "folded")
        wanted = [t if t is not None and t.requires_grad else None for t in learnt]
        results.append([out, weights, *gradients(out, wanted)])
    return results


@interpreted
@pytest.mark.parametrize("dropout", [0.0, 0.4])
@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("sizes", CASES)
def test_kernels_equal_the_native_path(sizes, shared, dropout, monkeypatch):
    B, K, N, D, H = sizes
    for positions in {None, 1, B}:
        tensors = make(B, K, N, D, shared, positions, torch.float32)
        for got, want in zip(*_both(tensors, H, dropout, monkeypatch), strict=True):
            torch.testing.assert_close(got, want, rtol=2e-4, atol=2e-5)


@interpreted
def test_slices_of_one_image_add_up(monkeypatch):
    monkeypatch.setattr(matmul, "SLICE_BYTES", 1)
    for got, want in zip(*_both(make(3, 3, 7, 24, dtype=torch.float32), 2, 0.4, monkeypatch), strict=True):
        torch.testing.assert_close(got, want, rtol=2e-4, atol=2e-5)


@interpreted
@pytest.mark.parametrize("problem", accurate("triton"), ids=str)
def test_the_error_is_at_most_twice_plain_torch(problem):
    torch.manual_seed(0)
    row = verdict(problem)
    assert row["passed"], row


@interpreted
def test_a_gradient_of_the_position_is_exact_too():
    ours, plain = learn(make(2, 3, 7, 24, dtype=torch.float32)), learn(make(2, 3, 7, 24, dtype=torch.float32))
    got = gradients(label_query_attention(*ours, 2)[0], ours)
    for mine, theirs in zip(got, gradients(reference(*plain, 2)[0], plain), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=2e-4, atol=2e-5)


@interpreted
def test_operator_contract():
    operator = torch.ops.mlcfast.label_query_attention.default
    tensors = learn(make(2, 3, 7, 24, dtype=torch.float32))
    tensors[2] = tensors[2].detach()
    arguments = (*tensors, torch.tensor(5), torch.float32, 2, 0.3, True, True, False, True, True, True)
    torch.library.opcheck(
        operator, arguments, test_utils=("test_schema", "test_autograd_registration", "test_faketensor")
    )
