"""Numerics without state: each op is a reference, its kernels and one registered operator. Imports torch only."""

from mlcfast.ops.asymmetric_loss import asymmetric_loss
from mlcfast.ops.expected_positives import epr_loss, role_loss
from mlcfast.ops.groupwise_linear import groupwise_linear
from mlcfast.ops.label_bce import pairwise_ranking, weighted_bce
from mlcfast.ops.label_query_attention import label_query_attention
from mlcfast.ops.layer_norm import layer_norm
from mlcfast.ops.quick_gelu import quick_gelu

__all__ = [
    "asymmetric_loss",
    "epr_loss",
    "groupwise_linear",
    "label_query_attention",
    "layer_norm",
    "pairwise_ranking",
    "quick_gelu",
    "role_loss",
    "weighted_bce",
]
