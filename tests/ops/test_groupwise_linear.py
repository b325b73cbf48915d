import pytest
import torch

from mlcfast.ops import groupwise_linear


@pytest.mark.parametrize("published", [False, True])
@pytest.mark.parametrize("K", [1, 20, 81])
def test_equals_a_sum_per_label(K: int, published: bool):
    torch.manual_seed(0)
    x, weight, bias = torch.randn(3, K, 8), torch.randn(K, 8), torch.randn(K)
    expected = torch.stack([x[:, k] @ weight[k] + bias[k] for k in range(K)], dim=1)
    if published:
        weight, bias = weight[None], bias[None]
    torch.testing.assert_close(groupwise_linear(x, weight, bias), expected)


@pytest.mark.parametrize("name", ["x", "weight", "bias"])
def test_a_wrong_shape_is_named(name: str):
    tensors = {"x": torch.ones(2, 5, 4), "weight": torch.ones(5, 4), "bias": torch.ones(5)}
    tensors[name] = tensors[name][:, :3] if name == "x" else tensors[name][1:]
    with pytest.raises(ValueError, match="weight must be" if name == "x" else f"{name} must be"):
        groupwise_linear(**tensors)
