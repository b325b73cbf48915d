"""The threshold of the large losses is the sorted list's, whatever the logits: ties, infinities, NaN, any order."""

import math

import pytest
import torch

from mlcfast.ops.backend import choose
from mlcfast.ops.label_loss.missing_labels import large_loss_threshold, large_losses

SHAPES = ((1, 1), (3, 5), (64, 80), (40, 9605))


def sorted_out(x: torch.Tensor, z: torch.Tensor, count: int) -> float:
    unknown = x.double()[z == 0].sort(descending=True).values
    return unknown[count - 1].item() if count <= len(unknown) else -torch.inf


@pytest.mark.parametrize("backend", ["auto", "reference"])
@pytest.mark.parametrize("kind", ["random", "ties", "falling", "rising", "one column", "all the same", "extreme"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_it_is_that_of_the_sorted_list(shape, kind, backend, monkeypatch):
    """`one column`: all large logits under one label, which a sample at a regular distance would miss or overcount."""
    monkeypatch.setenv("MLCFAST_BACKEND", backend)
    random = torch.Generator().manual_seed(7)
    x = torch.randn(shape, generator=random)
    if kind == "ties":
        x = x.round()
    elif kind in ("falling", "rising"):
        x = x.flatten().sort(descending=kind == "falling").values.view(shape)
    elif kind == "one column":
        x[:, 0] += 50
    elif kind == "all the same":
        x = torch.full(shape, -2.5)
    elif kind == "extreme":
        x = torch.where(x > 1, torch.inf, torch.where(x < -1, -torch.inf, x * 1e30))
    z = torch.randint(-1, 2, shape, generator=random) * (torch.rand(shape, generator=random) < 0.1)
    unknown = int((z == 0).sum())
    for count in {1, 2, max(x.numel() // 500, 1), max(x.numel() // 3, 1), max(unknown, 1), unknown + 1, x.numel()}:
        assert large_loss_threshold(x, z, count).item() == sorted_out(x, z, count)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("labels", [torch.bool, torch.int8, torch.float32])
def test_types(dtype, labels):
    x = torch.randn(50, 300).to(dtype)
    z = (torch.rand(50, 300) < 0.1).to(labels)
    for count in (1, 77, 15000):
        assert large_loss_threshold(x.requires_grad_(), z, count).item() == sorted_out(x.detach(), z, count)


def test_strided_nothing_unknown_and_an_empty_batch():
    x = torch.randn(80, 200)
    z = torch.randint(0, 2, (80, 200))
    assert large_loss_threshold(x.t(), z.t(), 9).item() == sorted_out(x, z, 9)
    assert large_loss_threshold(x, torch.ones_like(z), 9).item() == -torch.inf
    assert large_loss_threshold(x[:0], z[:0], 9).item() == -torch.inf
    assert large_losses(x, torch.ones_like(z), torch.tensor(-torch.inf)) == large_losses(x, torch.ones_like(z), None)


@pytest.mark.skipif(choose("cpu") != "native", reason="the compiled library is not built")
def test_opcheck_and_a_wrong_count():
    arguments = (torch.randn(6, 9), torch.zeros(6, 9), 5)
    torch.library.opcheck(torch.ops.mlcfast.large_loss_threshold.default, arguments)
    with pytest.raises(ValueError, match="count must be at least 1"):
        torch.ops.mlcfast.large_loss_threshold(*arguments[:2], 0)


def test_a_nan_counts_as_largest_as_torch_has_it():
    x = torch.randn(64, 80)
    x[3, 4] = torch.nan
    z = torch.zeros(64, 80)
    assert large_loss_threshold(x, z, 1).isnan()
    assert large_loss_threshold(x, z, 2) == x[~x.isnan()].max()


def test_opcheck_of_what_is_read_in_each_epoch():
    x, z = torch.randn(6, 9), torch.zeros(6, 9)
    operator = torch.ops.mlcfast.large_loss_threshold_of_epoch.default
    torch.library.opcheck(operator, (x, z, torch.tensor(3), 0.1))
    for times, delta in ((3, 0.1), (1, 1e-9)):
        assert operator(x, z, torch.tensor(times), delta) == large_loss_threshold(x, z, math.ceil(54 * times * delta))
    assert operator(x[:0], z[:0], torch.tensor(3), 0.1) == operator(x, z, torch.tensor(0), 0.1) == torch.inf
    arguments = (x, z, torch.tensor([1.0, -2.0, 0.5, 2.0]), 0.01, 1.0, 1, True)
    torch.library.opcheck(torch.ops.mlcfast.generalized_robust_forward.triton, arguments)
