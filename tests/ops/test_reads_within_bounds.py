"""The CPU kernels compute in whole registers and yet read nothing behind a tensor that ends within one."""

import subprocess
import sys

import pytest

from mlcfast.ops.backend import choose
from tests.conftest import ROOT

# Logits, labels and estimates that end where a page begins that must not be read; a read of it ends the process.
GUARDED = """
import ctypes, mmap, torch
from tests.ops.loss_cases import EVERY, Case

PAGE = mmap.PAGESIZE
C = ctypes.CDLL(None, use_errno=True)

def guarded(values):
    size = values.numel() * values.element_size()
    kept = -(-size // PAGE) * PAGE
    memory = mmap.mmap(-1, kept + PAGE)
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    assert C.mprotect(ctypes.c_void_p(start + kept), ctypes.c_size_t(PAGE), 0) == 0
    made = torch.frombuffer(memory, dtype=values.dtype, count=values.numel(), offset=kept - size).view(values.shape)
    assert made.data_ptr() + size == start + kept
    return made.copy_(values)

random = torch.Generator().manual_seed(0)
for K in (1, 7, 15, 17, 519):
    x, rows = (torch.randn(2, K, generator=random) for _ in range(2))
    labels = torch.eye(2, K)
    case = Case(guarded(x), guarded(labels), guarded(rows), guarded(labels))
    for loss in EVERY.values():
        found = []
        for c in (case, Case(x, labels, rows, labels)):
            logits, estimate = c.logits.detach().requires_grad_(), c.rows.detach().requires_grad_()
            loss.fused(logits, c, estimate, "mean").backward()
            found.append(logits.grad)
        assert torch.equal(*found)
print("read")
"""


@pytest.mark.skipif(choose("cpu") != "native", reason="the compiled library is not built")
@pytest.mark.skipif(sys.platform != "linux", reason="another system's protection of pages")
def test_nothing_behind_a_tensor_is_read(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    done = subprocess.run([sys.executable, "-c", GUARDED], capture_output=True, text=True, timeout=300)
    assert done.stdout == "read\n", done.stderr
