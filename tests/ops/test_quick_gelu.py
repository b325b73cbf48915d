import pytest
import torch

from bench.cases.elementwise import accurate
from bench.cases.problem import verdict
from mlcfast.ops import quick_gelu
from mlcfast.ops.quick_gelu import quick_gelu_reference as reference


def test_gradients():
    x = torch.randn(3, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(quick_gelu, x)
    assert torch.autograd.gradgradcheck(quick_gelu, x)


@pytest.mark.parametrize("problem", accurate("quick_gelu"), ids=str)
def test_error_at_most_twice_that_of_plain_torch(problem):
    torch.manual_seed(0)
    row = verdict(problem)
    assert row["passed"], row


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
