"""The surface every engine shows the trainer: micro steps, the optimizer step, evaluation, and state by name."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor, nn

from mlcfast.engine.coupling import coupled
from mlcfast.engine.distributed import Process
from mlcfast.engine.ema import WeightAverage
from mlcfast.engine.share import StateShare
from mlcfast.engine.training_module import TrainingModule
from mlcfast.errors import UsageError
from mlcfast.models.freezing import changing_buffers
from mlcfast.stopwatch import Stopwatch

RUNNING = ("running_mean", "running_var")  # how the names of BatchNorm's statistics end


class StepResult(NamedTuple):
    """Both are 0-d device tensors: step() does not synchronise, reading them does.

    skipped: 1 if the gradient was not finite.
    """

    grad_norm: Tensor
    skipped: Tensor


@dataclass
class EngineState:
    """Everything an engine needs to go on, by parameter name, in fp32 on the CPU; the same for every engine.

    weights: parameters and buffers; average: the same names, empty without EMA; moments: what the optimizer keeps for
    each parameter as `<key>/<name>`, for Adam `exp_avg`, `exp_avg_sq` and `step`; scaler: fp16's loss scale and its
    growth counter, else empty; average_steps: how many steps the average has followed.
    """

    weights: dict[str, Tensor] = field(default_factory=dict)
    average: dict[str, Tensor] = field(default_factory=dict)
    moments: dict[str, Tensor] = field(default_factory=dict)
    scaler: dict[str, float] = field(default_factory=dict)
    average_steps: int = 0

    def moments_by_name(self) -> dict[str, dict[str, Tensor]]:
        """Parameter -> key -> tensor."""
        found: dict[str, dict[str, Tensor]] = {}
        for entry, tensor in self.moments.items():
            key, _, name = entry.partition("/")
            found.setdefault(name, {})[key] = tensor
        return found


class Engine(ABC):
    """Runs a TrainingModule on this process's device, alone or together with its peers."""

    process: Process
    training_module: TrainingModule
    optimizer: torch.optim.Optimizer
    average: WeightAverage | None = None
    stopwatch: Stopwatch  # of the device: how long its computation waits for the gradients of other ranks, `exchanging`

    @abstractmethod
    def micro_step(self, images: Tensor, labels: Tensor, index: Tensor, last: bool) -> Tensor:
        """Forward and backward of one micro-batch; `last` in its global batch. Returns the detached loss."""

    @abstractmethod
    def training_logits(self, images: Tensor) -> Tensor:
        """The model's logits (B, K) in training mode, in the precision that micro_step computes in."""

    def coupled(self, batches: Iterable[tuple[Tensor, ...]], before: Callable[[int], object]) -> Iterator[Any]:
        """The micro-batches of a step whose loss couples the whole global batch; see coupling.coupled."""
        return coupled(
            self.training_module, (self.to_device(*batch) for batch in batches), self.training_logits, before
        )

    @abstractmethod
    def step(self) -> StepResult:
        """Clip, check and apply the accumulated gradient, update the average and clear the gradient."""

    @abstractmethod
    def predict(self, images: Tensor) -> Tensor:
        """Probabilities (B, K) in fp32, in evaluation mode and without gradient."""

    @abstractmethod
    def averaged_weights(self) -> AbstractContextManager[None]:
        """Within the block the model computes with its averaged weights."""

    @abstractmethod
    def export_state(self, moments: bool = True) -> EngineState:
        """The engine's state by name, without Adam's moments if told so; a collective, complete on every rank."""

    @abstractmethod
    def share_of_state(self) -> StateShare:
        """This rank's part of what `export_state` gives, all ranks' together being the whole; no collective.

        Its tensors are the engine's own where they can be: copy them before the next step.
        """

    @abstractmethod
    def load_state(self, state: EngineState) -> None:
        """Take over a state exported by any engine at any number of processes."""

    def sync_label_estimates(self) -> None:  # noqa: B027 - most engines have nothing to do
        """Bring what is updated lazily, the label estimates, up to date before they are read."""

    def to_device(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """The tensors on this engine's device; copies from pinned memory do not wait."""
        return tuple(map(self.process.place, tensors))

    @torch.no_grad()
    def average_buffers(self) -> None:
        """Give every rank the mean of buffers that see only local data, and of their averages; new positives of all.

        BatchNorm's running statistics are alike already, see RunningStatistics.
        """
        if not dist.is_initialized() or dist.get_world_size() == 1:
            return
        if self.training_module.pseudo_labels is not None:
            # A label that one rank alone changed has risen; all others are alike on all of them.
            dist.all_reduce(self.training_module.pseudo_labels.labels, dist.ReduceOp.MAX)
        buffers = list(floating_buffers(self.training_module))
        averages = self.average.tensors[len(self.average.tensors) - len(buffers) :] if self.average else []
        local = [number for number, (name, _) in enumerate(buffers) if not name.endswith(RUNNING)]
        tensors = [buffers[number][1] for number in local] + [averages[number] for number in local if averages]
        if not tensors:
            return
        total = torch.cat([tensor.float().flatten() for tensor in tensors])
        dist.all_reduce(total)
        total /= dist.get_world_size()
        pieces = total.split([tensor.numel() for tensor in tensors])
        torch._foreach_copy_(tensors, [piece.view_as(tensor) for piece, tensor in zip(pieces, tensors, strict=True)])


class RunningStatistics:
    """BatchNorm's running statistics as they were after the last applied step, to undo those of a dropped one.

    Each rank's see its own images; after a step they are the mean over ranks on all of them. So a checkpoint may be
    written after any step: were they averaged for it, they would not be those of a run that is not saved there. They
    are kept one after the other in one tensor, so that the number of operations does not grow with theirs.
    """

    def __init__(self, module: nn.Module):
        self.buffers = [buffer for name, buffer in changing_buffers(module) if name.endswith(RUNNING)]
        self._flat = [buffer.view(-1) for buffer in self.buffers]
        self.kept = self._now()
        pieces = self.kept.split([buffer.numel() for buffer in self.buffers]) if self.buffers else ()
        self._pieces = [piece.view_as(buffer) for piece, buffer in zip(pieces, self.buffers, strict=True)]

    @torch.no_grad()
    def commit_or_restore(self, skipped: Tensor) -> None:
        """Keep the new statistics, or go back to the old ones where `skipped` is 1; without asking the host.

        A collective where there are several ranks.
        """
        if self.buffers:
            now = self._now()
            if dist.is_initialized() and dist.get_world_size() > 1:
                dist.all_reduce(now)
                now /= dist.get_world_size()
            torch.where(skipped > 0, self.kept, now, out=self.kept)
            torch._foreach_copy_(self.buffers, self._pieces)

    def _now(self) -> Tensor:
        return torch.cat(self._flat) if self._flat else torch.empty(0)


def floating_buffers(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """The buffers that training may change and a state dict holds, by name."""
    saved = module.state_dict(keep_vars=True)
    return ((n, buffer) for n, buffer in changing_buffers(module) if n in saved and buffer.is_floating_point())


def trainable(module: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters the optimizer owns, by name."""
    return {name: parameter for name, parameter in module.named_parameters() if parameter.requires_grad}


def on_host(tensor: Tensor) -> Tensor:
    """A copy on the CPU."""
    return tensor.detach().to("cpu", copy=True)


def load_tensors(targets: dict[str, Tensor], values: dict[str, Tensor], what: str) -> None:
    """Copy `values` into `targets` in place; UsageError lists the names and shapes that do not match."""
    wrong = sorted(targets.keys() ^ values.keys())
    wrong += [name for name in targets.keys() & values.keys() if targets[name].shape != values[name].shape]
    if wrong:
        shown = ", ".join(wrong[:8]) + (f" and {len(wrong) - 8} more" if len(wrong) > 8 else "")
        raise UsageError(f"the checkpoint's {what} do not fit this model: {shown}")
    with torch.no_grad():
        for name, target in targets.items():
            target.copy_(values[name])
