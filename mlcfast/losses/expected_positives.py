"""EPR and ROLE: losses that see the whole batch through its expected number of positives."""

from collections.abc import Callable

from torch import Tensor

from mlcfast.losses.base import LabelLoss
from mlcfast.losses.label_estimator import TableRows
from mlcfast.losses.options import at_least_zero
from mlcfast.ops.expected_positives import epr_loss, role_loss
from mlcfast.ops.expected_positives.reference import batch_statistic

AllReduce = Callable[[Tensor], Tensor]


class _ExpectedPositivesLoss(LabelLoss):
    """What EPR and ROLE share: κ, λ, and how parts of a global batch learn of each other.

    The regulariser needs the mean over the global batch. Its statistic is a (4,) vector that adds up over parts:
    - over ranks: set `all_reduce`, a function that returns the sum of a small detached tensor over all ranks. It is
      called once in each forward pass, on every rank, and never in backward.
    - over accumulation steps: call `batch_statistic` on each micro-batch's logits first (without gradients, the same
      dropout), add the results up over micro-batches and ranks, and hand the total to each `forward` as `statistic`;
      then `all_reduce` is not called. Without it each micro-batch (over all ranks) is its own batch.
    Either way the plain average of the parts' losses and gradients (DDP's average, 1/steps) is that of the global
    batch, also for uneven parts; a part's value is its own terms plus the global regulariser. See
    mlcfast.ops.expected_positives.reference.
    """

    needs = frozenset({"batch_statistic"})

    def __init__(
        self, expected_positives: float = 2.9, weight: float = 1.0, all_reduce: AllReduce | None = None
    ) -> None:
        super().__init__()
        self.expected_positives = at_least_zero(expected_positives, "expected_positives")
        self.weight = at_least_zero(weight, "weight")
        self.all_reduce = all_reduce

    def batch_statistic(self, logits: Tensor, estimate_logits: Tensor | TableRows | None = None) -> Tensor:
        """The (4,) statistic of one part, detached; sums of it over parts are that of the global batch."""
        rows = estimate_logits.gather() if isinstance(estimate_logits, TableRows) else estimate_logits
        return batch_statistic(logits, rows)

    def combined(self, parts: Tensor) -> Tensor:
        """The statistic (4,) of the global batch from this rank's parts, (A, 4) of A micro-batches; a collective."""
        total = parts.sum(dim=0)
        return total if self.all_reduce is None else self.all_reduce(total)

    def _total(
        self, statistic: Tensor | None, logits: Tensor, estimate_logits: Tensor | TableRows | None
    ) -> Tensor | None:
        if statistic is None and self.all_reduce is not None:
            return self.all_reduce(self.batch_statistic(logits, estimate_logits))
        return statistic

    def extra_repr(self) -> str:
        """The options, as a user passed them."""
        return f"expected_positives={self.expected_positives:g}, weight={self.weight:g}"


class EPRLoss(_ExpectedPositivesLoss):
    """Observed positives plus λ·R(F) (arXiv 2106.09708): the formula is in mlcfast.ops.expected_positives.reference.

    expected_positives: κ, positives per image (PASCAL 1.5, COCO 2.9, NUS-WIDE 1.9, CUB 31.4). weight: λ.
    """

    def forward(
        self,
        logits: Tensor,
        labels: Tensor,
        estimate_logits: Tensor | None = None,
        true_labels: Tensor | None = None,
        statistic: Tensor | None = None,
    ) -> Tensor:
        """logits, labels: (B, K); statistic: (4,) of the global batch, or None. Returns an fp32 scalar."""
        self._check_values_once(labels)
        total = self._total(statistic, logits, None)
        return epr_loss(logits, labels, self.expected_positives, self.weight, statistic=total)


class ROLELoss(_ExpectedPositivesLoss):
    """Classifier and label estimator trained on each other's output.

    The formula is in mlcfast.ops.expected_positives.reference.

    expected_positives: κ, positives per image (PASCAL 1.5, COCO 2.9, NUS-WIDE 1.9, CUB 31.4). weight: λ.
    """

    needs = frozenset({"batch_statistic", "estimates"})

    def forward(
        self,
        logits: Tensor,
        labels: Tensor,
        estimate_logits: Tensor | TableRows | None = None,
        true_labels: Tensor | None = None,
        statistic: Tensor | None = None,
    ) -> Tensor:
        """logits, labels: (B, K); statistic: (4,) of the global batch, or None. Returns an fp32 scalar.

        estimate_logits: the estimator's rows (B, K), or `LabelEstimator.rows(index)`: then the rows are gathered where
        they are used and the table's gradient is sparse, its touched rows only.
        """
        if estimate_logits is None:
            raise ValueError("estimate_logits must be given: ROLE needs the label estimator's rows")
        self._check_values_once(labels)
        total = self._total(statistic, logits, estimate_logits)
        rows, index = estimate_logits if isinstance(estimate_logits, TableRows) else (estimate_logits, None)
        return role_loss(logits, labels, rows, self.expected_positives, index, self.weight, statistic=total)
