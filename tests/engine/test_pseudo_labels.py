"""Pseudo-labels under the engines: an engine's state holds them, and ranks learn of each other's new positives."""

import pytest
import torch
import torch.distributed as dist
from torch import nn

from mlcfast.config import parse_config
from mlcfast.engine import Engine, EngineState, Process, build_engine
from mlcfast.engine.training_module import TrainingModule
from mlcfast.losses import PseudoLabels, build_loss
from tests.engine.test_label_table import BASE, B, D, K, N
from tests.ranks import start_ranks

NAME = "pseudo_labels.labels"


def engine_of(*overrides: str, process: Process | None = None) -> Engine:
    torch.manual_seed(0)
    observed = (torch.rand(N, K) < 0.2).to(torch.int8)
    module = TrainingModule(nn.Linear(D, K), build_loss("ll_cp", delta=0.1), pseudo_labels=PseudoLabels(observed))
    module.begin_epoch(1, 4)
    sections = {name: dict(value) if isinstance(value, dict) else value for name, value in BASE.items()}
    return build_engine(parse_config(sections, overrides), process or Process(), module)


def epoch(engine: Engine, number: int, parts: int = 1, part: int = 0) -> None:
    """Every image once; `part` of each batch is this process's."""
    random = torch.Generator().manual_seed(number)
    features, order = torch.randn(N, D, generator=random), torch.randperm(N, generator=random)
    for index in order.split(B):
        own = index.chunk(parts)[part]
        engine.micro_step(features[own], torch.zeros(len(own), K), own, last=True)
        engine.step()


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_state_holds_them(precision):
    engine, resumed = (engine_of(f"engine.precision={precision}") for _ in range(2))
    before = engine.training_module.pseudo_labels.labels.clone()
    epoch(engine, 0)
    state = engine.export_state()
    assert (state.weights[NAME] != before).any() and (state.weights[NAME] >= before).all()
    resumed.load_state(state)
    for one in (engine, resumed):
        epoch(one, 1)
    ours, other = engine.export_state(), resumed.export_state()
    assert ours.weights.keys() == other.weights.keys()
    assert all(torch.equal(ours.weights[name], other.weights[name]) for name in ours.weights)


def test_an_evaluation_changes_nothing():
    engine = engine_of()
    before = engine.training_module.pseudo_labels.labels.clone()
    engine.training_module.eval()
    engine.training_module(torch.randn(B, D), torch.zeros(B, K), torch.arange(B))
    assert torch.equal(engine.training_module.pseudo_labels.labels, before)


def _rank(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", store=dist.FileStore(f"{folder}/store", 2), rank=rank, world_size=2)
    engine = engine_of("engine.name=ddp", f"engine.micro_batch={B // 2}", process=Process(rank, rank, 2, "torchrun"))
    epoch(engine, 0, 2, rank)
    own = engine.training_module.pseudo_labels.labels.clone()
    engine.average_buffers()
    torch.save((own, vars(engine.export_state())), f"{folder}/{rank}.pt")
    dist.destroy_process_group()


def test_two_ranks_share_their_new_positives(tmp_path):
    start_ranks(_rank, (str(tmp_path),), 2)
    (first, state), (second, other) = (torch.load(tmp_path / f"{rank}.pt") for rank in range(2))
    labels = EngineState(**state).weights[NAME]
    assert torch.equal(labels, EngineState(**other).weights[NAME])
    assert torch.equal(labels, torch.maximum(first, second)) and not torch.equal(first, second)
