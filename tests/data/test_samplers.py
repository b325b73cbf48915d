"""The order of samples: the same global batches for any number of processes, resumable, exact at evaluation."""

import itertools

import pytest

from mlcfast.data import EvalSampler, InTurnSampler, TrainSampler
from mlcfast.errors import UsageError


def _global_batches(num_samples, global_batch, micro_batch, world_size, seed=0, epoch=0, consumed=0):
    """Each global batch's indices in the order of (accumulation step, rank), from all ranks' samplers."""
    ranks = []
    for rank in range(world_size):
        sampler = TrainSampler(num_samples, global_batch, micro_batch, rank, world_size, seed)
        sampler.set_position(epoch, consumed)
        ranks.append(list(sampler))
    assert len({len(batches) for batches in ranks}) == 1
    steps = global_batch // (micro_batch * world_size)
    flat = [key for step in zip(*ranks, strict=True) for micro in step for key in micro]
    assert all(key[0] == epoch for key in flat)
    assert all(len(micro) == micro_batch for batches in ranks for micro in batches)
    assert len(ranks[0]) % steps == 0
    indices = [index for _, index in flat]
    return [indices[i : i + global_batch] for i in range(0, len(indices), global_batch)]


@pytest.mark.parametrize(("micro_batch", "world_size"), [(4, 1), (2, 1), (24, 1), (4, 2), (2, 3), (1, 24)])
def test_global_batches_do_not_depend_on_ranks_or_micro_batches(micro_batch, world_size):
    expected = TrainSampler(101, 24, 24, seed=7).permutation(3)[:96].reshape(4, 24).tolist()
    assert _global_batches(101, 24, micro_batch, world_size, seed=7, epoch=3) == expected


def test_an_epoch_visits_each_image_at_most_once_and_drops_only_the_last_batch():
    batches = _global_batches(101, 24, 4, 2)
    indices = [index for batch in batches for index in batch]
    assert len(indices) == len(set(indices)) == 96
    assert set(indices) <= set(range(101))


def test_order_is_a_function_of_seed_and_epoch():
    order = TrainSampler(10, 2, 1, seed=1).permutation
    assert order(0).tolist() == TrainSampler(10, 5, 5, seed=1).permutation(0).tolist()
    assert order(0).tolist() != order(1).tolist()
    assert order(1).tolist() != TrainSampler(10, 2, 1, seed=2).permutation(1).tolist()
    # numpy freezes RandomState's streams: a checkpoint resumed years later meets the same order.
    assert order(0).tolist() == [1, 0, 9, 8, 6, 3, 7, 4, 2, 5]


@pytest.mark.parametrize("world_size", [1, 2])
def test_resuming_amid_an_epoch_goes_on_where_it_stopped(world_size):
    whole = _global_batches(101, 24, 4, 1, epoch=2)
    assert _global_batches(101, 24, 4, world_size, epoch=2, consumed=48) == whole[2:]
    assert _global_batches(101, 24, 4, world_size, epoch=2, consumed=96) == []


@pytest.mark.parametrize("before", [1, 2, 4])
@pytest.mark.parametrize("after", [1, 2, 4])
def test_each_image_once_an_epoch_however_the_number_of_processes_changes(before, after):
    """Stopped after any step and resumed with other processes, and a second time with the first number."""
    for stop, again in itertools.combinations_with_replacement(range(0, 97, 24), 2):
        first = _global_batches(101, 24, 24 // before, before)[: stop // 24]
        second = _global_batches(101, 24, 24 // after // 2, after, consumed=stop)[: (again - stop) // 24]
        third = _global_batches(101, 24, 24 // before, before, consumed=again)
        assert first + second + third == _global_batches(101, 24, 24, 1)
        assert len({index for batch in first + second + third for index in batch}) == 96


def test_length_is_that_of_a_whole_epoch():
    sampler = TrainSampler(101, 24, 4, 1, 2)
    assert len(sampler) == len(list(sampler)) == 12
    sampler.set_position(0, 48)
    assert (len(sampler), len(list(sampler))) == (12, 6)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((100, 24, 5), "engine.global_batch 24 is not divisible by engine.micro_batch 5 × 1 processes"),
        ((100, 24, 4, 0, 5), "engine.global_batch 24 is not divisible by engine.micro_batch 4 × 5 processes"),
        ((23, 24, 4), "engine.global_batch 24 exceeds the 23 training images: lower it to 23 or less"),
        ((23, 24, 4, 0, 2), "engine.global_batch 24 exceeds the 23 training images: lower it to 22 or less"),
        ((1, 2, 1, 0, 2), "engine.global_batch 2 exceeds the 1 training images: train in one process"),
    ],
)
def test_impossible_batches(arguments, says):
    with pytest.raises(UsageError) as caught:
        TrainSampler(*arguments)
    assert str(caught.value) == says


def test_a_position_between_global_batches_is_refused():
    with pytest.raises(UsageError, match=r"not a multiple of engine\.global_batch 24"):
        TrainSampler(100, 24, 4).set_position(0, 30)


@pytest.mark.parametrize(("num_samples", "world_size"), [(0, 1), (1, 3), (13, 1), (13, 2), (12, 4)])
def test_evaluation_visits_each_image_exactly_once(num_samples, world_size):
    shards = [EvalSampler(num_samples, 4, rank, world_size) for rank in range(world_size)]
    assert all(len(shard) == len(list(shard)) for shard in shards)
    for rank, shard in enumerate(shards):
        assert [i for batch in shard for i in batch] == list(range(rank, num_samples, world_size))


@pytest.mark.parametrize(("num_samples", "world_size", "first"), [(0, 1, 0), (1, 2, 0), (13, 2, 4), (13, 3, 13)])
def test_ranks_take_the_batches_of_one_process_in_turn(num_samples, world_size, first):
    alone = list(InTurnSampler(num_samples, 4, first=first))
    assert [i for batch in alone for i in batch] == list(range(first, num_samples))
    for rank in range(world_size):
        shard = InTurnSampler(num_samples, 4, rank, world_size, first)
        assert list(shard) == alone[rank::world_size] and len(shard) == len(list(shard))
