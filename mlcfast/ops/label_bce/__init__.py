"""The losses of arXiv 2106.09708: cross-entropy weighted by the kind of label, and a pairwise ranking hinge."""

from mlcfast.ops.label_bce.pairwise_ranking import pairwise_ranking
from mlcfast.ops.label_bce.weighted_bce import weighted_bce

__all__ = ["pairwise_ranking", "weighted_bce"]
