"""Weights & Biases offline, with its real package: a run lies in its directory and goes on when it is resumed."""

import json
import os
import subprocess
import sys

import pytest

from mlcfast import train
from tests.runs.test_mlflow import expected
from tests.runs.tracked import offline_records

pytest.importorskip("wandb", reason="wandb is not installed")


def contents(folder) -> tuple[dict[tuple[str, int], float], set[str], dict[str, str]]:
    """Of an offline folder: values by key and step, names of pictures, files and artifacts, the settings as JSON."""
    values, names, config = {}, set(), {}
    for record in offline_records(folder):
        for item in record.history.item:
            if len(item.nested_key) > 1:  # an entry of what describes a picture or a page
                names.add(item.nested_key[0])
            else:
                values[(item.key or item.nested_key[0], record.history.step.num)] = json.loads(item.value_json)
        if record.HasField("run"):
            config |= {item.key: item.value_json for item in record.run.config.update}
        if record.HasField("files"):
            names |= {each.path for each in record.files.files}
        if record.HasField("artifact"):
            names |= {record.artifact.name, *(entry.path for entry in record.artifact.manifest.contents)}
    return values, names, config


def test_an_offline_run_holds_everything_and_goes_on_when_it_is_resumed(config_file, tmp_path, capsys):
    words = [str(config_file), "train.trackers=[{name: wandb, mode: offline, project: colours}]"]
    assert train.main([*words, "train.epochs=1"]) == 0
    assert "tracker wandb: the run lies in" in capsys.readouterr().err
    directory = tmp_path / "runs" / "tiny"
    (first,) = (directory / "wandb").glob("offline-run-*")
    wanted = {(key, step): value for key, step, value in expected(directory / "metrics.jsonl")}
    values, names, config = contents(first)
    assert {key: values.get(key) for key in wanted} == pytest.approx(wanted)
    assert names >= {"figures/result", "report", "summary.csv", "tiny-best", "model.safetensors", "model.json"}
    assert json.loads(config["optim.lr"]) == 0.001 and json.loads(config["model.backbone"]) == "test_resnet"
    assert list((first / "files" / "media").rglob("result*.png")) and list((first / "files" / "media").rglob("*.html"))

    assert train.main([*words, "train.epochs=2", "--resume"]) == 0
    (second,) = set((directory / "wandb").glob("offline-run-*")) - {first}
    assert first.name.rpartition("-")[2] == second.name.rpartition("-")[2]
    assert {step for (key, step) in contents(second)[0] if key == "train/loss"} == set(range(6, 11))


def test_online_without_a_key_is_an_error_before_training(config_file, tmp_path):
    environment = os.environ | {"HOME": str(tmp_path), "WANDB_CONFIG_DIR": str(tmp_path), "WANDB_MODE": "online"}
    environment.pop("WANDB_API_KEY", None)
    line = [sys.executable, "-m", "mlcfast.train", str(config_file), "train.trackers=[wandb]"]
    done = subprocess.run(line, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "train.trackers: wandb: nobody is logged in: run `wandb login`" in done.stderr.splitlines()[-1]
    assert not (tmp_path / "runs").exists()


def test_another_mode_is_refused(config_file, capsys):
    assert train.main([str(config_file), "train.trackers=[{name: wandb, mode: shared}]"]) == 2
    assert "train.trackers: wandb: mode must be online or offline, not 'shared'" in capsys.readouterr().err
