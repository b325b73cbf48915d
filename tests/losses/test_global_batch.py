"""Every loss over two processes; those that couple images over uneven parts and micro-batches too: one's gradients."""

import os
from functools import partial
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import Tensor

from mlcfast.losses import LOSSES, EPRLoss, LabelEstimator, LabelLoss, ROLELoss, build_loss
from mlcfast.losses.full_labels import TwoWayLoss
from mlcfast.ops.label_loss import reference
from tests.ranks import start_ranks

B, K, N = 11, 6, 20
PARTS = (slice(0, 7), slice(7, 11))
HALVES = (slice(0, 5), slice(5, 10))


def problem() -> tuple[Tensor, Tensor, Tensor]:
    random = torch.Generator().manual_seed(5)
    labels = (torch.rand(B, K, generator=random) < 0.3).float()
    return torch.randn(B, K, generator=random) * 2, labels, torch.randperm(N, generator=random)[:B]


def estimator() -> LabelEstimator:
    return LabelEstimator(N, K, None, torch.Generator().manual_seed(6))


def whole(loss: EPRLoss | ROLELoss) -> tuple[Tensor, Tensor, Tensor]:
    logits, labels, index = problem()
    logits.requires_grad_()
    table = estimator()
    value = loss(logits, labels, table.rows(index))
    value.backward()
    gradient = table.table.grad
    return value.detach(), logits.grad, torch.zeros(N, K) if gradient is None else gradient.to_dense()


def made(name: str) -> LabelLoss:
    """In its third epoch."""
    loss = build_loss(name, **({"delta": 0.1} if name.startswith("ll_") else {}))
    loss.set_label_counts(torch.tensor([3, 1, 8, 5, 2, 9]), 20)
    loss.begin_epoch(2, 8)
    return loss


def of_part(loss: LabelLoss, part: slice) -> tuple[Tensor, Tensor, Tensor]:
    logits, labels, index = problem()
    x, table = logits[part].clone().requires_grad_(), estimator()
    observed = torch.where((labels == 0) & (logits < -3), -1.0, labels)  # a few are known to be absent
    value = loss(x, observed[part], table.rows(index[part]), logits[part] > 0)
    value.backward()
    gradient = table.table.grad
    return value.detach(), x.grad, torch.zeros(N, K) if gradient is None else gradient.to_dense()


def _rank(rank: int, folder: str) -> None:
    os.environ.update(MASTER_ADDR="127.0.0.1")
    store = dist.FileStore(f"{folder}/store", 2)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=2)
    torch.set_num_threads(1)

    def all_reduce(tensor: Tensor) -> Tensor:
        total = tensor.clone()
        dist.all_reduce(total)
        return total

    def all_gather(tensor: Tensor) -> Tensor:
        parts = [torch.empty_like(tensor) for _ in range(2)]
        dist.all_gather(parts, tensor)
        return torch.stack(parts)

    logits, labels, index = problem()
    results = {}
    for name, loss in (("epr", EPRLoss(1.7, all_reduce=all_reduce)), ("role", ROLELoss(1.7, all_reduce=all_reduce))):
        x, table = logits[PARTS[rank]].clone().requires_grad_(), estimator()
        value = loss(x, labels[PARTS[rank]], table.rows(index[PARTS[rank]]))
        value.backward()
        gradient = table.table.grad
        results[name] = (value.detach(), x.grad, torch.zeros(N, K) if gradient is None else gradient.to_dense())
    x = logits[PARTS[rank]].clone().requires_grad_()
    value = TwoWayLoss(all_gather=all_gather)(x, labels[PARTS[rank]])
    value.backward()
    results["two_way"] = (value.detach(), x.grad, torch.zeros(N, K))
    for name in LOSSES:
        loss = made(name)
        loss.all_reduce, loss.all_gather = all_reduce, all_gather
        results["halves", name] = of_part(loss, HALVES[rank])
    torch.save(results, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def two_ranks(tmp_path_factory) -> list[dict]:
    folder = Path(tmp_path_factory.mktemp("ranks"))
    start_ranks(_rank, (str(folder),), 2)
    return [torch.load(folder / f"{rank}.pt") for rank in range(2)]


@pytest.mark.parametrize(("name", "loss"), [("epr", EPRLoss(1.7)), ("role", ROLELoss(1.7)), ("two_way", TwoWayLoss())])
def test_two_processes_average_to_the_single_process(two_ranks, name, loss):
    value, gradient, table = whole(loss)
    values, gradients, tables = zip(*(rank[name] for rank in two_ranks), strict=True)
    torch.testing.assert_close(sum(values) / 2, value, rtol=1e-6, atol=0)
    torch.testing.assert_close(torch.cat(gradients) / 2, gradient, rtol=1e-5, atol=1e-8)
    torch.testing.assert_close(sum(tables) / 2, table, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("name", LOSSES)
def test_two_processes_with_half_a_batch_each_are_one(two_ranks, name):
    expected = of_part(made(name), slice(0, 10))
    values, gradients, tables = zip(*(rank["halves", name] for rank in two_ranks), strict=True)
    torch.testing.assert_close(sum(values) / 2, expected[0], rtol=1e-6, atol=0)
    torch.testing.assert_close(torch.cat(gradients) / 2, expected[1], rtol=1e-5, atol=1e-8)
    torch.testing.assert_close(sum(tables) / 2, expected[2], rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("backend", ("auto", "reference"))
@pytest.mark.parametrize("loss", (EPRLoss(1.7), ROLELoss(1.7)))
def test_accumulation_steps_average_to_the_whole_batch(monkeypatch, loss, backend):
    monkeypatch.setenv("MLCFAST_BACKEND", backend)
    value, gradient, table_gradient = whole(loss)
    logits, labels, index = problem()
    table = estimator()
    statistic = sum(loss.batch_statistic(logits[part], table.rows(index[part])) for part in PARTS)
    logits.requires_grad_()
    losses = [loss(logits[part], labels[part], table.rows(index[part]), statistic=statistic) / 2 for part in PARTS]
    sum(losses).backward()
    torch.testing.assert_close(sum(losses).detach(), value, rtol=1e-6, atol=0)
    torch.testing.assert_close(logits.grad, gradient, rtol=1e-5, atol=1e-8)
    if isinstance(loss, ROLELoss):
        torch.testing.assert_close(table.table.grad.to_dense(), table_gradient, rtol=1e-5, atol=1e-8)


EMPTY = (slice(0, 6), slice(6, 6), slice(6, 11))


@pytest.mark.parametrize("parts", [PARTS, EMPTY, tuple(slice(i, i + 1) for i in range(B))])
@pytest.mark.parametrize("hole", [None, "nobody has it", "all have it", "only the first part"])
def test_two_way_over_parts_is_that_of_the_whole_batch(parts, hole):
    """Labels without positives or negatives in a part, images without positives, parts of one image and of none."""
    logits, labels, _ = problem()
    logits, labels = logits.double() * 5, labels.double()
    labels[8] = 0
    if hole:
        labels[:, 2] = {"nobody has it": 0.0, "all have it": 1.0, "only the first part": 0.0}[hole]
        labels[0, 2] = 0.0 if hole == "nobody has it" else 1.0
    loss = TwoWayLoss()
    whole_logits = logits.clone().requires_grad_()
    expected = loss(whole_logits, labels)
    expected.backward()
    statistic = torch.stack([loss.batch_statistic(logits[part], labels[part]) for part in parts])
    logits.requires_grad_()
    losses = [loss(logits[part], labels[part], statistic=statistic) / len(parts) for part in parts]
    sum(losses).backward()
    torch.testing.assert_close(sum(losses).detach(), expected.detach(), rtol=1e-12, atol=0)
    torch.testing.assert_close(logits.grad, whole_logits.grad, rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize("of_part", [TwoWayLoss(), partial(reference.two_way, tp=4.0, tn=1.0)])
@pytest.mark.parametrize("far", [1.0, 1e2, 1e4, 1e6, 1e8])
def test_two_way_over_accumulation_steps_keeps_the_digits_of_large_logits(of_part, far):
    """In fp32, of logits in two heaps around ±far whose distances within a heap decide the gradient."""
    logits, labels, _ = problem()
    logits = logits.sign() * far + logits
    exact = logits.double().requires_grad_()
    expected = TwoWayLoss()(exact, labels)
    expected.backward()
    statistic = torch.stack([reference.two_way_part(logits[part], labels[part], 4.0, 1.0) for part in PARTS])
    assert statistic.dtype == torch.float64
    told = {"statistic" if isinstance(of_part, TwoWayLoss) else "parts": statistic}
    logits.requires_grad_()
    value = sum(of_part(logits[part], labels[part], **told) for part in PARTS) / len(PARTS)
    value.backward()
    assert value.item() == pytest.approx(expected.item(), rel=3e-7)
    assert (logits.grad - exact.grad).abs().max() < 4e-8


@pytest.mark.parametrize("of_part", [TwoWayLoss(), partial(reference.two_way, tp=4.0, tn=1.0)])
def test_two_way_is_nan_on_every_part_where_one_holds_a_nan(of_part):
    """Also of an image without positives, which is only in the labels' sums; what runs on the CPU and on a GPU."""
    logits, labels, _ = problem()
    labels[8] = 0
    logits[8, 2] = torch.nan
    statistic = torch.stack([reference.two_way_part(logits[part], labels[part], 4.0, 1.0) for part in PARTS])
    told = {"statistic" if isinstance(of_part, TwoWayLoss) else "parts": statistic}
    assert of_part(logits, labels).isnan()
    assert all(of_part(logits[part], labels[part], **told).isnan() for part in PARTS)


def test_two_way_names_a_wrong_statistic():
    with pytest.raises(ValueError, match=r"statistic must be \(P, 7\), not \(7,\)"):
        TwoWayLoss()(torch.zeros(2, 3), torch.zeros(2, 3), statistic=torch.zeros(7))


@pytest.mark.parametrize("kind", ["ll_r", "ll_ct", "ll_cp"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_large_losses_are_those_of_all_micro_batches(kind, dtype):
    logits, labels, _ = problem()
    logits, parts = logits[:10].to(dtype), [slice(i, i + 2) for i in range(0, 10, 2)]
    whole = logits.clone().requires_grad_()
    loss = made(kind)
    expected = loss(whole, labels[:10])
    expected.backward()
    changed = loss.changed
    statistic = torch.stack([loss.batch_statistic(logits[part], labels[part]) for part in parts])
    logits.requires_grad_()
    apart, flags = [], []
    for part in parts:
        loss(logits[part], labels[part])
        apart.append(loss.changed)
        (loss(logits[part], labels[part], statistic=statistic) / len(parts)).backward()
        flags.append(loss.changed)
    torch.testing.assert_close(logits.grad, whole.grad)
    assert torch.equal(torch.cat(flags), changed) and not torch.equal(torch.cat(apart), changed)
    with pytest.raises(ValueError, match=r"statistic must be \(P, 12\), not \(5, 24\)"):
        loss(logits[:2], labels[:2], statistic=statistic.repeat(1, 2))
