"""The table of labels that losses change: what is held, what becomes positive, which entries become soft negatives."""

import pytest
import torch

from mlcfast.losses import PseudoLabels, build_loss

N, K = 40, 3


def observed() -> torch.Tensor:
    random = torch.Generator().manual_seed(0)
    return (torch.randint(-1, 2, (N, K), generator=random) * (torch.rand(N, K, generator=random) < 0.4)).to(torch.int8)


@pytest.mark.parametrize("dtype", [torch.int8, torch.int64, torch.float32])
def test_it_starts_with_what_is_observed(dtype):
    table = PseudoLabels(observed().to(dtype))
    index = torch.tensor([3, 0, 39])
    assert torch.equal(table(index), observed()[index].float())
    assert list(table.state_dict()) == ["labels"] and not table.labels.is_floating_point()


def test_what_is_chosen_stays_positive():
    table = PseudoLabels(observed())
    index = torch.tensor([3, 7])
    chosen = torch.tensor([[True, False, True], [False, False, True]])
    table.make_positive(index, chosen)
    expected = observed().float()
    expected[3, 0] = expected[3, 2] = expected[7, 2] = 1
    assert torch.equal(table(torch.arange(N)), expected)


def test_the_lowest_unknown_entries_become_soft_negatives():
    """By the paper's rule written anew, over three rounds; what is known or soft already is left alone."""
    table, before = PseudoLabels(observed()), observed().double()
    at_start = (before == 0).sum(0)
    for seed in range(3):
        scores = torch.rand(N, K, generator=torch.Generator().manual_seed(seed))
        made = table.make_soft_negative(scores, 0.3)
        for k in range(K):
            unknown = [(scores[i, k].item(), i) for i in range(N) if before[i, k] == 0]
            for score, i in sorted(unknown)[: int(0.3 * int(at_start[k]))]:
                before[i, k] = -score
                made -= 1
        assert made == 0
        torch.testing.assert_close(table(torch.arange(N)).double(), before, rtol=0, atol=2**-24)
    assert ((before < 0) & (before > -1)).sum() > N


def test_a_soft_label_is_never_hard_and_the_unknown_run_out():
    table = PseudoLabels(torch.zeros(4, 2, dtype=torch.int8))
    assert table.make_soft_negative(torch.tensor([[0.0, 1.0]] * 4), 0.75) == 6
    assert table.make_soft_negative(torch.full((4, 2), 0.5), 0.75) == 2
    assert table.make_soft_negative(torch.full((4, 2), 0.5), 0.75) == 0
    labels = table(torch.arange(4))
    assert ((labels < 0) & (labels > -1)).all()


def test_shares_add_up_to_nine_tenths():
    loss = build_loss("em_apl", warm_up=4)
    shares = [loss.soft_share(epoch, 10) for epoch in range(10)]
    assert shares[:3] == [0, 0, 0] and shares[9] == 0 and sum(shares) == pytest.approx(0.9)
    assert not any(loss.soft_share(epoch, 4) for epoch in range(4)) and not build_loss("em").soft_share(5, 10)


@pytest.mark.parametrize("kind", ["ll_r", "ll_ct", "ll_cp"])
def test_ll_cp_alone_changes_labels_for_good(kind):
    loss = build_loss(kind, delta=0.1)
    x, z = torch.randn(6, 5), torch.zeros(6, 5)
    loss.begin_epoch(0, 4)
    loss(x, z)
    assert loss.new_positives() is None
    loss.begin_epoch(1, 4)
    loss(x, z)
    positives = loss.new_positives()
    assert (positives is None) == (kind != "ll_cp")
    if positives is not None:
        assert positives.sum() == 3 and torch.equal(positives, x >= x.flatten().topk(3).values[-1])


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: PseudoLabels(torch.zeros(3)), "observed must be"),
        (lambda: PseudoLabels(torch.zeros(3, 2)).make_soft_negative(torch.zeros(2, 3), 0.1), "scores must be"),
        (lambda: build_loss("em_apl", warm_up=1.5), "warm_up must be a number of epochs"),
    ],
)
def test_wrong_use_is_named(call, says):
    with pytest.raises(ValueError, match=says):
        call()
