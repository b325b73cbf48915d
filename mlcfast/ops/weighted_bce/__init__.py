"""Cross-entropy weighted by the kind of label."""

from mlcfast.ops.weighted_bce.op import weighted_bce

__all__ = ["weighted_bce"]
