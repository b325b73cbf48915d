"""Losses for full labels beyond the cross-entropy and the asymmetric loss."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from mlcfast.losses.base import LabelLoss
from mlcfast.losses.label_smoothing import checked_smoothing, mixed, opposite_of_all
from mlcfast.losses.label_weights import WeighedLoss, checked_counts
from mlcfast.losses.options import at_least_zero, checked_balance, positive_number
from mlcfast.ops.checks import as_number, check_matrix, check_pair, check_reduction, outlives_call
from mlcfast.ops.label_loss import full_labels as op
from mlcfast.ops.label_loss import reference
from mlcfast.ops.numerics import Weights, upcast


def prepared(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Logits in fp32, or fp64 as given, and labels in the same type; ValueError for what does not go together."""
    check_pair(logits, labels, "labels")
    check_matrix(logits)
    x = upcast(logits)
    return x, labels.to(x.dtype)


class FocalLoss(WeighedLoss):
    """Focal loss (arXiv 1708.02002): −α_t (1 − p_t)^γ log p_t, mean over B·K.

    alpha: the share of positives in [0, 1]; None, or −1 as torchvision has it, weighs both kinds alike.

    pos_weight, class_weight: see LabelWeights; label_smoothing: see the module of this name.
    """

    def __init__(
        self,
        gamma: float = 2.0,
        alpha: float | None = 0.25,
        reduction: str = "mean",
        pos_weight: object = None,
        class_weight: object = None,
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(pos_weight, class_weight)
        self.gamma, self.alpha = at_least_zero(gamma, "gamma"), checked_balance(alpha, "alpha")
        check_reduction(reduction)
        self.reduction = reduction
        self.label_smoothing = checked_smoothing(label_smoothing)

    def forward(
        self, logits: Tensor, labels: Tensor, estimate_logits: Tensor | None = None, true_labels: Tensor | None = None
    ) -> Tensor:
        """logits, labels: (B, K), a label above 0 is positive. Returns a scalar, or (B, K) for none."""
        self._check_values_once(labels)
        weights = self.weights.of(logits)
        value = op.focal(logits, labels, self.gamma, self.alpha, self.reduction, weights)
        if not self.label_smoothing:
            return value
        turned = opposite_of_all(labels), self.gamma, self.alpha, self.reduction, weights and weights[::-1]
        return mixed(value, op.focal(logits, *turned), self.label_smoothing)


class PolyLoss(WeighedLoss):
    """Poly-1 (arXiv 2204.12511) for many labels: the focal loss plus ε (1 − p_t)^(γ + 1), mean over B·K.

    epsilon: the paper's 2 for images, −1 with a focal loss for detection; gamma 0: cross-entropy; alpha: as in
    FocalLoss, of both terms. pos_weight, class_weight: see LabelWeights; label_smoothing: see the module of this name.
    """

    def __init__(
        self,
        epsilon: float = 2.0,
        gamma: float = 0.0,
        alpha: float | None = None,
        reduction: str = "mean",
        pos_weight: object = None,
        class_weight: object = None,
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(pos_weight, class_weight)
        self.epsilon, self.gamma = as_number(epsilon, "epsilon"), at_least_zero(gamma, "gamma")
        self.alpha = checked_balance(alpha, "alpha")
        check_reduction(reduction)
        self.reduction = reduction
        self.label_smoothing = checked_smoothing(label_smoothing)

    def forward(
        self, logits: Tensor, labels: Tensor, estimate_logits: Tensor | None = None, true_labels: Tensor | None = None
    ) -> Tensor:
        """logits, labels: (B, K), a label above 0 is positive. Returns a scalar, or (B, K) for none."""
        self._check_values_once(labels)
        weights = self.weights.of(logits)
        value = op.poly(logits, labels, self.epsilon, self.gamma, self.alpha, self.reduction, weights)
        if not self.label_smoothing:
            return value
        turned = (
            opposite_of_all(labels),
            self.epsilon,
            self.gamma,
            self.alpha,
            self.reduction,
            weights and weights[::-1],
        )
        return mixed(value, op.poly(logits, *turned), self.label_smoothing)


class DistributionBalancedLoss(LabelLoss):
    """Distribution-balanced focal loss for long-tailed label sets (arXiv 2007.09654), mean over B·K.

    With u the logit shifted by how rare its label is, the focal terms b (1 − σ(u))^γ softplus(−u) of positives and
    b σ(λu)^γ softplus(λu) / λ of others, λ neg_scale and b focal_balance, weigh α + σ(β (r − μ)), r the share that
    label has of its image's rarity: ops.label_loss.reference.distribution_balanced has it in full.

    label_counts: (K,), positives of each label among `images` training images; where they are left out, whoever trains
    gives them by set_label_counts. A label without positives counts as having one. Defaults are the paper's.
    """

    def __init__(
        self,
        label_counts: Tensor | Sequence[float] | None = None,
        images: int | None = None,
        map_alpha: float = 0.1,
        map_beta: float = 10.0,
        map_mu: float = 0.2,
        neg_scale: float = 2.0,
        init_bias: float = 0.05,
        focal_gamma: float = 2.0,
        focal_balance: float = 2.0,
        reduction: str = "mean",
    ) -> None:
        super().__init__()
        self.mapping = (
            as_number(map_alpha, "map_alpha"),
            as_number(map_beta, "map_beta"),
            as_number(map_mu, "map_mu"),
        )
        self.neg_scale, self.init_bias = positive_number(neg_scale, "neg_scale"), as_number(init_bias, "init_bias")
        self.focal_gamma = at_least_zero(focal_gamma, "focal_gamma")
        self.focal_balance = as_number(focal_balance, "focal_balance")
        check_reduction(reduction)
        self.reduction = reduction
        self.counts: Tensor | None = None
        self.columns: tuple[Tensor, ...] = ()  # 1/n and the shift of each label, fp64
        self.beside: dict[tuple[torch.device, bool], tuple[Tensor, Weights]] = {}  # on a device, in double precision
        self.images = 0
        if label_counts is None:
            self.needs = frozenset({"label_counts"})
        elif images is None:
            raise ValueError("images must be given beside label_counts: of how many images they are")
        else:
            self.set_label_counts(label_counts, images)

    def set_label_counts(self, label_counts: Tensor | Sequence[float], images: int) -> None:
        """See LabelLoss."""
        self.counts, self.images = checked_counts(label_counts, images, images - 1), images
        self.columns = op.balanced_columns(self.counts, images, self.neg_scale, self.init_bias)
        self.beside.clear()

    def check_labels(self, K: int) -> None:
        """See LabelLoss."""
        if self.counts is None or len(self.counts) != K:
            held = "none are" if self.counts is None else f"{len(self.counts)} are"
            raise ValueError(f"label_counts of {K} labels are needed, {held} given")

    def forward(
        self, logits: Tensor, labels: Tensor, estimate_logits: Tensor | None = None, true_labels: Tensor | None = None
    ) -> Tensor:
        """logits, labels: (B, K), a label above 0 is positive. Returns a scalar, or (B, K) for none."""
        self._check_values_once(labels)
        check_pair(logits, labels, "labels")
        check_matrix(logits)
        self.check_labels(logits.shape[1])
        counts, columns = self._beside(logits)
        return op.distribution_balanced(
            logits, labels, counts, self.images, self.mapping, self.neg_scale, self.init_bias,
            self.focal_gamma, self.focal_balance, self.reduction, columns,
        )  # fmt: skip

    def _beside(self, logits: Tensor) -> tuple[Tensor, Weights]:
        """The counts and their columns beside the logits, kept for the next call."""
        assert self.counts is not None, "or check_labels would have raised"
        key = logits.device, logits.dtype == torch.float64
        if key in self.beside:
            return self.beside[key]
        dtype = torch.float64 if key[1] else torch.float32
        inverse, shift = (column.to(logits.device, dtype) for column in self.columns)
        found = self.counts.to(logits.device), (inverse, shift)
        if all(outlives_call(tensor) for tensor in (found[0], inverse, shift)):
            self.beside[key] = found
        return found


class ZLPRLoss(LabelLoss):
    """ZLPR (arXiv 2208.02955): every positive above 0 and every negative below it; the threshold is the logit 0.

    Of an image log(1 + Σ e^x over its other labels) + log(1 + Σ e^−x over its positives), mean over images.
    """

    def forward(
        self, logits: Tensor, labels: Tensor, estimate_logits: Tensor | None = None, true_labels: Tensor | None = None
    ) -> Tensor:
        """logits, labels: (B, K), a label above 0 is positive. Returns a scalar, the mean over images."""
        self._check_values_once(labels)
        return op.zlpr(logits, labels)


class TwoWayLoss(LabelLoss):
    """Two-way multi-label loss (Kobayashi, CVPR 2023), over images and over labels.

    The mean over images with a positive of log(1 + (Σ e^(x/Tn) over its other labels)^Tn (Σ e^(−x/Tp) over its
    positives)^Tp), and the same over labels that an image of the batch has, over their images. tp, tn: temperatures of
    positives and negatives. The terms of a label run over the images of the global batch:
    - over ranks: set `all_gather`, a function that returns a small detached tensor of all ranks, stacked. It is called
      once in each forward pass, on every rank, and never in backward.
    - over accumulation steps: stack `batch_statistic` of each micro-batch (without gradients, the same dropout), of all
      ranks, and hand the stack to each `forward` as `statistic`; then `all_gather` is not called.
    Either way the plain average of the parts' losses and gradients (DDP's average, 1/steps) is that of the global
    batch, also for uneven parts.
    """

    needs = frozenset({"batch_parts"})

    def __init__(self, tp: float = 4.0, tn: float = 1.0, all_gather: Callable[[Tensor], Tensor] | None = None) -> None:
        super().__init__()
        self.tp, self.tn = positive_number(tp, "tp"), positive_number(tn, "tn")
        self.all_gather = all_gather

    def batch_statistic(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The (2K + 1,) statistic of one part, detached, fp64."""
        return reference.two_way_part(*prepared(logits, labels), self.tp, self.tn)

    def combined(self, parts: Tensor) -> Tensor:
        """The statistic (P, 2K + 1) of the global batch from this rank's parts (A, 2K + 1); a collective."""
        return parts if self.all_gather is None else self.all_gather(parts).flatten(0, 1)

    def forward(
        self,
        logits: Tensor,
        labels: Tensor,
        estimate_logits: Tensor | None = None,
        true_labels: Tensor | None = None,
        statistic: Tensor | None = None,
    ) -> Tensor:
        """logits, labels: (B, K), a label above 0 is positive; statistic: (P, 2K + 1) or None. Returns a scalar."""
        self._check_values_once(labels)
        check_pair(logits, labels, "labels")
        check_matrix(logits)
        if statistic is None and self.all_gather is not None:
            statistic = self.all_gather(self.batch_statistic(logits, labels))
        if statistic is not None and (statistic.dim() != 2 or statistic.shape[1] != 2 * logits.shape[1] + 1):
            raise ValueError(f"statistic must be (P, {2 * logits.shape[1] + 1}), not {tuple(statistic.shape)}")
        return op.two_way(logits, labels, self.tp, self.tn, statistic)
