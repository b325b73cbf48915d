"""What a run asks of the planner, with a GPU that is only pretended."""

import json

import pytest
import torch

from mlcfast.config import load_config
from mlcfast.engine import Process
from mlcfast.engine.local import LocalEngine
from mlcfast.errors import RunError
from mlcfast.planning import for_run
from mlcfast.training.run import run


@pytest.fixture
def card(monkeypatch):
    monkeypatch.setattr(for_run, "gpu_memory", lambda: 12 * 2**30)


def test_auto_is_settled_and_the_prediction_logged_beside_the_measurement(config_file, tmp_path, card, monkeypatch):
    monkeypatch.setattr("mlcfast.training.trainer.memory_peaks", lambda: {"peak_bytes": 123})
    config = load_config(config_file, ["engine.activation_checkpointing=auto", "train.epochs=1"])
    run(config, Process())
    lines = (tmp_path / "runs" / "tiny" / "metrics.jsonl").read_text().splitlines()
    (memory,) = [line for line in map(json.loads, lines) if line["event"] == "memory"]
    assert memory["measured_bytes"] == 123 and 10_000 < memory["predicted_bytes"] < 2**28
    assert memory["predicted_least_bytes"] < memory["predicted_bytes"] < memory["predicted_most_bytes"]
    assert "activation_checkpointing: none" in (tmp_path / "runs" / "tiny" / "config.yaml").read_text()


def test_what_others_hold_of_a_gpu_is_not_free(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device=None: ((device or 2) * 2**30, 12 * 2**30))
    assert for_run.gpu_memory() == 2 * 2**30 + for_run.CONTEXT.likely
    assert for_run.gpu_memory(5) == 5 * 2**30 + for_run.CONTEXT.likely and for_run.gpu_memory(12) == 12 * 2**30


def test_out_of_memory_names_the_setting_and_the_plan(config_file, card, monkeypatch):
    def full(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(LocalEngine, "micro_step", full)
    with pytest.raises(RunError, match=r"set engine.activation_checkpointing=blocks.*suggests engine.name=single"):
        run(load_config(config_file), Process())


@pytest.mark.parametrize(
    ("settings", "change"),
    [
        (("engine.activation_checkpointing=blocks",), "lower engine.micro_batch from 4"),
        (
            ("engine.activation_checkpointing=blocks", "engine.micro_batch=1", "engine.name=zero2"),
            "set engine.offload_optimizer=true",
        ),
    ],
)
def test_what_to_change_when_memory_ends(config_file, settings, change):
    assert change in str(for_run.out_of_memory(load_config(config_file, settings), None))
