"""The losses that came after ROLE: their formulas written anew in fp64, extreme inputs, epochs, options."""

import math
import re

import pytest
import torch
import torchvision

from mlcfast.losses import build_loss
from mlcfast.losses.missing_labels import AsymmetricPseudoLabelLoss
from tests.ops.textbook_losses import TEXTBOOKS, ours

NAMES = ("em", "em_apl", "ll_r", "ll_ct", "ll_cp", "hill", "splc", "gr", "focal", "poly", "db", "zlpr", "two_way")
B, K = 5, 7
COUNTS, IMAGES = (0, 40, 3, 12, 1, 25, 6), 50
OPTIONS = {
    "poly": {"gamma": 1.5, "alpha": 0.3},
    "db": {"label_counts": COUNTS, "images": IMAGES},
    **{name: {"delta": 0.05} for name in ("ll_r", "ll_ct", "ll_cp")},
}


def make(name: str, epoch: int = 3, epochs: int = 8, **options):
    loss = build_loss(name, **OPTIONS.get(name, {}) | options)
    loss.begin_epoch(epoch, epochs)
    return loss


def problem(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(seed)
    x = 3 * torch.randn(B, K, generator=random, dtype=torch.float64)
    z = torch.randint(-1, 2, (B, K), generator=random).double()
    z[0] = 0  # an image with nothing observed
    z[:, 0] = 0  # a label with nothing observed
    z[1], z[:, 1] = 1, 1  # all positive
    return x, z


def entry(name: str, x: torch.Tensor, z: float, e: int, T: int) -> torch.Tensor:
    """One entry by the papers' formulas, e counted from 0; x is 0-d, and gradients flow where theirs do."""
    log, exp = torch.log, torch.exp
    f = 1 / (1 + exp(-x))
    nl = lambda p, eps=1e-5: -log(p + eps)  # noqa: E731
    if name in ("em", "em_apl"):
        return nl(f) if z == 1 else nl(1 - f) if z == -1 else -0.1 * (f * nl(f) + (1 - f) * nl(1 - f))
    if name == "hill":
        p = 1 / (1 + exp(-(x - 1)))
        return -((1 - p) ** 2) * log(p) if z == 1 else (1.5 - f) * f * f
    if name == "splc":
        p = 1 / (1 + exp(-(x - 1))) if z == 1 else f
        t = 1 if z == 1 or (z == 0 and e >= 1 and f > 0.6) else 0
        return -log(p) * (1 - p) ** 2 if t else -log(1 - p) * p**2
    if name == "gr":
        if z:
            return nl(f if z == 1 else 1 - f, 1e-7)
        w, mu, sigma, fixed = 2 * max(e + 1 - 1, 0) / T, 0.5 + 0.3 * (e + 1) / T, 2 - 1.5 * (e + 1) / T, f.detach()
        k, v = 1 / (1 + exp(-(w * fixed - 2))), exp(-0.5 * ((fixed - mu) / sigma) ** 2)
        return v * (k * (1 - f**0.01) / 0.01 + (1 - k) * (1 - (1 - f)))
    if name == "poly":
        p, a = (f, 0.3) if z == 1 else (1 - f, 0.7)
        return a * (-((1 - p) ** 1.5) * log(p) + 2 * (1 - p) ** 2.5)
    p, a = (f, 0.25) if z == 1 else (1 - f, 0.75)
    return -a * (1 - p) ** 2 * log(p)


def distribution_balanced(x: list[list[torch.Tensor]], z: list[list[float]]) -> torch.Tensor:
    """The authors' formula, an entry after the other."""
    counts = [min(max(n, 1), IMAGES - 1) for n in COUNTS]
    entries = []
    for r, q in zip(x, z, strict=True):
        of_image = sum(1 / n for n, t in zip(counts, q, strict=True) if t > 0)
        for v, t, n in zip(r, q, counts, strict=True):
            weight = 1.1 if not of_image else 0.1 + 1 / (1 + math.exp(-10 * (1 / n / of_image - 0.2)))
            u = v - 0.05 / 2 * math.log(IMAGES / n - 1)
            f = 1 / (1 + torch.exp(-u if t > 0 else -2 * u))
            part = -((1 - f) ** 2) * torch.log(f) if t > 0 else -(f**2) * torch.log(1 - f) / 2
            entries.append(weight * 2 * part)
    return sum(entries) / len(entries)


def by_hand(name: str, x: torch.Tensor, z: torch.Tensor, e: int = 3, T: int = 8) -> torch.Tensor:
    log, exp = torch.log, torch.exp
    xs, zs = [list(row) for row in x], z.tolist()
    if name == "zlpr":
        one = torch.ones((), dtype=x.dtype)
        return sum(
            log(one + sum(exp(v) for v, t in zip(r, q, strict=True) if t <= 0))
            + log(one + sum(exp(-v) for v, t in zip(r, q, strict=True) if t > 0))
            for r, q in zip(xs, zs, strict=True)
        ) / len(xs)
    if name == "db":
        return distribution_balanced(xs, zs)
    if name == "two_way":

        def mean(rows, marks):
            values = []
            for r, q in zip(rows, marks, strict=True):
                up = sum(exp(-v / 4) for v, t in zip(r, q, strict=True) if t > 0)
                down = sum(exp(v) for v, t in zip(r, q, strict=True) if t <= 0)
                if any(t > 0 for t in q):
                    values.append(log(1 + down * up**4))
            return sum(values) / len(values)

        return mean(xs, zs) + mean([list(column) for column in x.t()], z.t().tolist())
    if name.startswith("ll_"):
        entries = {(i, k): log(1 + exp(-v if zs[i][k] == 1 else v)) for i, r in enumerate(xs) for k, v in enumerate(r)}
        unknown = sorted((key for key in entries if zs[key[0]][key[1]] == 0), key=lambda key: -entries[key].item())
        count = math.ceil(B * K * (1 if name == "ll_cp" else e) * 0.05)
        for i, k in unknown[:count]:
            entries[i, k] = 0.0 if name == "ll_r" else log(1 + exp(-xs[i][k]))
        return sum(entries.values()) / (B * K)
    return sum(entry(name, v, t, e, T) for r, q in zip(xs, zs, strict=True) for v, t in zip(r, q, strict=True)) / (
        B * K
    )


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("name", NAMES)
def test_value_and_gradient_are_the_formulas(name, seed):
    """The other one is autograd's of the formula, one entry after the other."""
    x, z = problem(seed)
    ours, theirs = (x.clone().requires_grad_() for _ in range(2))
    value, expected = make(name)(ours, z), by_hand(name, theirs, z)
    value.backward()
    expected.backward()
    torch.testing.assert_close(value, expected, rtol=1e-10, atol=0)
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("name", ["focal", "poly", "hill", "splc", "ll_r", "ll_ct", "db"])
def test_plain_torch_is_as_exact_where_an_exponential_leaves_its_loss(name, monkeypatch):
    """Around 20, from where torch's own softplus is its argument."""
    x = torch.linspace(19, 24, K, dtype=torch.float64) * torch.tensor([[1.0], [-1.0], [1.0], [-1.0]])
    z = torch.tensor([[0.0], [0.0], [1.0], [1.0]]).expand(4, K)
    results = []
    for backend in ("auto", "reference"):
        monkeypatch.setenv("MLCFAST_BACKEND", backend)
        logits = x.clone().requires_grad_()
        value = make(name)(logits, z)
        value.backward()
        results.append((value, logits.grad))
    torch.testing.assert_close(*results, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("name", ["db", "zlpr", "two_way"])
def test_those_in_plain_torch(name):
    """The others' operators are held to these in tests/ops."""
    x, z = problem()
    assert torch.autograd.gradcheck(lambda logits: make(name)(logits, z), x.clone().requires_grad_())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = make(name)(x.float(), z)
    assert torch.equal(value, make(name)(x.float(), z)) and value.dtype == torch.float32


@pytest.mark.parametrize("backend", ["auto", "reference"])
@pytest.mark.parametrize("far", [0, 1e2, 1e4, 1e6, 1e8])
@pytest.mark.parametrize("name", ["zlpr", "two_way"])
def test_differences_of_large_logits_keep_their_digits(name, far, backend, monkeypatch):
    """Logits in two heaps around ±far, whose distances within a heap decide the gradient."""
    monkeypatch.setenv("MLCFAST_BACKEND", backend)
    random = torch.Generator().manual_seed(0)
    heap, near = (torch.randn(16, K, generator=random) for _ in range(2))
    x, z = heap.sign() * far + near, (torch.rand(16, K, generator=random) < 0.2).float()
    single, double = (x.to(dtype, copy=True).requires_grad_() for dtype in (torch.float32, torch.float64))
    value, exact = (make(name)(logits, z) for logits in (single, double))
    value.backward()
    exact.backward()
    assert value.item() == pytest.approx(exact.item(), rel=3e-7)
    assert (single.grad - double.grad).abs().max() < 4e-8


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", NAMES)
def test_extreme_logits_are_finite(name, dtype):
    x = torch.tensor([[1e4, -1e4, 90.0, -90.0], [0.0, 20.0, -20.0, 1e4]], dtype=dtype)
    for z in (
        torch.tensor([[1, 0, 1, 0], [0, 0, 1, 1]]),
        torch.tensor([[0, 1, 0, 1], [-1, -1, 0, 0]]),
        torch.zeros(2, 4),
    ):
        logits = x.clone().requires_grad_()
        value = make(name, **({"label_counts": COUNTS[:4]} if name == "db" else {}))(logits, z)
        value.backward()
        assert value.dtype == torch.float32 and value.isfinite() and logits.grad.isfinite().all()
        assert logits.grad.dtype == dtype


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", [0, 1])
def test_all_labels_alike_and_an_empty_batch(name, value):
    for rows in (4, 0):
        logits = torch.randn(rows, K, requires_grad=True)
        loss = make(name)(logits, torch.full((rows, K), value))
        loss.backward()
        assert loss.isfinite() and logits.grad.isfinite().all() and (rows or loss == 0)


@pytest.mark.parametrize("name", NAMES)
def test_label_types_agree(name):
    x, z = problem()
    z = (z > 0).double()
    expected = make(name)(x, z)
    for dtype in (torch.bool, torch.uint8, torch.int8, torch.int64, torch.float16):
        assert torch.equal(make(name)(x, z.to(dtype)), expected)


@pytest.mark.parametrize("name", NAMES)
def test_compiles_whole(name):
    x, z = (tensor.float() for tensor in problem())
    compiled = torch.compile(make(name), fullgraph=True, backend="aot_eager")
    logits = x.clone().requires_grad_()
    value = compiled(logits, z)
    value.backward()
    assert torch.allclose(value, make(name)(x, z)) and logits.grad.isfinite().all()


@pytest.mark.parametrize("name", ["ll_r", "ll_ct", "splc"])
def test_the_first_epoch_is_plain(name):
    x, z = problem()
    first, later = make(name, epoch=0), make(name, epoch=4)
    assert first(x, z) != later(x, z)
    plain = build_loss(name, **({"delta": 0.0} if name.startswith("ll_") else {"change_epoch": 99}))
    assert first(x, z) == plain(x, z)


def test_pseudo_labels_are_soft_negatives():
    x = torch.tensor([[0.3, -0.7]], dtype=torch.float64)
    f = torch.sigmoid(x)
    expected = 0.5 * (0.2 * -torch.log(f + 1e-5) + 0.8 * -torch.log(1 - f + 1e-5))
    assert torch.allclose(AsymmetricPseudoLabelLoss(beta=0.5)(x, torch.full_like(x, -0.2)), expected.mean())


def test_large_losses_tell_which_entries_they_changed():
    x, z = problem()
    loss = make("ll_cp")
    loss(x, z)
    assert loss.changed.sum() == math.ceil(B * K * 0.05) and (z[loss.changed] == 0).all()


@pytest.mark.parametrize("name", ["hill", "splc", "focal", "poly", "db"])
def test_reductions(name):
    x, z = problem()
    each = make(name, reduction="none")(x, z)
    assert each.shape == (B, K)
    assert torch.allclose(make(name, reduction="sum")(x, z), each.sum())
    assert torch.allclose(make(name)(x, z), each.mean())


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("em", {"alpha": "much"}, "alpha must be a finite number"),
        ("ll_r", {"delta": 2}, "delta must be in"),
        ("gr", {"w": 3}, "w must be its first and last value"),
        ("gr", {"sigma": (0, 1)}, "sigma must be above 0"),
        ("two_way", {"tp": 0}, "tp must be above 0"),
        ("poly", {"gamma": -1}, "gamma must be at least 0"),
        ("focal", {"gamma": -1}, "gamma must be at least 0"),
        ("focal", {"alpha": 2}, "alpha must be in [0, 1]"),
        ("hill", {"gamma": -1}, "gamma must be at least 0"),
        ("splc", {"tau": 60}, "tau must be in [0, 1]"),
        ("splc", {"change_epoch": "1"}, "change_epoch must be a number of epochs"),
        ("gr", {"linear_epochs": 0.5}, "linear_epochs must be a number of epochs"),
        ("db", {"focal_gamma": -1}, "focal_gamma must be at least 0"),
        ("db", {"label_counts": [1, 2]}, "images must be given"),
        ("db", {"label_counts": [1, 9], "images": 8}, "label_counts must be (K,), each from 0 to"),
        ("db", {"label_counts": "many", "images": 8}, "label_counts must be numbers"),
        ("hill", {"lamda_": 1}, "did you mean lambda_?"),
    ],
)
def test_wrong_options_are_named(name, options, says):
    with pytest.raises(ValueError, match=re.escape(says)):
        build_loss(name, **options)


@pytest.mark.parametrize("name", ["focal", "poly"])
def test_alpha_of_minus_one_weighs_both_kinds_alike_as_in_torchvision(name):
    x, z = problem()
    assert torch.equal(build_loss(name, alpha=-1)(x, z), build_loss(name, alpha=None)(x, z))
    if name == "focal":
        expected = torchvision.ops.sigmoid_focal_loss(x, (z > 0).to(x.dtype), alpha=-1, gamma=2, reduction="mean")
        assert torch.allclose(build_loss(name, alpha=-1)(x, z), expected)


def test_what_a_loss_needs_is_declared():
    needs = {
        name: set(build_loss(name).needs)
        for name in ("role", "epr", "iun", "iu", "em", "db", "two_way", "ll_r", "ll_cp", "em_apl")
    }
    assert needs == {
        "role": {"estimates", "batch_statistic"}, "epr": {"batch_statistic"}, "iun": {"true_labels"},
        "iu": set(), "em": set(), "db": {"label_counts"}, "two_way": {"batch_parts"}, "ll_r": {"batch_parts"},
        "ll_cp": {"batch_parts", "pseudo_labels"}, "em_apl": {"pseudo_labels"},
    }  # fmt: skip


def test_db_takes_its_counts_later():
    x, z = problem()
    loss = build_loss("db")
    with pytest.raises(ValueError, match="label_counts of 7 labels are needed, none are given"):
        loss(x, z)
    loss.set_label_counts(torch.tensor(COUNTS), IMAGES)
    assert torch.equal(loss(x, z), make("db")(x, z))
    with pytest.raises(ValueError, match="label_counts of 3 labels are needed, 7 are given"):
        loss(x[:, :3], z[:, :3])


@pytest.mark.parametrize("name", TEXTBOOKS)
def test_what_it_is_timed_beside_is_the_same_loss(name):
    random = torch.Generator().manual_seed(0)
    x, z = torch.randn(32, 20, generator=random), (torch.rand(32, 20, generator=random) < 0.2).float()
    logits = x.clone().requires_grad_()
    value = ours(name)(logits, z)
    value.backward()
    for form in (TEXTBOOKS[name].entries, TEXTBOOKS[name].products):
        if form is not None:
            exact = x.double().requires_grad_()
            expected = form(exact, z.double()).mean()
            expected.backward()
            torch.testing.assert_close(value, expected.float(), rtol=1e-5, atol=0)
            torch.testing.assert_close(logits.grad, exact.grad.float(), rtol=1e-4, atol=1e-8)
