"""The asymmetric focal loss of Query2Label."""

from mlcfast.ops.asymmetric_loss.op import asymmetric_loss
from mlcfast.ops.asymmetric_loss.reference import AsymmetricOptions

__all__ = ["AsymmetricOptions", "asymmetric_loss"]
