"""The stand-in for one of two ZeRO-2 ranks, on the CPU."""

import gc
import weakref

import pytest
import torch
from torch import nn

from bench.memory_proof import ShardedStep


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
