"""Large gradients of the CPU kernels ask for huge pages: 256 × 9605 fp32 entries are 2,401 small ones."""

import subprocess
import sys
from pathlib import Path

import pytest

from mlcfast.ops.backend import choose
from tests.conftest import ROOT

SETTING = Path("/sys/kernel/mm/transparent_hugepage/enabled")

# Page faults of the last three of five steps, each into fresh memory.
COUNT = """
import resource, torch
from mlcfast import ops
logits = torch.zeros(256, 9605, requires_grad=True)
labels = torch.zeros(256, 9605, dtype=torch.uint8)
for step in range(5):
    if step == 2:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    loss = ops.{loss}
    logits.grad = None
    loss.backward()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(choose("cpu") != "native", reason="the compiled library is not built")
@pytest.mark.skipif(
    not SETTING.exists() or "[never]" in SETTING.read_text(), reason="a system that has no huge pages for others"
)
@pytest.mark.parametrize(
    "loss", ["asymmetric_loss(logits, labels)", "epr_loss(logits, labels, 1.0)", "pairwise_ranking(logits, labels)"]
)
def test_a_step_takes_few_page_faults(monkeypatch, loss):
    fresh = {"MALLOC_MMAP_THRESHOLD_": "131072", "MLCFAST_BACKEND": "native", "OMP_NUM_THREADS": "1"}
    for name, value in {**fresh, "PYTHONPATH": str(ROOT)}.items():
        monkeypatch.setenv(name, value)
    words = [sys.executable, "-c", COUNT.format(loss=loss)]
    faults = int(subprocess.run(words, capture_output=True, text=True, check=True, timeout=300).stdout)
    assert faults < 3 * 2401 / 2  # at the two ends of a gradient pages stay small
