"""A head that was tried on small sets and is not offered (docs/notes.md): Query2Label beside a linear classifier."""

from torch import Tensor, nn

from mlcfast.models import Query2Label
from mlcfast.models.backbones import Backbone


class PooledQuery2Label(Query2Label):
    """The logits of a linear layer `pooled` of the map's mean are added to the decoder's, which start at zero."""

    def __init__(self, backbone: Backbone, num_labels: int, embed_dim: int = 256, feedforward: int = 512):
        super().__init__(backbone, num_labels, embed_dim, feedforward=feedforward)
        self.pooled = nn.Linear(backbone.channels, num_labels)
        for parameter in self.fc.parameters():
            nn.init.zeros_(parameter)

    def forward(  # type: ignore[override]  # a pair with need_weights only
        self, images: Tensor, need_weights: bool = False
    ) -> Tensor | tuple[Tensor, Tensor]:
        """images (B, 3, S, S) -> logits (B, K) fp32; with need_weights also (B, K, N), as Query2Label."""
        features = self.backbone(images)
        cells = self.input_proj(features).flatten(2).transpose(1, 2)
        position = self.position.to(cells.dtype)
        states, weights = self.transformer(cells, self.query_embed.weight, position, need_weights)
        logits = self.fc(states, self.transformer.decoder.norm) + self.pooled(features.float().mean(dim=(2, 3)))
        return (logits, weights) if need_weights else logits
