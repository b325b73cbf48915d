import pytest
import torch

from mlcfast.ops import quick_gelu
from mlcfast.ops.quick_gelu.reference import quick_gelu as reference


def test_gradients():
    x = torch.randn(3, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(quick_gelu, x)
    assert torch.autograd.gradgradcheck(quick_gelu, x)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_error_at_most_twice_that_of_plain_torch(dtype):
    x = (torch.randn(4000, generator=torch.Generator().manual_seed(0)) * 3).to(dtype)
    exact = evaluate(reference, x.double())
    plain, ours = evaluate(reference, x), evaluate(quick_gelu, x)
    for reached, baseline, truth in zip(ours, plain, exact, strict=True):
        assert (reached - truth).abs().max() <= 2 * (baseline - truth).abs().max()


def evaluate(function, x):
    x = x.clone().requires_grad_()
    y = function(x)
    (gradient,) = torch.autograd.grad(y, x, torch.linspace(-1, 1, len(x)).to(y.dtype))
    return y.detach().double(), gradient.double()


def test_large_values_and_strided_input():
    assert quick_gelu(torch.tensor([-1e4, 1e4])).tolist() == [0.0, 1e4]
    x = torch.randn(6, 8)[:, ::2].requires_grad_()
    torch.testing.assert_close(quick_gelu(x), reference(x))
    quick_gelu(x).sum().backward()


def test_keeps_only_its_input():
    x = torch.randn(100, requires_grad=True)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.data_ptr()) or t, lambda t: t):
        quick_gelu(x)
    assert kept == [x.data_ptr()]
