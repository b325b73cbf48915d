"""Query2Label and the other heads, their backbones, the published checkpoints and trained models with their card.

A trained model is `model, card = load_trained("runs/demo/best")`; `model(images).sigmoid()` are its probabilities for
images (B, 3, S, S) normalised as card.preprocessing says.
"""

from mlcfast.models.activation_checkpointing import enable_activation_checkpointing
from mlcfast.models.attention import LabelQueryAttention
from mlcfast.models.backbones import Backbone, timm_body
from mlcfast.models.build import HEADS, build_model
from mlcfast.models.card import ModelCard, load_card, save_model
from mlcfast.models.freezing import freeze_backbone
from mlcfast.models.heads import ActivationMapClassifier, FeatureClassifier, Head, LinearClassifier
from mlcfast.models.loading import find_weights
from mlcfast.models.ml_decoder import MLDecoder
from mlcfast.models.published import PUBLISHED, load_published
from mlcfast.models.query2label import Query2Label
from mlcfast.models.trained import load_image_model, load_trained
from mlcfast.models.transformer import Transformer

__all__ = [
    "HEADS",
    "PUBLISHED",
    "ActivationMapClassifier",
    "Backbone",
    "FeatureClassifier",
    "Head",
    "LabelQueryAttention",
    "LinearClassifier",
    "MLDecoder",
    "ModelCard",
    "Query2Label",
    "Transformer",
    "build_model",
    "enable_activation_checkpointing",
    "find_weights",
    "freeze_backbone",
    "load_card",
    "load_image_model",
    "load_published",
    "load_trained",
    "save_model",
    "timm_body",
]
