"""Expected positive regularisation over a batch of single positive labels."""

from mlcfast.ops.epr_loss.op import epr_loss

__all__ = ["epr_loss"]
