"""Builds a model from the values of a configuration."""

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import nn

from mlcfast.errors import UsageError
from mlcfast.models.backbones import Backbone, check_timm, timm_body
from mlcfast.models.cvt import CVT, CvT
from mlcfast.models.freezing import freeze_backbone
from mlcfast.models.heads import ActivationMapClassifier, FeatureClassifier, Head, LinearClassifier
from mlcfast.models.ml_decoder import MLDecoder
from mlcfast.models.query2label import Query2Label
from mlcfast.models.weights import load_checked, load_weights, read_state_dict, weight_file
from mlcfast.registry import Registry, as_callable, check_options, imported, is_import_name


def _cvt(name: str, image_size: int, pretrained: bool, **options: Any) -> nn.Module:
    if pretrained:
        raise UsageError(f"model.weights: {name} has no downloadable weights; give a local file's path, or none")
    return CvT(CVT[name], **options)


HEADS: Registry[type[Head]] = Registry(
    "model.head",
    {
        "query2label": Query2Label,
        "ml_decoder": MLDecoder,
        "linear": LinearClassifier,
        "cam": ActivationMapClassifier,
    },
    UsageError,
)
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

    With auxiliary_linear it gives (2B, num_labels) while it trains, see `Query2Label.forward`.

    head: query2label or ml_decoder (options: those of `Query2Label`, `MLDecoder`), linear (none), cam (boost) or a
    `Head` as `package.module:name`. backbone: cvt_13, cvt_21, cvt_w24, a timm name that gives a feature map, or what
    makes a body as `package.module:name`; backbone_options: for `CvT`, for timm and `timm_body`, or for that function,
    and `join_index` for `Backbone`.
    weights: pretrained (the backbone's, from timm), none, or the path of a state dict, of the backbone or of the whole
    model. freeze: see `freeze_backbone`; auto is published when there are weights, none when there are not. backbone
    none: a linear head on stored features (B, in_features).

    Raises UsageError for anything that does not fit, naming the key.
    """
    make = _head(head)
    if freeze not in FREEZE:
        raise UsageError(f"model.freeze: {freeze!r} is not one of {', '.join(FREEZE)}")
    if backbone == "none":
        return _on_features(head, in_features, num_labels, weights)
    of_body = dict(backbone_options or {})
    join_index = of_body.pop("join_index", None)
    body = _body(backbone, image_size, weights == "pretrained", of_body)
    _check_head_options(head, make, options)
    try:
        model = make(Backbone(body, image_size, join_index), num_labels, **options)
    except (TypeError, ValueError) as error:
        raise UsageError(f"model: options of head {head}: {error}") from error
    if weights not in ("pretrained", "none"):
        load_weights(model, weights)
    if freeze == "auto":
        freeze = "none" if weights == "none" else "published"
    freeze_backbone(body, freeze)
    return model.train()


def check_model(head: str, backbone: str, weights: str, options: dict[str, Any]) -> None:
    """Find what names no head, no backbone and no weights before anything is built, as `build_model` would say it.

    options: those of the head. UsageError, one line, suggests the nearest name.
    """
    make = _head(head)
    if backbone != "none":
        _check_head_options(head, make, options)
        if is_import_name(backbone):
            _imported_backbone(backbone)
        elif backbone not in CVT:
            check_timm(backbone, weights == "pretrained")
    if weights not in ("pretrained", "none"):
        weight_file(weights)


def attends(head: str) -> bool:
    """Whether the head called `head`, as a model's card names it, gives attention maps; see `Head`."""
    return _head(head).attends


def _head(name: str) -> type[Head]:
    """The class of heads called `name`."""
    make = HEADS.find(name)
    if not (isinstance(make, type) and issubclass(make, Head)):
        raise UsageError(f"model.head: {name} is no class derived from mlcfast.models.Head")
    return make


def _check_head_options(name: str, make: type[Head], options: dict[str, Any]) -> None:
    check_options(make, options, f"model.head {name}", given=("backbone", "num_labels"), error=UsageError)


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
    if name not in CVT and not is_import_name(name):
        return timm_body(name, image_size, pretrained, options)
    make = partial(_cvt, name) if name in CVT else _imported_backbone(name)
    try:
        body = make(image_size=image_size, pretrained=pretrained, **options)
    except (TypeError, ValueError) as error:
        raise UsageError(f"model.backbone_options do not fit {name}: {error}") from error
    if not (isinstance(body, nn.Module) and hasattr(body, "forward_features")):
        wanted = "nn.Module with forward_features(images)"
        raise UsageError(f"model.backbone: {name} gives a {type(body).__name__}, not an {wanted}")
    return body


def _imported_backbone(name: str) -> Callable[..., Any]:
    """What a user's module holds under this name; called as make(image_size=…, pretrained=…, **options) -> body."""
    what = "model.backbone"
    return as_callable(imported(name, what, UsageError), what, UsageError)
