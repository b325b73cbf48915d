"""The base class of heads, and the linear ones of single-positive training (arXiv 2106.09708, 2304.01804)."""

from abc import abstractmethod
from typing import ClassVar

import torch
from torch import Tensor, nn

from mlcfast.models.activation_checkpointing import backbone_units
from mlcfast.models.backbones import Backbone
from mlcfast.models.precision import full_precision
from mlcfast.ops.checks import as_number


class Head(nn.Module):
    """A backbone with what makes logits of its feature map; a head of one's own derives from it (docs/extending.md).

    A head is built as Head(backbone, num_labels, **options) and defines `forward`. num_labels: K; image_size: S; grid:
    (H, W) of the feature map. attends: whether `forward` takes need_weights and then also gives attention weights
    (B, K, H·W), which `predict --attention` and the report draw. sets_of_logits: how many logits (B, K), one below the
    other, `forward` gives now; each has a loss of its own.
    """

    attends: ClassVar[bool] = False
    sets_of_logits: int = 1

    def __init__(self, backbone: Backbone, num_labels: int):
        super().__init__()
        self.num_labels, self.grid, self.image_size = num_labels, backbone.grid, backbone.image_size
        self.backbone = backbone

    @abstractmethod
    def forward(self, images: Tensor) -> Tensor:
        """images (B, 3, S, S) -> logits (B, K) fp32."""

    def checkpoint_units(self) -> list[nn.Module]:
        """The modules to recompute in the backward pass: the backbone's blocks, and what a head adds to them."""
        return backbone_units(self.backbone.body)


class LinearClassifier(Head):
    """Backbone, global average pool and one linear layer `fc` (torch's default start)."""

    def __init__(self, backbone: Backbone, num_labels: int):
        super().__init__(backbone, num_labels)
        self.fc = nn.Linear(backbone.channels, num_labels)

    def forward(self, images: Tensor) -> Tensor:
        """images (B, 3, S, S) -> logits (B, K) fp32; ValueError for another image size than the model was built for."""
        return self.classify(self.features(images))

    def features(self, images: Tensor) -> Tensor:
        """images (B, 3, S, S) -> pooled features (B, C) fp32, what `fc` reads."""
        return self.backbone(images).float().mean(dim=(2, 3))

    def classify(self, features: Tensor) -> Tensor:
        """Pooled features (B, C) -> logits (B, K), in fp32 whatever the autocast."""
        with full_precision(features):
            return self.fc(features.to(self.fc.weight.dtype))


class ActivationMapClassifier(Head):
    """The linear layer `fc` at each cell, a class activation map; its positive cells count `boost`-fold in the mean.

    BoostLU (arXiv 2304.01804), in training and in evaluation alike. boost: above 0, published 5; with 1 it is
    LinearClassifier, whose weights it also begins with. ValueError for another boost.
    """

    def __init__(self, backbone: Backbone, num_labels: int, boost: float = 5.0):
        super().__init__(backbone, num_labels)
        self.boost = as_number(boost, "boost")
        if self.boost <= 0:
            raise ValueError(f"boost must be above 0, not {boost!r}")
        self.fc = nn.Linear(backbone.channels, num_labels)

    def forward(self, images: Tensor) -> Tensor:
        """images (B, 3, S, S) -> logits (B, K) fp32; ValueError for another image size than the model was built for."""
        cells = self.activation_map(images)
        return torch.where(cells > 0, self.boost * cells, cells).mean(dim=(2, 3))

    def activation_map(self, images: Tensor) -> Tensor:
        """images (B, 3, S, S) -> each label's activation at each cell (B, K, H, W), fp32 whatever the autocast."""
        features = self.backbone(images)
        with full_precision(features):
            cells = features.permute(0, 2, 3, 1).to(self.fc.weight.dtype)
            return self.fc(cells).permute(0, 3, 1, 2)


class FeatureClassifier(nn.Module):
    """The linear layer `fc` alone, on features that are there: named as in `LinearClassifier`, to be handed over."""

    def __init__(self, in_features: int, num_labels: int):
        super().__init__()
        self.num_labels = num_labels
        self.fc = nn.Linear(in_features, num_labels)

    def forward(self, features: Tensor) -> Tensor:
        """features (B, D) -> logits (B, K), in fp32 whatever the autocast."""
        with full_precision(features):
            return self.fc(features.to(self.fc.weight.dtype))

    def checkpoint_units(self) -> list[nn.Module]:
        """Nothing is worth recomputing."""
        return []
