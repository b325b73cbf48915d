"""DDP and ZeRO-2 on two processes against one process on the same global batches."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mlcfast.engine import Process, build_engine, load_checkpoint
from tests import warm
from tests.engine import runner

ROOT = Path(__file__).parents[2]
# fp32 sums of 8 samples in another order differ by a few ulp (6e-8 relative); Adam divides by sqrt(v), which turns an
# ulp of a gradient near zero into up to lr · 1e-3 of a weight over the 4 steps taken here.
FP32 = {"rtol": 1e-4, "atol": 2e-5}
# bf16 keeps 8 bits: logits of order 1 and so probabilities are good to about 2^-8, and the losses with them. Adam may
# step the other way where bf16 turns the sign of a near-zero gradient, so weights are compared by their mean distance,
# against the 4 · lr that the steps can move them.
BF16 = {"rtol": 0, "atol": 2**-7}
MOVED = 4 * 1e-2


def run_two(tmp_path: Path, *overrides: str, module: str = "tests.engine.runner", fresh: bool = False) -> list[dict]:
    """What two ranks have written. fresh: from interpreters of their own, which do not order sets of strings alike."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    processes = []
    for rank in range(2):
        environment = os.environ | {
            "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "OMP_NUM_THREADS": "1",
            "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "PYTHONPATH": str(ROOT),
        }  # fmt: skip
        environment |= {"PYTHONHASHSEED": str(rank)} if fresh else {}
        command = [
            sys.executable if fresh else warm.shared().executable,
            "-m",
            module,
            str(tmp_path / "out"),
            *overrides,
        ]
        processes.append(subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True))
    errors = [process.communicate(timeout=300)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], errors[0][-3000:]
    return [torch.load(tmp_path / f"out.{rank}", weights_only=True) for rank in range(2)]


@pytest.fixture(scope="module")
def alone() -> dict:
    """The single process's losses, weights, average and predictions after the same steps."""
    engine = build_engine(runner.config_of([]), Process(), runner.training_module())
    losses = runner.train(engine, 8)
    with engine.averaged_weights():
        averaged = engine.predict(runner.batch(99)[0])
    state, raw = engine.export_state(), engine.predict(runner.batch(99)[0])
    return {"losses": losses, "state": vars(state), "averaged": averaged, "raw": raw}


def trained(tensors: dict) -> dict:
    """Without BatchNorm's statistics, which see micro-batches and so depend on their number."""
    return {name: tensor for name, tensor in tensors.items() if ".norm." not in name}


def assert_ranks_agree(results: list[dict]) -> None:
    """Also in BatchNorm's statistics and their average, which come from different images on each rank."""
    assert results[0]["state"]["average"].keys() == results[0]["state"]["weights"].keys()
    for name in ("weights", "average", "moments"):
        torch.testing.assert_close(results[0]["state"][name], results[1]["state"][name], rtol=0, atol=0)


def compare(results: list[dict], alone: dict, tolerance: dict) -> None:
    assert_ranks_agree(results)
    for name in ("weights", "average", "moments"):
        torch.testing.assert_close(trained(results[0]["state"][name]), trained(alone["state"][name]), **tolerance)
    mean_losses = torch.tensor([result["losses"] for result in results]).mean(0)
    torch.testing.assert_close(mean_losses, torch.tensor(alone["losses"]), **tolerance)
    for key in ("averaged", "raw"):
        torch.testing.assert_close(results[0][key], alone[key], **tolerance)
    assert (results[0]["averaged"] - results[0]["raw"]).abs().max() > 1e-3


def require_written(tmp_path: Path, results: list[dict]) -> None:
    """Both ranks' shares are the whole state, bit for bit; where one cannot write its own both are told the file."""
    place = tmp_path / "out.checkpoints"
    state, progress = load_checkpoint(place / "00000001")
    for name in ("weights", "average", "moments"):
        torch.testing.assert_close(getattr(state, name), results[0]["state"][name], rtol=0, atol=0)
    assert progress == {"step": 1} and state.average_steps == results[0]["state"]["average_steps"]
    for (one, nothing), (other, error) in (result["written"] for result in results):
        assert (one, nothing, other) == (1, "", 2)
        assert error.startswith("[Errno 28] No space left on device") and str(place / ".00000002.partial") in error
    assert sorted(entry.name for entry in place.iterdir()) == ["00000001", "latest"]
    assert (place / "latest").read_text() == "00000001"


@pytest.mark.parametrize("micro_batch", [4, 2])
def test_ddp_equals_one_process(tmp_path, alone, micro_batch):
    results = run_two(tmp_path, "engine.name=ddp", f"engine.micro_batch={micro_batch}", fresh=micro_batch == 4)
    compare(results, alone, FP32)
    torch.testing.assert_close(results[0]["resumed"], results[0]["went_on"], rtol=0, atol=0)
    require_written(tmp_path, results)


def test_zero2_equals_one_process(tmp_path, alone):
    results = run_two(tmp_path, "engine.name=zero2", "engine.micro_batch=2", fresh=True)
    compare(results, alone, FP32)
    torch.testing.assert_close(results[0]["resumed"], results[0]["went_on"], rtol=0, atol=0)
    require_written(tmp_path, results)


def test_the_average_warms_up_alike_under_zero2(tmp_path):
    """The count of steps is part of the state: two processes that take it over go on as those that did not stop."""
    words = ["train.ema_warmup=true", "train.ema_decay=0.99"]
    single = build_engine(runner.config_of(words), Process(), runner.training_module())
    runner.train(single, 8)
    results = run_two(tmp_path, "engine.name=zero2", "engine.micro_batch=4", *words)
    average = trained(results[0]["state"]["average"])
    torch.testing.assert_close(average, trained(single.export_state().average), **FP32)
    assert results[0]["state"]["average_steps"] == runner.STEPS
    torch.testing.assert_close(results[0]["resumed"], results[0]["went_on"], rtol=0, atol=0)


@pytest.mark.parametrize(
    "settings",
    [
        ("engine.micro_batch=4",),
        ("engine.micro_batch=2",),
        ("engine.micro_batch=2", "engine.offload_optimizer=true"),
    ],
)
def test_zero2_in_bf16_follows_one_process(tmp_path, alone, settings):
    """Also where two micro-batches add up, in fp32, before the step."""
    results = run_two(tmp_path, "engine.name=zero2", "engine.precision=bf16", *settings)
    assert_ranks_agree(results)
    for key in ("averaged", "raw"):
        torch.testing.assert_close(results[0][key], alone[key], **BF16)
    mean_losses = torch.tensor([result["losses"] for result in results]).mean(0)
    torch.testing.assert_close(mean_losses, torch.tensor(alone["losses"]), **BF16)
    for kind in ("weights", "average"):
        for name, tensor in trained(alone["state"][kind]).items():
            assert (results[0]["state"][kind][name] - tensor).abs().mean() < MOVED / 32, (kind, name)
    torch.testing.assert_close(results[0]["resumed"], results[0]["went_on"], rtol=0, atol=0)
    require_written(tmp_path, results)


def test_running_mean_of_two_ranks_is_that_of_one_process(tmp_path, alone):
    """Each rank sees half of each batch once, so the mean of their running means is the whole batch's."""
    results = run_two(tmp_path, "engine.name=ddp", "engine.micro_batch=4")
    for kind in ("weights", "average"):
        name = "model.0.norm.running_mean"
        torch.testing.assert_close(results[0]["state"][kind][name], alone["state"][kind][name], rtol=1e-5, atol=1e-6)


def test_dropped_step_leaves_statistics_and_average_alone():
    engine = build_engine(runner.config_of([]), Process(), runner.training_module())
    runner.train(engine, 8)
    before = vars(engine.export_state())
    images, labels, index = runner.batch(0)
    engine.micro_step(images * float("nan"), labels, index, last=True)
    assert engine.step().skipped == 1
    after = vars(engine.export_state())
    counted = {"model.0.norm.num_batches_tracked"}
    for kind in ("weights", "average"):
        changed = {name for name in before[kind] if not torch.equal(before[kind][name], after[kind][name])}
        assert changed <= counted
