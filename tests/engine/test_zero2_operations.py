"""A ZeRO-2 step asks the host nothing between two lines of the log; one process, its collectives gloo's."""

import os

import pytest
import torch
import torch.distributed as dist

from mlcfast.engine import Process, build_engine
from tests.engine import runner
from tests.engine.watching import HostQuestions, Operations, WaitError
from tests.ranks import start_ranks

PLANTED = {"item": torch.Tensor.item, "bool": bool, "cpu": torch.Tensor.cpu}


def _step(engine, number: int) -> None:
    """Of two micro-batches."""
    for half in range(2):
        engine.micro_step(*(tensor.split(4)[half] for tensor in runner.batch(number)), last=half == 1)
    engine.step()


def _asked(engine, number: int) -> str:
    """What a step asks the host first, "" for nothing."""
    try:
        with Operations(), HostQuestions():
            _step(engine, number)
    except WaitError as error:
        return str(error)
    return ""


def _rank(_: int, folder: str) -> None:
    """In a process of its own: DeepSpeed holds on to the process group for good."""
    torch.set_num_threads(1)
    os.environ["LOCAL_RANK"] = "0"  # DeepSpeed asks for it
    dist.init_process_group("gloo", store=dist.FileStore(f"{folder}/store", 1), rank=0, world_size=1)
    asked = {}
    for clip in ("0.5", "null"):
        words = ["engine.name=zero2", "engine.precision=bf16", "engine.micro_batch=4", f"optim.grad_clip={clip}"]
        engine = build_engine(runner.config_of(words), Process(0, 0, 1, "deepspeed"), runner.training_module())
        _step(engine, 0)
        asked[f"clip {clip}"] = _asked(engine, 1)
    asked["bucket"] = engine.deepspeed.optimizer.reduce_bucket_size
    update = engine.statistics.commit_or_restore
    for number, (name, question) in enumerate(PLANTED.items(), 2):
        engine.statistics.commit_or_restore = lambda skipped, ask=question: (ask(skipped), update(skipped))
        asked[name] = _asked(engine, number)
    torch.save(asked, f"{folder}/asked.pt")
    dist.destroy_process_group()


def test_a_zero2_step_asks_nothing_with_clipping_or_without(tmp_path):
    """And what is planted is found."""
    pytest.importorskip("deepspeed")
    start_ranks(_rank, (str(tmp_path),), 1)
    asked = torch.load(tmp_path / "asked.pt")
    trained = sum(p.numel() for p in runner.training_module().parameters() if p.requires_grad)
    assert asked.pop("bucket") == trained < 2**25  # it is allocated whole
    assert asked.pop("clip 0.5") == asked.pop("clip null") == ""
    assert asked == {"item": "Tensor.item", "bool": "Tensor.__bool__", "cpu": "Tensor.cpu"}
