"""Numerics without state: each op is a reference, its kernels and one registered operator. Imports torch only.

MLCFAST_BACKEND=auto|triton|native|reference picks the implementation of every op; `python -m mlcfast.ops` says which
one runs here, and why.
"""

from mlcfast.ops.asymmetric_loss import asymmetric_loss
from mlcfast.ops.expected_positives import epr_loss, role_loss
from mlcfast.ops.groupwise_linear import groupwise_linear
from mlcfast.ops.label_bce import pairwise_ranking, weighted_bce
from mlcfast.ops.label_loss.full_labels import distribution_balanced, focal, poly, two_way, zlpr
from mlcfast.ops.label_loss.missing_labels import (
    entropy_maximisation,
    generalized_robust,
    hill,
    large_loss_threshold,
    large_losses,
    self_paced_correction,
)
from mlcfast.ops.label_query_attention import label_query_attention
from mlcfast.ops.layer_norm import layer_norm
from mlcfast.ops.quick_gelu import quick_gelu

__all__ = [
    "asymmetric_loss",
    "distribution_balanced",
    "entropy_maximisation",
    "epr_loss",
    "focal",
    "generalized_robust",
    "groupwise_linear",
    "hill",
    "label_query_attention",
    "large_loss_threshold",
    "large_losses",
    "layer_norm",
    "pairwise_ranking",
    "poly",
    "quick_gelu",
    "role_loss",
    "self_paced_correction",
    "two_way",
    "weighted_bce",
    "zlpr",
]
