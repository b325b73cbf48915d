"""The learning rate that a run logs is that of optim.lr, whatever share of it each part of the model learns at."""

import json

import pytest

from mlcfast.config import load_config
from mlcfast.engine import Process
from mlcfast.training.run import run


def test_it_is_the_schedules_and_the_report_shows_it(config_file, tmp_path):
    """The stem of the backbone learns at 1e-300 of it, and less with each block."""
    config = load_config(config_file, ["optim.layer_lr_decay=1e-300", "optim.schedule=constant", "train.epochs=1"])
    run(config, Process())
    directory = tmp_path / "runs" / "tiny"
    lines = map(json.loads, (directory / "metrics.jsonl").read_text().splitlines())
    rates = [line["lr"] for line in lines if line["event"] == "train"]
    assert rates and rates == pytest.approx([config.optim.lr] * len(rates))
    assert "learning rate" in (directory / "report.html").read_text()
