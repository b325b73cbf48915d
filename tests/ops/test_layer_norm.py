import pytest
import torch

from mlcfast.ops import layer_norm
from mlcfast.ops.layer_norm.reference import layer_norm as reference


def case(dtype, rows=50, C=48):
    generator = torch.Generator().manual_seed(0)
    x, weight, bias = (torch.randn(*shape, generator=generator) for shape in ((rows, C), (C,), (C,)))
    return (x * 3 + 1).to(dtype), weight, bias


def evaluate(function, x, weight, bias):
    leaves = [tensor.clone().requires_grad_() for tensor in (x, weight, bias)]
    y = function(*leaves)
    gradients = torch.autograd.grad(y, leaves, torch.linspace(-1, 1, y.numel()).view_as(y).to(y.dtype))
    return [tensor.detach() for tensor in (y, *gradients)]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_error_at_most_twice_that_of_plain_torch(dtype):
    x, weight, bias = case(dtype)
    exact = evaluate(reference, x.double(), weight.double(), bias.double())
    plain, ours = evaluate(reference, x, weight, bias), evaluate(layer_norm, x, weight, bias)
    assert [tensor.dtype for tensor in ours] == [dtype, dtype, torch.float32, torch.float32]
    for reached, baseline, truth in zip(ours, plain, exact, strict=True):
        assert (reached.double() - truth).abs().max() <= 2 * (baseline.double() - truth).abs().max()


def test_gradcheck():
    x, weight, bias = case(torch.float64, rows=3, C=6)
    leaves = [tensor.double().requires_grad_() for tensor in (x, weight, bias)]
    assert torch.autograd.gradcheck(layer_norm, leaves)


def test_keeps_the_input_in_its_own_type():
    x, weight, bias = case(torch.bfloat16)
    x.requires_grad_()
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        layer_norm(x, weight.requires_grad_(), bias.requires_grad_())
    assert max(tensor.numel() * tensor.element_size() for tensor in kept) == x.numel() * 2


def test_frozen_affine_and_empty_input():
    x, weight, bias = case(torch.bfloat16)
    x.requires_grad_()
    layer_norm(x, weight, bias).sum().backward()
    assert x.grad.dtype == torch.bfloat16 and weight.grad is None
    assert layer_norm(x[:0], weight, bias).shape == (0, 48)
