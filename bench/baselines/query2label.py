"""Query2Label as people write it: nn.MultiheadAttention, queries repeated for every image, a sum per label."""

from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn

from bench.baselines.backbones import PUBLISHED_ATTENTION, PUBLISHED_GELU, PUBLISHED_NORM, batch_norm_in_eval_mode
from mlcfast.models import Query2Label
from mlcfast.models.cvt import CvT


class PlainQuery2Label(nn.Module):
    """The same function of the same parameters as `model`, whose modules it takes over; without label self-attention.

    CvT's attention, LayerNorm and QuickGELU are the published operators while its forward pass runs, and frozen norms
    are BatchNorm2d in eval mode after their convolutions. Other backbones are as they are, and whole to torch.compile.
    """

    def __init__(self, model: Query2Label):
        super().__init__()
        self.backbone = batch_norm_in_eval_mode(model.backbone)
        self.input_proj, self.query_embed, self.fc = model.input_proj, model.query_embed, model.fc
        self.register_buffer("position", model.position, persistent=False)
        self.transformer = model.transformer
        for layer in (*self.transformer.encoder.layers, *self.transformer.decoder.layers):
            for name in ("self_attn", "multihead_attn"):
                attention = getattr(layer, name, None)
                if attention is not None:
                    setattr(layer, name, _multihead(attention))

    def forward(self, images: Tensor) -> Tensor:
        """images (B, 3, S, S) -> logits (B, K)."""
        features = self._published_cvt(images) if isinstance(self.backbone.body, CvT) else self.backbone(images)
        cells = self.input_proj(features).flatten(2).permute(2, 0, 1)
        position = self.position.permute(1, 0, 2).expand(-1, cells.shape[1], -1)
        for layer in self.transformer.encoder.layers:
            queries = cells + position
            cells = layer.norm1(cells + layer.dropout(layer.self_attn(queries, queries, value=cells)[0]))
            cells = layer.norm2(cells + layer.feed_forward(cells))
        labels = self.query_embed.weight.unsqueeze(1).repeat(1, cells.shape[1], 1)
        target = torch.zeros_like(labels)
        for layer in self.transformer.decoder.layers:
            attended = layer.multihead_attn(target + labels, cells + position, value=cells)[0]
            target = layer.norm2(target + layer.dropout(attended))
            target = layer.norm3(target + layer.feed_forward(target))
        decoded = self.transformer.decoder.norm(target).transpose(0, 1)
        return (self.fc.W * decoded).sum(-1) + self.fc.b

    def _published_cvt(self, images: Tensor) -> Tensor:
        with PUBLISHED_ATTENTION, PUBLISHED_GELU, PUBLISHED_NORM:
            return self.backbone(images)


@torch.no_grad()
def compared(model: Query2Label, images: Tensor, half: AbstractContextManager) -> dict[str, float]:
    """How far the logits of a model, which is used up, are from the plain form's in fp64, and under `half` both."""
    model.eval()
    with half:
        ours_half = model(images)
    ours = model.double()(images.double())
    plain = PlainQuery2Label(model).double().eval()
    exact = plain(images.double())
    with half:
        plain_half = plain.float()(images)
    logits = {"fp64_difference": ours, "half_error_mlcfast": ours_half, "half_error_plain": plain_half}
    return {name: float((found.double() - exact).norm() / exact.norm()) for name, found in logits.items()}


def _multihead(attention: nn.Module) -> nn.MultiheadAttention:
    D = attention.in_proj_weight.shape[1]
    plain = nn.MultiheadAttention(D, attention.num_heads, attention.dropout, device=attention.in_proj_weight.device)
    plain.load_state_dict(attention.state_dict())
    return plain.train(attention.training)
