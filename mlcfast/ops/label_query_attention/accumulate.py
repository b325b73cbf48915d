"""A weight's gradient summed over slices of the batch without a copy for the usual single slice."""

import torch
from torch import Tensor


class Accumulator:
    """Sums batched matrix products into `total`, which may be a view of a packed gradient and starts uninitialised.

    A total wider than its operands (fp32 for half-precision slices) keeps the sum from rounding at every slice.
    """

    def __init__(self, total: Tensor):
        self.total = total
        self.empty = True

    def add(self, left_HIM: Tensor, right_HMJ: Tensor) -> None:
        """total (H·I, J) += left (H, I, M) times right (H, M, J), heads stacked."""
        view = self.total.view(left_HIM.shape[0], left_HIM.shape[1], right_HMJ.shape[2])
        if view.dtype == left_HIM.dtype:
            view.baddbmm_(left_HIM, right_HMJ, beta=0 if self.empty else 1)
        elif self.empty:
            view.copy_(torch.bmm(left_HIM, right_HMJ))
        else:
            view += torch.bmm(left_HIM, right_HMJ)
        self.empty = False

    def result(self, dtype: torch.dtype) -> Tensor:
        """The sum in `dtype`; zero if nothing was added."""
        return (self.total.zero_() if self.empty else self.total).to(dtype)
