"""How torch's threads wait is settled before torch could be loaded, by every command, unless the user settled it."""

import os
import subprocess
import sys

import pytest

from mlcfast.__main__ import commands
from tests.conftest import ROOT

# Stands for torch: says what the real one would have read, and ends.
TORCH = "import os\nprint(os.environ.get('OMP_WAIT_POLICY'), flush=True)\nos._exit(0)\n"


def policy_seen_by_torch(tmp_path, module: str, **settings: str) -> str:
    """What torch would read if the module loaded it, or if it were loaded right after."""
    (tmp_path / "torch.py").write_text(TORCH)
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"} | settings
    environment["PYTHONPATH"] = f"{tmp_path}{os.pathsep}{ROOT}"
    lines = f"import runpy\nrunpy.run_module({module!r})\nimport torch"  # its main is not called under this name
    words = [sys.executable, "-c", lines]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=300, check=True)
    return done.stdout.strip()


@pytest.mark.parametrize("command", [name for name in commands() if name != "completion"])  # which loads no torch
def test_threads_without_work_sleep(tmp_path, command):
    assert policy_seen_by_torch(tmp_path, f"mlcfast.{command}") == "passive"


def test_what_the_user_has_set_stays(tmp_path):
    assert policy_seen_by_torch(tmp_path, "mlcfast.train", OMP_WAIT_POLICY="active") == "active"


def test_importing_a_loss_changes_nothing(tmp_path):
    assert policy_seen_by_torch(tmp_path, "mlcfast.losses") == "None"
