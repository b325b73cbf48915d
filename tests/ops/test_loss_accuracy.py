"""Every loss, forward and backward, is as right as plain torch in the same dtype over random and awkward inputs."""

import os
from collections import defaultdict

import pytest
import torch

from tests.ops.loss_cases import LOSSES, Case, Errors, errors, random_case, run

CASES = int(os.environ.get("MLCFAST_TEST_CASES", 300))
K_SET = (1, 20, 80, 81, 9605)


@pytest.mark.parametrize("name", LOSSES)
def test_error_is_at_most_twice_plain_torch(name):
    """Over all cases of a dtype the median, the 90th percentile and the largest error are at most twice plain torch's.

    Percentiles rather than case by case: in a case of few distinct entries plain torch is exact by luck. For the same
    reason its percentile counts as at least one rounding of the result, which no implementation can expect to beat.
    """
    random = torch.Generator().manual_seed(sum(map(ord, name)))
    loss = LOSSES[name]
    found: dict[tuple[str, torch.dtype], list[Errors]] = defaultdict(list)
    for number in range(CASES):
        case = random_case(random, large=number % 50 == 49)
        for error in errors(loss, case, loss.reductions[number % len(loss.reductions)]):
            found[error.output, error.dtype].append(error)
    for key, cases in found.items():
        for quantile in (0.5, 0.9, 1.0):
            plain, fused = (_quantile([getattr(e, side) for e in cases], quantile) for side in ("plain", "fused"))
            assert fused <= 2 * max(plain, 1.0), f"{key}, quantile {quantile}: {fused:.2f} against {plain:.2f} units"


def _quantile(values: list[float], quantile: float) -> float:
    return sorted(values)[round(quantile * (len(values) - 1))]


@pytest.mark.parametrize("K", K_SET)
@pytest.mark.parametrize("name", LOSSES)
def test_extreme_logits_are_finite_and_right(name, K):
    furthest = torch.inf if LOSSES[name].finite else 1e30
    extremes = torch.tensor([1e4, -1e4, furthest, -furthest, 0.0, 88.0, -88.0, 120.0])
    logits = extremes.repeat_interleave(2).repeat(1 + 3 * K // 16).view(-1)[: 3 * K].view(3, K)
    labels = (torch.arange(3 * K) % 2).view(3, K)
    case = Case(logits, labels, logits.flip(0).clamp(-1e4, 1e4), 1 - labels)
    for reduction in LOSSES[name].reductions:
        assert all(torch.isfinite(tensor).all() for tensor in run(LOSSES[name].fused, case, reduction))
        assert all(e.fused <= 2 * max(e.plain, 2.0) for e in errors(LOSSES[name], case, reduction))


@pytest.mark.parametrize("name", LOSSES)
def test_nan_logit_is_not_hidden(name):
    logits = torch.zeros(2, 5)
    logits[1, 3] = torch.nan
    case = Case(logits, torch.eye(2, 5), torch.zeros(2, 5), torch.eye(2, 5))
    loss, gradient, _ = run(LOSSES[name].fused, case, "mean")
    assert torch.isnan(loss) and torch.isnan(gradient[1, 3])


@pytest.mark.parametrize("dtype", (torch.float32, torch.bfloat16, torch.float16, torch.float64))
@pytest.mark.parametrize("name", LOSSES)
def test_empty_batch_is_zero(name, dtype):
    case = Case(torch.zeros(0, 7, dtype=dtype), torch.zeros(0, 7), torch.zeros(0, 7), torch.zeros(0, 7))
    loss, gradient, _ = run(LOSSES[name].fused, case, "mean")
    assert loss == 0 and gradient.shape == (0, 7)


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
