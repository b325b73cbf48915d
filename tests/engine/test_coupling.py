"""Losses that couple images: micro-batches accumulated equal the one large batch, in every weight and moment."""

import copy
from functools import partial

import pytest
import torch
from torch import nn

from mlcfast.config import parse_config
from mlcfast.engine import Engine, Process, build_engine
from mlcfast.engine.coupling import coupled
from mlcfast.engine.training_module import TrainingModule
from mlcfast.losses import EPRLoss, LabelEstimator, LabelLoss, LargeLossLoss, PseudoLabels, ROLELoss
from mlcfast.losses.full_labels import TwoWayLoss
from mlcfast.models.freezing import FrozenBatchNorm2d
from tests.engine import test_label_table as table
from tests.engine.watching import Operations

STEPS = 12


def engine_of(loss: LabelLoss, micro_batch: int, *words: str, model: nn.Module | None = None) -> Engine:
    torch.manual_seed(0)
    model = model or nn.Linear(table.D, table.K)
    estimator = LabelEstimator(table.N, table.K, None, torch.Generator().manual_seed(1), sparse=False)
    observed = PseudoLabels((torch.rand(table.N, table.K) < 0.3).to(torch.int8))
    training_module = TrainingModule(
        model,
        loss,
        estimator if "estimates" in loss.needs else None,
        pseudo_labels=observed if "pseudo_labels" in loss.needs else None,
    )
    training_module.begin_epoch(2, 8)
    words = (f"engine.micro_batch={micro_batch}", "optim.grad_clip=0.1", *words)
    settings = parse_config(copy.deepcopy(table.BASE), words)
    return build_engine(settings, Process(), training_module)


def batches_of(step: int, micro_batch: int) -> list[tuple[torch.Tensor, ...]]:
    random = torch.Generator().manual_seed(step)
    index = torch.randperm(table.N, generator=random)[: table.B]
    features = torch.randn(table.N, table.D, generator=random)[index]
    labels = (torch.rand(table.N, table.K, generator=random) < 0.3)[index].float()
    return list(zip(features.split(micro_batch), labels.split(micro_batch), index.split(micro_batch), strict=True))


def train(engine: Engine, micro_batch: int, together: bool = True) -> None:
    for step in range(STEPS):
        batches = batches_of(step, micro_batch)
        given = engine.coupled(batches, torch.manual_seed) if together and len(batches) > 1 else batches
        for number, batch in enumerate(given):
            engine.micro_step(*batch, last=number == len(batches) - 1)
        assert engine.step().skipped == 0 and engine.training_module.statistic is None


LOSSES = {
    "role": partial(ROLELoss, 1.5),
    "epr": partial(EPRLoss, 1.5),
    "two_way": TwoWayLoss,
    "ll_r": partial(LargeLossLoss, "ll_r", 0.1),
    "ll_cp": partial(LargeLossLoss, "ll_cp", 0.1),
}


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("words", [(), ("optim.schedule=one_cycle",)], ids=["sparse rows", "dense table"])
def test_accumulated_micro_batches_are_the_large_batch(name, words):
    """And not where each couples its own images alone, for the test to mean something."""
    whole, parts, apart = (engine_of(LOSSES[name](), size, *words) for size in (table.B, 2, 2))
    train(whole, table.B)
    train(parts, 2)
    train(apart, 2, together=False)
    expected, found, other = (engine.export_state() for engine in (whole, parts, apart))
    table.assert_same(found, expected, **table.CLOSE)
    assert (other.weights["model.weight"] - expected.weights["model.weight"]).abs().max() > 1e-4


class Dropped(nn.Module):
    """Dropout and BatchNorm before the classifier."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.BatchNorm1d(table.D), nn.Dropout(0.5), nn.Linear(table.D, table.K))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.layers(features)


def test_both_passes_draw_alike_and_statistics_count_one():
    engine = engine_of(EPRLoss(1.5), 2, model=Dropped())
    seen: list[torch.Tensor] = []
    engine.training_module.on_logits = lambda logits, index: seen.append(logits)
    batches = batches_of(0, 2)
    for number, batch in enumerate(engine.coupled(batches, torch.manual_seed)):
        told = engine.training_module.statistic
        torch.manual_seed(number)
        engine.micro_step(*batch, last=number == 3)
    parts = [engine.training_module.loss.batch_statistic(logits) for logits in seen]
    torch.testing.assert_close(sum(parts), told)
    assert len(seen) == 4 and engine.training_module.model.layers[0].num_batches_tracked == 4


def test_buffers_are_put_aside_and_back_by_a_few_operations_and_frozen_ones_not_at_all():
    """By as many for a deep model as for a flat one; a frozen norm whose buffers were written would be folded anew."""
    copying = {"cat", "clone", "copy_", "_foreach_copy_"}
    seen = []
    for depth in (1, 9):
        norms = [layer for _ in range(depth) for layer in (nn.BatchNorm2d(3), FrozenBatchNorm2d(3))]
        training_module = TrainingModule(nn.Sequential(*norms, nn.Flatten()), EPRLoss(1.5))
        buffers = dict(training_module.named_buffers())
        before = {name: buffer.clone() for name, buffer in buffers.items()}
        written = [buffer._version for part in norms[1::2] for buffer in part.buffers()]
        images = torch.randn(4, 3, 2, 2)
        with Operations() as watched:
            given = coupled(training_module, [(images, images.flatten(1), images)], training_module.model, lambda _: 0)
            next(given)
        seen.append([name for name in watched.seen if name in copying])
        torch.testing.assert_close(buffers, before, rtol=0, atol=0)
        assert written == [buffer._version for part in norms[1::2] for buffer in part.buffers()]
    assert seen[0] == seen[1] and len(seen[0]) == 5  # two for each type, of numbers and of counts, and the parts


def test_a_step_cut_short_leaves_no_statistic():
    engine = engine_of(EPRLoss(1.5), 2)
    given = engine.coupled(batches_of(0, 2), torch.manual_seed)
    next(given)
    given.close()
    assert engine.training_module.statistic is None


def test_the_statistic_is_summed_over_ranks():
    parts = torch.arange(8.0).view(2, 4)
    assert EPRLoss(1.5).combined(parts).tolist() == [4, 6, 8, 10]
    assert EPRLoss(1.5, all_reduce=lambda tensor: 3 * tensor).combined(parts).tolist() == [12, 18, 24, 30]
    two = TwoWayLoss(all_gather=lambda tensor: torch.stack([tensor, -tensor]))
    assert two.combined(parts).tolist() == [*parts.tolist(), *(-parts).tolist()]
