"""The loop of docs/other_loops.md in which a loss sees the batch of all processes; all run with the documents."""

import re
import subprocess

import pytest

from tests import warm
from tests.conftest import ROOT

ROUNDING = 2e-5  # of the sum of the weights' sizes, which is printed to 1e-5; the sums are of other orders
TOGETHER = 'lambda tensor: accelerator.reduce(tensor, "sum")'


def program() -> str:
    """The page's program that uses Accelerate."""
    page = (ROOT / "docs" / "other_loops.md").read_text(encoding="utf-8")
    (found,) = [code for code in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "import Accelerator" in code]
    return found


def printed(folder, code: str, processes: int) -> list[float]:
    """What the program says of its weights at its end, run by as many processes; a line for each time it does."""
    file = folder / "loop.py"
    file.write_text(code)
    launcher = (
        ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)] if processes > 1 else []
    )
    done = subprocess.run(
        [warm.shared().executable, *launcher, str(file)], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return [float(line.rpartition(" ")[2]) for line in done.stdout.splitlines() if line.startswith("after training: ")]


def test_two_processes_train_as_one_does_because_the_loss_is_told_of_both(tmp_path):
    pytest.importorskip("accelerate")
    code = program()
    assert TOGETHER in code
    (alone,) = printed(tmp_path, code, 1)
    both, apart = printed(tmp_path, code + code.replace(TOGETHER, "lambda tensor: tensor"), 2)
    assert abs(both - alone) <= ROUNDING
    assert abs(apart - alone) > 10 * ROUNDING
