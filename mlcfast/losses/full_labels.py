"""Losses for full labels beyond the cross-entropy and the asymmetric loss. No fused kernel yet: plain torch."""

from torch import Tensor

from mlcfast.losses.base import LabelLoss
from mlcfast.losses.missing_labels import positive_number, prepared, reduced
from mlcfast.ops.checks import as_number, check_matrix, check_reduction
from mlcfast.ops.full_labels import reference


class FocalLoss(LabelLoss):
    """Focal loss (arXiv 1708.02002): −α_t (1 − p_t)^γ log p_t, mean over B·K; alpha None weighs both kinds alike."""

    def __init__(self, gamma: float = 2.0, alpha: float | None = 0.25, reduction: str = "mean") -> None:
        super().__init__()
        self.gamma = as_number(gamma, "gamma")
        self.alpha = None if alpha is None else as_number(alpha, "alpha")
        check_reduction(reduction)
        self.reduction = reduction

    def forward(
        self, logits: Tensor, labels: Tensor, estimate_logits: Tensor | None = None, true_labels: Tensor | None = None
    ) -> Tensor:
        """logits, labels: (B, K), a label above 0 is positive. Returns a scalar, or (B, K) for none."""
        self._check_values_once(labels)
        x, z = prepared(logits, labels)
        return reduced(reference.focal(x, z, self.gamma, self.alpha), self.reduction)


class ZLPRLoss(LabelLoss):
    """ZLPR (arXiv 2208.02955): every positive above 0 and every negative below it; the threshold is the logit 0."""

    def forward(
        self, logits: Tensor, labels: Tensor, estimate_logits: Tensor | None = None, true_labels: Tensor | None = None
    ) -> Tensor:
        """logits, labels: (B, K), a label above 0 is positive. Returns a scalar, the mean over images."""
        self._check_values_once(labels)
        x, z = prepared(logits, labels)
        check_matrix(x)
        return reference.zlpr(x, z).sum() / max(len(x), 1)


class TwoWayLoss(LabelLoss):
    """Two-way multi-label loss (Kobayashi, CVPR 2023), over images and over labels.

    tp, tn: temperatures of positives and negatives. Images of other ranks and micro-batches are not seen.
    """

    def __init__(self, tp: float = 4.0, tn: float = 1.0) -> None:
        super().__init__()
        self.tp, self.tn = positive_number(tp, "tp"), positive_number(tn, "tn")

    def forward(
        self, logits: Tensor, labels: Tensor, estimate_logits: Tensor | None = None, true_labels: Tensor | None = None
    ) -> Tensor:
        """logits, labels: (B, K), a label above 0 is positive. Returns a scalar."""
        self._check_values_once(labels)
        x, z = prepared(logits, labels)
        check_matrix(x)
        return reference.two_way(x, z, self.tp, self.tn)
