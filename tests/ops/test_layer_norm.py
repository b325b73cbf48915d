import pytest
import torch

from bench.cases.elementwise import accurate
from bench.cases.problem import verdict
from mlcfast.ops import layer_norm


def case(dtype, rows=50, C=48):
    generator = torch.Generator().manual_seed(0)
    x, weight, bias = (torch.randn(*shape, generator=generator) for shape in ((rows, C), (C,), (C,)))
    return (x * 3 + 1).to(dtype), weight, bias


@pytest.mark.parametrize("problem", accurate("layer_norm"), ids=str)
def test_error_at_most_twice_that_of_plain_torch(problem):
    torch.manual_seed(0)
    row = verdict(problem)
    assert row["passed"], row


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_the_result_has_the_inputs_type_and_parameters_keep_theirs(dtype):
    leaves = [tensor.requires_grad_() for tensor in case(dtype)]
    y = layer_norm(*leaves)
    assert [t.dtype for t in (y, *torch.autograd.grad(y.sum(), leaves))] == [dtype, dtype, torch.float32, torch.float32]


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
