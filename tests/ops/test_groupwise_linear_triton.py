"""The head's Triton kernels in Triton's interpreter; test_label_query_attention_triton.py starts that process."""

import pytest
import torch

from mlcfast.ops import groupwise_linear
from tests.ops.test_groupwise_linear import make

pytestmark = pytest.mark.interpreted


@pytest.mark.parametrize("sizes", [(3, 1, 1, 8), (1, 5, 5, 37), (4, 7, 7, 64)])
def test_kernels_equal_the_native_path(sizes, monkeypatch):
    results = []
    for backend in ("triton", "native"):
        monkeypatch.setenv("MLCFAST_BACKEND", backend)
        tensors = make(*sizes, dtype=torch.float32)
        logits = groupwise_linear(*tensors, eps=1e-3)
        direction = torch.randn(logits.shape, generator=torch.Generator().manual_seed(2))
        results.append([logits, *torch.autograd.grad(logits, tensors, direction)])
    for got, want in zip(*results, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-5)


def test_half_precision_states_get_half_precision_gradients(monkeypatch):
    monkeypatch.setenv("MLCFAST_BACKEND", "triton")
    x, *parameters = make(2, 3, 3, 16, dtype=torch.float32)
    half = x.detach().half().requires_grad_()
    (gradient,) = torch.autograd.grad(groupwise_linear(half, *parameters).sum(), half)
    (exact,) = torch.autograd.grad(groupwise_linear(x, *parameters).sum(), x)
    assert gradient.dtype == torch.float16
    torch.testing.assert_close(gradient.float(), exact, rtol=2e-2, atol=2e-3)


def test_grouped_labels_go_without_kernels(monkeypatch):
    monkeypatch.setenv("MLCFAST_BACKEND", "triton")
    tensors = make(2, 7, 20, 6, dtype=torch.float32)
    assert groupwise_linear(*tensors).shape == (2, 20)
