"""Joint loss of a classifier and an online label estimator."""

from mlcfast.ops.role_loss.op import role_loss

__all__ = ["role_loss"]
