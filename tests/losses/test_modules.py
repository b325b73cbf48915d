"""The losses as a user imports them: published numbers, drop-in signatures, names, copies, and what they refuse."""

import copy
import pickle
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F

from mlcfast.losses import LOSSES, AsymmetricLoss, EPRLoss, LabelEstimator, ROLELoss, build_loss

B, K = 6, 9
PUBLISHED = ("bce", "bce_ls", "an", "an_ls", "wan", "iu", "iun", "epr", "role", "pr")  # arXiv 2106.09708


@pytest.fixture
def batch() -> dict[str, torch.Tensor]:
    random = torch.Generator().manual_seed(0)
    truth = (torch.rand(B, K, generator=random) < 0.4).float()
    labels = truth * (torch.rand(B, K, generator=random) < 0.5)
    return {
        "logits": torch.randn(B, K, generator=random),
        "labels": labels,
        "true_labels": truth,
        "estimate_logits": torch.randn(B, K, generator=random),
    }


def neglog(x: torch.Tensor) -> torch.Tensor:
    return -torch.log(x + 1e-5)


def by_hand(name: str, f: torch.Tensor, z: torch.Tensor, truth: torch.Tensor, e: torch.Tensor) -> torch.Tensor:
    """The formulas of arXiv 2106.09708 and its code, one loss a line, in fp64."""

    def penalty(p: torch.Tensor) -> torch.Tensor:
        return ((p.sum(1).mean() - 2.9) / K) ** 2

    up, down = neglog(f), neglog(1 - f)
    if name == "pr":
        return sum((1 - f[b, i] + f[b][z[b] <= 0]).clamp(min=0).sum() for b, i in (z > 0).nonzero()) / (B * K)
    if name == "role":
        cross = e * up + (1 - e) * down + f * neglog(e) + (1 - f) * neglog(1 - e)
        return 0.5 * (z * up + z * neglog(e) + cross).mean() + 0.5 * (penalty(f) + penalty(e))
    smooth = 0.1 if name.endswith("_ls") else 0.0
    full = (1 - smooth) * (z * up + (1 - z) * down) + smooth * (z * down + (1 - z) * up)
    terms = {
        "epr": z * up,
        "wan": z * up + (1 - z) * down / (K - 1),
        "iu": z * up,
        "iun": z * up + (z <= 0) * (truth <= 0) * down,
    }.get(name, full)
    return terms.mean() + (penalty(f) if name == "epr" else 0)


@pytest.mark.parametrize("name", PUBLISHED)
def test_named_losses_are_the_published_formulas(name, batch):
    f, e = (torch.sigmoid(batch[key].double()) for key in ("logits", "estimate_logits"))
    expected = by_hand(name, f, batch["labels"].double(), batch["true_labels"].double(), e)
    assert build_loss(name)(**batch).item() == pytest.approx(expected.item(), rel=2e-6)


def test_asymmetric_in_the_published_query2label_setup(batch):
    loss = build_loss(
        "asymmetric", gamma_neg=2, gamma_pos=0, clip=0, eps=1e-5, disable_torch_grad_focal_loss=True, scale=1000
    )
    p, y = torch.sigmoid(batch["logits"].double()), batch["labels"].double()
    terms = y * p.clamp(min=1e-5).log() + (1 - y) * p**2 * (1 - p).clamp(min=1e-5).log()
    x = batch["logits"].requires_grad_()
    value = loss(x, batch["labels"])
    value.backward()
    assert value.item() == pytest.approx(-terms.sum().item() * 1000 / (B * K), rel=2e-6)
    expected = (-(y * (1 - p)) + (1 - y) * p**3) * 1000 / (B * K)
    torch.testing.assert_close(x.grad.double(), expected, rtol=1e-5, atol=1e-6)


def test_asymmetric_without_focus_is_cross_entropy(batch):
    ours = AsymmetricLoss(gamma_neg=0, gamma_pos=0, clip=None, reduction="sum")(batch["logits"], batch["labels"])
    plain = F.binary_cross_entropy_with_logits(batch["logits"], batch["labels"], reduction="sum")
    torch.testing.assert_close(ours, plain, rtol=1e-6, atol=0)


def test_observed_negative_counts_as_negative(batch):
    labels = torch.where(torch.arange(K) % 2 == 0, batch["labels"], -1.0)
    for name in ("asymmetric", "an", "bce", "wan", "pr"):
        ours = build_loss(name)(batch["logits"], labels)
        assert torch.equal(ours, build_loss(name)(batch["logits"], labels.clamp(min=0)))


@pytest.mark.parametrize("name", LOSSES)
def test_copies_and_pickles(name, batch):
    loss = build_loss(name)
    loss.set_label_counts(batch["labels"].sum(0), B)
    for other in (copy.deepcopy(loss), pickle.loads(pickle.dumps(loss))):
        assert torch.equal(other(**batch), loss(**batch)) and repr(other) == repr(loss)


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: build_loss("fokal"), "did you mean focal"),
        (lambda: build_loss(["bce"]), "asymmetric, bce"),
        (lambda: build_loss("asymmetric", gamma_neg=None), "gamma_neg"),
        (lambda: build_loss("asymmetric", gamma_pos="1"), "gamma_pos"),
        (lambda: build_loss("asymmetric", clip="a"), "clip"),
        (lambda: build_loss("asymmetric", eps=[1e-8]), "eps"),
        (lambda: build_loss("asymmetric", scale=float("nan")), "scale"),
        (lambda: build_loss("an_ls", label_smoothing="much"), "label_smoothing"),
        (lambda: EPRLoss("x"), "expected_positives"),
        (lambda: ROLELoss(2.9, weight=None), "weight"),
        (lambda: build_loss("bce", gamma=1), "gamma"),
        (lambda: build_loss("asymmetric", reduction="avg"), "reduction"),
        (lambda: AsymmetricLoss(gamma_neg=-1), "gamma_neg"),
        (lambda: build_loss("an_ls", label_smoothing=2), "label_smoothing"),
        (lambda: EPRLoss(-1), "expected_positives"),
        (lambda: ROLELoss(float("nan")), "expected_positives"),
        (lambda: ROLELoss(2.9, weight=-1), "weight"),
        (lambda: ROLELoss(2.9)(torch.zeros(2, 3), torch.zeros(2, 3)), "estimate_logits"),
        (lambda: build_loss("iun")(torch.zeros(2, 3), torch.zeros(2, 3)), "true_labels"),
        (lambda: EPRLoss(2.9)(torch.zeros(6), torch.zeros(6)), "logits"),
        (lambda: EPRLoss(2.9)(torch.zeros(2, 3), torch.zeros(2, 3), statistic=torch.zeros(3)), "statistic"),
    ],
)
def test_wrong_use_is_named(call, named):
    with pytest.raises(ValueError, match=named):
        call()


@pytest.mark.parametrize("name", LOSSES)
def test_shares_are_refused_where_they_would_count_as_whole(name):
    """In a module's first call; −1, 0 and 1 of any type are taken, and shares where they have a meaning."""
    options = {"label_counts": [3, 2, 4], "images": 9} if name == "db" else {}
    logits, hard = torch.randn(4, 3), torch.tensor([[1.0, 0, 0], [0, 1, -1], [0, 0, 1], [1, 1, 0]])
    others = {"estimate_logits": torch.randn(4, 3), "true_labels": hard.clamp(min=0)}
    loss = build_loss(name, **options)
    assert torch.isfinite(loss(logits, hard, **others)) and torch.isfinite(loss(logits, hard.long(), **others))
    shares, loss = hard.clone(), build_loss(name, **options)
    shares[0, 0] = 0.25
    if loss.takes_soft:
        assert loss(logits, shares, **others) != loss(logits, hard, **others)
    else:
        with pytest.raises(ValueError, match=r"hold 0\.25, which \w+ would count as 1"):
            loss(logits, shares, **others)


def test_importing_needs_torch_alone():
    """No Triton, DeepSpeed, timm or compiled extension is imported by importing and calling a loss on the CPU."""
    code = (
        "import sys, torch; before = set(sys.modules); from mlcfast.losses import AsymmetricLoss; "
        "AsymmetricLoss()(torch.zeros(2, 3), torch.zeros(2, 3)); "
        "names = {name.split('.')[0] for name in set(sys.modules) - before}; "
        "print(*sorted(names & {'triton', 'deepspeed', 'timm', 'torchvision', 'pydantic', 'yaml'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.strip() == ""


def test_estimator_rows_by_value_and_by_reference(batch):
    estimator = LabelEstimator(20, K)
    index = torch.randperm(20)[:B]
    loss = ROLELoss(2.9)
    by_value = loss(batch["logits"], batch["labels"], estimator(index))
    by_reference = loss(batch["logits"], batch["labels"], estimator.rows(index))
    torch.testing.assert_close(by_value, by_reference, rtol=1e-6, atol=0)


@pytest.mark.parametrize(
    "labels", [None, [[0.0, 1.0]], torch.zeros(1, 2).to_sparse(), torch.zeros(1, 2, device="meta")]
)
@pytest.mark.parametrize("name", ["asymmetric", "bce", "epr", "pr"])
def test_labels_that_are_no_dense_tensor_beside_the_logits_are_named(name, labels):
    with pytest.raises(ValueError, match=r"(targets|labels|observed) must be"):
        build_loss(name)(torch.zeros(1, 2), labels)
