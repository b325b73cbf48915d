"""The label estimates under the engines: sparse rows against dense Adam, two processes against one, resumption."""

import torch
import torch.distributed as dist
from torch import nn

from mlcfast.config import parse_config
from mlcfast.engine import Engine, EngineState, Process, build_engine
from mlcfast.engine.distributed import all_reduce_sum
from mlcfast.engine.training_module import TrainingModule
from mlcfast.losses import LabelEstimator, ROLELoss
from tests.ranks import start_ranks

N, D, K, B, STEPS = 48, 6, 4, 8, 40
# Sparse rows sum the same silent steps in another order; a weight moves by up to lr a step, an ulp of 1 is 1.2e-7.
CLOSE = {"rtol": 1e-4, "atol": 1e-5}
BASE = {
    "name": "table",
    "data": {"format": "features", "root": "unused"},
    "model": {"head": "linear", "backbone": "none", "weights": "none"},
    "optim": {"name": "adam", "lr": 1e-3, "weight_decay": 0, "schedule": "constant"},
    "engine": {"precision": "fp32", "micro_batch": B, "global_batch": B},
    "train": {"ema_decay": 0.5},
}


def training_module() -> TrainingModule:
    generator = torch.Generator().manual_seed(1)
    observed = (torch.rand(N, K, generator=generator) < 0.2).to(torch.int8)
    torch.manual_seed(0)
    loss = ROLELoss(1.5, all_reduce=all_reduce_sum)
    return TrainingModule(nn.Linear(D, K), loss, LabelEstimator(N, K, observed, generator, sparse=False))


def engine_of(*overrides: str, process: Process | None = None) -> Engine:
    sections = {name: dict(value) if isinstance(value, dict) else value for name, value in BASE.items()}
    return build_engine(parse_config(sections, overrides), process or Process(), training_module())


def dense_engine() -> Engine:
    """A one-cycle schedule that is never applied: the table's gradient is dense, the learning rate constant."""
    engine = engine_of("optim.schedule=one_cycle")
    assert not engine.training_module.estimator.sparse and engine.table is None
    return engine


def train(engine: Engine, steps: range, parts: int = 1, part: int = 0) -> None:
    """A step takes 8 rows of which many are not met again for long; `part` of them is this process's."""
    for step in steps:
        random = torch.Generator().manual_seed(step)
        index = torch.randperm(N if step % 7 == 0 else N // 3, generator=random)[:B]
        features = torch.randn(N, D, generator=random)[index]
        labels = (torch.rand(N, K, generator=random) < 0.2)[index]
        engine.micro_step(*(tensor.chunk(parts)[part] for tensor in (features, labels.float(), index)), last=True)
        assert engine.step().skipped == 0


def assert_same(one: EngineState, other: EngineState, **tolerance: float) -> None:
    for kind in ("weights", "average", "moments"):
        torch.testing.assert_close(getattr(one, kind), getattr(other, kind), **tolerance)


def test_sparse_rows_give_dense_adams_state():
    sparse, dense = engine_of(), dense_engine()
    assert sparse.training_module.estimator.sparse
    start = sparse.export_state().weights["estimator.table"]
    for engine in (sparse, dense):
        train(engine, range(STEPS))
    one, other = sparse.export_state(), dense.export_state()
    del one.average["estimator.table"], other.average["estimator.table"]  # with sparse rows it is not averaged
    assert_same(one, other, **CLOSE)
    assert (one.weights["estimator.table"] - start).abs().max() > 0.2
    assert one.moments["step/estimator.table"] == STEPS


def test_gradient_clipping_counts_the_table():
    sparse = engine_of("optim.grad_clip=1e-3")
    dense = engine_of("optim.grad_clip=1e-3", "optim.schedule=one_cycle")
    for engine in (sparse, dense):
        train(engine, range(5))
    one, other = sparse.export_state(), dense.export_state()
    torch.testing.assert_close(one.moments, other.moments, rtol=1e-4, atol=1e-9)


def test_state_moves_between_dense_and_sparse():
    sparse, dense = engine_of("train.ema_decay=0"), engine_of("train.ema_decay=0", "optim.schedule=one_cycle")
    train(sparse, range(STEPS))
    dense.load_state(sparse.export_state())
    train(dense, range(STEPS, STEPS + 5))
    train(sparse, range(STEPS, STEPS + 5))
    assert_same(sparse.export_state(), dense.export_state(), **CLOSE)
    again = engine_of("train.ema_decay=0")
    again.load_state(dense.export_state())
    assert_same(again.export_state(), dense.export_state(), rtol=0, atol=0)


def test_resumed_engine_goes_on_exactly():
    engine, resumed = engine_of(), engine_of()
    train(engine, range(STEPS))
    resumed.load_state(engine.export_state())
    for one in (engine, resumed):
        train(one, range(STEPS, 2 * STEPS))
    assert_same(engine.export_state(), resumed.export_state(), rtol=0, atol=0)


def test_dropped_step_leaves_everything():
    """What follows is as if it had not been, bias correction and learning rates included.

    The rows it read were brought up to date then, so their silent steps are summed in two parts: an ulp of difference.
    """
    engine, other = engine_of(), engine_of()
    for one in (engine, other):
        train(one, range(3))
    features, index = torch.full((B, D), float("nan")), torch.arange(B)
    engine.micro_step(features, torch.zeros(B, K), index, last=True)
    assert engine.step().skipped == 1
    for one in (engine, other):
        train(one, range(3, 10))
    assert_same(engine.export_state(), other.export_state(), rtol=1e-6, atol=1e-7)


def _rank(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", store=dist.FileStore(f"{folder}/store", 2), rank=rank, world_size=2)
    process = Process(rank, rank, 2, "torchrun")
    engine = engine_of("engine.name=ddp", f"engine.micro_batch={B // 2}", process=process)
    train(engine, range(STEPS), 2, rank)
    torch.save(vars(engine.export_state()), f"{folder}/{rank}.pt")
    dist.destroy_process_group()


def test_two_processes_equal_one(tmp_path):
    start_ranks(_rank, (str(tmp_path),), 2)
    ranks = [EngineState(**torch.load(tmp_path / f"{rank}.pt")) for rank in range(2)]
    assert_same(*ranks, rtol=0, atol=0)
    alone = engine_of()
    train(alone, range(STEPS))
    assert_same(ranks[0], alone.export_state(), **CLOSE)
