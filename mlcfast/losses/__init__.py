"""The losses a training loop imports: nn.Modules over the ops; needs torch alone."""

from mlcfast.losses.asymmetric import AsymmetricLoss
from mlcfast.losses.base import LabelLoss
from mlcfast.losses.build import FOR_FULL_LABELS, LOSSES, build_loss
from mlcfast.losses.expected_positives import EPRLoss, ROLELoss
from mlcfast.losses.full_labels import DistributionBalancedLoss, FocalLoss, PolyLoss, TwoWayLoss, ZLPRLoss
from mlcfast.losses.label_bce import LabelBCE, PairwiseRankingLoss
from mlcfast.losses.label_estimator import LabelEstimator, TableRows
from mlcfast.losses.label_weights import balanced_weights
from mlcfast.losses.missing_labels import (
    AsymmetricPseudoLabelLoss,
    EntropyMaximisationLoss,
    GeneralizedRobustLoss,
    HillLoss,
    LargeLossLoss,
    SelfPacedLossCorrection,
)
from mlcfast.losses.pseudo_labels import PseudoLabels
from mlcfast.losses.table_adam import TableAdam

__all__ = [
    "FOR_FULL_LABELS",
    "LOSSES",
    "AsymmetricLoss",
    "AsymmetricPseudoLabelLoss",
    "DistributionBalancedLoss",
    "EPRLoss",
    "EntropyMaximisationLoss",
    "FocalLoss",
    "GeneralizedRobustLoss",
    "HillLoss",
    "LabelBCE",
    "LabelEstimator",
    "LabelLoss",
    "LargeLossLoss",
    "PairwiseRankingLoss",
    "PolyLoss",
    "PseudoLabels",
    "ROLELoss",
    "SelfPacedLossCorrection",
    "TableAdam",
    "TableRows",
    "TwoWayLoss",
    "ZLPRLoss",
    "balanced_weights",
    "build_loss",
]
