"""The Triton kernels against the native path, in Triton's interpreter.

The interpreter has to be on before Triton loads, so the first test runs the others in a process of their own; those of
test_groupwise_linear_triton.py, test_layers_triton.py and test_tiles_triton.py go with them.
"""

import itertools
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
from mlcfast.ops.label_query_attention.plan import PLANS
from mlcfast.ops.label_query_attention.weights import laid_out
from tests.not_run import LEFT_TO_IT, ran_elsewhere

interpreted = pytest.mark.interpreted
CASES = [(2, 3, 7, 24, 2), (1, 1, 1, 16, 1), (2, 17, 70, 36, 2)]  # B, K, N, D, H; tiles are 64 cells of 32 rows


def test_the_kernels_in_the_interpreter(pytestconfig):
    pytest.importorskip("triton")
    environment = {**os.environ, "TRITON_INTERPRET": "1", "MLCFAST_BACKEND": "triton"}
    others = ("test_groupwise_linear_triton.py", "test_layers_triton.py", "test_tiles_triton.py")
    files = [__file__, *(str(Path(__file__).with_name(name)) for name in others)]
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


def both_paths(tensors, heads, dropout, monkeypatch, plan="folded"):
    """Outputs and gradients by the kernels and natively, from the same seed."""
    results = []
    for backend in ("triton", "native"):
        monkeypatch.setenv("MLCFAST_BACKEND", backend)
        learnt = learn(tensors)
        torch.manual_seed(11)
        out, weights = label_query_attention(*learnt, heads, dropout, True, plan)
        wanted = [t if t is not None and t.requires_grad else None for t in learnt]
        results.append([out, weights, *gradients(out, wanted)])
    return results


@interpreted
@pytest.mark.parametrize("dropout", [0.0, 0.4])
@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("sizes", CASES)
def test_kernels_equal_the_native_path(sizes, plan, dropout, monkeypatch):
    """The layouts of scores and of kept weights that each plan asks for; the mask is the same bit for bit."""
    B, K, N, D, H = sizes
    for shared, positions in ((True, None), (False, 1)):
        tensors = make(B, K, N, D, shared, positions, torch.float32)
        for got, want in zip(*both_paths(tensors, H, dropout, monkeypatch, plan), strict=True):
            torch.testing.assert_close(got, want, rtol=2e-4, atol=2e-5)


@interpreted
def test_slices_of_one_image_add_up(monkeypatch):
    monkeypatch.setattr(matmul, "SLICE_BYTES", 1)
    for got, want in zip(*both_paths(make(3, 3, 7, 24, dtype=torch.float32), 2, 0.4, monkeypatch), strict=True):
        torch.testing.assert_close(got, want, rtol=2e-4, atol=2e-5)


@interpreted
@pytest.mark.parametrize("problem", accurate("triton"), ids=str)
def test_the_error_is_at_most_twice_plain_torch(problem):
    torch.manual_seed(0)
    row = verdict(problem)
    assert row["passed"], row


@interpreted
def test_scores_beyond_the_range_of_half_precision_differences():
    """Rows of one huge score, of equal scores, and of scores whose exponentials all vanish beside the largest."""
    scores = torch.zeros(1, 70, 3, 1, dtype=torch.float16)
    scores[0, 5, 0], scores[0, :, 1], scores[0, :, 2, 0] = 6e4, -6e4, torch.linspace(-6e4, 6e4, 70).half()
    weights, _, _ = torch.ops.mlcfast.attention_weights(scores, 0.5, None, 0.0, 0, False)
    torch.testing.assert_close(weights, torch.softmax(scores.float() / 2, 1).half(), rtol=1e-3, atol=1e-7)


@interpreted
def test_operator_contract():
    tensors = learn(make(2, 3, 7, 24, dtype=torch.float32))
    arguments = (*tensors, torch.tensor(5), torch.float32, 2, 0.3, True, True, False, True, True, True)
    checks = ("test_schema", "test_autograd_registration", "test_faketensor")
    torch.library.opcheck(torch.ops.mlcfast.label_query_attention.default, arguments, test_utils=checks)
    for dropout in (0.0, 0.3):
        scores, drawn = torch.randn(2, 7, 3, 2), (torch.tensor(5), dropout, 1)
        beta, checks = torch.randn(2, 3, 2) if dropout else None, ("test_schema", "test_faketensor")
        for scores_by_head, kept_by_head in itertools.product((False, True), repeat=2):
            given, grad = laid_out(scores, scores_by_head), laid_out(torch.randn_like(scores), kept_by_head)
            operator, forward = torch.ops.mlcfast.attention_weights.default, (given, 0.5, *drawn, kept_by_head)
            torch.library.opcheck(operator, forward, test_utils=checks)
            operator = torch.ops.mlcfast.attention_weights_backward.default
            torch.library.opcheck(operator, (grad, beta, 0.5, given, *drawn), test_utils=checks)
