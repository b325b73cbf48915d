"""The post-norm transformer of Query2Label: encoder over feature cells, decoder from label queries (arXiv 2107.10834).

Shapes: B batch, K labels, N feature cells, D width.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mlcfast.models.attention import LabelQueryAttention

TEMPERATURE = 10_000  # of DETR's and Query2Label's position code
EPS = 1e-6


def sine_position(height: int, width: int, dim: int) -> Tensor:
    """The fixed 2-D sine position code, (1, height·width, dim) fp32; cells in row-major order.

    dim/2 features of the row come first, then dim/2 of the column. A row r of H (counted from 1) is the angle
    a = 2π r / (H + 1e-6); feature i of n = dim/2 is sin(a / T^(2⌊i/2⌋/n)) for even i and its cosine for odd i,
    T = 10000. Raises ValueError when dim is not divisible by 4.
    """
    if dim % 4:
        raise ValueError(f"embed_dim {dim} is not divisible by 4, as the sine and cosine of rows and columns need")
    rows = _axis_code(height, dim // 2)[:, None].expand(height, width, -1)
    columns = _axis_code(width, dim // 2)[None, :].expand(height, width, -1)
    return torch.cat((rows, columns), dim=-1).reshape(1, height * width, dim)


def _axis_code(length: int, features: int) -> Tensor:
    """(length, features): sine and cosine interleaved."""
    angle = torch.arange(1, length + 1, dtype=torch.float32) / (length + EPS) * (2 * math.pi)
    period = TEMPERATURE ** (torch.arange(0, features, 2, dtype=torch.float32) / features)
    phase = angle[:, None] / period
    return torch.stack((phase.sin(), phase.cos()), dim=-1).flatten(1)


class SelfAttention(nn.Module):
    """Multi-head self-attention with nn.MultiheadAttention's parameters over torch's fused attention.

    embed_dim: width D; num_heads divides it; dropout: on the attention weights, in training.
    """

    def __init__(self, embed_dim: int, num_heads: int, dropout: float = 0.0):
        super().__init__()
        if embed_dim % num_heads:
            raise ValueError(f"embed_dim {embed_dim} is not divisible by num_heads {num_heads}")
        parameters = nn.MultiheadAttention(embed_dim, num_heads)
        self.num_heads, self.dropout = num_heads, dropout
        self.in_proj_weight, self.in_proj_bias = parameters.in_proj_weight, parameters.in_proj_bias
        self.out_proj = parameters.out_proj

    def forward(self, tokens: Tensor, position: Tensor) -> Tensor:
        """tokens (B, N, D), position (…, N, D) added to queries and keys but not to values -> (B, N, D)."""
        B, N, D = tokens.shape
        heads = (self.num_heads, D // self.num_heads)
        wqk, wv = self.in_proj_weight.split((2 * D, D))
        bqk, bv = self.in_proj_bias.split((2 * D, D))
        q, k = F.linear(tokens + position, wqk, bqk).view(B, N, 2, *heads).permute(2, 0, 3, 1, 4)
        v = F.linear(tokens, wv, bv).view(B, N, *heads).transpose(1, 2)
        mixed = F.scaled_dot_product_attention(q, k, v, dropout_p=self.dropout if self.training else 0.0)
        return self.out_proj(mixed.transpose(1, 2).reshape(B, N, D))


class FeedForward(nn.Module):
    """The two linear layers of a transformer layer and its last normalisation, mixed into each layer by inheritance.

    The parameters belong to the layer itself (`linear1`, `linear2`), as in the published checkpoints.
    """

    def __init__(self, embed_dim: int, feedforward: int, dropout: float):
        super().__init__()
        self.linear1 = nn.Linear(embed_dim, feedforward)
        self.linear2 = nn.Linear(feedforward, embed_dim)
        self.dropout = nn.Dropout(dropout)

    def feed_forward(self, x: Tensor) -> Tensor:
        """(…, D) -> (…, D), dropout on the hidden layer and on the result."""
        return self.dropout(self.linear2(self.dropout(F.relu(self.linear1(x)))))


class EncoderLayer(FeedForward):
    """Self-attention over the feature cells, then feed-forward, each added and normalised."""

    def __init__(self, embed_dim: int, num_heads: int, feedforward: int, dropout: float):
        super().__init__(embed_dim, feedforward, dropout)
        self.self_attn = SelfAttention(embed_dim, num_heads, dropout)
        self.norm1 = nn.LayerNorm(embed_dim)
        self.norm2 = nn.LayerNorm(embed_dim)

    def forward(self, cells: Tensor, position: Tensor) -> Tensor:
        """cells (B, N, D), position (1, N, D) -> (B, N, D)."""
        cells = self.norm1(cells + self.dropout(self.self_attn(cells, position)))
        return self.norm2(cells + self.feed_forward(cells))


class DecoderLayer(FeedForward):
    """Cross-attention from the labels to the cells, then feed-forward; optionally self-attention among labels first.

    `norm1` and `self_attn` exist only with self_attention: the published models have none (the paper's Eq. 12 has).
    """

    def __init__(self, embed_dim: int, num_heads: int, feedforward: int, dropout: float, self_attention: bool):
        super().__init__(embed_dim, feedforward, dropout)
        self.self_attn = SelfAttention(embed_dim, num_heads, dropout) if self_attention else None
        self.norm1 = nn.LayerNorm(embed_dim) if self_attention else None
        self.multihead_attn = LabelQueryAttention(embed_dim, num_heads, dropout)
        self.norm2 = nn.LayerNorm(embed_dim)
        self.norm3 = nn.LayerNorm(embed_dim)

    def forward(
        self, target: Tensor | None, labels: Tensor, memory: Tensor, position: Tensor, need_weights: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        """target (B, K, D) or None for the zeros it starts from, labels (K, D), memory (B, N, D), position (1, N, D).

        Returns the new target (B, K, D) and, with need_weights, the attention weights (B, K, N). The label embedding
        is added to queries only. A zero target leaves it as the query of every image, so that it is projected once.
        """
        if self.self_attn is not None and self.norm1 is not None:  # both or neither
            target = memory.new_zeros(memory.shape[0], *labels.shape) if target is None else target
            target = self.norm1(target + self.dropout(self.self_attn(target, labels)))
        queries = labels if target is None else target + labels
        attended = self.multihead_attn(queries, memory, position, need_weights)
        attended, weights = attended if need_weights else (attended, None)
        attended = self.dropout(attended)
        target = self.norm2(attended if target is None else target + attended)
        return self.norm3(target + self.feed_forward(target)), weights


class Encoder(nn.Module):
    """A stack of encoder layers without a final normalisation."""

    def __init__(self, layers: int, embed_dim: int, num_heads: int, feedforward: int, dropout: float):
        super().__init__()
        self.layers = nn.ModuleList(EncoderLayer(embed_dim, num_heads, feedforward, dropout) for _ in range(layers))

    def forward(self, cells: Tensor, position: Tensor) -> Tensor:
        """cells (B, N, D), position (1, N, D) -> (B, N, D)."""
        for layer in self.layers:
            cells = layer(cells, position)
        return cells


class Decoder(nn.Module):
    """A stack of decoder layers and the final normalisation's parameters, which the head applies as it reads."""

    def __init__(
        self, layers: int, embed_dim: int, num_heads: int, feedforward: int, dropout: float, self_attention: bool
    ):
        super().__init__()
        options = (embed_dim, num_heads, feedforward, dropout, self_attention)
        self.layers = nn.ModuleList(DecoderLayer(*options) for _ in range(layers))
        self.norm = nn.LayerNorm(embed_dim)

    def forward(
        self, labels: Tensor, memory: Tensor, position: Tensor, need_weights: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        """labels (K, D), memory (B, N, D), position (1, N, D) -> (B, K, D) and the last layer's weights (B, K, N).

        The result is not normalised yet.
        """
        target, weights = None, None
        for layer in self.layers:
            last = layer is self.layers[-1]
            target, weights = layer(target, labels, memory, position, need_weights and last)
        assert target is not None, "a decoder has one layer at least"
        return target, weights


class Transformer(nn.Module):
    """Encoder and decoder; matrices start Xavier-uniform, as published."""

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        feedforward: int,
        encoder_layers: int,
        decoder_layers: int,
        dropout: float,
        decoder_self_attention: bool,
    ):
        super().__init__()
        options = (embed_dim, num_heads, feedforward, dropout)
        self.encoder = Encoder(encoder_layers, *options)
        self.decoder = Decoder(decoder_layers, *options, decoder_self_attention)
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)

    def forward(
        self, cells: Tensor, labels: Tensor, position: Tensor, need_weights: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        """cells (B, N, D), labels (K, D), position (1, N, D) -> (B, K, D) and, with need_weights, (B, K, N).

        The result awaits `decoder.norm`.
        """
        memory = self.encoder(cells, position)
        return self.decoder(labels, memory, position, need_weights)
