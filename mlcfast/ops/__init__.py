"""Numerics without state: each op is a reference, its kernels and one registered operator. Imports torch only."""

from mlcfast.ops.asymmetric_loss import asymmetric_loss
from mlcfast.ops.groupwise_linear import groupwise_linear
from mlcfast.ops.label_query_attention import label_query_attention

__all__ = ["asymmetric_loss", "groupwise_linear", "label_query_attention"]
