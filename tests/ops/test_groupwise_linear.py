"""The group-wise linear head, alone, after a LayerNorm and with grouped queries."""

import pytest
import torch

from bench.cases.elementwise import accurate_heads
from bench.cases.problem import verdict
from mlcfast.ops import groupwise_linear
from mlcfast.ops.groupwise_linear import group_size, matmul
from mlcfast.ops.groupwise_linear.reference import groupwise_linear as reference

SIZES = [(3, 1, 1, 8), (2, 5, 5, 8), (3, 81, 81, 6), (2, 7, 20, 6), (4, 1, 3, 5)]  # B, G, K, D


def make(B, G, K, D, dtype=torch.float64, learn=True):
    generator = torch.Generator().manual_seed(0)
    shapes = ((B, G, D), (K, D), (K,), (D,), (D,))
    tensors = [torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype) for shape in shapes]
    return [t.requires_grad_(learn) for t in tensors]


@pytest.mark.parametrize("published", [False, True])
@pytest.mark.parametrize("K", [1, 20, 81])
def test_equals_a_sum_per_label(K, published):
    x, weight, bias, *_ = make(3, K, K, 8, learn=False)
    expected = torch.stack([x[:, k] @ weight[k] + bias[k] for k in range(K)], dim=1)
    if published:
        weight, bias = weight[None], bias[None]
    torch.testing.assert_close(groupwise_linear(x, weight, bias), expected)


@pytest.mark.parametrize("slice_bytes", [1, 1 << 25])
@pytest.mark.parametrize("sizes", SIZES)
def test_the_joined_normalisation_equals_layer_norm(sizes, slice_bytes, monkeypatch):
    monkeypatch.setattr(matmul, "SLICE_BYTES", slice_bytes)
    ours, plain = make(*sizes), make(*sizes)
    got, want = groupwise_linear(*ours, eps=1e-3), reference(*plain, eps=1e-3)
    torch.testing.assert_close(got, want)
    h = torch.randn_like(want)
    for mine, theirs in zip(torch.autograd.grad(got, ours, h), torch.autograd.grad(want, plain, h), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-9, atol=1e-11)


def test_a_group_of_labels_reads_its_query():
    x, weight, bias, *_ = make(2, 7, 20, 6, learn=False)
    logits = groupwise_linear(x, weight, bias)
    assert group_size(20, 7) == 3
    torch.testing.assert_close(logits[:, 5], x[:, 1] @ weight[5] + bias[5])
    torch.testing.assert_close(logits[:, 19], x[:, 6] @ weight[19] + bias[19])


def test_gradients_are_those_of_finite_differences():
    assert torch.autograd.gradcheck(groupwise_linear, make(2, 3, 5, 6))


def test_operator_contract():
    x, weight, bias, gamma, beta = make(2, 3, 3, 6)
    arguments = (
        x,
        weight.detach()[:, None].requires_grad_(),
        bias.detach()[:, None].requires_grad_(),
        gamma,
        beta,
        1e-5,
        False,
    )
    torch.library.opcheck(torch.ops.mlcfast.normed_groupwise_linear.default, arguments)


def test_compiles_in_one_graph():
    tensors = make(2, 3, 5, 6)
    compiled = torch.compile(groupwise_linear, fullgraph=True, backend="aot_eager")
    got = torch.autograd.grad(compiled(*tensors).sum(), tensors)
    for mine, theirs in zip(got, torch.autograd.grad(groupwise_linear(*tensors).sum(), tensors), strict=True):
        torch.testing.assert_close(mine, theirs)


@pytest.mark.parametrize("problem", accurate_heads(), ids=str)
def test_the_error_is_at_most_twice_plain_torch(problem):
    torch.manual_seed(0)
    row = verdict(problem)
    assert row["passed"], row


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_autocast_gives_fp32_logits_and_gradients_in_the_inputs_type(dtype):
    x, *parameters = make(4, 20, 20, 256, torch.float32, learn=False)
    x = x.to(dtype).requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        logits = groupwise_linear(x, *parameters)
    assert logits.dtype == torch.float32
    assert torch.autograd.grad(logits.sum(), x)[0].dtype == dtype


def test_an_empty_batch():
    x, *parameters = make(0, 3, 3, 6)
    logits = groupwise_linear(x, *parameters)
    assert logits.shape == (0, 3)
    logits.sum().backward()
    assert not parameters[0].grad.any()


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("x", (5, 4)),
        ("weight", (5, 3)),
        ("weight", (2, 5, 4)),
        ("bias", (4,)),
        ("norm_weight", (5,)),
        ("norm_bias", (3,)),
    ],
)
def test_a_wrong_shape_is_named(name, wrong):
    shapes = {"x": (2, 5, 4), "weight": (5, 4), "bias": (5,), "norm_weight": (4,), "norm_bias": (4,)} | {name: wrong}
    with pytest.raises(ValueError, match=f"{name} must be"):
        groupwise_linear(**{key: torch.ones(shape) for key, shape in shapes.items()})


def test_half_a_normalisation_and_idle_queries_are_refused():
    x, weight, bias, gamma, _ = make(2, 3, 3, 6, learn=False)
    with pytest.raises(ValueError, match="norm_weight and norm_bias go together"):
        groupwise_linear(x, weight, bias, gamma)
    with pytest.raises(ValueError, match="50 query groups leave some without a label of 80; 40 would fit"):
        group_size(80, 50)
    with pytest.raises(ValueError, match="6 query groups leave some without a label of 3; 3 would fit"):
        group_size(3, 6)
