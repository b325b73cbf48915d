"""The engine for models whose whole state fits each device: one process, or several through DDP."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import allreduce_hook
from torch.nn.parallel import DistributedDataParallel
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from mlcfast.engine.base import (
    Engine,
    EngineState,
    RunningStatistics,
    StepResult,
    floating_buffers,
    load_tensors,
    on_host,
    trainable,
)
from mlcfast.engine.distributed import Process
from mlcfast.engine.ema import WeightAverage
from mlcfast.engine.internals import data_parallel, inside_data_parallel
from mlcfast.engine.label_estimates import NAME, TableStep
from mlcfast.engine.optimizers import moments_of, set_moments, step_unless
from mlcfast.engine.predictor import DTYPES, Predictor
from mlcfast.engine.share import Kinds, StateShare, share_of
from mlcfast.engine.training_module import TrainingModule
from mlcfast.stopwatch import Point, Stopwatch


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
        self.parameters, self.stopwatch = trainable(training_module), Stopwatch(process.device)
        if table:
            del self.parameters[NAME]
        self.buffers = dict(floating_buffers(training_module))
        self.statistics = RunningStatistics(training_module)
        self.sent: Point | None = None  # when the last bucket of gradients began to be exchanged
        self.wrapped = self._wrap() if distributed else training_module
        device_type = process.device.type
        self.autocast = torch.autocast(device_type, DTYPES[precision], enabled=precision != "fp32")
        self.predictor = Predictor(process, training_module.model, precision)
        self.scaler = torch.amp.GradScaler(device_type, enabled=precision == "fp16")
        if ema_decay:
            self.average = WeightAverage([*self.parameters.values(), *self.buffers.values()], ema_decay, ema_warmup)

    def _wrap(self) -> DistributedDataParallel:
        # Running statistics are averaged after each step (RunningStatistics), so DDP need not send them before it.
        devices = [self.process.local_rank] if self.process.device.type == "cuda" else None
        wrapped = data_parallel(self.training_module, devices, ignored=[NAME] if self.table else [])
        wrapped.register_comm_hook(None, self._average_bucket)
        return wrapped

    def _average_bucket(self, state: None, bucket: dist.GradBucket) -> torch.futures.Future[Tensor]:
        """The mean over the ranks, and the time: after the last bucket's, a backward pass only waits for the others."""
        self.sent, group = self.stopwatch.point(), dist.group.WORLD
        assert group is not None, "DDP is made within a process group"
        return allreduce_hook(group, bucket)

    def micro_step(self, images: Tensor, labels: Tensor, index: Tensor, last: bool) -> Tensor:
        """See Engine; DDP exchanges gradients in the last micro-batch's backward only."""
        self.training_module.train()
        with self._exchange(last):
            with self.autocast:
                loss = self.wrapped(images, labels, index)
            self.scaler.scale(loss / self.accumulation).backward()
        if self.sent is not None:
            self.stopwatch.since("exchanging", self.sent)
            self.sent = None
        return loss.detach()

    def training_logits(self, images: Tensor) -> Tensor:
        """See Engine."""
        with self.autocast, inside_data_parallel(self.wrapped):
            return self.training_module.model(images)

    def _exchange(self, last: bool) -> AbstractContextManager[None]:
        if isinstance(self.wrapped, DistributedDataParallel) and not last:
            return self.wrapped.no_sync()
        return nullcontext()

    def step(self) -> StepResult:
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
        return StepResult(norm.detach(), skipped)

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
        held = self._held(moments)
        copies = {id(t): t for tensors in held.values() for t in tensors.values()}
        copies = {key: on_host(t) for key, t in copies.items()}  # what two kinds share is copied once
        kinds = {kind: {name: copies[id(t)] for name, t in tensors.items()} for kind, tensors in held.items()}
        return EngineState(**kinds, scaler=self.scaler.state_dict(), average_steps=self._average_steps())

    def share_of_state(self) -> StateShare:
        """See Engine."""
        files = share_of(self._held(), self.process.rank, self.process.world_size)
        return StateShare(files, self.scaler.state_dict(), self._average_steps())

    def _average_steps(self) -> int:
        return self.average.steps if self.average else 0

    def _held(self, moments: bool = True) -> Kinds:
        """The tensors of an EngineState as they lie here, on the device."""
        self.sync_label_estimates()
        weights = {name: tensor.detach() for name, tensor in self.training_module.state_dict().items()}
        average: dict[str, Tensor] = {}
        if self.average:
            followed = (*self.parameters, *self.buffers)
            average = weights | dict(zip(followed, self.average.tensors, strict=True))
        return {"weights": weights, "average": average, "moments": self._moments() if moments else {}}

    def _moments(self) -> dict[str, Tensor]:
        # An optimizer that keeps them in another form makes them anew, on the device: they do not stay there.
        held = on_host if hasattr(self.optimizer, "moments_of") else Tensor.detach
        moments = {
            f"{key}/{name}": held(moment)
            for name, parameter in self.parameters.items()
            for key, moment in moments_of(self.optimizer, parameter).items()
        }
        return moments | (self.table.moments() if self.table else {})

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
