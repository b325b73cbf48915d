"""Expected positive regularisation, alone (EPR) and with an online label estimator (ROLE): one pair of kernels."""

from mlcfast.ops.expected_positives.op import epr_loss, role_loss

__all__ = ["epr_loss", "role_loss"]
