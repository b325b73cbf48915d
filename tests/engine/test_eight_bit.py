"""AdamW with 8-bit moments in the engines: layout of the weights, checkpoints, dropped steps, ZeRO-2's shards."""

import os
import sys

import pytest
import torch
import torch.distributed as dist
from torch import nn

from mlcfast.config import parse_config
from mlcfast.engine import Engine, EngineState, Process, build_engine
from mlcfast.engine.training_module import TrainingModule
from mlcfast.errors import UsageError
from tests.ranks import start_ranks

pytest.importorskip("bitsandbytes")

BASE = {
    "name": "eight_bit",
    "data": {"format": "demo", "root": "unused"},
    "model": {"backbone": "unused"},
    "optim": {"name": "adamw8bit", "lr": 1e-3, "weight_decay": 0.05},
    "engine": {"precision": "fp32", "micro_batch": 8, "global_batch": 8},
    "train": {"ema_decay": 0.5},
}
CONVOLUTION, LINEAR = "model.0.weight", "model.3.weight"  # above 4096 elements: in 8 bits; the biases are not


def engine_of(*overrides: str, process: Process | None = None) -> Engine:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(16, 32, 3), nn.GELU(), nn.Flatten(), nn.Linear(128, 40), nn.Linear(40, 5))
    sections = {name: dict(value) if isinstance(value, dict) else value for name, value in BASE.items()}
    training_module = TrainingModule(model, nn.BCEWithLogitsLoss())
    return build_engine(parse_config(sections, overrides), process or Process(), training_module)


def train(engine: Engine, steps: range, parts: int = 1, part: int = 0) -> None:
    for step in steps:
        generator = torch.Generator().manual_seed(step)
        images = torch.randn(8, 16, 4, 4, generator=generator).chunk(parts)[part]
        labels = (torch.rand(8, 5, generator=generator) < 0.3).float().chunk(parts)[part]
        engine.micro_step(images, labels, torch.arange(8).chunk(parts)[part], last=True)
        assert engine.step().skipped == 0


def assert_same(one: EngineState, other: EngineState, **tolerance: float) -> None:
    for kind in ("weights", "average", "moments"):
        torch.testing.assert_close(getattr(one, kind), getattr(other, kind), **tolerance)


def test_moments_take_a_byte_and_the_weights_stay_where_they_are():
    """The average, DDP's buckets and channels_last all count on weights that are changed in place."""
    engine = engine_of()
    held = {name: (p.data_ptr(), p.stride()) for name, p in engine.parameters.items()}
    train(engine, range(3))
    assert held == {name: (p.data_ptr(), p.stride()) for name, p in engine.parameters.items()}
    assert engine.parameters[CONVOLUTION].is_contiguous(memory_format=torch.channels_last)
    states = {name: engine.optimizer.state[p] for name, p in engine.parameters.items()}
    assert {name for name, s in states.items() if s["state1"].dtype == torch.uint8} == {CONVOLUTION, LINEAR}
    assert states[CONVOLUTION]["absmax1"].numel() == 32 * 16 * 9 // 256


def test_follows_adamw():
    """Per element a moment is off by up to 1/128 of its block's largest, so steps differ; on average they agree."""
    engine, exact = engine_of(), engine_of("optim.name=adamw")
    start_at = engine.export_state().weights
    for one in (engine, exact):
        train(one, range(20))
    for name in (CONVOLUTION, LINEAR):
        moved = exact.export_state().weights[name] - start_at[name]
        apart = engine.export_state().weights[name] - exact.export_state().weights[name]
        assert apart.norm() < 0.1 * moved.norm(), name


def test_resumed_engine_goes_on():
    engine, resumed = engine_of(), engine_of()
    train(engine, range(10))
    state = engine.export_state()
    assert state.moments[f"exp_avg/{CONVOLUTION}"].shape == (32, 16, 3, 3)
    resumed.load_state(state)
    for name, parameter in engine.parameters.items():
        mine, theirs = engine.optimizer.state[parameter], resumed.optimizer.state[resumed.parameters[name]]
        for key in ("state1", "state2"):
            torch.testing.assert_close(mine[key], theirs[key], rtol=0, atol=0)
    for one in (engine, resumed):
        train(one, range(10, 11))
    # A scale may come back one ulp off: after one step that is some ulp of a moment and so of lr.
    assert_same(engine.export_state(), resumed.export_state(), rtol=1e-6, atol=1e-9)


def test_state_moves_to_exact_moments_and_back():
    engine, exact = engine_of(), engine_of("optim.name=adamw")
    train(engine, range(5))
    exact.load_state(engine.export_state())
    assert_same(engine.export_state(), exact.export_state(), rtol=0, atol=0)
    again = engine_of()
    again.load_state(exact.export_state())
    assert_same(again.export_state(), exact.export_state(), rtol=3e-7, atol=0)


def test_dropped_step_changes_nothing():
    engine = engine_of()
    train(engine, range(3))
    before = engine.export_state()
    engine.micro_step(torch.full((8, 16, 4, 4), float("nan")), torch.zeros(8, 5), torch.arange(8), last=True)
    assert engine.step().skipped == 1
    assert_same(before, engine.export_state(), rtol=0, atol=0)


def test_without_bitsandbytes_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    monkeypatch.setitem(sys.modules, "bitsandbytes.optim", None)
    monkeypatch.delitem(sys.modules, "mlcfast.engine.eight_bit", raising=False)
    with pytest.raises(UsageError, match=r"^optim.name adamw8bit needs bitsandbytes: pip install bitsandbytes$"):
        engine_of()


def _rank(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    os.environ["LOCAL_RANK"] = str(rank)  # DeepSpeed asks for it
    dist.init_process_group("gloo", store=dist.FileStore(f"{folder}/store", 2), rank=rank, world_size=2)
    process = Process(rank, rank, 2, "deepspeed")
    overrides = ("engine.name=zero2", "engine.micro_batch=4")
    engine, resumed = engine_of(*overrides, process=process), engine_of(*overrides, process=process)
    train(engine, range(10), 2, rank)
    state = engine.export_state()
    resumed.load_state(state)
    for one in (engine, resumed):
        train(one, range(10, 11), 2, rank)
    assert engine.optimizer.state[engine.masters[0]]["state1"].dtype == torch.uint8
    went_on, again = engine.export_state(), resumed.export_state()
    torch.save([vars(state), vars(went_on), vars(again)], f"{folder}/{rank}.pt")
    dist.destroy_process_group()


def test_zero2_steps_its_shards_in_eight_bits(tmp_path):
    start_ranks(_rank, (str(tmp_path),), 2)
    first, second = ([EngineState(**s) for s in torch.load(tmp_path / f"{rank}.pt")] for rank in range(2))
    for one, other in zip(first, second, strict=True):
        assert_same(one, other, rtol=0, atol=0)
    state, went_on, again = first
    assert_same(went_on, again, rtol=1e-6, atol=1e-9)
    exact, fresh = engine_of("optim.name=adamw"), engine_of("optim.name=adamw")
    train(exact, range(10))
    for name in (CONVOLUTION, LINEAR):
        moved = exact.export_state().weights[name] - fresh.export_state().weights[name]
        assert (state.weights[name] - exact.export_state().weights[name]).norm() < 0.1 * moved.norm(), name
