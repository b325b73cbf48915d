"""Adam for the label estimator's table: the result of dense Adam at the cost of the rows a step touches."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from mlcfast.losses.label_estimator import LabelEstimator

_ROWS_AT_ONCE = 512
_READS_KEPT = 64  # more micro-batches than that in a step are caught up twice, which changes nothing


class TableAdam(torch.optim.Optimizer):
    """Dense Adam on an N×K table of which each step touches B rows, in O(B·K) a step.

    Dense Adam also moves the rows a step does not touch: their gradient is 0, but their momentum lives on. Such a row
    is left alone here and caught up when it is next read: its j-th silent step after step s was

        θ −= lr_{s+j} · β1^j m / (1 − β1^{s+j}) / (√(β2^j v / (1 − β2^{s+j})) + eps),

    so the sum of them is applied at once, with each step's own learning rate. β1^j falls below fp32's resolution after
    a while (198 steps at β1 = 0.9), where the sum is cut. The result is dense Adam's up to rounding.

    estimator: its `forward` and `rows` catch up the rows they are asked for from now on. lr, betas, eps: as in Adam; lr
    may change between steps, betas may not. Gradients are sparse (or dense, then every row is touched).
    Call `catch_up()` before reading the table any other way: in full, for a figure or a checkpoint.
    found_inf: as in torch's fused optimizers a 0-d tensor; where it is 1 the next step leaves everything as it was.
    """

    found_inf: Tensor | None = None

    def __init__(
        self,
        estimator: LabelEstimator,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
    ) -> None:
        if not (0 <= betas[0] < 1 and 0 <= betas[1] < 1):
            raise ValueError(f"betas must be in [0, 1), not {betas}")
        if not (lr >= 0 and eps >= 0):
            raise ValueError(f"lr and eps must be at least 0, not {lr!r} and {eps!r}")
        super().__init__([estimator.table], {"lr": lr, "betas": betas, "eps": eps})
        estimator.before_read = self._before_read
        self._read: list[Tensor] = []  # indices caught up since the last step, kept so that their addresses stay theirs
        self._settled = 0  # calls after which every row was caught up
        self._horizon = math.ceil(30 * math.log(2) / -math.log(betas[0])) if betas[0] > 0 else 1

    @torch.no_grad()
    def step(  # type: ignore[override]  # torch's closures give a float, ours a loss that stays on the device
        self, closure: Callable[[], Tensor] | None = None
    ) -> Tensor | None:
        """One Adam step on the rows with a gradient; no host synchronisation. Repeated indices add up."""
        with torch.enable_grad():
            loss = closure() if closure is not None else None
        table = self.param_groups[0]["params"][0]
        if table.grad is None:
            return loss
        index, gradient = _rows_of(table.grad)
        if index.data_ptr() not in {read.data_ptr() for read in self._read}:
            self.catch_up(index)  # rows that another rank read
        self._read.clear()
        group, state = self.param_groups[0], self._state()
        beta1, beta2 = group["betas"]
        lr = float(group["lr"])
        _set_rate(state, lr)
        number = state["step"] + 1
        correction1, correction2 = 1 - beta1 ** number.double(), 1 - beta2 ** number.double()
        held = table[index], state["exp_avg"][index], state["exp_avg_sq"][index]
        first = held[1].lerp(gradient, 1 - beta1)
        second = (held[2] * beta2).addcmul_(gradient, gradient, value=1 - beta2)
        denominator = (second.sqrt() / correction2.sqrt()).add_(group["eps"])
        rows = held[0] - first / denominator * (lr / correction1)
        self._write(index, number, rows, first, second, held)
        return loss

    @torch.no_grad()
    def catch_up(self, index: Tensor | None = None) -> None:
        """Apply the zero-gradient steps that rows `index` (B,), or all rows, missed: then they are dense Adam's."""
        calls, table = self._state()["calls"], self.param_groups[0]["params"][0]
        if self._settled == calls:
            return
        if index is None:
            self._settled = calls
            index = torch.arange(table.shape[0], device=table.device)
        for some in index.split(_ROWS_AT_ONCE):
            self._catch_up_some(table, some)

    def moments(self) -> dict[str, Tensor]:
        """step (0-d fp32), exp_avg and exp_avg_sq (N, K): after `catch_up()` dense Adam's; empty at first."""
        state = self._state()
        if not state["calls"]:
            return {}
        return {"step": state["step"].float(), "exp_avg": state["exp_avg"], "exp_avg_sq": state["exp_avg_sq"]}

    @torch.no_grad()
    def load_moments(self, step: Tensor, exp_avg: Tensor, exp_avg_sq: Tensor) -> None:
        """Go on from dense Adam's moments, the table being that of the same step."""
        state = self._state()
        for name, value in (("step", step), ("exp_avg", exp_avg), ("exp_avg_sq", exp_avg_sq)):
            state[name].copy_(value)
        state["last_step"].fill_(int(step))
        state["calls"] = self._settled = int(step)
        state["rates"] = state["rates"].new_zeros(max(1024, 2 * state["calls"]))

    def _before_read(self, index: Tensor) -> None:
        self.catch_up(index)
        if torch.is_grad_enabled():
            self._read = [*self._read[-_READS_KEPT:], index]

    def _catch_up_some(self, table: Tensor, index: Tensor) -> None:
        group, state = self.param_groups[0], self._state()
        beta1, beta2 = group["betas"]
        last, step = state["last_step"][index].long()[:, None], state["step"]
        gap = step - last
        j = torch.arange(1, min(self._horizon, state["calls"]) + 1, device=table.device)
        since, silent = j.double(), (last + j).double()  # a power of whole numbers would be fp32
        rate = state["rates"][torch.minimum(last + j, step).sub_(1).clamp_(min=0)]
        rate = torch.where(j <= gap, rate * beta1**since / (1 - beta1**silent), 0.0)
        decay = torch.sqrt(beta2**since / (1 - beta2**silent))
        first, second = state["exp_avg"][index], state["exp_avg_sq"][index]
        root = second.sqrt()[:, :, None]
        per_step = (root * decay.to(root.dtype)[:, None]).add_(group["eps"]).reciprocal_()  # (B, K, J)
        moved = (per_step @ rate.to(root.dtype)[:, :, None]).squeeze(2)
        table[index] = table[index] - first * moved
        state["exp_avg"][index] = first * (beta1 ** gap.double()).to(first.dtype)
        state["exp_avg_sq"][index] = second * (beta2 ** gap.double()).to(second.dtype)
        state["last_step"].index_fill_(0, index, step)

    def _write(
        self, index: Tensor, number: Tensor, rows: Tensor, first: Tensor, second: Tensor, held: tuple[Tensor, ...]
    ) -> None:
        """Equal indices carry equal rows, so the order of the writes does not matter."""
        table, state = self.param_groups[0]["params"][0], self._state()
        if self.found_inf is not None:
            dropped = self.found_inf > 0
            rows, first, second = (
                torch.where(dropped, old, new) for old, new in zip(held, (rows, first, second), strict=True)
            )
            number = torch.where(dropped, state["step"], number)
        table[index], state["exp_avg"][index], state["exp_avg_sq"][index] = rows, first, second
        state["step"].copy_(number)
        state["last_step"].index_fill_(0, index, number)

    def _state(self) -> dict:
        table = self.param_groups[0]["params"][0]
        state = self.state[table]
        if not state:
            state["calls"] = 0  # of step(), dropped ones included: known to the host
            state["step"] = torch.zeros((), dtype=torch.int64, device=table.device)
            state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(table), torch.zeros_like(table)
            state["last_step"] = torch.zeros(table.shape[0], dtype=torch.int64, device=table.device)
            state["rates"] = torch.zeros(1024, dtype=torch.float64, device=table.device)
        return state


def _set_rate(state: dict, lr: float) -> None:
    """Note the learning rate of the step that begins; one that is dropped is overwritten by the next."""
    state["calls"] += 1
    if state["calls"] > state["rates"].numel():
        state["rates"] = torch.cat([state["rates"], torch.zeros_like(state["rates"])])
    state["rates"].index_fill_(0, state["step"][None], lr)


def _rows_of(gradient: Tensor) -> tuple[Tensor, Tensor]:
    """Row indices and their gradients; rows that repeat all carry the sum of their gradients."""
    if not gradient.is_sparse:
        return torch.arange(gradient.shape[0], device=gradient.device), gradient
    index, values = gradient._indices()[0], gradient._values()
    return index, sum_repeated(index, values)


def sum_repeated(index: Tensor, values: Tensor) -> Tensor:
    """values: (B, K) rows of `index` (B,), int64; the same with each row the sum of all that have its index."""
    first = (index[:, None] == index[None, :]).to(torch.int8).argmax(dim=1)
    return torch.zeros_like(values).index_add_(0, first, values)[first]
