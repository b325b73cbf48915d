"""Joint loss of a classifier and an online label estimator."""

from mlcfast.ops.role_loss.reference import role_loss

__all__ = ["role_loss"]
