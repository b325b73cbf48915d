"""The stand-in for one of two ZeRO-2 ranks, on the CPU."""

import gc
import weakref

import pytest
import torch
from torch import nn

from bench.record import Gate
from bench.suites import SUITES, Context, memory
from bench.suites.memory import ShardedStep
from mlcfast.planning import hardware


@pytest.mark.parametrize("bucket", [4, 100])
def test_first_ranks_half_of_the_gradients_is_kept(bucket):
    model = nn.Sequential(nn.Linear(3, 5), nn.Linear(5, 2))
    model[0].bias.requires_grad_(False)
    state = ShardedStep(model, torch.float32, True, "cpu", bucket)
    expected = []
    for parameter in state.parameters:  # before the state's hook clears it
        parameter.register_hook(lambda grad: expected.append(grad.flatten().clone()))
    for _ in range(2):
        expected.clear()
        model(torch.ones(2, 3)).sum().backward()
        assert state.gradient.equal(torch.cat(expected)[: len(state.gradient)])
        assert all(parameter.grad is None for parameter in model.parameters())
        state.step()
    assert len(state.gradient) == 14 and state.average.abs().sum() > 0


def test_nothing_of_a_configuration_outlives_it():
    model = nn.Linear(3, 2)
    state = ShardedStep(model, torch.float32, False, "cpu", 100)
    kept = weakref.ref(state)
    del model, state
    gc.collect()
    assert kept() is None


class Card:
    """What the proof asks of torch.cuda, of a GPU with 100 GiB."""

    total_memory = 100 * 2**30


def test_the_context_and_nccl_are_taken_off_the_limit(monkeypatch):
    shares = []
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: Card)
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", shares.append)
    limit = memory.hold(12)
    assert limit == 12 * 2**30 - hardware.CONTEXT.likely - hardware.COLLECTIVES.likely and shares == [
        limit / Card.total_memory
    ]


def test_what_does_not_fit_is_a_row_with_what_was_planned(monkeypatch):
    def stepper(config, sharded):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 GiB\nmore")

    monkeypatch.setattr(memory, "stepper", stepper)
    monkeypatch.setattr(memory, "hold", lambda gib: 7)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda: 0)
    (row,) = memory.measure("resnet101_448", 1)
    assert row["refused"] == "OutOfMemoryError: CUDA out of memory. Tried to allocate 1 GiB"
    assert row["limit_bytes"] == 7 and row["predicted_bytes"] > 2**30


def test_a_configuration_that_fails_leaves_the_others(monkeypatch, tmp_path):
    def measure(name, steps, gib):
        if name == "cvt_w24":
            raise KeyError("exp_avg")
        yield {"steps": steps}

    monkeypatch.setattr(memory, "measure", measure)
    monkeypatch.setattr(Context, "on_gpu", property(lambda self: True))
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    context = Context("cpu", 100.0, tmp_path / "record.jsonl", Gate(tmp_path / "record.jsonl"))
    context.options = SUITES["memory"].options
    rows = list(memory.rows(context))
    assert [row["config"] for row in rows] == list(memory.NAMES)
    assert [row.get("refused") for row in rows] == ["KeyError: 'exp_avg'", None, None]


def test_an_unknown_configuration_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(Context, "on_gpu", property(lambda self: True))
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    context = Context("cpu", 100.0, tmp_path / "record.jsonl", Gate(tmp_path / "record.jsonl"))
    context.options = SUITES["memory"].options | {"configs": "vgg16"}
    (row,) = memory.rows(context)
    assert row["config"] == "vgg16" and "vgg16.yaml" in row["refused"]
