"""Label smoothing: each loss against its definition in fp64, unknown labels, weights, and where it is refused."""

import math

import pytest
import torch

from mlcfast.losses import LOSSES, build_loss
from mlcfast.losses.label_smoothing import WITHOUT, soft
from mlcfast.ops.asymmetric_loss.reference import asymmetric_loss

B, K, S = 6, 7, 0.2
OF_ALL = ("bce", "an", "wan", "focal", "poly", "hill")  # what is unknown counts as negative and is smoothed as such
OF_KNOWN = ("iu", "iun", "em", "em_apl", "ll_r", "ll_ct", "ll_cp", "splc", "gr")
PUBLISHED = ("bce_ls", "an_ls")  # which smooth by a share of their own


def problem() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(3)
    x = 3 * torch.randn(B, K, generator=random, dtype=torch.float64)
    z = torch.randint(-1, 2, (B, K), generator=random).double()
    z[0], z[:, 0] = 0, 0
    return x, z, torch.where(z == 0, torch.randint(0, 2, (B, K), generator=random).double(), z.clamp(min=0))


def make(name: str, **options):
    loss = build_loss(name, **({"delta": 0.05} if name.startswith("ll_") else {}) | options)
    loss.begin_epoch(3, 8)
    return loss


def entries(name: str, x: torch.Tensor, z: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """One entry after the other by the loss itself; the largest losses are those of the whole batch."""
    if name.startswith("ll_"):
        loss, value = make(name), torch.empty(B, K, dtype=torch.float64)
        loss(x, z)
        changed = loss.changed
        up, down = torch.log1p(torch.exp(-x)), torch.log1p(torch.exp(x))
        value = torch.where(z > 0, up, down)
        return torch.where(changed, up if name != "ll_r" else torch.zeros(()).double(), value)
    of_one = make(name)
    if name == "wan":
        of_one = lambda v, t, true_labels: make("an")(v, t) / (1 if t > 0 else K - 1)  # noqa: E731
    cells = [
        [
            of_one(x[b : b + 1, k : k + 1], z[b : b + 1, k : k + 1], true_labels=truth[b : b + 1, k : k + 1])
            for k in range(K)
        ]
        for b in range(B)
    ]
    return torch.tensor(cells, dtype=torch.float64)


@pytest.mark.parametrize("backend", ["auto", "reference"])
@pytest.mark.parametrize("name", [*OF_ALL, *OF_KNOWN])
def test_a_known_label_counts_as_its_opposite_by_half_the_share(name, backend, monkeypatch):
    monkeypatch.setenv("MLCFAST_BACKEND", backend)
    x, z, truth = problem()
    known = torch.ones(B, K, dtype=torch.bool) if name in OF_ALL else z != 0
    if name == "iun":
        known = (z > 0) | (truth <= 0)
    turned = torch.where(known, torch.where(z > 0, -1.0, 1.0), z)
    opposite_truth = torch.where(turned < 0, 0.0, truth)
    own, other = entries(name, x, z, truth), entries(name, x, turned, opposite_truth)
    expected = torch.where(known, (1 - S / 2) * own + S / 2 * other, own).mean()
    value = make(name, label_smoothing=S)(x, z, true_labels=truth)
    torch.testing.assert_close(value, expected, rtol=1e-10, atol=0)
    assert not torch.isclose(value, make(name)(x, z, true_labels=truth), rtol=1e-4)
    assert torch.equal(make(name, label_smoothing=0.0)(x, z, true_labels=truth), make(name)(x, z, true_labels=truth))


@pytest.mark.parametrize("name", ["iu", "em", "em_apl", "ll_r", "splc", "gr"])
def test_unknown_labels_stay_unknown(name):
    x, z, _ = problem()
    unknown = torch.zeros_like(z)
    assert torch.allclose(make(name, label_smoothing=S)(x, unknown), make(name)(x, unknown), rtol=1e-14)


def test_soft_negatives_of_em_apl_stay_as_they_are():
    x = problem()[0]
    labels = torch.full_like(x, -0.3)
    assert torch.allclose(make("em_apl", label_smoothing=S)(x, labels), make("em_apl")(x, labels), rtol=1e-14)


def test_the_asymmetric_loss_takes_the_soft_labels_of_keras_and_timm():
    x, z, _ = problem()
    targets = z.clamp(min=0) * (1 - S) + S / 2
    assert torch.equal(soft(z, S, x), targets) and set(targets.unique().tolist()) == {0.1, 0.9}
    expected = asymmetric_loss(x, targets, gamma_neg=4, gamma_pos=1, clip=0.05, reduction="mean")
    torch.testing.assert_close(build_loss("asymmetric", label_smoothing=S)(x, z), expected, rtol=1e-12, atol=0)
    assert "label_smoothing=0.2" in repr(build_loss("asymmetric", label_smoothing=S))


@pytest.mark.parametrize("dtype", [torch.bool, torch.int64, torch.float32])
@pytest.mark.parametrize("name", (*OF_ALL, "asymmetric"))
def test_labels_of_another_type_cost_no_digits(name, dtype):
    x, z, _ = problem()
    z = z.clamp(min=0)
    loss = make(name, label_smoothing=S)
    torch.testing.assert_close(loss(x, z.to(dtype)), loss(x, z), rtol=1e-14, atol=0)


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_published_kinds_keep_their_share(name):
    x, z, _ = problem()
    plain = name.removesuffix("_ls")
    torch.testing.assert_close(build_loss(name)(x, z), build_loss(plain, label_smoothing=0.2)(x, z), rtol=1e-12, atol=0)


@pytest.mark.parametrize("name", ["bce", "focal", "poly", "asymmetric"])
def test_an_entry_is_weighed_by_the_label_that_it_has(name):
    x, z, _ = problem()
    weights = torch.arange(1, K + 1).double()
    smooth = build_loss(name, label_smoothing=S, reduction="none")(x, z)
    value = build_loss(name, label_smoothing=S, pos_weight=3.0, class_weight=weights.tolist())(x, z)
    torch.testing.assert_close(value, (smooth * weights * torch.where(z > 0, 3.0, 1.0)).mean(), rtol=1e-12, atol=0)


@pytest.mark.parametrize("name", ["bce", "iu", "asymmetric", "focal", "hill", "splc", "em", "gr", "ll_r"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_far_logits_label_types_and_compiling(name, dtype):
    x = torch.tensor([[1e4, -1e4, 90.0, -90.0], [0.0, 20.0, -20.0, 1e4]], dtype=dtype).requires_grad_()
    z = torch.tensor([[0, 1, 0, 1], [1, 0, 0, 1]])
    values = []
    for labels in (z, z.bool(), z.to(torch.uint8), z.float()):
        x.grad = None
        value = make(name, label_smoothing=S)(x, labels)
        value.backward()
        assert value.isfinite() and x.grad.isfinite().all() and x.grad.dtype == dtype
        values.append(value.detach())
    assert all(torch.equal(value, values[0]) for value in values)
    compiled = torch.compile(make(name, label_smoothing=S), fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x, z).detach(), values[0])


@pytest.mark.parametrize("name", sorted(WITHOUT))
def test_where_it_has_no_meaning_it_is_refused_with_the_reason(name):
    with pytest.raises(ValueError, match=f"loss {name} takes no label_smoothing: "):
        build_loss(name, label_smoothing=0.1)


def test_every_loss_takes_it_or_says_why_not():
    taken = {*OF_ALL, *OF_KNOWN, *PUBLISHED, "asymmetric"}
    assert taken | WITHOUT.keys() == set(LOSSES) and not taken & WITHOUT.keys()
    for name in taken:
        assert build_loss(name, label_smoothing=0.1).label_smoothing == 0.1
        for wrong in (-0.1, 1.5, math.nan, "much"):
            with pytest.raises(ValueError, match="label_smoothing must be"):
                build_loss(name, label_smoothing=wrong)
