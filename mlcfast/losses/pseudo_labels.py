"""Keeps the training labels together with the pseudo-labels that a loss has given to unknown entries."""

import torch
from torch import Tensor, nn

ONE = 1 << 24  # how a label of 1 is held: fp32 has every step between −1 and 1


class PseudoLabels(nn.Module):
    """An N×K table of labels, kept as int32 in steps of 2^−24: a part of a run's state, like its weights.

    A positive is 1, an observed negative −1, an unknown label 0, a soft negative pseudo-label s of EM + APL −s. No
    arithmetic of a training precision touches the table, so that a run that goes on has the same bits.
    observed: (N, K), any real dtype: +1 positive, 0 unknown, −1 negative.
    """

    labels: Tensor
    unknown: Tensor

    def __init__(self, observed: Tensor) -> None:
        super().__init__()
        if observed.dim() != 2:
            raise ValueError(f"observed must be (N, K), not {tuple(observed.shape)}")
        labels = observed.to(torch.int32)
        self.register_buffer("labels", labels * ONE)
        self.register_buffer("unknown", (labels == 0).sum(0), persistent=False)

    def forward(self, index: Tensor) -> Tensor:
        """The labels (B, K) in fp32 of the images `index`, (B,) int64."""
        return self.labels[index].float() / ONE

    @torch.no_grad()
    def make_positive(self, index: Tensor, chosen: Tensor) -> None:
        """Set the entries `chosen`, (B, K) bool, of the images `index`, (B,), to positive for the rest of the run."""
        rows = self.labels[index]
        self.labels[index] = torch.where(chosen, torch.full_like(rows, ONE), rows)

    @torch.no_grad()
    def make_soft_negative(self, scores: Tensor, share: float) -> int:
        """Give the lowest-scored unknown entries of each label their score as soft label; how many there were.

        scores: (N, K), probabilities. A label gets ⌊share · number unknown at the start⌋ of them, or what is left; an
        entry of equal score of an earlier image comes first.
        """
        if scores.shape != self.labels.shape:
            raise ValueError(f"scores must be {tuple(self.labels.shape)}, not {tuple(scores.shape)}")
        total = 0
        for k, at_start in enumerate(self.unknown.tolist()):
            column = self.labels[:, k]
            left = (column == 0).nonzero()[:, 0]
            own = scores[left, k].to(column.device)
            chosen = torch.argsort(own, stable=True)[: int(share * at_start + 1e-9)]
            column[left[chosen]] = -(own[chosen].double() * ONE).round().clamp(1, ONE - 1).to(torch.int32)
            total += len(chosen)
        return total
