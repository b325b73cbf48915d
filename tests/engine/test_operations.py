"""What a step does beside the model is a constant number of operations, and none of them is waited for."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from mlcfast.config import EngineConfig
from mlcfast.data.build import Loaders
from mlcfast.data.mixing import CutMix
from mlcfast.engine import Process, build_engine, set_arithmetic
from mlcfast.engine.local import LocalEngine
from mlcfast.engine.training_module import TrainingModule
from mlcfast.models import build_model
from mlcfast.models.freezing import FrozenBatchNorm2d
from mlcfast.training.trainer import Trainer
from tests.conftest import ROOT
from tests.engine import runner
from tests.engine.watching import HostQuestions, Operations, WaitError

BESIDE_THE_MODEL = {"fp32": 23, "bf16": 23, "fp16": 32}  # operations of a step after the backward pass, at most
OF_A_GROUP = 3  # for each parameter group after the first
FUSED = (torch.ops.aten._fused_sgd_.default, torch.ops.aten._fused_adamw_.default)


def training_module(depth: int) -> TrainingModule:
    blocks = [nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3), FrozenBatchNorm2d(3)) for _ in range(depth)]
    return TrainingModule(nn.Sequential(*blocks, nn.Flatten(), nn.Linear(12, 5)), nn.BCEWithLogitsLoss())


def engine_of(depth: int, *words: str, module: TrainingModule | None = None):
    torch.manual_seed(0)
    return build_engine(runner.config_of(list(words)), Process(), module or training_module(depth))


def operations_of(engine: LocalEngine) -> list[str]:
    """Those after the backward pass, in a step that is not the optimizer's first."""
    runner.train(engine, 8, range(2))
    engine.micro_step(*runner.batch(2), last=True)
    with Operations() as watched, HostQuestions():
        engine.step()
    return watched.seen


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("optim.grad_clip=null", "train.ema_warmup=true"),
        ("engine.precision=bf16",),
        ("engine.precision=fp16",),
        ("optim.weight_decay_on=matrices",),
        ("optim.weight_decay_on=matrices", "engine.precision=fp16"),
    ],
)
def test_their_number_does_not_grow_with_the_model(words):
    engines = [engine_of(depth, *words) for depth in (1, 9)]
    few, many = map(operations_of, engines)
    assert few == many
    groups = len(engines[1].optimizer.param_groups)
    assert groups == 1 + ("optim.weight_decay_on=matrices" in words)
    precision = next((word.partition("=")[2] for word in words if "precision" in word), "fp32")
    assert len(many) <= BESIDE_THE_MODEL[precision] + OF_A_GROUP * (groups - 1)


@pytest.mark.parametrize("decay_on", ["all", "matrices"])
def test_rates_by_block_add_three_operations_a_group(decay_on):
    words = ("optim.layer_lr_decay=0.8", f"optim.weight_decay_on={decay_on}")
    model = build_model(head="linear", backbone="test_resnet", num_labels=5, image_size=32, weights="none")
    engine = engine_of(0, *words, module=TrainingModule(model, nn.BCEWithLogitsLoss()))
    groups = len(engine.optimizer.param_groups)
    assert groups > 4
    for _ in range(2):
        engine.micro_step(torch.randn(2, 3, 32, 32), torch.zeros(2, 5), torch.arange(2), last=True)
        with Operations() as watched:
            engine.step()
    assert len(watched.seen) <= BESIDE_THE_MODEL["fp32"] + OF_A_GROUP * (groups - 1)


def test_the_document_says_how_many_they_are():
    text = (ROOT / "docs" / "step.md").read_text(encoding="utf-8")
    counts = [len(operations_of(engine_of(1, f"engine.precision={precision}"))) for precision in ("fp32", "fp16")]
    said = "a step is {} operations however many parameters and layers the model has, in fp16 {}:"
    assert said.format(*counts) in text
    more = len(operations_of(engine_of(1, "optim.weight_decay_on=matrices"))) - counts[0]
    assert f"every further group adds {more}:" in text


def test_frozen_normalisations_are_followed_by_nothing():
    engine = engine_of(2)
    assert len(engine.statistics.buffers) == 4 and engine.average is not None
    assert len(engine.average.tensors) == len(engine.parameters) + 4
    state = engine.export_state()
    assert state.average.keys() == state.weights.keys()
    engine.load_state(state)


class OnAGpu(Process):
    @property
    def device(self) -> torch.device:
        return torch.device("cuda", 0)


@pytest.mark.parametrize("planted", [None, "item", "bool", "cpu", "pageable copy"])
def test_a_step_on_fake_cuda_tensors_asks_nothing(planted, monkeypatch):
    """What is planted is found: a value read, a copy to the host, numbers copied to the device."""
    places = {
        "item": lambda norm: norm.item(),
        "bool": lambda norm: bool(norm > 1),
        "cpu": lambda norm: norm.cpu(),
        "pageable copy": lambda norm: torch.zeros((), device="cpu").to(norm.device),
    }
    with FakeTensorMode(), torch.device("cuda"):
        module = training_module(2)
        optimizer = torch.optim.AdamW(module.parameters(), fused=True)
        settings = {"precision": "fp32", "accumulation": 1, "grad_clip": 0.5, "ema_decay": 0.5, "distributed": False}
        engine = LocalEngine(OnAGpu(), module, optimizer, **settings)
        for parameter in engine.parameters.values():
            parameter.grad = torch.empty_like(parameter)
        if planted:
            update = engine.statistics.commit_or_restore
            monkeypatch.setattr(
                engine.statistics, "commit_or_restore", lambda skipped: (places[planted](skipped), update(skipped))
            )
        with Operations(FUSED) as watched:
            if planted:
                with pytest.raises(WaitError):
                    engine.step()
            else:
                engine.step()
                assert {"_fused_sgd_", "_fused_adamw_"} <= set(watched.seen)


class Batches:
    """What a trainer asks of a loader before it trains: the lengths."""

    dataset = range(32)

    def __len__(self) -> int:
        return 8


def trainer_of_two_micro_batches() -> Trainer:
    config = runner.config_of(["train.log_every=1000", "engine.micro_batch=4"])
    torch.manual_seed(0)
    loaders = Loaders(Batches(), Batches(), [])
    return Trainer(config, build_engine(config, Process(), training_module(2)), loaders, None, mix=CutMix())


@pytest.mark.parametrize("planted", [None, "item", "bool", "cpu", "device"])
def test_a_whole_step_of_the_trainer_asks_nothing(planted, monkeypatch):
    """Between two lines of the log; the tensors are the CPU's, the questions those a GPU would be waited for."""
    trainer = trainer_of_two_micro_batches()
    trainer.pace = SimpleNamespace(micro_batch=lambda: None, line_is_due=lambda: False)
    halves = [tuple(tensor.split(4)[half] for tensor in runner.batch(0)) for half in range(2)]
    trainer._step(halves)
    places = {
        "item": lambda loss: loss.item(),
        "bool": lambda loss: bool(loss > 0),
        "cpu": lambda loss: loss.cpu(),
        "device": lambda loss: torch.tensor(1.0, device=loss.device),
    }
    take = trainer.engine.micro_step

    def micro_step(*args):
        loss = take(*args)
        places[planted](loss)
        return loss

    if planted:
        monkeypatch.setattr(trainer.engine, "micro_step", micro_step)
    with Operations(), HostQuestions():
        if planted:
            with pytest.raises(WaitError):
                trainer._step(halves)
        else:
            trainer._step(halves)
    assert trainer.progress.step == 2 - bool(planted)


@pytest.mark.parametrize("tf32", [False, True])
def test_products_and_convolutions_round_alike(tf32):
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32, torch.backends.cudnn.benchmark
    try:
        set_arithmetic(EngineConfig(tf32=tf32, time_convolutions=tf32))
        assert torch.get_float32_matmul_precision() == ("high" if tf32 else "highest")
        assert torch.backends.cudnn.allow_tf32 == torch.backends.cudnn.benchmark == tf32
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.allow_tf32, torch.backends.cudnn.benchmark = before[1:]
