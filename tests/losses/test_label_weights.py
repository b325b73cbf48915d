"""Weights of labels: torch's pos_weight, balanced weights written anew, every loss that takes them, what is refused."""

import math
import re

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mlcfast.losses import balanced_weights, build_loss

B, K = 6, 5
POSITIVE = [3.0, 1.0, 0.5, 0.0, 7.25]
CLASS = [0.5, 2.0, 1.0, 3.0, 0.25]
WEIGHED = ("bce", "bce_ls", "an", "wan", "iu", "asymmetric", "focal", "poly")


def problem(dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(0)
    x = 2 * torch.randn(B, K, generator=random, dtype=torch.float64)
    z = (torch.rand(B, K, generator=random) < 0.4).double()
    z[0], z[:, 1] = 0, 0
    return x.to(dtype), z


def test_pos_weight_and_class_weight_are_torchs():
    x, z = problem()
    ours = build_loss("poly", epsilon=0, pos_weight=POSITIVE, class_weight=CLASS)(x, z)
    weights = {"weight": torch.tensor(CLASS).double(), "pos_weight": torch.tensor(POSITIVE).double()}
    torch.testing.assert_close(ours, F.binary_cross_entropy_with_logits(x, z, **weights), rtol=1e-12, atol=0)


@pytest.mark.parametrize("backend", ["auto", "reference"])
@pytest.mark.parametrize("name", WEIGHED)
def test_every_entry_is_weighed(name, backend, monkeypatch):
    monkeypatch.setenv("MLCFAST_BACKEND", backend)
    x, z = problem()
    z[1, 0] = -1.0
    entries = build_loss(name, reduction="none")(x, z)
    weights = torch.tensor(CLASS).double() * torch.where(z > 0, torch.tensor(POSITIVE).double(), 1.0)
    options = {"pos_weight": POSITIVE, "class_weight": CLASS}
    for reduction, expected in (("none", entries * weights), ("sum", (entries * weights).sum()), ("mean", None)):
        ours = build_loss(name, reduction=reduction, **options)(x, z)
        expected = (entries * weights).mean() if expected is None else expected
        torch.testing.assert_close(ours, expected, rtol=1e-12, atol=1e-15)
    logits = x.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda logits: build_loss(name, **options)(logits, z), logits)


@pytest.mark.parametrize("name", WEIGHED)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_weights_of_thousands_and_half_precision(name, dtype):
    x, z = problem(dtype)
    exact = build_loss(name, pos_weight=5000.0)(x.double(), z)
    logits = x.clone().requires_grad_()
    value = build_loss(name, pos_weight=5000.0)(logits, z)
    value.backward()
    assert value.dtype == torch.float32 and logits.grad.dtype == dtype and logits.grad.isfinite().all()
    torch.testing.assert_close(value.double(), exact, rtol=1e-5, atol=0)


def test_balanced_weights_are_their_formulas():
    counts, images = torch.tensor([1, 10, 0, 99, 100]), 100
    n = [1, 10, 1, 99, 100]
    odds = [max(images - m, 1) / min(m, 99) for m in n]
    torch.testing.assert_close(balanced_weights("neg_pos", counts, images).tolist(), odds)
    torch.testing.assert_close(balanced_weights("neg_pos", counts, images, 0.5).tolist(), list(map(math.sqrt, odds)))
    for method, number, raw in (
        ("inv_freq", None, [images / m for m in n]),
        ("effective_num", None, [(1 - 0.999) / (1 - 0.999**m) for m in n]),
        ("effective_num", 0.9, [(1 - 0.9) / (1 - 0.9**m) for m in n]),
    ):
        expected = torch.tensor(raw).double() * len(raw) / sum(raw)
        torch.testing.assert_close(balanced_weights(method, counts, images, number), expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize(
    ("option", "value", "method", "number"),
    [
        ("pos_weight", "neg_pos", "neg_pos", None),
        ("pos_weight", {"neg_pos": 0.5}, "neg_pos", 0.5),
        ("class_weight", "inv_freq", "inv_freq", None),
        ("class_weight", {"effective_num": 0.99}, "effective_num", 0.99),
    ],
)
@pytest.mark.parametrize("name", ["bce", "asymmetric", "focal"])
def test_a_method_waits_for_the_counts(name, option, value, method, number):
    x, z = problem()
    loss = build_loss(name, **{option: value})
    assert loss.needs == {"label_counts"}
    with pytest.raises(ValueError, match="needs label counts"):
        loss(x, z)
    counts = torch.tensor([3, 0, 8, 10, 1])
    loss.set_label_counts(counts, 10)
    given = build_loss(name, **{option: balanced_weights(method, counts, 10, number)})
    assert torch.equal(loss(x, z), given(x, z)) and given.needs == set()


def test_counts_given_anew_replace_the_weights():
    x, z = problem()
    loss = build_loss("focal", pos_weight="neg_pos")
    loss.set_label_counts(torch.tensor([5, 5, 5, 5, 5]), 10)
    assert torch.equal(loss(x, z), build_loss("focal", pos_weight=1.0)(x, z))
    loss.set_label_counts(torch.tensor([1, 1, 1, 1, 1]), 10)
    assert torch.allclose(loss(x, z), build_loss("focal", pos_weight=9.0)(x, z))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"pos_weight": "effective_num"}, "pos_weight must be a number, a number for each label, neg_pos"),
        ({"class_weight": "neg_pos"}, "inv_freq or effective_num"),
        ({"pos_weight": -1}, "pos_weight must be finite numbers of at least 0"),
        ({"pos_weight": [1, math.nan]}, "pos_weight must be finite numbers"),
        ({"pos_weight": []}, "pos_weight must be finite numbers"),
        ({"pos_weight": [[1, 2], [3]]}, "pos_weight must be a number or"),
        ({"class_weight": {"effective_num": 1.5}}, "effective_num must be above 0 and below 1"),
    ],
)
def test_wrong_weights_are_named(options, says):
    with pytest.raises(ValueError, match=re.escape(says)):
        build_loss("bce", **options)


def test_another_number_of_labels_is_named():
    x, z = problem()
    with pytest.raises(ValueError, match="class_weight must be a number or 5 numbers, one a label, not 2"):
        build_loss("bce", class_weight=[1, 2])(x, z)


@pytest.mark.parametrize(
    ("logits", "says"), [(np.zeros((2, 3)), "a tensor, not ndarray"), (torch.tensor(1.0), "(B, K)")]
)
def test_logits_that_are_none_are_named_before_their_weights(logits, says):
    with pytest.raises(ValueError, match=re.escape(says)):
        build_loss("bce", pos_weight=[1, 2, 3])(logits, torch.zeros(2, 3))


def test_it_shows_in_the_loss():
    assert "pos_weight=('neg_pos', None)" in repr(build_loss("bce", pos_weight="neg_pos"))
    assert "class_weight=[2.0]" in repr(build_loss("asymmetric", class_weight=2))


@pytest.mark.parametrize("name", ["bce", "asymmetric", "focal"])
def test_weighed_losses_compile_whole(name):
    x, z = problem(torch.float32)
    loss = build_loss(name, pos_weight=POSITIVE, class_weight="effective_num")
    loss.set_label_counts(torch.tensor([3, 0, 8, 10, 1]), 10)
    logits = x.clone().requires_grad_()
    value = torch.compile(loss, fullgraph=True, backend="aot_eager")(logits, z)
    value.backward()
    plain = x.clone().requires_grad_()
    expected = loss(plain, z)
    expected.backward()
    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(logits.grad, plain.grad)
