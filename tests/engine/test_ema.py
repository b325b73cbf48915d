"""The average of the weights: its formula with and without warm-up, left-out steps, and what a checkpoint keeps."""

import json

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from mlcfast.engine import Process, build_engine, load_checkpoint, save_checkpoint
from mlcfast.engine.ema import WeightAverage
from tests.engine import runner

APPLIED, SKIPPED = torch.zeros(()), torch.ones(())


def followed(warmup: bool, decay: float, values: list[float]) -> float:
    source = torch.zeros(1)
    average = WeightAverage([source], decay, warmup)
    for value in values:
        source.fill_(value)
        average.update(APPLIED)
    return float(average.tensors[0])


@pytest.mark.parametrize("warmup", [False, True])
def test_it_follows_the_written_formula(warmup):
    values, expected = [1.0, -2.0, 0.5, 3.0, 2.5, -1.0], 0.0
    for step, value in enumerate(values):
        decay = min(0.6, 1 - (1 + step) ** (-2 / 3)) if warmup else 0.6
        expected = decay * expected + (1 - decay) * value
    assert followed(warmup, 0.6, values) == pytest.approx(expected, rel=1e-6)


def test_warm_up_forgets_the_initial_weights_and_ends_at_the_decay():
    """From 0 on, all sources 1: the average without warm-up keeps 0.9997^500 = 86 % of the initial weights."""
    assert followed(False, 0.9997, [1.0] * 500) == pytest.approx(1 - 0.9997**500, rel=1e-3)
    assert followed(True, 0.9997, [1.0]) == 1.0
    average = WeightAverage([torch.zeros(1)], 0.9, warmup=True)
    average.steps = 31  # 1 - 32^(-2/3) = 0.9008
    assert average.decay_now() == 0.9
    average.steps = 30
    assert average.decay_now() == pytest.approx(1 - 31 ** (-2 / 3)) and average.decay_now() < 0.9


def test_a_left_out_step_leaves_the_average():
    source = torch.ones(1)
    average = WeightAverage([source], 0.9, warmup=True)
    source.fill_(float("nan"))
    average.update(SKIPPED)
    assert float(average.tensors[0]) == 1.0 and average.steps == 1


def test_a_checkpoint_keeps_how_far_the_warm_up_is(tmp_path):
    """A run that goes on from it equals one that was not interrupted."""
    words = ["train.ema_decay=0.99", "train.ema_warmup=true"]
    first, second = (build_engine(runner.config_of(words), Process(), runner.objective()) for _ in range(2))
    runner.train(first, 8)
    place = save_checkpoint(tmp_path, 4, first.export_state(), {"step": 4}, keep=2)
    state, progress = load_checkpoint(place)
    assert (state.average_steps, progress) == (4, {"step": 4})
    second.load_state(state)
    for engine in (first, second):
        runner.train(engine, 8, range(4, 8))
    whole, resumed = vars(first.export_state()), vars(second.export_state())
    torch.testing.assert_close(resumed, whole, rtol=0, atol=0)


def test_a_checkpoint_without_the_count_goes_by_its_step(tmp_path, monkeypatch):
    engine = build_engine(runner.config_of([]), Process(), runner.objective())
    place = save_checkpoint(tmp_path, 4, engine.export_state(), {"step": 4}, keep=2)
    held = json.loads((place / "progress.json").read_text())
    del held["average_steps"]
    (place / "progress.json").write_text(json.dumps(held))
    monkeypatch.setattr("mlcfast.engine.checkpoint.verify_manifest", lambda directory: None)
    assert load_checkpoint(place)[0].average_steps == 4


def test_the_averages_change_places_with_the_weights_and_back(monkeypatch):
    """To the bit, in groups of alike tensors: three operations a group whatever the number of tensors."""
    monkeypatch.setattr("mlcfast.engine.ema.GROUP_BYTES", 40 * 64)
    sources = [torch.randn(16) for _ in range(60)] + [torch.randn(5, dtype=torch.bfloat16), torch.empty(0)]
    average = WeightAverage(sources, 0.9)
    sources[0][:4] = torch.tensor([-0.0, torch.inf, torch.nan, 1e-42])
    for tensor in average.tensors:
        tensor.add_(1 / 3)
    before = [[t.clone() for t in tensors] for tensors in (sources, average.tensors)]
    operations = []

    class Counting(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            operations.append(func)
            return func(*args, **(kwargs or {}))

    with average.swapped_in():
        assert all(torch.equal(now, held.to(now.dtype)) for now, held in zip(sources, before[1], strict=True))
    for now, then in zip((sources, average.tensors), before, strict=True):
        assert all(one.view(torch.uint8).equal(other.view(torch.uint8)) for one, other in zip(now, then, strict=True))
    with Counting():
        average._swap()
    assert len(operations) == 3 * 3 and {op._schema.name for op in operations} == {
        "aten::_foreach_mul",
        "aten::_foreach_copy_",
    }
