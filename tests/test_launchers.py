"""The commands people type: DeepSpeed's launcher verbatim, torchrun, and the choice `launch` makes."""

import json
import os
import re
import subprocess
import sys
import time

import pytest
import torch

from mlcfast.config import load_config
from mlcfast.engine import Process, discover, start
from mlcfast.engine.build import resolve_engine
from mlcfast.engine.deepspeed_cli import translate
from mlcfast.engine.distributed import LOGGER, _said_when_late
from mlcfast.errors import RunError, UsageError
from mlcfast.launch import command
from tests.conftest import ROOT


def launched(*words: str) -> subprocess.CompletedProcess:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(
        words, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=400, check=False
    )  # fmt: skip


@pytest.mark.parametrize(
    "words",
    [
        ["deepspeed", "--num_gpus", "2", "-m", "mlcfast.train"],
        ["torchrun", "--nproc_per_node", "2", "-m", "mlcfast.train"],
    ],
    ids=["deepspeed", "torchrun"],
)
def test_two_processes_train(config_file, tmp_path, words):
    """The engine is left at auto: zero2 under DeepSpeed's launcher, ddp under torchrun; both see every image once."""
    done = launched(*words, str(config_file), "train.epochs=1", "engine.micro_batch=8")
    assert done.returncode == 0, done.stderr[-3000:]
    assert "micro-batch 4 of at most 8: engine.global_batch 8 is shared by 2 processes" in done.stderr
    assert "micro_batch: 8" in (tmp_path / "runs" / "tiny" / "config.yaml").read_text()
    assert any(line.startswith("mAP ") for line in done.stdout.splitlines())
    expected = "zero2" if words[0] == "deepspeed" else "ddp"
    assert f"engine {expected} on 2 x cpu" in (tmp_path / "runs" / "tiny" / "log.txt").read_text() + done.stderr
    lines = [json.loads(line) for line in (tmp_path / "runs" / "tiny" / "metrics.jsonl").read_text().splitlines()]
    assert {line["images"] for line in lines if line["event"] == "evaluation"} == {13}
    assert len([line for line in lines if line["event"] == "train"]) == 5


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("--num_gpus 2 -m mlcfast.train c.yaml -m x", "--num_gpus 2 --module mlcfast.train c.yaml -m x"),
        ("--num_gpus=2 --no_ssh -m mlcfast.train c.yaml", "--num_gpus=2 --no_ssh --module mlcfast.train c.yaml"),
        ("--module mlcfast.train c.yaml", "--module mlcfast.train c.yaml"),
        ("--num_gpus 2 train.py -m x", "--num_gpus 2 train.py -m x"),
        ("-H hosts -m mlcfast.train c.yaml", "-H hosts --module mlcfast.train c.yaml"),
    ],
)
def test_module_spelling_is_translated(given, expected):
    assert translate(given.split()) == expected.split()


@pytest.mark.parametrize(
    ("engine", "gpus", "ends"),
    [
        ("auto", 0, ["-m"]),
        ("auto", 1, ["-m"]),
        ("auto", 2, ["--nproc_per_node", "2", "-m"]),
        ("auto", 3, ["--nproc_per_node", "2", "-m"]),  # 3 GPUs cannot share 8 images evenly
        ("ddp", 2, ["--nproc_per_node", "2", "-m"]),
        ("zero2", 2, ["--num_gpus", "2", "--module"]),
    ],
)
def test_launcher_follows_the_engine(config_file, engine, gpus, ends):
    words = command(load_config(config_file, [f"engine.name={engine}"]), gpus)
    assert words[1:] == ends


def test_environment_of_each_launcher_is_understood():
    torchrun = {"RANK": "3", "LOCAL_RANK": "1", "WORLD_SIZE": "4"}
    assert discover(torchrun) == Process(3, 1, 4, "torchrun")
    assert discover(torchrun | {"CROSS_SIZE": "2"}) == Process(3, 1, 4, "deepspeed")
    slurm = {"SLURM_PROCID": "5", "SLURM_LOCALID": "1", "SLURM_STEP_NUM_TASKS": "8"}
    assert discover(slurm) == Process(5, 1, 8, "slurm")
    assert discover({"SLURM_PROCID": "0", "SLURM_NTASKS": "8"}) == Process()
    assert discover({}) == Process(0, 0, 1, "single")
    left = {"RANK": "0", "WORLD_SIZE": "1"}  # in a notebook's environment, of nobody's launcher
    assert discover(left) == Process()
    assert discover(left | {"MASTER_ADDR": "node1"}) == Process(0, 0, 1, "torchrun")


def test_engine_and_processes_that_do_not_fit(config_file):
    two = Process(0, 0, 2, "torchrun")
    with pytest.raises(UsageError, match=r"engine\.name single cannot use 2 processes"):
        resolve_engine(load_config(config_file, ["engine.name=single"]), two)
    with pytest.raises(UsageError, match=r"engine\.name zero2 needs a launcher: deepspeed --num_gpus N"):
        resolve_engine(load_config(config_file, ["engine.name=zero2"]), Process())


def test_a_rank_without_a_gpu_says_so_itself(monkeypatch):
    """Those that have one go on, so that nobody else would."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(RunError, match="local rank 1 has no GPU: 1 visible"):
        start(Process(1, 1, 2, "torchrun"))


@pytest.mark.parametrize("slow", [False, True])
def test_a_rank_that_the_others_keep_waiting_says_so(monkeypatch, caplog, slow):
    monkeypatch.setenv("MASTER_ADDR", "node1")
    monkeypatch.setattr(LOGGER, "propagate", True)
    with _said_when_late(Process(0, 0, 2, "slurm"), seconds=0.0 if slow else 60.0):
        for _ in range(100 if slow else 0):
            time.sleep(0.05)
            if caplog.messages:
                break
    assert [("node1" in line, "2 in all" in line) for line in caplog.messages] == [(True, True)] * slow


def test_local_rank_before_the_configuration_is_accepted(config_file):
    done = launched(sys.executable, "-m", "mlcfast.train", "--local_rank=0", str(config_file), "train.epochs=1")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].startswith("mAP ")


def test_what_the_tests_use_is_installed_for_them_alone(tmp_path):
    """An environment that has it serves for everything; one without it gets it, once."""
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\n")
    python.chmod(0o755)
    text = (ROOT / "launch.sh").read_text()
    (setup,) = re.findall(r"^setup\(\) \{.*?^\}", text, re.M | re.S)
    stubs = "fingerprint() { echo 1 2; }; install() { echo $1 >>asked; }; deepspeed_command() { :; }"
    calls = "setup all; setup all; setup all,test; setup all; setup all,test"
    subprocess.run(["bash", "-euo", "pipefail", "-c", f"{stubs}\n{setup}\n{calls}"], cwd=tmp_path, check=True)
    assert (tmp_path / "asked").read_text().split() == ["all", "all,test"]
    assert (tmp_path / ".venv" / "ready").read_text() == "1 2 all,test\n"
