"""LabelQueryAttention beside nn.MultiheadAttention, whose state dict it shares."""

import pytest
import torch
from torch import nn

from mlcfast.models import LabelQueryAttention

B, K, N, D, HEADS = 3, 5, 11, 24, 4


def pair(**options):
    torch.manual_seed(0)
    ours = LabelQueryAttention(D, HEADS, **options).double()
    theirs = nn.MultiheadAttention(D, HEADS, batch_first=True).double()
    nn.init.normal_(theirs.in_proj_bias)
    nn.init.normal_(theirs.out_proj.bias)
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs


def normal(*shape, seed=1):
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)).requires_grad_()


@pytest.mark.parametrize("plan", [None, "folded", "mixed", "projected"])
@pytest.mark.parametrize("shared", [True, False])
def test_equals_multihead_attention_and_its_gradients(shared, plan):
    ours, theirs = pair(plan=plan)
    queries, memory, position = normal(K, D) if shared else normal(B, K, D), normal(B, N, D, seed=2), normal(1, N, D)
    out, weights = ours(queries, memory, position, need_weights=True)
    expected, expected_weights = theirs(queries.expand(B, K, D), memory + position, memory)
    torch.testing.assert_close(out, expected)
    torch.testing.assert_close(weights, expected_weights)
    direction = normal(B, K, D, seed=3).detach()
    got = torch.autograd.grad(out, [queries, memory, position, *ours.parameters()], direction)
    want = torch.autograd.grad(expected, [queries, memory, position, *theirs.parameters()], direction)
    for mine, others in zip(got, want, strict=True):
        torch.testing.assert_close(mine, others, rtol=1e-8, atol=1e-10)


def test_parameters_are_named_and_start_as_in_multihead_attention():
    ours, theirs = LabelQueryAttention(D, HEADS), nn.MultiheadAttention(D, HEADS)
    assert {k: v.shape for k, v in ours.state_dict().items()} == {k: v.shape for k, v in theirs.state_dict().items()}
    bound = (6 / (D + 3 * D)) ** 0.5
    assert ours.in_proj_weight.abs().max() <= bound and ours.in_proj_weight.std() > bound / 2
    assert not ours.in_proj_bias.any() and not ours.out_proj.bias.any()


def test_dropout_in_training_only():
    ours, _ = pair(dropout=0.5)
    queries, memory = normal(K, D), normal(B, N, D)
    assert not torch.equal(ours(queries, memory), ours(queries, memory))
    ours.eval()
    assert torch.equal(ours(queries, memory), ours(queries, memory))


def test_weights_in_inference_keep_nothing():
    ours, _ = pair()
    with torch.inference_mode():
        out, weights = ours(normal(K, D), normal(B, N, D), need_weights=True)
    assert weights.shape == (B, K, N) and weights.grad_fn is None and out.grad_fn is None
    torch.testing.assert_close(weights.sum(-1), torch.ones(B, K, dtype=torch.float64))


def test_under_activation_checkpointing_the_mask_is_drawn_again():
    ours, _ = pair(dropout=0.5)
    queries, memory = normal(K, D), normal(B, N, D, seed=2)
    gradients = []
    for checkpointed in (False, True):
        torch.manual_seed(5)
        if checkpointed:
            out = torch.utils.checkpoint.checkpoint(ours, queries, memory, use_reentrant=False)
        else:
            out = ours(queries, memory)
        gradients.append(torch.autograd.grad(out.sum(), [queries, memory]))
    for got, want in zip(*gradients, strict=True):
        torch.testing.assert_close(got, want)


@pytest.mark.parametrize("heads", [0, 5])
def test_a_wrong_number_of_heads_is_named(heads):
    with pytest.raises(ValueError, match=f"embed_dim 24 is not divisible by num_heads {heads}"):
        LabelQueryAttention(D, heads)


def test_the_plan_is_visible():
    assert "plan=by shape" in repr(LabelQueryAttention(D, HEADS))
    assert "plan=mixed" in repr(LabelQueryAttention(D, HEADS, plan="mixed"))
