"""A loss that is not finite leaves the images of its batch behind."""

import json

import pytest
import torch

from mlcfast.config import load_config
from mlcfast.engine import Process
from mlcfast.engine.local import LocalEngine
from mlcfast.errors import RunError
from mlcfast.training.nonfinite import record_non_finite
from mlcfast.training.run import run


def test_a_line_a_micro_batch_with_its_step_and_images(tmp_path):
    losses = [torch.tensor(value) for value in (1.0, float("nan"), 2.0, 3.0, float("inf"), 1.0)]
    indices = [torch.tensor([2 * number, 2 * number + 1]) for number in range(6)]
    record_non_finite(tmp_path / "aside", Process(), 12, 2, losses, indices)
    lines = [json.loads(line) for line in (tmp_path / "aside").read_text().splitlines()]
    assert lines == [
        {"step": 10, "rank": 0, "loss": "nan", "indices": [2, 3]},
        {"step": 12, "rank": 0, "loss": "inf", "indices": [8, 9]},
    ]


def test_a_run_that_diverges_names_the_images(config_file, tmp_path, monkeypatch):
    micro_step, seen = LocalEngine.micro_step, []

    def poisoned(self, images, labels, index, last):
        seen.append(index.tolist())
        return micro_step(self, images * float("nan") if len(seen) > 3 else images, labels, index, last)

    monkeypatch.setattr(LocalEngine, "micro_step", poisoned)
    with pytest.raises(RunError, match="was not finite in 7 steps in a row"):
        run(load_config(config_file, ["train.log_every=4"]), Process())
    held = [json.loads(line) for line in (tmp_path / "runs" / "tiny" / "nonfinite.jsonl").read_text().splitlines()]
    expected = [(number // 2 + 1, seen[number]) for number in range(3, 16)]  # two micro-batches a step
    assert [(line["step"], line["indices"]) for line in held] == expected
