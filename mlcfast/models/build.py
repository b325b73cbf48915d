"""One function from configuration values to a model."""

from typing import Any

from torch import nn

from mlcfast.errors import UsageError
from mlcfast.models.backbones import Backbone, timm_body
from mlcfast.models.cvt import CVT, CvT
from mlcfast.models.freezing import freeze_backbone
from mlcfast.models.linear import FeatureClassifier, LinearClassifier
from mlcfast.models.query2label import Query2Label
from mlcfast.models.weights import load_checked, load_weights, read_state_dict

HEADS = {"query2label": Query2Label, "linear": LinearClassifier}
FREEZE = ("auto", "none", "published", "backbone")


def build_model(
    head: str,
    backbone: str,
    num_labels: int,
    image_size: int,
    weights: str = "none",
    freeze: str = "auto",
    backbone_options: dict[str, Any] | None = None,
    in_features: int | None = None,
    **options: Any,
) -> nn.Module:
    """A model in train mode: images (B, 3, image_size, image_size) -> logits (B, num_labels) fp32.

    head: query2label (options: those of `Query2Label`) or linear (none). backbone: cvt_13, cvt_21, cvt_w24 or a timm
    name that gives a feature map; backbone_options: for `CvT`, or for timm and `timm_body`. weights: pretrained (the
    backbone's, from timm), none, or the path of a state dict, of the backbone or of the whole model. freeze: see
    `freeze_backbone`; auto is published when there are weights, none when there are not. backbone none: a linear head
    on stored features (B, in_features).

    Raises UsageError for anything that does not fit, naming the key.
    """
    if head not in HEADS:
        raise UsageError(f"model.head: {head!r} is not one of {', '.join(HEADS)}")
    if freeze not in FREEZE:
        raise UsageError(f"model.freeze: {freeze!r} is not one of {', '.join(FREEZE)}")
    if backbone == "none":
        return _on_features(head, in_features, num_labels, weights)
    body = _body(backbone, image_size, weights == "pretrained", backbone_options or {})
    try:
        model = HEADS[head](Backbone(body, image_size), num_labels, **options)
    except (TypeError, ValueError) as error:
        raise UsageError(f"model: options of head {head}: {error}") from error
    if weights not in ("pretrained", "none"):
        load_weights(model, weights)
    if freeze == "auto":
        freeze = "none" if weights == "none" else "published"
    freeze_backbone(body, freeze)
    return model.train()


def _on_features(head: str, in_features: int | None, num_labels: int, weights: str) -> nn.Module:
    if head != "linear" or in_features is None:
        raise UsageError("model.backbone none needs model.head linear and stored features (data.format features)")
    if weights == "pretrained":
        raise UsageError("model.weights: backbone none has no pretrained weights: set it to none")
    model = FeatureClassifier(in_features, num_labels)
    if weights != "none":
        load_checked(model, read_state_dict(weights), f"weights {weights}")
    return model.train()


def _body(name: str, image_size: int, pretrained: bool, options: dict[str, Any]) -> nn.Module:
    if name not in CVT:
        return timm_body(name, image_size, pretrained, options)
    if pretrained:
        raise UsageError(f"model.weights: {name} has no downloadable weights; give a local file's path, or none")
    try:
        return CvT(CVT[name], **options)
    except (TypeError, ValueError) as error:
        raise UsageError(f"model.backbone_options do not fit {name}: {error}") from error
