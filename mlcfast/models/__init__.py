"""Query2Label, the linear head, their backbones and the published checkpoints."""

from mlcfast.models.activation_checkpointing import enable_activation_checkpointing
from mlcfast.models.attention import LabelQueryAttention
from mlcfast.models.build import build_model
from mlcfast.models.heads import Head, LinearClassifier
from mlcfast.models.published import PUBLISHED, load_published
from mlcfast.models.query2label import Query2Label

__all__ = [
    "PUBLISHED",
    "Head",
    "LabelQueryAttention",
    "LinearClassifier",
    "Query2Label",
    "build_model",
    "enable_activation_checkpointing",
    "load_published",
]
