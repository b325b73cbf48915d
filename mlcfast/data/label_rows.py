"""Takes a batch's labels as a tensor: a matrix is indexed where it lies, a sparse table is made dense for the batch."""

import numpy as np
import torch
from torch import Tensor

from mlcfast.data.labels import HUNDREDTHS, Labels, SparseLabels, holds_soft


class LabelRows:
    """Rows of a label table (M, K): int8 or, of a table that holds soft labels, fp32 in [−1, 1].

    A matrix is kept as a tensor, which `to` moves; a sparse table stays in host memory, and of it a batch is moved.
    """

    def __init__(self, labels: Labels):
        self.sparse = labels if isinstance(labels, SparseLabels) else None
        self.matrix = None if isinstance(labels, SparseLabels) else torch.from_numpy(np.ascontiguousarray(labels))
        self.device, self.soft = torch.device("cpu"), holds_soft(labels)

    def to(self, device: torch.device) -> None:
        """Give the rows on `device` from now on."""
        self.device = device
        if self.matrix is not None:
            self.matrix = self.matrix.to(device)

    def one(self, index: int) -> Tensor:
        """The labels (K,) of one image."""
        return self._given(self.matrix[index] if self.matrix is not None else self._made_dense([index])[0])

    def __call__(self, index: Tensor, numbers: np.ndarray | None = None) -> Tensor:
        """The labels (m, K) of the images `index`, (m,) int64 on the device of the rows.

        numbers: the same in host memory, without which a sparse table waits for the device to say them.
        """
        if self.matrix is not None:
            return self._given(self.matrix.index_select(0, index))
        return self._given(self._made_dense(index.cpu().numpy() if numbers is None else numbers))

    def _given(self, rows: Tensor) -> Tensor:
        """Rows as a loss takes them: soft labels by their value instead of their code."""
        return torch.where(rows > 1, (rows - 1) / HUNDREDTHS, rows) if self.soft else rows

    def _made_dense(self, numbers: "np.ndarray | list[int]") -> Tensor:
        assert self.sparse is not None, "there is a matrix or a sparse table"
        return torch.from_numpy(self.sparse.dense(numbers)).to(self.device)
