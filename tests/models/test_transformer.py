import pytest
import torch
from torch import nn

from mlcfast.models.transformer import DecoderLayer, EncoderLayer, SelfAttention

B, K, N, D, HEADS, WIDTH = 2, 5, 12, 16, 4, 40


def tokens(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_self_attention_equals_multihead_attention_with_position_on_queries_and_keys_only():
    ours = SelfAttention(D, HEADS).double()
    theirs = nn.MultiheadAttention(D, HEADS, batch_first=True).double()
    theirs.load_state_dict(ours.state_dict())
    cells, position = tokens(B, N, D), tokens(1, N, D, seed=1)
    expected, _ = theirs(cells + position, cells + position, cells)
    torch.testing.assert_close(ours(cells, position), expected, rtol=0, atol=1e-12)


def test_encoder_layer_equals_torch_without_position():
    ours = EncoderLayer(D, HEADS, WIDTH, 0.1).double().eval()
    theirs = nn.TransformerEncoderLayer(D, HEADS, WIDTH, 0.1, batch_first=True).double().eval()
    theirs.load_state_dict(ours.state_dict())
    cells = tokens(B, N, D)
    torch.testing.assert_close(ours(cells, torch.zeros(1, N, D)), theirs(cells), rtol=0, atol=1e-12)


def test_decoder_layer_with_self_attention_equals_torch_without_label_embedding():
    ours = DecoderLayer(D, HEADS, WIDTH, 0.1, self_attention=True).double().eval()
    theirs = nn.TransformerDecoderLayer(D, HEADS, WIDTH, 0.1, batch_first=True).double().eval()
    theirs.load_state_dict(ours.state_dict())
    target, memory = tokens(B, K, D), tokens(B, N, D, seed=1)
    actual, _ = ours(target, torch.zeros(K, D), memory, torch.zeros(1, N, D).double())
    torch.testing.assert_close(actual, theirs(target, memory), rtol=0, atol=1e-12)


@pytest.mark.parametrize("self_attention", [False, True])
def test_no_target_is_a_zero_target(self_attention):
    layer = DecoderLayer(D, HEADS, WIDTH, 0.1, self_attention).double().eval()
    labels, memory, position = tokens(K, D), tokens(B, N, D, seed=1), tokens(1, N, D, seed=2)
    shared, weights = layer(None, labels, memory, position, need_weights=True)
    explicit, explicit_weights = layer(torch.zeros(B, K, D).double(), labels, memory, position, need_weights=True)
    torch.testing.assert_close(shared, explicit, rtol=0, atol=1e-12)
    torch.testing.assert_close(weights, explicit_weights, rtol=0, atol=1e-12)


def test_published_decoder_layer_by_its_equations():
    layer = DecoderLayer(D, HEADS, WIDTH, 0.1, self_attention=False).double().eval()
    attention = nn.MultiheadAttention(D, HEADS, batch_first=True).double()
    attention.load_state_dict(layer.multihead_attn.state_dict())
    target, labels, memory, position = tokens(B, K, D), tokens(K, D, seed=3), tokens(B, N, D, seed=1), tokens(1, N, D)
    attended, _ = attention(target + labels, memory + position, memory)
    middle = layer.norm2(target + attended)
    expected = layer.norm3(middle + layer.linear2(torch.relu(layer.linear1(middle))))
    torch.testing.assert_close(layer(target, labels, memory, position)[0], expected, rtol=0, atol=1e-12)
