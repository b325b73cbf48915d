"""LabelLoss, the base class and the calling convention of all losses."""

import torch
from torch import Tensor, nn

from mlcfast.ops.checks import check_hard, check_label_values, in_transform


class LabelLoss(nn.Module):
    """loss(logits, labels, estimate_logits=None, true_labels=None) → scalar; every loss ignores what it does not need.

    logits: (B, K) floating. labels: (B, K), {0, 1} or {+1 observed positive, 0 unknown, −1 observed negative}, any
    real dtype, soft values where the loss has a meaning for them. Label values outside [−1, 1] are a ValueError: on
    the CPU in every call; on a GPU, where reading them waits for the device, in each module's first call outside
    graph capture. So are, in each module's first call, those in (0, 1) where the loss has no meaning for them.

    needs: what the caller must give beyond logits and labels, of `estimates` (estimate_logits), `true_labels`,
    `batch_statistic` (the loss couples the whole batch: see all_reduce and batch_statistic of EPR and ROLE),
    `batch_parts` (it does so too: see all_gather and batch_statistic of TwoWayLoss), `label_counts` (call
    set_label_counts once, before the first batch) and `pseudo_labels` (it changes labels in the course of training,
    which the caller keeps in a PseudoLabels: see new_positives and soft_share).
    takes_soft: whether a label in (0, 1) is the share by which an entry counts as positive, the rest as negative.
    soft_labels: the caller sets it where such labels occur.
    """

    needs: frozenset[str] = frozenset()
    takes_soft: bool = False
    soft_labels: bool = False

    def __init__(self) -> None:
        super().__init__()
        self._values_checked = False

    @property
    def by_image(self) -> bool:
        """Whether an image's loss hangs on its own logits and labels alone: then a batch may be asked about twice."""
        return not self.needs & {"estimates", "batch_statistic", "batch_parts", "pseudo_labels"}

    def begin_epoch(self, epoch: int, epochs: int) -> None:
        """Tell the loss that epoch `epoch`, from 0, of `epochs` begins; most losses do not follow it."""

    def new_positives(self) -> Tensor | None:
        """Which entries (B, K) of the last call's labels are to be positive from now on; None for none."""

    def soft_share(self, epoch: int, epochs: int) -> float:
        """The share of each label's unknown entries to make soft negatives after epoch `epoch`, from 0, of `epochs`."""
        return 0.0

    def set_label_counts(self, label_counts: Tensor, images: int) -> None:
        """Tell the loss how many of `images` training images have each label, (K,); most losses do not ask."""

    def check_labels(self, K: int) -> None:
        """ValueError where the loss was given numbers, one a label, that are not for K labels."""

    def _check_values_once(self, labels: Tensor, name: str = "labels") -> None:
        if self._values_checked or not isinstance(labels, Tensor) or torch.compiler.is_compiling() or in_transform():
            return
        if labels.is_cuda and torch.cuda.is_current_stream_capturing():
            return
        if labels.is_cuda:
            check_label_values(labels, name)
        if not self.takes_soft:
            check_hard(labels, name, type(self).__name__)
        self._values_checked = True
