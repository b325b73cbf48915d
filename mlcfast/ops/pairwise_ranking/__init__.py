"""Ranking hinge between an image's positives and its other labels."""

from mlcfast.ops.pairwise_ranking.op import pairwise_ranking

__all__ = ["pairwise_ranking"]
