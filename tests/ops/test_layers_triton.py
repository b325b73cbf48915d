"""QuickGELU and LayerNorm in Triton's interpreter, in the process that test_label_query_attention_triton.py starts."""

import pytest
import torch

from mlcfast.ops import layer_norm, quick_gelu

pytestmark = pytest.mark.interpreted


def both(function, tensors, monkeypatch) -> list[list[torch.Tensor]]:
    """Result and gradients by the kernels, and by torch in fp64 from the same values."""
    monkeypatch.setenv("MLCFAST_BACKEND", "triton")
    results = []
    for wide in (False, True):
        leaves = [(tensor.double() if wide else tensor.detach()).requires_grad_() for tensor in tensors]
        out = function(*leaves)  # detach and double keep the strides
        direction = torch.randn(out.shape, generator=torch.Generator().manual_seed(2)).to(tensors[0].dtype)
        results.append([out, *torch.autograd.grad(out, leaves, direction.to(out.dtype))])
    return results


@pytest.mark.parametrize("rows", [(0,), (1,), (5, 3), (700,)])
@pytest.mark.parametrize("C", [1, 48, 100])
def test_layer_norm(rows, C, monkeypatch):
    """One tile and several, more tiles than programs, channels that fill no power of two, a mean far from zero."""
    monkeypatch.setattr("mlcfast.ops.triton_layers.PROGRAMS", 3)
    x = (torch.randn(*rows, C) * 3 + 20).half()
    for got, want in zip(*both(layer_norm, (x, torch.randn(C), torch.randn(C)), monkeypatch), strict=True):
        torch.testing.assert_close(got.double(), want, rtol=4e-3, atol=4e-3)


def test_layer_norm_of_strided_rows(monkeypatch):
    x = torch.randn(6, 40, 5).half().transpose(1, 2)
    for got, want in zip(*both(layer_norm, (x, torch.randn(40), torch.randn(40)), monkeypatch), strict=True):
        torch.testing.assert_close(got.double(), want, rtol=4e-3, atol=4e-3)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_quick_gelu(dtype, monkeypatch):
    """Huge values, none at all, channels_last, and gaps between the entries."""
    images = torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last)
    for x in (torch.tensor([-2e4, -1.0, 0.0, 2e4]), torch.empty(0), images, torch.randn(6, 700)[:, ::2]):
        results = both(quick_gelu, (x.to(dtype),), monkeypatch)
        for got, want in zip(*results, strict=True):
            torch.testing.assert_close(got.double(), want, rtol=2e-3, atol=2e-3)
    assert both(quick_gelu, (images,), monkeypatch)[0][0].stride() == images.stride()


def test_a_second_derivative_goes_without_the_kernel(monkeypatch):
    monkeypatch.setenv("MLCFAST_BACKEND", "triton")
    x = torch.randn(7, requires_grad=True)
    (first,) = torch.autograd.grad(quick_gelu(x).sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), x)
    double = x.detach().double().requires_grad_()
    (exact,) = torch.autograd.grad(quick_gelu(double).sum(), double, create_graph=True)
    torch.testing.assert_close(second, torch.autograd.grad(exact.sum(), double)[0].float())
