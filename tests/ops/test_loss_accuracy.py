"""Every loss, forward and backward, is as right as plain torch in the same dtype over random and awkward inputs.

The cases and their bounds are in bench/cases/losses.py: what bench.run times has passed the same ones on its device.
"""

import pytest
import torch

from bench.cases.losses import K_SET, Case, case_rows, empty_row, extreme_case, nan_row, random_rows, run
from bench.cases.problem import DTYPES
from tests.ops.loss_cases import EVERY, LOSSES


@pytest.mark.parametrize("name", EVERY)
def test_error_is_at_most_twice_plain_torch(name):
    rows = list(random_rows(name))
    assert len(rows) >= 18 and not [row for row in rows if not row["passed"]]


@pytest.mark.parametrize("K", K_SET)
@pytest.mark.parametrize("name", EVERY)
def test_extreme_logits_are_finite_and_right(name, K):
    case = extreme_case(K, furthest=min(EVERY[name].furthest, torch.inf if EVERY[name].finite else 1e30))
    rows = list(case_rows(name, "extreme", case))
    assert len(rows) == len(EVERY[name].reductions) and not [row for row in rows if not row["passed"]]
    for reduction in EVERY[name].reductions:
        assert all(torch.isfinite(tensor).all() for tensor in run(EVERY[name].fused, case, reduction))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", EVERY)
def test_nan_logit_is_not_hidden(name, dtype):
    assert nan_row(name, dtype)["passed"]


@pytest.mark.parametrize("dtype", (*DTYPES, torch.float64))
@pytest.mark.parametrize("name", EVERY)
def test_empty_batch_is_zero(name, dtype):
    assert empty_row(name, dtype)["passed"]


@pytest.mark.parametrize("name", LOSSES)
def test_same_bits_each_run_and_for_any_number_of_threads(name):
    random = torch.Generator().manual_seed(3)
    logits = torch.randn(300, 97, generator=random)
    case = Case(logits, torch.rand(300, 97, generator=random) < 0.1, logits * 0.5, logits > 0)
    first = run(LOSSES[name].fused, case, "mean")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        again = run(LOSSES[name].fused, case, "mean")
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
