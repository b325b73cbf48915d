"""How torch's threads wait is settled before torch is loaded, by every command, unless the user has settled it."""

import os
import subprocess
import sys

import pytest

from mlcfast.__main__ import commands
from tests.conftest import ROOT

# Stands for torch: says what the real one would have read, and ends.
TORCH = "import os\nprint(os.environ.get('OMP_WAIT_POLICY'))\nos._exit(0) if not print(end='', flush=True) else None\n"


def policy_seen_by_torch(tmp_path, module: str, **settings: str) -> str:
    (tmp_path / "torch.py").write_text(TORCH)
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"} | settings
    environment["PYTHONPATH"] = f"{tmp_path}{os.pathsep}{ROOT}"
    done = subprocess.run(
        [sys.executable, "-m", module, "--help"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    return done.stdout.strip()


@pytest.mark.parametrize("command", [name for name in commands() if name != "completion"])  # which loads no torch
def test_threads_without_work_sleep(tmp_path, command):
    assert policy_seen_by_torch(tmp_path, f"mlcfast.{command}") == "passive"


def test_what_the_user_has_set_stays(tmp_path):
    assert policy_seen_by_torch(tmp_path, "mlcfast.train", OMP_WAIT_POLICY="active") == "active"


def test_importing_a_loss_changes_nothing(tmp_path):
    (tmp_path / "torch.py").write_text(TORCH)
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    environment["PYTHONPATH"] = f"{tmp_path}{os.pathsep}{ROOT}"
    words = [sys.executable, "-c", "import mlcfast.losses"]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=300, check=True)
    assert done.stdout.strip() == "None"
