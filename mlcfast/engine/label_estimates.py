"""Steps ROLE's label-logit table from row gradients gathered over ranks, instead of a dense gradient and Adam."""

import torch
import torch.distributed as dist
from torch import Tensor

from mlcfast.losses import LabelEstimator, TableAdam
from mlcfast.losses.table_adam import sum_repeated

NAME = "estimator.table"  # in the training module


class TableStep:
    """Exchanges the rows' gradients, applies TableAdam and exports its state as dense Adam's.

    With several ranks each of them brings the rows that any rank is about to read up to date, so that all hold the same
    table bit for bit.
    """

    def __init__(self, estimator: LabelEstimator, lr: float):
        self.table, self.optimizer = estimator.table, TableAdam(estimator, lr)
        own = estimator.before_read
        assert own is not None, "TableAdam has set it"
        if dist.is_initialized():
            estimator.before_read = lambda index: own(_of_all_ranks(index))

    def exchange(self) -> Tensor:
        """Make the gradient the mean over ranks; returns its norm, 0-d."""
        gradient = self.table.grad
        assert gradient is not None, "the backward pass left a gradient of the rows read"
        index, values = gradient._indices()[0], gradient._values()
        if dist.is_initialized():
            index, values = _of_all_ranks(index), _of_all_ranks(values) / dist.get_world_size()
            self.table.grad = torch.sparse_coo_tensor(index[None], values, self.table.shape, check_invariants=False)
        return (values * sum_repeated(index, values)).sum().clamp(min=0).sqrt()

    def step(self, skipped: Tensor, factor: Tensor | None) -> None:
        """Apply the gradient times `factor`, or nothing where `skipped` is 1, and clear it."""
        if factor is not None and self.table.grad is not None:
            self.table.grad._values().mul_(factor)
        self.optimizer.found_inf = skipped
        self.optimizer.step()
        self.table.grad = None

    def catch_up(self) -> None:
        """Bring every row up to date: the table is then that of dense Adam."""
        self.optimizer.catch_up()

    def moments(self) -> dict[str, Tensor]:
        """Adam's moments and step count by name, not copied; call `catch_up` first."""
        return {f"{key}/{NAME}": tensor.detach() for key, tensor in self.optimizer.moments().items()}

    def load_moments(self, moments: dict[str, Tensor]) -> None:
        """Take over moments of either kind of Adam; nothing if there are none."""
        if f"step/{NAME}" in moments:
            self.optimizer.load_moments(*(moments[f"{key}/{NAME}"] for key in ("step", "exp_avg", "exp_avg_sq")))


def _of_all_ranks(tensor: Tensor) -> Tensor:
    """The tensors of every rank, of one shape, one after the other."""
    parts = [torch.empty_like(tensor, memory_format=torch.contiguous_format) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, tensor.contiguous())
    return torch.cat(parts)
