"""Takes a batch's labels as a tensor: a matrix is indexed where it lies, a sparse table is made dense for the batch."""

import numpy as np
import torch
from torch import Tensor

from mlcfast.data.labels import Labels, SparseLabels


class LabelRows:
    """Rows of a label table (M, K), int8.

    A matrix is kept as a tensor, which `to` moves; a sparse table stays in host memory, and of it a batch is moved.
    """

    def __init__(self, labels: Labels):
        self.sparse = labels if isinstance(labels, SparseLabels) else None
        self.matrix = None if isinstance(labels, SparseLabels) else torch.from_numpy(np.ascontiguousarray(labels))
        self.device = torch.device("cpu")

    def to(self, device: torch.device) -> None:
        """Give the rows on `device` from now on."""
        self.device = device
        if self.matrix is not None:
            self.matrix = self.matrix.to(device)

    def one(self, index: int) -> Tensor:
        """The labels (K,) of one image."""
        return self.matrix[index] if self.matrix is not None else self._made_dense([index])[0]

    def __call__(self, index: Tensor, numbers: np.ndarray | None = None) -> Tensor:
        """The labels (m, K) of the images `index`, (m,) int64 on the device of the rows.

        numbers: the same in host memory, without which a sparse table waits for the device to say them.
        """
        if self.matrix is not None:
            return self.matrix.index_select(0, index)
        return self._made_dense(index.cpu().numpy() if numbers is None else numbers)

    def _made_dense(self, numbers: "np.ndarray | list[int]") -> Tensor:
        assert self.sparse is not None, "there is a matrix or a sparse table"
        return torch.from_numpy(self.sparse.dense(numbers)).to(self.device)
