"""ZeRO-2 on two processes: ROLE's table at its own rate, an unused parameter, and clipping of all together."""

import os

import torch
import torch.distributed as dist
from torch import Tensor, nn

from mlcfast.config import parse_config
from mlcfast.engine import Engine, EngineState, Process, build_engine
from mlcfast.engine.distributed import all_reduce_sum
from mlcfast.engine.training_module import TrainingModule
from mlcfast.losses import LabelEstimator, ROLELoss
from tests.engine import test_label_table as role
from tests.ranks import start_ranks

SETTINGS = ("optim.schedule=one_cycle", "optim.grad_clip=0.02")  # a schedule never applied makes the table dense
STEPS, TABLE, UNUSED = 6, "estimator.table", "model.unused"


class PartlyUsed(nn.Linear):
    """A linear classifier beside whose weights lies one that no output depends on."""

    def __init__(self) -> None:
        super().__init__(role.D, role.K)
        self.unused = nn.Parameter(torch.ones(7))


def engine_of(*overrides: str, process: Process | None = None) -> Engine:
    generator = torch.Generator().manual_seed(1)
    observed = (torch.rand(role.N, role.K, generator=generator) < 0.2).to(torch.int8)
    torch.manual_seed(0)
    estimator = LabelEstimator(role.N, role.K, observed, generator, sparse=False)
    training_module = TrainingModule(PartlyUsed(), ROLELoss(1.5, all_reduce=all_reduce_sum), estimator)
    return build_engine(parse_config(role.BASE, [*SETTINGS, *overrides]), process or Process(), training_module)


def norms(engine: Engine, parts: int = 1, part: int = 0) -> list[Tensor]:
    """Train; the norm of each step's gradient before clipping."""
    found = []
    apply = engine.step

    def step():
        outcome = apply()
        found.append(outcome.grad_norm.cpu())
        return outcome

    engine.step = step
    role.train(engine, range(STEPS), parts, part)
    return found


def _rank(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    os.environ["LOCAL_RANK"] = str(rank)  # DeepSpeed asks for it
    dist.init_process_group("gloo", store=dist.FileStore(f"{folder}/store", 2), rank=rank, world_size=2)
    process = Process(rank, rank, 2, "deepspeed")
    engine = engine_of("engine.name=zero2", f"engine.micro_batch={role.B // 2}", process=process)
    rates = [group["lr"] for group in engine.optimizer.param_groups]
    found = norms(engine, 2, rank)
    torch.save({"state": vars(engine.export_state()), "rates": rates, "norms": found}, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


def test_table_unused_parameter_and_clipping_are_those_of_one_process(tmp_path):
    """Fused Adam skips what has no gradient, DeepSpeed gives it one of zeros: moments of zeros, the same weight."""
    start_ranks(_rank, (str(tmp_path),), 2)
    ranks = [torch.load(tmp_path / f"{rank}.pt") for rank in range(2)]
    sharded, other = (EngineState(**rank["state"]) for rank in ranks)
    role.assert_same(sharded, other, rtol=0, atol=0)
    assert ranks[0]["rates"] == [1e-3, 1e-2]
    alone = engine_of()
    start = alone.export_state().weights
    expected = norms(alone)
    torch.testing.assert_close(ranks[0]["norms"], expected, rtol=1e-5, atol=0)
    assert min(expected) > 0.02  # every step is clipped
    state = alone.export_state()
    moments = {name: m for name, m in sharded.moments.items() if not name.endswith(UNUSED)}
    torch.testing.assert_close(moments, state.moments, rtol=1e-4, atol=1e-9)
    torch.testing.assert_close(sharded.weights, state.weights, **role.CLOSE)
    torch.testing.assert_close(sharded.average, state.average, **role.CLOSE)
    assert not sharded.moments[f"exp_avg/{UNUSED}"].any() and torch.equal(sharded.weights[UNUSED], start[UNUSED])
    moved = {name: (sharded.weights[name] - start[name]).abs().max() for name in (TABLE, "model.weight")}
    assert 5 < moved[TABLE] / moved["model.weight"] < 20
