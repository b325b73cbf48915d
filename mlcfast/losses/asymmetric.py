"""The asymmetric focal loss of Query2Label, under the names its users' scripts pass."""

from torch import Tensor

from mlcfast.losses.label_smoothing import checked_smoothing, soft
from mlcfast.losses.label_weights import WeighedLoss
from mlcfast.ops.asymmetric_loss.op import checked_asymmetric_loss
from mlcfast.ops.asymmetric_loss.reference import AsymmetricOptions
from mlcfast.ops.checks import as_number, check_label_values, check_pair, check_reduction
from mlcfast.ops.numerics import Weights, reduce, weigh


class AsymmetricLoss(WeighedLoss):
    """Asymmetric loss (arXiv 2009.14119); the formula is in mlcfast.ops.asymmetric_loss.reference.

    gamma_neg, gamma_pos ≥ 0; clip in [0, 1); eps > 0, the floor of a probability inside the logarithm.
    disable_torch_grad_focal_loss: the focal weight is a constant in the backward pass; no global grad mode is touched.
    reduction: none | mean | sum, mean over B·K; scale multiplies the result. Query2Label's published training is
    gamma_neg=2, gamma_pos=0, clip=0, eps=1e-5, disable_torch_grad_focal_loss=True, scale=1000.
    pos_weight, class_weight: see LabelWeights; label_smoothing: see the module of this name.
    """

    takes_soft = True

    def __init__(
        self,
        gamma_neg: float = 4,
        gamma_pos: float = 1,
        clip: float | None = 0.05,
        eps: float = 1e-8,
        disable_torch_grad_focal_loss: bool = False,
        reduction: str = "mean",
        scale: float = 1.0,
        pos_weight: object = None,
        class_weight: object = None,
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(pos_weight, class_weight)
        check_reduction(reduction)
        self.gamma_neg = as_number(gamma_neg, "gamma_neg")
        self.gamma_pos = as_number(gamma_pos, "gamma_pos")
        self.clip = as_number(clip or 0.0, "clip")
        self.eps = as_number(eps, "eps")
        if not isinstance(disable_torch_grad_focal_loss, bool | int):  # "false" would be true
            raise ValueError(
                f"disable_torch_grad_focal_loss must be true or false, not {disable_torch_grad_focal_loss!r}"
            )
        self.disable_torch_grad_focal_loss = bool(disable_torch_grad_focal_loss)
        self.reduction = reduction
        self.scale = as_number(scale, "scale")
        self.label_smoothing = checked_smoothing(label_smoothing)
        self._options = self._checked()

    def forward(
        self, logits: Tensor, labels: Tensor, estimate_logits: Tensor | None = None, true_labels: Tensor | None = None
    ) -> Tensor:
        """logits, labels: (B, K) or any equal shape; a label of −1 counts as 0. Returns an fp32 scalar, or (B, K)."""
        self._check_values_once(labels)
        if self._values() != self._options:  # an attribute was set since
            self._options = self._checked()
        weights = self.weights.of(logits)
        if self.label_smoothing and isinstance(labels, Tensor):
            return self._smoothed(logits, labels, weights)
        return checked_asymmetric_loss(logits, labels, self._options, self.reduction, self.scale, weights)

    def _smoothed(self, logits: Tensor, labels: Tensor, weights: Weights | None) -> Tensor:
        """Of soft labels, each entry weighed as its label was before."""
        check_pair(logits, labels, "targets")
        if labels.is_cpu:
            check_label_values(labels, "targets")  # before they are drawn into [0, 1]
        targets = soft(labels, self.label_smoothing, logits)
        if weights is None:
            return checked_asymmetric_loss(logits, targets, self._options, self.reduction, self.scale)
        entries = checked_asymmetric_loss(logits, targets, self._options, "none", self.scale)
        return reduce(weigh(entries, labels, weights), self.reduction)

    def _values(self) -> tuple[float, ...]:
        return self.gamma_neg, self.gamma_pos, self.clip, self.eps, self.disable_torch_grad_focal_loss

    def _checked(self) -> AsymmetricOptions:
        options = AsymmetricOptions(*self._values())
        options.check()
        return options

    def extra_repr(self) -> str:
        """The options, as a user passed them."""
        smoothing = f", label_smoothing={self.label_smoothing:g}" if self.label_smoothing else ""
        return (
            f"gamma_neg={self.gamma_neg:g}, gamma_pos={self.gamma_pos:g}, clip={self.clip:g}, eps={self.eps:g}, "
            f"disable_torch_grad_focal_loss={self.disable_torch_grad_focal_loss}, reduction={self.reduction!r}, "
            f"scale={self.scale:g}{smoothing}{self.weights!r}"
        )
