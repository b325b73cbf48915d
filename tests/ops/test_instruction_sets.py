"""The kernels of a lesser processor are as right as those that this one runs, on which all other tests try them."""

import subprocess
import sys

import pytest
import torch

from tests.conftest import ROOT

CAPABILITIES = ["default", "avx2", "avx512"]  # as torch calls them
OWN = torch.backends.cpu.get_cpu_capability().lower()
NARROWER = CAPABILITIES[: CAPABILITIES.index(OWN)] if OWN in CAPABILITIES else []


@pytest.mark.skipif(not NARROWER, reason="needs a processor with AVX2")
@pytest.mark.parametrize("instructions", NARROWER)
def test_losses_of_a_lesser_processor(monkeypatch, instructions):
    monkeypatch.setenv("ATEN_CPU_CAPABILITY", instructions)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("MLCFAST_TEST_CASES", "100")  # a third of what the suite tries on this processor's own kernels
    chosen = ["tests/ops/test_loss_accuracy.py", "-k", "twice_plain_torch or extreme or nan_logit"]
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *chosen]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout


ROUNDINGS = """
import hashlib, torch
from mlcfast.ops import focal
entries = focal(torch.linspace(-9, 9, 4096), torch.ones(4096), reduction="none")
print(hashlib.sha256(entries.numpy().tobytes()).hexdigest())
"""


@pytest.mark.skipif(not NARROWER, reason="needs a processor with AVX2")
def test_the_variable_is_heeded(monkeypatch):  # wider registers have other polynomials, whose roundings are others
    found = []
    for instructions in (NARROWER[-1], OWN):
        monkeypatch.setenv("ATEN_CPU_CAPABILITY", instructions)
        words = [sys.executable, "-c", ROUNDINGS]
        found.append(subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=300, check=True).stdout)
    assert found[0] != found[1]
