"""ML-Decoder: fixed queries for groups of labels, one decoder layer over the feature map (arXiv 2111.12933).

Shapes: B batch, S image side, C backbone channels, N = H·W cells, D width, K labels, G queries of ⌈K / G⌉ labels each.
"""

import math

import torch.nn.functional as F
from torch import Tensor, nn

from mlcfast.errors import UsageError
from mlcfast.models.attention import LabelQueryAttention
from mlcfast.models.backbones import Backbone
from mlcfast.models.heads import Head
from mlcfast.models.key_mapping import translate
from mlcfast.models.query2label import GroupWiseLinear
from mlcfast.models.transformer import FeedForward
from mlcfast.models.weights import load_checked

POOLING = "duplicate_pooling"  # what a file of the original implementation, or of timm's, has and no other


class GroupDecoderLayer(FeedForward):
    """Cross-attention from the queries to the cells, then feed-forward; no attention among queries.

    `norm3`, the last normalisation, is applied by what reads the result.
    """

    def __init__(self, embed_dim: int, num_heads: int, feedforward: int, dropout: float):
        super().__init__(embed_dim, feedforward, dropout)
        self.norm1 = nn.LayerNorm(embed_dim)
        self.multihead_attn = LabelQueryAttention(embed_dim, num_heads, dropout)
        self.norm2 = nn.LayerNorm(embed_dim)
        self.norm3 = nn.LayerNorm(embed_dim)

    def forward(self, queries: Tensor, cells: Tensor, need_weights: bool = False) -> tuple[Tensor, Tensor | None]:
        """queries (G, D), cells (B, N, D) -> (B, G, D) before `norm3` and, with need_weights, weights (B, G, N).

        As published, a query is doubled before its norm, by itself after dropout; so in training every image has
        queries of its own.
        """
        if self.training and self.dropout.p > 0:
            queries = queries.expand(len(cells), -1, -1)
        target = self.norm1(queries + self.dropout(queries))
        attended = self.multihead_attn(target, cells, need_weights=need_weights)
        attended, weights = attended if need_weights else (attended, None)
        target = self.norm2(target + self.dropout(attended))
        return target + self.feed_forward(target), weights


class MLDecoder(Head):
    """Images to one logit a label, at a cost that grows with the number of queries rather than of labels.

    backbone: gives the feature map and fixes the image size. query_groups: at most this many queries, each read by a
    group of ⌈K / G⌉ labels; as few as that takes. learn_queries: published queries stay as they were drawn from
    N(0, 1). Widths, dropout and starts are the published ones. ValueError where num_heads does not divide embed_dim
    and for a size below 1.
    """

    attends = True

    def __init__(
        self,
        backbone: Backbone,
        num_labels: int,
        query_groups: int = 100,
        embed_dim: int = 768,
        num_heads: int = 8,
        feedforward: int = 2048,
        dropout: float = 0.1,
        learn_queries: bool = False,
    ):
        super().__init__(backbone, num_labels)
        sizes = {"query_groups": query_groups, "embed_dim": embed_dim, "feedforward": feedforward}
        for name, size in sizes.items():
            if size < 1:
                raise ValueError(f"{name} must be at least 1, not {size}")
        self.labels_per_query = -(-num_labels // query_groups)
        queries = -(-num_labels // self.labels_per_query)
        self.input_proj = nn.Linear(backbone.channels, embed_dim)
        self.query_embed = nn.Embedding(queries, embed_dim)
        self.query_embed.requires_grad_(learn_queries)
        self.layer = GroupDecoderLayer(embed_dim, num_heads, feedforward, dropout)
        self.fc = GroupWiseLinear(num_labels, embed_dim)
        # Xavier's deviation for the published tensor (G, D, labels a query), whose last axis counts as a kernel's size.
        nn.init.normal_(self.fc.W, std=math.sqrt(2 / (self.labels_per_query * (embed_dim + queries))))
        nn.init.zeros_(self.fc.b)

    def forward(  # type: ignore[override]  # a pair with need_weights only, as Query2Label's
        self, images: Tensor, need_weights: bool = False
    ) -> Tensor | tuple[Tensor, Tensor]:
        """images (B, 3, S, S) -> logits (B, K) fp32; with need_weights also the attention weights (B, K, N).

        N runs over `grid` row by row; every row of weights sums to 1, and labels of a group share theirs. Raises
        ValueError for another image size than the model was built for.
        """
        cells = F.relu(self.input_proj(self.backbone(images).flatten(2).transpose(1, 2)))
        states, weights = self.layer(self.query_embed.weight, cells, need_weights)
        logits = self.fc(states, self.layer.norm3)
        if weights is None:
            return logits
        return logits, weights.repeat_interleave(self.labels_per_query, dim=1)[:, : self.num_labels]

    def checkpoint_units(self) -> list[nn.Module]:
        """The modules to recompute in the backward pass: backbone blocks and the decoder layer."""
        return [*super().checkpoint_units(), self.layer]


def is_ml_decoder_layout(state: dict[str, Tensor]) -> bool:
    """Whether the names are those of a whole model in ML-Decoder's original implementation, or in timm's."""
    return any(name.endswith(POOLING) for name in state)


def fill_ml_decoder(model: MLDecoder, state: dict[str, Tensor], source: str) -> None:
    """Copy a whole model in the original layout into one of the same architecture; UsageError lists what differs.

    The head stands there under whatever the backbone called its classifier (`head` or `fc`); the original keeps all of
    it under `decoder`, timm only the layer. Queries that no label reads, such as 49 of 100 for 101 labels, are left
    out: without attention among queries they do nothing.
    """
    place = next(name for name in state if name.endswith(POOLING)).removesuffix(POOLING).removesuffix("decoder.")
    body = {name: tensor for name, tensor in state.items() if not name.startswith(place)}
    within = {name.removeprefix(place): tensor for name, tensor in state.items() if name.startswith(place)}
    head = {name.removeprefix("decoder."): tensor for name, tensor in within.items()}
    renamed = {f"backbone.body.{name}": tensor for name, tensor in translate(model.backbone.body, body).items()}
    load_checked(model, renamed | _own_names(head, source), source)


def _own_names(head: dict[str, Tensor], source: str) -> dict[str, Tensor]:
    """The head's tensors under this implementation's names; an unknown one keeps its own, which loading reports."""
    pooling, bias = head.pop("duplicate_pooling"), head.pop("duplicate_pooling_bias", None)
    queries = head.pop("query_embed.weight", None)
    if pooling.dim() != 3 or bias is None or queries is None:
        raise UsageError(
            f"{source}: an ML-Decoder without its queries, or whose group weights are no three-dimensional"
        )
    K, m = len(bias), pooling.shape[2]
    renamed = {
        name.replace("embed_standart.", "input_proj.").replace("layers.0.", "layer."): head[name] for name in head
    }
    renamed["query_embed.weight"] = queries[: -(-K // m)]
    renamed["fc.W"] = pooling.transpose(1, 2).flatten(0, 1)[:K].unsqueeze(0)
    renamed["fc.b"] = bias.unsqueeze(0)
    return renamed
