"""Losses for labels of which some, or all but one an image, are missing.

In the equations of an entry f = σ(x), x its logit, and z its label: 1 positive, 0 unknown, −1 negative.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from mlcfast.losses.base import LabelLoss
from mlcfast.losses.label_smoothing import checked_smoothing, mixed, opposite, opposite_of_all
from mlcfast.losses.options import at_least_zero, checked_epochs, checked_share, positive_number
from mlcfast.ops.checks import as_number, check_logits, check_reduction, outlives_call, takes_constants
from mlcfast.ops.label_loss import missing_labels as op
from mlcfast.ops.numerics import upcast


class EntropyMaximisationLoss(LabelLoss):
    """EM: the entropy of unknown labels is maximised (arXiv 2203.16219), mean over B·K.

    z = 1: −log(f + ε); z = −1: −log(1 − f + ε); z = 0: α [f log(f + ε) + (1 − f) log(1 − f + ε)]; ε 1e-5.

    alpha: published 0.2 for VOC, 0.1 for COCO and NUS-WIDE, 0.01 for CUB. Labels: 1 positive, 0 unknown, −1 negative.
    label_smoothing: of known labels, see the module of this name.
    """

    beta: float | None = None

    def __init__(self, alpha: float = 0.1, label_smoothing: float = 0.0) -> None:
        super().__init__()
        self.alpha = as_number(alpha, "alpha")
        self.label_smoothing = checked_smoothing(label_smoothing)

    def forward(
        self, logits: Tensor, labels: Tensor, estimate_logits: Tensor | None = None, true_labels: Tensor | None = None
    ) -> Tensor:
        """logits, labels: (B, K). Returns a scalar, the mean over B·K."""
        self._check_values_once(labels)
        value = op.entropy_maximisation(logits, labels, self.alpha, self.beta)
        if not self.label_smoothing:
            return value
        of_opposite = op.entropy_maximisation(logits, opposite(labels), self.alpha, self.beta)
        return mixed(value, of_opposite, self.label_smoothing)


class AsymmetricPseudoLabelLoss(EntropyMaximisationLoss):
    """EM + APL: EM, and soft negative pseudo-labels of weight beta (arXiv 2203.16219).

    A pseudo-label s is passed as the label −s, in (−1, 0): −β [s log(f + ε) + (1 − s) log(1 − f + ε)], ε 1e-5. After
    epoch e, from 1, of T the caller gives one to 0.9 / (T − warm_up) of the entries of a label that were unknown at
    first, those of lowest score, if e ≥ warm_up; see PseudoLabels. beta, warm_up: published 0.02, 5 for VOC; 0.9, 5
    COCO; 0.2, 4 NUS-WIDE; 0.4, 3 CUB, of 10 epochs.
    """

    needs = frozenset({"pseudo_labels"})

    def __init__(self, alpha: float = 0.1, beta: float = 0.9, warm_up: int = 5, label_smoothing: float = 0.0) -> None:
        super().__init__(alpha, label_smoothing)
        self.beta = as_number(beta, "beta")
        self.warm_up = checked_epochs(warm_up, "warm_up")

    def soft_share(self, epoch: int, epochs: int) -> float:
        """See LabelLoss."""
        done = epoch + 1
        return 0.9 / (epochs - self.warm_up) if self.warm_up <= done < epochs else 0.0


class LargeLossLoss(LabelLoss):
    """LL-R, LL-Ct, LL-Cp: the largest losses of unknown labels are probably wrong labels (arXiv 2206.03740).

    kind: ll_r leaves them out, ll_ct flips their label for this step, ll_cp means to flip it for good. In epoch e, from
    0, they are the ⌈B·K·e·delta⌉ largest (r, ct) or ⌈B·K·delta⌉ (cp, from the second epoch on); the first epoch is
    plain. begin_epoch sets e. delta: the share an epoch, published between 0.001 and 0.005. After a call `changed`
    tells which entries were changed, for a caller that keeps the flipped labels of ll_cp. label_smoothing: of known
    labels, see the module of this name.

    The largest are those of the global batch, whose parts are of one size:
    - over ranks: set `all_gather`, a function that returns a detached tensor of all ranks, stacked. It is called once
      in each forward pass of an epoch that is not plain, on every rank, and never in backward.
    - over accumulation steps: stack `batch_statistic` of each micro-batch (without gradients, the same dropout), of all
      ranks, and hand the stack to each `forward` as `statistic`; then `all_gather` is not called.
    """

    needs = frozenset({"batch_parts"})

    def __init__(self, kind: str = "ll_r", delta: float = 0.002, label_smoothing: float = 0.0) -> None:
        super().__init__()
        self.label_smoothing = checked_smoothing(label_smoothing)
        if kind not in ("ll_r", "ll_ct", "ll_cp"):
            raise ValueError(f"kind must be ll_r, ll_ct or ll_cp, not {kind!r}")
        self.kind, self.delta = kind, checked_share(delta, "delta")
        self.begin_epoch(0, 1)
        self.all_gather: Callable[[Tensor], Tensor] | None = None
        self.last: tuple[Tensor, Tensor, Tensor | None, int] | None = None
        if kind == "ll_cp":
            self.needs = frozenset({"batch_parts", "pseudo_labels"})

    def begin_epoch(self, epoch: int, epochs: int) -> None:
        """See LabelLoss."""
        self.times = min(epoch, 1) if self.kind == "ll_cp" else epoch
        self.is_plain = self.times == 0 or self.delta == 0
        # A compiled call is for one value of the numbers that it reads. A new tensor: an old one may be of inference
        # mode, or what a backward pass that is still to come has kept.
        self.times_of_graph = torch.tensor(self.times, dtype=torch.int64, device="cpu")

    def batch_statistic(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The logits of one part's unknown entries, −∞ for the others: (B·K,), detached, fp32 (fp64 for fp64)."""
        return torch.where(labels == 0, upcast(logits.detach()), -torch.inf).flatten()

    def combined(self, parts: Tensor) -> Tensor:
        """The statistic (P, B·K) of the global batch from this rank's parts (A, B·K); a collective."""
        return parts if self.all_gather is None else self.all_gather(parts).flatten(0, 1)

    def forward(
        self,
        logits: Tensor,
        labels: Tensor,
        estimate_logits: Tensor | None = None,
        true_labels: Tensor | None = None,
        statistic: Tensor | None = None,
    ) -> Tensor:
        """logits, labels: (B, K), 0 unknown, taken as negative; statistic: (P, B·K) or None. Returns the mean over B·K.

        ValueError for a statistic whose parts are of another size.
        """
        self._check_values_once(labels)
        check_logits(logits)
        threshold, count = self._threshold(logits, labels, statistic)
        flip = self.kind != "ll_r"
        value = op.large_losses(logits, labels, threshold, flip, count=count)
        seen = logits.detach()
        self.last = (seen, labels, threshold, count) if outlives_call(seen) else None
        if not self.label_smoothing:
            return value
        of_opposite = op.large_losses(logits, opposite(labels), threshold, flip, count=count)
        return mixed(value, of_opposite, self.label_smoothing)

    def _threshold(self, logits: Tensor, labels: Tensor, statistic: Tensor | None) -> tuple[Tensor | None, int]:
        """The threshold of a statistic or, without one, which entry of this batch is at it; (None, 0) for neither."""
        if self.is_plain and statistic is None:
            return None, 0
        if statistic is None and self.all_gather is not None:
            statistic = self.all_gather(self.batch_statistic(logits, labels))
        if statistic is None:
            if takes_constants():
                return op.large_loss_threshold_of_epoch(logits, labels, self.times_of_graph, self.delta), 0
            return None, op.large_loss_count(logits.numel(), self.times, self.delta)
        if statistic.dim() != 2 or statistic.shape[1] != logits.numel():
            raise ValueError(f"statistic must be (P, {logits.numel()}), not {tuple(statistic.shape)}")
        if self.is_plain:
            return None, 0
        unknown = torch.zeros_like(statistic)
        if takes_constants():
            return op.large_loss_threshold_of_epoch(statistic, unknown, self.times_of_graph, self.delta), 0
        count = op.large_loss_count(statistic.numel(), self.times, self.delta)
        return op.large_loss_threshold(statistic, unknown, count) if count else None, 0

    def new_positives(self) -> Tensor | None:
        """See LabelLoss."""
        nothing = self.kind != "ll_cp" or self.last is None or (self.last[2] is None and not self.last[3])
        return None if nothing else self.changed

    @property
    def changed(self) -> Tensor | None:
        """(B, K) bool, the entries that the last call changed; None before the first call and inside torch.func."""
        if self.last is None:
            return None
        logits, labels, threshold, count = self.last
        if threshold is None and count:
            threshold = op.large_loss_threshold(logits, labels, count)
        if threshold is None:
            return torch.zeros_like(labels, dtype=torch.bool)
        return (labels == 0) & (logits >= threshold)


class HillLoss(LabelLoss):
    """Hill loss (arXiv 2112.07368): negatives that look positive weigh less. Published as a sum, here the mean.

    z = 1: −(1 − σ(x − m))^γ log σ(x − m), m the margin; else (λ − f) f². label_smoothing: see the module of this name;
    unknown labels are negatives.
    """

    def __init__(
        self,
        lambda_: float = 1.5,
        margin: float = 1.0,
        gamma: float = 2.0,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__()
        self.label_smoothing = checked_smoothing(label_smoothing)
        self.lambda_, self.margin = as_number(lambda_, "lambda_"), as_number(margin, "margin")
        self.gamma = at_least_zero(gamma, "gamma")
        check_reduction(reduction)
        self.reduction = reduction

    def forward(
        self, logits: Tensor, labels: Tensor, estimate_logits: Tensor | None = None, true_labels: Tensor | None = None
    ) -> Tensor:
        """logits, labels: (B, K), a label above 0 is positive. Returns a scalar, or (B, K) for none."""
        self._check_values_once(labels)
        options = self.lambda_, self.margin, self.gamma, self.reduction
        value = op.hill(logits, labels, *options)
        if not self.label_smoothing:
            return value
        return mixed(value, op.hill(logits, opposite_of_all(labels), *options), self.label_smoothing)


class SelfPacedLossCorrection(LabelLoss):
    """SPLC (arXiv 2112.07368): from epoch `change_epoch` (from 0) on, unknown labels above tau count as positive.

    With t the label, corrected or not, and x' = x − m, m the margin, where z = 1, else x:
    −t (1 − σ(x'))^γ log σ(x') − (1 − t) σ(x')^γ log σ(−x'). begin_epoch sets the epoch. Published as a sum, here the
    mean. label_smoothing: of known labels, see the module of this name.
    """

    def __init__(
        self,
        tau: float = 0.6,
        margin: float = 1.0,
        gamma: float = 2.0,
        change_epoch: int = 1,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__()
        self.label_smoothing = checked_smoothing(label_smoothing)
        self.tau, self.margin = checked_share(tau, "tau"), as_number(margin, "margin")
        self.gamma = at_least_zero(gamma, "gamma")
        check_reduction(reduction)
        self.change_epoch, self.reduction = checked_epochs(change_epoch, "change_epoch"), reduction
        self.begin_epoch(0, 1)

    def begin_epoch(self, epoch: int, epochs: int) -> None:
        """See LabelLoss."""
        self.corrects = epoch >= self.change_epoch  # not the epoch: a compiled call is for one value of what it reads

    def forward(
        self, logits: Tensor, labels: Tensor, estimate_logits: Tensor | None = None, true_labels: Tensor | None = None
    ) -> Tensor:
        """logits, labels: (B, K), 0 unknown. Returns a scalar, or (B, K) for none."""
        self._check_values_once(labels)
        tau = self.tau if self.corrects else None
        options = tau, self.margin, self.gamma, self.reduction
        value = op.self_paced_correction(logits, labels, *options)
        if not self.label_smoothing:
            return value
        return mixed(value, op.self_paced_correction(logits, opposite(labels), *options), self.label_smoothing)


Range = tuple[float, float]


class GeneralizedRobustLoss(LabelLoss):
    """GR (arXiv 2405.03501): unknown labels by a robust loss whose belief and weight move over the epochs.

    z = 0: v [k (1 − f^q2)/q2 + (1 − k) (1 − (1 − f)^q3)/q3], where the belief k = σ(w f + b) and the weight
    v = exp(−((f − μ)/σ)²/2) have no gradient; z = 1: −log(f + ε); z = −1: −log(1 − f + ε); ε 1e-7. Mean over B·K.

    w, b, mu, sigma: first and last value; in epoch e (from 1) of T, w and b stand at the share max(e − 1, 0)/T of the
    way, mu and sigma at e/T, both after linear_epochs of linear initialisation, which are taken off e and T.
    begin_epoch sets it; before it is called all have their first value. For COCO, (w, b) ending at (10, −8) is used
    too. label_smoothing: of known labels, see the module of this name.
    """

    def __init__(
        self,
        w: Range = (0, 2),
        b: Range = (-2, -2),
        mu: Range = (0.5, 0.8),
        sigma: Range = (2, 0.5),
        q2: float = 0.01,
        q3: float = 1.0,
        linear_epochs: int = 0,
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__()
        self.label_smoothing = checked_smoothing(label_smoothing)
        ranges = {"w": w, "b": b, "mu": mu, "sigma": sigma}
        self.ranges = {name: _pair(values, name) for name, values in ranges.items()}
        self.q2, self.q3 = positive_number(q2, "q2"), positive_number(q3, "q3")
        if min(self.ranges["sigma"]) <= 0:
            raise ValueError(f"sigma must be above 0, not {sigma!r}")
        self.linear_epochs = checked_epochs(linear_epochs, "linear_epochs")
        self._set({name: first for name, (first, _) in self.ranges.items()})

    def begin_epoch(self, epoch: int, epochs: int) -> None:
        """See LabelLoss."""
        done, whole = epoch + 1 - self.linear_epochs, max(epochs - self.linear_epochs, 1)
        shares = {"w": max(done - 1, 0), "b": max(done - 1, 0), "mu": max(done, 0), "sigma": max(done, 0)}
        self._set({name: first + (last - first) * shares[name] / whole for name, (first, last) in self.ranges.items()})

    def _set(self, values: dict[str, float]) -> None:
        self.values = values
        self.values_of_graph = torch.tensor([*values.values()], dtype=torch.float64, device="cpu")  # new, as above

    def forward(
        self, logits: Tensor, labels: Tensor, estimate_logits: Tensor | None = None, true_labels: Tensor | None = None
    ) -> Tensor:
        """logits, labels: (B, K), 0 unknown. Returns a scalar, the mean over B·K."""
        self._check_values_once(labels)
        value = self._value(logits, labels)
        if not self.label_smoothing:
            return value
        return mixed(value, self._value(logits, opposite(labels)), self.label_smoothing)

    def _value(self, logits: Tensor, labels: Tensor) -> Tensor:
        if takes_constants():
            return op.generalized_robust_of_epoch(logits, labels, self.values_of_graph, self.q2, self.q3)
        w, b, mu, sigma = self.values.values()
        return op.generalized_robust(logits, labels, w, b, mu, sigma, self.q2, self.q3)


def _pair(values: object, name: str) -> Range:
    if not isinstance(values, (tuple, list)) or len(values) != 2:
        raise ValueError(f"{name} must be its first and last value, not {values!r}")
    return as_number(values[0], name), as_number(values[1], name)
