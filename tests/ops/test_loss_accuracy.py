"""Every loss, forward and backward, is as right as plain torch in the same dtype over random and awkward inputs.

The cases and their bounds are in bench/cases/losses.py: what bench.run times has passed the same ones on its device.
"""

from functools import partial

import pytest
import torch

from bench.cases.losses import K_SET, Case, Loss, case_rows, empty_row, errors, extreme_case, nan_row, random_rows, run
from bench.cases.problem import DTYPES, ONE_CASE, row_of, worst
from mlcfast import ops
from mlcfast.ops.expected_positives.reference import epr_loss as epr_reference
from mlcfast.ops.expected_positives.reference import role_loss as role_reference
from mlcfast.ops.label_bce.reference import weighted_bce as weighted_reference
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


AN = ((1.0, 0.0), (0.0, 1.0), (0.0, 1.0))
OF_EPS = {  # a loss and its definition, called as those of bench/cases/losses.py are, and with eps
    "an": tuple(
        lambda x, c, rows, reduction, eps, f=f: f(x, c.labels, *AN, None, eps, reduction)
        for f in (ops.weighted_bce, weighted_reference)
    ),
    "epr": tuple(
        lambda x, c, rows, reduction, eps, f=f: f(x, c.labels, 2.9, eps=eps) for f in (ops.epr_loss, epr_reference)
    ),
    "role": tuple(
        lambda x, c, rows, reduction, eps, f=f: f(x, c.labels, rows, 2.9, eps=eps)
        for f in (ops.role_loss, role_reference)
    ),
}


@pytest.mark.parametrize("eps", [1e-30, 1e-9, 1e-5, 1e-3, 5e-2])
@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("name", OF_EPS)
def test_error_for_every_eps(name, soft, eps):
    """eps too small for products of four, and too large for a series in it; labels hard and soft."""
    random = torch.Generator().manual_seed(5)
    logits, rows, labels = (torch.randn(3, 771, generator=random) for _ in range(3))
    labels = labels.clamp(-1, 1) if soft else labels.round().clamp(-1, 1)
    case = Case(logits * 4, labels, rows * 4, labels > 0)
    pairs = errors(Loss(*(partial(call, eps=eps) for call in OF_EPS[name])), case, "mean").values()
    row = worst(row_of(name, torch.float32), [(*pair, ONE_CASE) for pair in pairs])
    assert row["passed"], row


@pytest.mark.parametrize("name", LOSSES)
def test_same_bits_each_run_and_for_any_number_of_threads(name):
    random = torch.Generator().manual_seed(3)
    logits = torch.randn(900, 97, generator=random)  # two threads share them
    case = Case(logits, torch.rand(900, 97, generator=random) < 0.1, logits * 0.5, logits > 0)
    first = run(LOSSES[name].fused, case, "mean")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        again = run(LOSSES[name].fused, case, "mean")
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
