"""The asymmetric focal loss of Query2Label."""

from mlcfast.ops.asymmetric_loss.op import asymmetric_loss

__all__ = ["asymmetric_loss"]
