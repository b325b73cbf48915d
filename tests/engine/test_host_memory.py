"""Training, evaluating and predicting on the CPU do not pay for the same memory in every step."""

import platform
import subprocess
import sys

import pytest

from mlcfast import evaluate, features, predict, train
from mlcfast.engine.host_memory import CHOICES, keep_freed_memory
from tests.conftest import ROOT

GLIBC = platform.libc_ver()[0] == "glibc"

# Page faults of the last twenty of thirty allocations of 64 MiB that are written and freed; where they come to lie is
# settled by then.
COUNT = """
import resource, torch
from mlcfast.engine.host_memory import keep_freed_memory
kept = keep_freed_memory() if {keep} else None
for step in range(30):
    if step == 10:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(1 << 24).add_(1)
print(kept, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(monkeypatch, keep: bool, **settings: str) -> tuple[str, int]:
    """What keep_freed_memory said, and the faults of a process of its own."""
    for name in CHOICES:
        monkeypatch.delenv(name, raising=False)
    for name, value in {"THP_MEM_ALLOC_ENABLE": "0", "PYTHONPATH": str(ROOT), **settings}.items():
        monkeypatch.setenv(name, value)
    words = [sys.executable, "-c", COUNT.format(keep=keep)]
    kept, count = subprocess.run(words, capture_output=True, text=True, check=True, timeout=300).stdout.split()
    return kept, int(count)


@pytest.mark.skipif(not GLIBC, reason="glibc's allocator")
def test_a_step_finds_the_memory_of_the_one_before(monkeypatch):
    _, given_back = faults(monkeypatch, keep=False)
    kept, found = faults(monkeypatch, keep=True)
    assert kept == "True"
    assert 5 * found < given_back  # twenty times 64 MiB are 640 huge pages or 327,680 small ones


@pytest.mark.parametrize("name", CHOICES)
def test_what_the_user_has_set_stays(monkeypatch, name):
    monkeypatch.setenv(name, "glibc.malloc.check=0" if name == "GLIBC_TUNABLES" else "131072")
    assert keep_freed_memory() is False


def test_without_glibc_nothing_happens(monkeypatch):
    for name in CHOICES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("mlcfast.engine.host_memory.ctypes.CDLL", lambda _: object())
    assert keep_freed_memory() is False


def test_every_command_that_computes_keeps_its_memory(monkeypatch, config_file, colour_set, tmp_path):
    asked = []
    for module in ("engine.build", "evaluation.evaluate", "features", "predict"):
        monkeypatch.setattr(f"mlcfast.{module}.keep_freed_memory", lambda module=module: asked.append(module))
    best = tmp_path / "runs" / "tiny" / "best"
    assert train.main([str(config_file), "train.epochs=1", "model.head=linear"]) == 0
    assert "engine.build" in asked
    assert evaluate.main([str(config_file), "--checkpoint", str(best), "model.head=linear"]) == 0
    assert "evaluation.evaluate" in asked
    assert features.main([str(config_file), "--out", str(tmp_path / "features")]) == 0
    assert "features" in asked
    assert predict.main([str(best), str(colour_set)]) == 0
    assert "predict" in asked
