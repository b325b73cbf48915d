"""Losses and weights that timm has too: equal to its own in fp64, and right where its own are not."""

from collections.abc import Callable

import pytest
import timm.loss
import torch
from torch import Tensor, nn

from mlcfast.losses import balanced_weights, build_loss

COUNTS, IMAGES = [1, 40, 3, 12, 0, 25, 6], 50
ASYMMETRIC = {"gamma_neg": 2.0, "gamma_pos": 0.5, "clip": 0.1, "eps": 1e-5, "disable_torch_grad_focal_loss": True}
DETECTION = {"epsilon": -1.0, "gamma": 2.0, "alpha": 0.25}
BALANCED = {"map_alpha": 0.2, "map_beta": 5.0, "neg_scale": 3.0, "init_bias": 0.1, "focal_gamma": 0.0}
WEIGHTS = {"pos_weight": [3.0, 1.0, 0.5, 2.0, 7.0, 1.0, 1.0]}
PAIRS: dict[str, tuple[str, dict, Callable[[], nn.Module]]] = {
    "asymmetric": ("asymmetric", {}, lambda: timm.loss.AsymmetricLossMultiLabel(reduction="mean")),
    "asymmetric, other options": (
        "asymmetric", ASYMMETRIC, lambda: timm.loss.AsymmetricLossMultiLabel(reduction="mean", **ASYMMETRIC),
    ),
    "asymmetric, weighed": (
        "asymmetric", WEIGHTS,
        lambda: timm.loss.AsymmetricLossMultiLabel(reduction="mean", pos_weight=torch.tensor(WEIGHTS["pos_weight"])),
    ),
    "cross-entropy": ("poly", {"epsilon": 0.0}, lambda: timm.loss.BinaryCrossEntropy(smoothing=0.0)),
    "poly": ("poly", {}, timm.loss.PolyBinaryCrossEntropy),
    "poly, focal": ("poly", DETECTION, lambda: timm.loss.PolyBinaryCrossEntropy(**DETECTION)),
    "db": ("db", {}, lambda: timm.loss.DistributionBalancedLoss(COUNTS, IMAGES)),
    "db, other options": ("db", BALANCED, lambda: timm.loss.DistributionBalancedLoss(COUNTS, IMAGES, **BALANCED)),
    "zlpr": ("zlpr", {}, timm.loss.ZlprLoss),
    "two_way": ("two_way", {}, timm.loss.TwoWayLoss),
    "two_way, other temperatures": ("two_way", {"tp": 2.0, "tn": 0.5}, lambda: timm.loss.TwoWayLoss(2.0, 0.5)),
}  # fmt: skip


def ours(name: str, options: dict) -> nn.Module:
    loss = build_loss(name, **options)
    loss.set_label_counts(torch.tensor(COUNTS), IMAGES)
    return loss


def value_and_gradient(loss: Callable[[Tensor, Tensor], Tensor], x: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
    logits = x.clone().requires_grad_()
    value = loss(logits, z)
    value.backward()
    return value.detach(), logits.grad


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("pair", PAIRS)
def test_it_is_timms(monkeypatch, pair, seed):
    """timm computes in fp32 whatever it is given: its conversions are taken as fp64 here, to compare to 1e-10."""
    name, options, make = PAIRS[pair]
    random = torch.Generator().manual_seed(seed)
    x = 3 * torch.randn(9, 7, generator=random, dtype=torch.float64)
    z = (torch.rand(9, 7, generator=random) < 0.4).double()
    z[0], z[1], z[:, 0], z[:, 1] = 0, 1, 0, 1
    expected = value_and_gradient(ours(name, options), x, z)
    monkeypatch.setattr(torch, "float32", torch.float64)
    monkeypatch.setattr(Tensor, "float", Tensor.double)
    for one, other in zip(value_and_gradient(make().double(), x, z), expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("method", ["neg_pos", "inv_freq", "effective_num"])
@pytest.mark.parametrize("number", [None, 0.5])
def test_the_weights_are_timms(method, number):
    named = {} if number is None else {"beta" if method == "effective_num" else "power": number}
    counts = COUNTS if method == "neg_pos" else [*COUNTS, IMAGES]  # of a label that all have it makes 0
    _, expected = timm.loss.compute_class_weights(counts, IMAGES, method, **named)
    torch.testing.assert_close(balanced_weights(method, torch.tensor(counts), IMAGES, number).float(), expected)


@pytest.mark.parametrize(
    ("name", "options", "make", "x", "z"),
    [
        # A power below 1 of a probability that rounds to 0 has an infinite slope.
        ("poly", {"gamma": 0.5}, lambda: timm.loss.PolyBinaryCrossEntropy(gamma=0.5), [[40.0, -2.0]], [[1, 0]]),
        (
            "asymmetric", {"gamma_neg": 0.5, "clip": 0.0},
            lambda: timm.loss.AsymmetricLossMultiLabel(gamma_neg=0.5, clip=0.0, reduction="mean"),
            [[-200.0, 2.0]], [[0, 1]],
        ),
        # What stands in for −∞ is −1e4: beyond it, masked entries count.
        ("two_way", {}, timm.loss.TwoWayLoss, [[5e4, 4.5e4]], [[1, 0]]),
        # The mean of nothing.
        ("zlpr", {}, timm.loss.ZlprLoss, [], []),
    ],
)  # fmt: skip
def test_where_timms_is_wrong_ours_is_right(name, options, make, x, z):
    logits, labels = torch.tensor(x).reshape(-1, 2), torch.tensor(z).reshape(-1, 2)
    exact, slope = value_and_gradient(ours(name, options), logits.double(), labels)
    theirs = value_and_gradient(make(), logits, labels)
    assert not all(torch.allclose(one, other.float()) for one, other in zip(theirs, (exact, slope), strict=True))
    found = value_and_gradient(ours(name, options), logits, labels)
    for one, other in zip(found, (exact, slope), strict=True):
        assert other.isfinite().all()
        torch.testing.assert_close(one, other.float(), rtol=1e-6, atol=1e-30)
