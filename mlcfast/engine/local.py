"""The engine for models whose whole state fits each device: one process, or several through DDP."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from mlcfast.engine.base import (
    Engine,
    EngineState,
    RunningStatistics,
    StepOutcome,
    floating_buffers,
    load_tensors,
    trainable,
)
from mlcfast.engine.distributed import Process
from mlcfast.engine.ema import WeightAverage
from mlcfast.engine.internals import data_parallel
from mlcfast.engine.label_estimates import NAME, TableStep
from mlcfast.engine.optimizers import moments_of, set_moments, step_unless
from mlcfast.engine.predictor import DTYPES, Predictor
from mlcfast.engine.training_module import TrainingModule


class LocalEngine(Engine):
    """fp32 parameters, autocast for bf16 and fp16, torch's fused optimizers; DDP with `distributed`.

    table: what steps the label estimates where their gradient is sparse; the average leaves them out.
    """

    def __init__(
        self,
        process: Process,
        training_module: TrainingModule,
        optimizer: torch.optim.Optimizer,
        *,
        precision: str,
        accumulation: int,
        grad_clip: float | None,
        ema_decay: float,
        ema_warmup: bool = False,
        distributed: bool,
        table: TableStep | None = None,
    ):
        self.process, self.training_module, self.optimizer, self.table = process, training_module, optimizer, table
        self.accumulation, self.grad_clip = accumulation, grad_clip
        self.parameters = trainable(training_module)
        if table:
            del self.parameters[NAME]
        self.buffers = dict(floating_buffers(training_module))
        self.statistics = RunningStatistics(training_module)
        self.wrapped = self._wrap() if distributed else training_module
        device_type = process.device.type
        self.autocast = torch.autocast(device_type, DTYPES[precision], enabled=precision != "fp32")
        self.predictor = Predictor(process, training_module.model, precision)
        self.scaler = torch.amp.GradScaler(device_type, enabled=precision == "fp16")
        if ema_decay:
            self.average = WeightAverage([*self.parameters.values(), *self.buffers.values()], ema_decay, ema_warmup)

    def _wrap(self) -> DistributedDataParallel:
        # Running statistics are averaged before they are read (average_buffers), so DDP need not send them each step.
        devices = [self.process.local_rank] if self.process.device.type == "cuda" else None
        return data_parallel(self.training_module, devices, ignored=[NAME] if self.table else [])

    def micro_step(self, images: Tensor, labels: Tensor, index: Tensor, last: bool) -> Tensor:
        """See Engine; DDP exchanges gradients in the last micro-batch's backward only."""
        self.training_module.train()
        with self._exchange(last):
            with self.autocast:
                loss = self.wrapped(images, labels, index)
            self.scaler.scale(loss / self.accumulation).backward()
        return loss.detach()

    def _exchange(self, last: bool) -> AbstractContextManager[None]:
        if isinstance(self.wrapped, DistributedDataParallel) and not last:
            return self.wrapped.no_sync()
        return nullcontext()

    def step(self) -> StepOutcome:
        """See Engine; a step with a non-finite gradient is dropped on the device, without asking the host."""
        self.scaler.unscale_(self.optimizer)
        gradients = [p.grad for p in self.parameters.values() if p.grad is not None]
        if self.table:
            gradients.append(self.table.exchange())
        norm = get_total_norm(gradients)
        skipped = (~torch.isfinite(norm)).float()
        if self.grad_clip:
            clip_grads_with_norm_(self.parameters.values(), self.grad_clip, norm)
        if self.scaler.is_enabled():
            self.scaler.step(self.optimizer)
            self.scaler.update()
        else:
            step_unless(self.optimizer, skipped)
        if self.table:
            factor = (self.grad_clip / (norm + 1e-6)).clamp(max=1) if self.grad_clip else None
            self.table.step(skipped, factor)
        self.statistics.commit_or_restore(skipped)
        if self.average:
            self.average.update(skipped)
        self.optimizer.zero_grad(set_to_none=True)
        return StepOutcome(norm.detach(), skipped)

    def sync_label_estimates(self) -> None:
        """See Engine."""
        if self.table:
            self.table.catch_up()

    def predict(self, images: Tensor) -> Tensor:
        """See Engine."""
        return self.predictor.predict(images)

    @contextmanager
    def averaged_weights(self) -> Iterator[None]:
        """See Engine; in place, one tensor at a time, so no second model is held."""
        if self.average is None:
            raise RuntimeError("no average is kept: ema_decay is 0")
        with self.average.swapped_in():
            yield

    def export_state(self, moments: bool = True) -> EngineState:
        """See Engine."""
        self.sync_label_estimates()
        weights = _cpu(self.training_module.state_dict())
        average = {}
        if self.average:
            followed = (*self.parameters, *self.buffers)
            average = weights | _cpu(dict(zip(followed, self.average.tensors, strict=True)))
        steps = self.average.steps if self.average else 0
        return EngineState(weights, average, self._export_moments() if moments else {}, self.scaler.state_dict(), steps)

    def _export_moments(self) -> dict[str, Tensor]:
        moments = {
            f"{key}/{name}": moment.detach().cpu().clone()
            for name, parameter in self.parameters.items()
            for key, moment in moments_of(self.optimizer, parameter).items()
        }
        return moments | (self.table.export_moments() if self.table else {})

    def load_state(self, state: EngineState) -> None:
        """See Engine."""
        load_tensors(self.training_module.state_dict(), state.weights, "weights")
        self.statistics = RunningStatistics(self.training_module)
        if self.average:
            followed = dict(zip((*self.parameters, *self.buffers), self.average.tensors, strict=True))
            held = state.average or state.weights
            load_tensors(followed, {name: held[name] for name in followed if name in held}, "average")
            self.average.steps = state.average_steps
        moments = state.moments_by_name()
        for name, parameter in self.parameters.items():
            if name in moments:
                set_moments(self.optimizer, parameter, moments[name])
        if self.table:
            self.table.load_moments(state.moments)
        if self.scaler.is_enabled():
            self.scaler.load_state_dict(self.scaler.state_dict() | state.scaler)


def _cpu(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().clone() for name, tensor in tensors.items()}
