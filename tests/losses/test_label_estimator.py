"""The label estimator starts as published, and its sparse optimizer gives dense Adam's table."""

import math

import pytest
import torch

from mlcfast.losses import LabelEstimator, ROLELoss, TableAdam


def test_start_is_the_published_one():
    observed = torch.tensor([[1, 0, -1], [0, 0, 1]])
    table = LabelEstimator(2, 3, observed, torch.Generator().manual_seed(0)).table.detach()
    bound = math.log(0.6 / 0.4)
    assert torch.sigmoid(table[0, 0]).item() == pytest.approx(0.995, abs=1e-6)
    assert torch.sigmoid(table[0, 2]).item() == pytest.approx(0.005, abs=1e-6)
    assert (table[observed == 0].abs() <= bound).all() and table[observed == 0].abs().min() > 0


@pytest.mark.parametrize("by_reference", (False, True))
def test_table_adam_is_dense_adam(by_reference):
    """600 steps over 24 images, some silent for hundreds of steps, repeated indices, a changing learning rate."""
    random = torch.Generator().manual_seed(1)
    observed = (torch.rand(24, 5, generator=random) < 0.2).long()
    sparse = LabelEstimator(24, 5, observed, torch.Generator().manual_seed(2))
    dense = LabelEstimator(24, 5, observed, torch.Generator().manual_seed(2), sparse=False).double()
    ours, adam = TableAdam(sparse, lr=1e-2), torch.optim.Adam(dense.parameters(), lr=1e-2)
    loss = ROLELoss(1.5)
    for step in range(600):
        most = 24 if step in (0, 400) else 6
        index = torch.randint(0, most, (8,), generator=random)
        logits = torch.randn(8, 5, generator=random)
        for group in (*ours.param_groups, *adam.param_groups):
            group["lr"] = 1e-2 * (1 + step % 7)
        ours.zero_grad()
        adam.zero_grad()
        rows = sparse.rows(index) if by_reference else sparse(index)
        loss(logits, observed[index], rows).backward()
        loss(logits.double(), observed[index], dense(index)).backward()
        ours.step()
        adam.step()
    ours.catch_up()
    moved = (dense.table.detach() - LabelEstimator(24, 5, observed, torch.Generator().manual_seed(2)).table).abs().max()
    assert moved > 1
    torch.testing.assert_close(sparse.table.double(), dense.table, rtol=0, atol=2e-4)


def test_table_adam_state_survives_saving(tmp_path):
    estimator = LabelEstimator(6, 3)
    optimizer = TableAdam(estimator)
    for index in (torch.tensor([0, 1]), torch.tensor([4, 5])):
        estimator(index).square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()
    torch.save((estimator.state_dict(), optimizer.state_dict()), tmp_path / "state.pt")
    other = LabelEstimator(6, 3)
    restored = TableAdam(other)
    table, state = torch.load(tmp_path / "state.pt")
    other.load_state_dict(table)
    restored.load_state_dict(state)
    for one, its in ((estimator, optimizer), (other, restored)):
        one(torch.tensor([1, 5])).square().sum().backward()
        its.step()
        its.catch_up()
    assert torch.equal(estimator.table, other.table)


@pytest.mark.parametrize(("N", "K", "observed"), [(0, 3, None), (3, 0, None), (2, 3, torch.zeros(3, 2))])
def test_wrong_sizes_are_named(N, K, observed):
    with pytest.raises(ValueError, match=r"num_images|observed"):
        LabelEstimator(N, K, observed)


@pytest.mark.parametrize(("options", "says"), [({"lr": -1}, "lr and eps"), ({"betas": (1, 0.9)}, "betas must be in")])
def test_options_that_are_none_are_named(options, says):
    with pytest.raises(ValueError, match=says):
        TableAdam(LabelEstimator(2, 3), **options)
