"""The configured model: what `build_model` is called with, and the model it makes."""

from typing import Any

from torch import nn

from mlcfast.config import Config
from mlcfast.data import feature_width
from mlcfast.models import build_model


def model_arguments(config: Config, num_labels: int) -> dict[str, Any]:
    """The keyword arguments of `build_model` for this configuration."""
    settings, data = config.model, config.data
    width = {"in_features": feature_width(data.root, data.train)} if data.format == "features" else {}
    return {
        "head": settings.head,
        "backbone": settings.backbone,
        "num_labels": num_labels,
        "image_size": config.data.image_size,
        "backbone_options": settings.backbone_options,
        **settings.head_arguments,
        **width,
    }


def make_model(config: Config, num_labels: int) -> nn.Module:
    """The configured model with its initial weights."""
    return build_model(**model_arguments(config, num_labels), weights=config.model.weights, freeze=config.model.freeze)
