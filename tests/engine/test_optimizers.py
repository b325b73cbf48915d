"""The schedule against torch's, dropped steps, and the state of optimizers that are not Adam."""

import pytest
import torch

from mlcfast.config import OptimConfig
from mlcfast.engine.optimizers import Schedule, moments_of, set_moments, step_unless

NOT_ADAM = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9),
    "plain adamw": lambda p: torch.optim.AdamW(p, lr=0.1),
    "rmsprop": lambda p: torch.optim.RMSprop(p, lr=0.1),
    "fused sgd": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, fused=True),
}


def parameter() -> torch.nn.Parameter:
    return torch.nn.Parameter(torch.arange(6.0).view(2, 3) / 7)


@pytest.mark.parametrize("warmup", [0.0, 0.2, 0.5])
@pytest.mark.parametrize("steps", [1, 3, 10, 1000])
def test_one_cycle_is_torchs_to_the_last_bit(steps, warmup):
    settings = OptimConfig(lr=3e-4, warmup=warmup)
    ours, theirs = (torch.optim.AdamW([parameter()], lr=settings.lr) for _ in range(2))
    schedule, total = Schedule(settings, ours, steps), max(steps, 3)
    reference = torch.optim.lr_scheduler.OneCycleLR(
        theirs, max_lr=settings.lr, total_steps=total, pct_start=max(warmup, 2 / total)
    )
    for step in range(total):
        schedule.apply(step)
        expected = theirs.param_groups[0]
        assert ours.param_groups[0]["lr"] == pytest.approx(expected["lr"], rel=1e-12, abs=0)
        assert ours.param_groups[0]["betas"] == pytest.approx(expected["betas"], rel=1e-15)
        if step < total - 1:
            theirs.step()
            reference.step()


def test_groups_keep_the_ratio_of_their_rates():
    optimizer = torch.optim.Adam([{"params": [parameter()], "lr": 1e-3}, {"params": [parameter()], "lr": 1e-2}])
    schedule = Schedule(OptimConfig(), optimizer, 100)
    for step in (0, 7, 50, 99, 500):
        schedule.apply(step)
        first, second = (group["lr"] for group in optimizer.param_groups)
        assert second == pytest.approx(10 * first)
        assert schedule.rate(step) == pytest.approx(OptimConfig().lr / 1e-3 * first)


def test_a_constant_schedule_leaves_everything():
    optimizer = torch.optim.SGD([parameter()], lr=0.5, momentum=0.3)
    Schedule(OptimConfig(schedule="constant"), optimizer, 9).apply(4)
    assert (optimizer.param_groups[0]["lr"], optimizer.param_groups[0]["momentum"]) == (0.5, 0.3)


@pytest.mark.parametrize("make", NOT_ADAM.values(), ids=NOT_ADAM.keys())
def test_a_dropped_step_changes_nothing(make):
    p = parameter()
    optimizer = make([p])
    for value in (1.0, float("nan"), 2.0):
        p.grad = torch.full_like(p, value)
        before = p.detach().clone(), {key: held.clone() for key, held in moments_of(optimizer, p).items()}
        skipped = torch.tensor(float(value != value))
        step_unless(optimizer, skipped)
        assert torch.equal(before[0], p) == bool(skipped)
        if skipped:
            assert all(torch.equal(held, before[1][key]) for key, held in moments_of(optimizer, p).items())


@pytest.mark.parametrize("make", NOT_ADAM.values(), ids=NOT_ADAM.keys())
def test_the_state_moves_into_another_optimizer(make):
    first, second = parameter(), parameter()
    old, new = make([first]), make([second])
    for value in (1.0, -0.5, 0.25):
        first.grad = torch.full_like(first, value)
        old.step()
    with torch.no_grad():
        second.copy_(first)
    set_moments(new, second, {key: held.double().to(held.dtype) for key, held in moments_of(old, first).items()})
    for p, optimizer in ((first, old), (second, new)):
        p.grad = torch.full_like(p, 0.125)
        optimizer.step()
    assert torch.equal(first, second)
