"""Query2Label, the linear head, their backbones and the published checkpoints."""

from mlcfast.models.attention import LabelQueryAttention

__all__ = ["LabelQueryAttention"]
