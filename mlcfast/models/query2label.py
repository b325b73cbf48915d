"""Query2Label: label embeddings query a backbone's feature map (arXiv 2107.10834).

Shapes: B batch, S image side, C backbone channels, H × W grid, N = H·W cells, D width, K labels.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn

from mlcfast.models.backbones import Backbone
from mlcfast.models.heads import FeatureClassifier, Head
from mlcfast.models.transformer import Transformer, sine_position
from mlcfast.ops import groupwise_linear
from mlcfast.ops.groupwise_linear import group_size


class GroupWiseLinear(nn.Module):
    """The decoder's last normalisation, then a weight vector and a bias per label; fp32 whatever the autocast."""

    def __init__(self, num_labels: int, embed_dim: int):
        super().__init__()
        bound = 1 / math.sqrt(embed_dim)
        self.W = nn.Parameter(torch.empty(1, num_labels, embed_dim).uniform_(-bound, bound))
        self.b = nn.Parameter(torch.empty(1, num_labels).uniform_(-bound, bound))

    def forward(self, x: Tensor, norm: nn.LayerNorm) -> Tensor:
        """x (B, G, D) not yet normalised, G = K or groups of labels -> (B, K) fp32 (fp64 for fp64 parameters)."""
        return groupwise_linear(x, self.W, self.b, norm.weight, norm.bias, norm.eps)


class Query2Label(Head):
    """Images to one logit a label.

    backbone: gives the feature map and fixes the image size; embed_dim: width D, the backbone's channels if None (then
    without an input projection, as published). decoder_self_attention: as in the paper's Eq. 12; published models
    have none. query_groups: as many queries as labels if None; fewer serve ⌈K / groups⌉ labels each, which makes label
    sets in the thousands affordable (docs/attention.md); ValueError where a query would be left without a label.
    auxiliary_linear: a linear layer on the map's mean, an auxiliary classifier, gives logits too: in training they
    stand behind the decoder's, for a loss of their own, and otherwise the mean of both counts (docs/notes.md).
    The position code is a buffer outside the state dict: it follows from the grid.

    Starts as published: transformer matrices Xavier-uniform, label embeddings N(0, 1), head uniform in ±D^-1/2.
    """

    attends = True
    position: Tensor
    preprocessing: dict[str, Any]  # of a published model: image_size, mean, std

    def __init__(
        self,
        backbone: Backbone,
        num_labels: int,
        embed_dim: int | None = None,
        num_heads: int = 4,
        feedforward: int = 8192,
        encoder_layers: int = 1,
        decoder_layers: int = 2,
        dropout: float = 0.1,
        decoder_self_attention: bool = False,
        query_groups: int | None = None,
        auxiliary_linear: bool = False,
    ):
        super().__init__(backbone, num_labels)
        queries = num_labels if query_groups is None else query_groups
        self.labels_per_query = group_size(num_labels, queries)
        embed_dim = embed_dim or backbone.channels
        self.embed_dim = embed_dim
        self.register_buffer("position", sine_position(*self.grid, embed_dim), persistent=False)
        projected = embed_dim != backbone.channels
        self.input_proj = nn.Conv2d(backbone.channels, embed_dim, 1) if projected else nn.Identity()
        self.transformer = Transformer(
            embed_dim, num_heads, feedforward, encoder_layers, decoder_layers, dropout, decoder_self_attention
        )
        self.query_embed = nn.Embedding(queries, embed_dim)
        self.fc = GroupWiseLinear(num_labels, embed_dim)
        self.auxiliary = FeatureClassifier(backbone.channels, num_labels) if auxiliary_linear else None

    def forward(  # type: ignore[override]  # a pair with need_weights only, which other heads do not take
        self, images: Tensor, need_weights: bool = False
    ) -> Tensor | tuple[Tensor, Tensor]:
        """images (B, 3, S, S) -> logits (B, K) fp32; with need_weights also the last decoder layer's (B, K, N).

        With the auxiliary classifier, in train mode: (2B, K), the decoder's logits, then those of the linear layer.
        N runs over `grid` row by row; every row of weights sums to 1, and labels of a group share theirs. Raises
        ValueError for another image size than the model was built for, because the position code belongs to the grid.
        """
        features = self.backbone(images)
        cells = self.input_proj(features).flatten(2).transpose(1, 2)
        position = self.position.to(cells.dtype)
        states, weights = self.transformer(cells, self.query_embed.weight, position, need_weights)
        logits = self.fc(states, self.transformer.decoder.norm)
        if self.auxiliary is not None:
            beside = self.auxiliary(features.float().mean(dim=(2, 3)))
            logits = torch.cat((logits, beside)) if self.training else (logits + beside) / 2
        if not need_weights:
            return logits
        return logits, weights.repeat_interleave(self.labels_per_query, dim=1)[:, : self.num_labels]

    @property
    def sets_of_logits(self) -> int:  # type: ignore[override]  # of which a head that has one set says so as a constant
        """2 in train mode with the auxiliary classifier, else 1."""
        return 2 if self.training and self.auxiliary is not None else 1

    def checkpoint_units(self) -> list[nn.Module]:
        """The modules to recompute in the backward pass: backbone blocks, encoder and decoder layers."""
        layers = [*self.transformer.encoder.layers, *self.transformer.decoder.layers]
        return super().checkpoint_units() + layers
