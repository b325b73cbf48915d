"""The label estimator of ROLE: a table of logits, one row for each training image (arXiv 2106.09708, Section 4)."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class TableRows(NamedTuple):
    """Rows of a table by reference: a kernel that takes it reads table[index] itself and writes a sparse gradient."""

    table: Tensor  # (N, K)
    index: Tensor  # type: ignore[assignment]  # (B,) int64; hides tuple.index, which nobody calls

    def gather(self) -> Tensor:
        """The rows themselves, (B, K), detached."""
        return self.table.detach().index_select(0, self.index)


def logit(probability: float) -> float:
    """log(p / (1 − p))."""
    return math.log(probability) - math.log1p(-probability)


class LabelEstimator(nn.Module):
    """An N×K table of logits whose sigmoid is the current belief in each label of each training image.

    Start: unobserved entries uniform in ±logit(0.6), observed positives logit(0.995), observed negatives logit(0.005).
    observed: (N, K), +1 positive, 0 unknown, −1 negative, any real dtype, or None for nothing observed.
    generator: source of the uniform draw, so that every rank starts from the same table.
    sparse: the table's gradient holds the touched rows only, for TableAdam; False gives a dense one for any optimizer.
    A copy, also one from a file, has the table as it is, see TableAdam.catch_up, and no optimizer.
    """

    before_read: Callable[[Tensor], None] | None = (
        None  # TableAdam sets it: brings the rows about to be read up to date
    )

    def __init__(
        self,
        num_images: int,
        num_labels: int,
        observed: Tensor | None = None,
        generator: torch.Generator | None = None,
        sparse: bool = True,
    ) -> None:
        super().__init__()
        if num_images < 1 or num_labels < 1:
            raise ValueError(f"num_images and num_labels must be at least 1, not {num_images} and {num_labels}")
        if observed is not None and tuple(observed.shape) != (num_images, num_labels):
            raise ValueError(f"observed must be ({num_images}, {num_labels}), not {tuple(observed.shape)}")
        self.sparse = sparse
        self.table = nn.Parameter(_initial_table(num_images, num_labels, observed, generator))

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "before_read"}

    def forward(self, index: Tensor) -> Tensor:
        """index: (B,) int64 of training images. Returns their logits (B, K)."""
        if self.before_read is not None:
            self.before_read(index)
        return F.embedding(index, self.table, sparse=self.sparse)

    def rows(self, index: Tensor) -> TableRows:
        """The same rows by reference, for ROLELoss, which gathers them itself; the table's gradient is sparse."""
        if self.before_read is not None:
            self.before_read(index)
        return TableRows(self.table, index.clone())  # a buffer may be refilled before the backward pass

    def extra_repr(self) -> str:
        """The size of the table."""
        return f"num_images={self.table.shape[0]}, num_labels={self.table.shape[1]}"


def _initial_table(N: int, K: int, observed: Tensor | None, generator: torch.Generator | None) -> Tensor:
    table = (torch.rand(N, K, generator=generator) * 2 - 1) * logit(0.6)
    if observed is not None:
        observed = observed.to(table.device)
        table = torch.where(observed > 0, logit(0.995), torch.where(observed < 0, logit(0.005), table))
    return table
