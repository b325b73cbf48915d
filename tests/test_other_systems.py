"""What Windows and macOS lack is not needed: without it one process trains, resumes, evaluates, predicts, exports."""

import json
import os
import subprocess
import sys

from tests.conftest import ROOT

# asyncio itself takes fcntl where it believes to be on a Unix, so it is loaded before; Windows has its own.
PROGRAM = """
import asyncio, os, signal, sys

ABSENT = ("fcntl", "resource", "deepspeed", "triton", "pwd", "grp")

def present():
    return [name for name, module in sys.modules.items() if name.partition(".")[0] in ABSENT and module is not None]

for name in present():
    del sys.modules[name]
sys.modules.update(dict.fromkeys(ABSENT))  # an import then fails as where they are not installed
del signal.SIGHUP, signal.SIGUSR1, os.getuid

import torch
from mlcfast import evaluate, export, predict, train
from mlcfast.losses import AsymmetricLoss

config, root, runs = sys.argv[1:]
AsymmetricLoss()(torch.zeros(2, 3, requires_grad=True), torch.ones(2, 3)).backward()
best = f"{runs}/tiny/best"
print([
    train.main([config, "train.epochs=1"]),
    train.main([config, "train.epochs=2", "--resume"]),
    evaluate.main([config, "--checkpoint", best, "--json"]),
    predict.main([best, f"{root}/val0.jpg", "--csv", f"{runs}/found.csv"]),
    export.main([best, f"{runs}/exported", "--format", "safetensors"]),
    train.main([config, "engine.name=zero2", "name=other"]),
])
print(present())
"""


def test_nothing_that_only_linux_has_is_needed(config_file, colour_set, tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(config_file), str(colour_set), str(tmp_path / "runs")],
        cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1", "LOGNAME": "someone"}, capture_output=True, text=True,
        timeout=600, check=False,
    )  # fmt: skip
    lines = done.stdout.splitlines()
    assert lines[-2:] == ["[0, 0, 0, 0, 0, 2]", "[]"], done.stderr[-3000:]
    assert "engine.name zero2 needs DeepSpeed, which is not installed here" in done.stderr
    assert json.loads(next(line for line in lines if line.startswith("{")))["images"] == 13
    assert (tmp_path / "runs" / "found.csv").exists()
    assert (tmp_path / "runs" / "exported" / "model.safetensors").exists()
