"""Cross-entropies that differ in what they make of an unobserved label (arXiv 2106.09708, Section 3)."""

import torch
from torch import Tensor

from mlcfast.losses.base import LabelLoss
from mlcfast.losses.label_smoothing import checked_smoothing
from mlcfast.losses.label_weights import WeighedLoss
from mlcfast.ops.checks import as_number, check_reduction
from mlcfast.ops.label_bce import pairwise_ranking, weighted_bce
from mlcfast.ops.numerics import reduce

KINDS = ("bce", "bce_ls", "an", "an_ls", "wan", "iu", "iun")


class LabelBCE(WeighedLoss):
    """neglog(f) for positives and neglog(1 − f) for negatives, neglog(x) = −log(x + 1e-5), mean over B·K.

    kind: bce (full labels) and an (assume negative): all that is not positive is negative; bce_ls, an_ls: the same with
    label smoothing; wan: negatives weigh 1/(K − 1); iu: unknown entries are ignored, soft positives are as in bce where
    soft_labels is set; iun: as iu, but the true negatives are known (`true_labels`, ≤ 0 is negative).
    label_smoothing: in the _ls kinds the share of the opposite term, 0.1 as published; in the others see the module
    label_smoothing, whose share of the opposite term is half of it. reduction: none | mean | sum. pos_weight,
    class_weight: see LabelWeights.
    """

    def __init__(
        self,
        kind: str = "bce",
        label_smoothing: float | None = None,
        reduction: str = "mean",
        pos_weight: object = None,
        class_weight: object = None,
    ) -> None:
        super().__init__(pos_weight, class_weight)
        if kind not in KINDS:
            raise ValueError(f"kind must be one of {', '.join(KINDS)}, not {kind!r}")
        published = kind.endswith("_ls")
        smoothing = as_number(0.1 * published if label_smoothing is None else label_smoothing, "label_smoothing")
        if published and not 0 <= smoothing <= 1:
            raise ValueError(f"label_smoothing must be in [0, 1], not {label_smoothing}")
        check_reduction(reduction)
        self.kind = kind
        self.takes_soft = kind != "iun"
        if kind == "iun":
            self.needs = self.needs | {"true_labels"}
        self.label_smoothing = smoothing
        self.turned = smoothing if published else checked_smoothing(smoothing) / 2  # the share of the opposite term
        self.reduction = reduction

    def forward(
        self, logits: Tensor, labels: Tensor, estimate_logits: Tensor | None = None, true_labels: Tensor | None = None
    ) -> Tensor:
        """logits, labels: (B, K); true_labels: (B, K), for iun only. Returns an fp32 scalar, or (B, K) for none."""
        if self.kind == "iun" and true_labels is None:
            raise ValueError("true_labels must be given: the iun loss knows the true negatives")
        self._check_values_once(labels)
        of_negatives = 1.0 / max(logits.shape[-1] - 1, 1) if self.kind == "wan" else 1.0
        positive = (1 - self.turned, self.turned * of_negatives)
        negative = (self.turned, (1 - self.turned) * of_negatives)
        unknown = (0.0, 0.0) if self.kind in ("iu", "iun") else negative
        known = true_labels if self.kind == "iun" else None
        kinds, weights = (positive, unknown, negative), self.weights.of(logits)
        if self.kind == "iu" and self.soft_labels:
            entries = weighted_bce(logits, labels, positive, negative, negative, reduction="none", weights=weights)
            known = torch.where(labels > 0, 1.0, -labels.to(entries.dtype))
            return reduce(entries * known, self.reduction)
        return weighted_bce(logits, labels, *kinds, known, reduction=self.reduction, weights=weights)

    def extra_repr(self) -> str:
        """The options, as a user passed them."""
        options = f"kind={self.kind!r}, label_smoothing={self.label_smoothing:g}, reduction={self.reduction!r}"
        return f"{options}{self.weights!r}"


class PairwiseRankingLoss(LabelLoss):
    """Every positive against every other label of its image, hinge 1 − f_i + f_j, mean over B·K."""

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__()
        check_reduction(reduction)
        self.reduction = reduction

    def forward(
        self, logits: Tensor, labels: Tensor, estimate_logits: Tensor | None = None, true_labels: Tensor | None = None
    ) -> Tensor:
        """logits, labels: (B, K), a label above 0 is positive. Returns an fp32 scalar, or (B, K) for reduction none."""
        self._check_values_once(labels)
        return pairwise_ranking(logits, labels, self.reduction)
