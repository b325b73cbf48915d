"""The DeepSpeed ZeRO-2 engine: gradients, fp32 masters and moments partitioned over the ranks."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

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
from mlcfast.engine.internals import ZeroState
from mlcfast.engine.optimizers import moments_of, set_moments
from mlcfast.engine.predictor import DTYPES
from mlcfast.engine.training_module import TrainingModule
from mlcfast.models.precision import prepare_half_weights

# Elements of the buffer that gradients are reduced in: larger than any parameter here (16.8 million in a feed-forward
# layer of width 2048), far smaller than DeepSpeed's default of 1 GB in bf16, which would lie beside all activations.
REDUCE_BUCKET = 2**25


def deepspeed_config(
    precision: str, micro_batch: int, accumulation: int, world_size: int, grad_clip: float | None, offload: bool
) -> dict[str, Any]:
    """DeepSpeed's configuration for these settings, complete: nothing of it is written by hand elsewhere."""
    zero: dict[str, Any] = {
        "stage": 2,
        "overlap_comm": False,
        "contiguous_gradients": True,
        "reduce_bucket_size": REDUCE_BUCKET,
    }
    if offload:
        zero["offload_optimizer"] = {"device": "cpu", "pin_memory": torch.cuda.is_available()}
    config = {
        "train_micro_batch_size_per_gpu": micro_batch,
        "gradient_accumulation_steps": accumulation,
        "train_batch_size": micro_batch * accumulation * world_size,
        "gradient_clipping": grad_clip or 0.0,
        "zero_optimization": zero,
        "zero_allow_untested_optimizer": True,
        "zero_force_ds_cpu_optimizer": False,
        "bf16": {"enabled": precision == "bf16"},
        "fp16": {"enabled": precision == "fp16"},
        "steps_per_print": 10**9,
    }
    if accumulation > 1:  # in bf16 the sum of many micro-batches would lose what is added last
        config["data_types"] = {"grad_accum_dtype": "fp32"}
    return config


class Zero2Engine(Engine):
    """Parameters in the training precision on every rank; fp32 masters, moments and average as one shard a rank.

    A shard is flat: this rank's part of one parameter group. DeepSpeed says which piece of a parameter lies where
    in the shard (internals.ZeroState); the accessors below read and write any such list of shards by name.
    """

    def __init__(
        self,
        process: Process,
        training_module: TrainingModule,
        optimizer: torch.optim.Optimizer,
        *,
        precision: str,
        micro_batch: int,
        accumulation: int,
        grad_clip: float | None,
        ema_decay: float,
        ema_warmup: bool = False,
        offload: bool,
    ):
        import deepspeed

        logging.getLogger("DeepSpeed").setLevel(logging.WARNING)
        self.process, self.training_module = process, training_module
        self.parameters = trainable(training_module)
        self.dtype = DTYPES[precision]
        prepare_half_weights(training_module, self.dtype)  # DeepSpeed casts parameters only
        # What is not trained is rounded to the training precision too; exported it should be what it was.
        tensors = training_module.state_dict().items()
        self.unrounded = {name: _fp32(tensor) for name, tensor in tensors if name not in self.parameters}
        config = deepspeed_config(precision, micro_batch, accumulation, process.world_size, grad_clip, offload)
        self.deepspeed, zero, _, _ = deepspeed.initialize(
            model=training_module, optimizer=optimizer, config=config, dist_init_required=False
        )
        self.zero = ZeroState(zero, self.parameters)
        self.optimizer = optimizer
        self.statistics = RunningStatistics(training_module)
        self.masters = self.zero.masters
        self.buffers = dict(floating_buffers(training_module))
        if ema_decay:
            self.average = WeightAverage([*self.masters, *self.buffers.values()], ema_decay, ema_warmup)

    def micro_step(self, images: Tensor, labels: Tensor, index: Tensor, last: bool) -> Tensor:
        """See Engine; DeepSpeed counts the micro-batches itself and divides by their number."""
        self.training_module.train()
        loss = self.deepspeed(images.to(self.dtype), labels, index)
        self.deepspeed.backward(loss)
        if not last:
            self.deepspeed.step()
        return loss.detach()

    def step(self) -> StepOutcome:
        """See Engine."""
        self.deepspeed.step()
        skipped = torch.tensor(float(self.zero.overflow), device=self.process.device)
        self.statistics.commit_or_restore(skipped)
        if self.average:
            self.average.update(skipped)
        norm = self.deepspeed.get_global_grad_norm()
        return StepOutcome(torch.as_tensor(norm if norm is not None else float("nan")), skipped)

    @torch.no_grad()
    def predict(self, images: Tensor) -> Tensor:
        """See Engine."""
        self.training_module.eval()
        images = images.to(self.process.device, self.dtype, non_blocking=True)
        return torch.sigmoid(self.training_module.model(images).float())

    @contextmanager
    def averaged_weights(self) -> Iterator[None]:
        """See Engine; masters and average trade places shard by shard, then the parameters are gathered anew."""
        if self.average is None:
            raise RuntimeError("no average is kept: ema_decay is 0")
        try:
            with self.average.swapped_in():
                self.zero.refresh_parameters()
                yield
        finally:
            self.zero.refresh_parameters()

    def export_state(self, moments: bool = True) -> EngineState:
        """See Engine."""
        weights = {name: self._unrounded(name, tensor) for name, tensor in self._whole_tensors().items()}
        weights |= self._gather(self.masters)
        average: dict[str, Tensor] = {}
        if self.average:
            average = weights | self._gather(self.average.tensors[: len(self.masters)])
            buffers = self.average.tensors[len(self.masters) :]
            average |= {name: tensor.cpu().clone() for name, tensor in zip(self.buffers, buffers, strict=True)}
        steps = self.average.steps if self.average else 0
        return EngineState(weights, average, self._export_moments() if moments else {}, self._export_scaler(), steps)

    def load_state(self, state: EngineState) -> None:
        """See Engine."""
        targets = dict(self.training_module.state_dict())
        load_tensors(targets, state.weights, "weights")
        self.statistics = RunningStatistics(self.training_module)
        self.unrounded = {name: state.weights[name].clone() for name in self.unrounded}
        self._scatter(self.masters, state.weights)
        self.zero.refresh_parameters()
        if self.average:
            held = state.average or state.weights
            self._scatter(self.average.tensors[: len(self.masters)], held)
            for name, tensor in zip(self.buffers, self.average.tensors[len(self.masters) :], strict=True):
                tensor.copy_(held[name])
            self.average.steps = state.average_steps
        if state.moments:
            self._load_moments(state.moments_by_name())
        if state.scaler and self.dtype == torch.float16:
            self.zero.loss_scale = state.scaler["scale"]

    def _unrounded(self, name: str, tensor: Tensor) -> Tensor:
        original = self.unrounded[name]
        return original if torch.equal(original.to(tensor.dtype), tensor.cpu()) else _fp32(tensor)

    def _whole_tensors(self) -> dict[str, Tensor]:
        """What is not partitioned: buffers and frozen parameters."""
        return {name: t for name, t in self.training_module.state_dict().items() if name not in self.parameters}

    def _export_moments(self) -> dict[str, Tensor]:
        states = [moments_of(self.optimizer, master) for master in self.masters]
        groups = self.zero.groups
        moments: dict[str, Tensor] = {}
        for key in sorted(set.intersection(*map(set, states))):  # in one order on every rank
            values = [state[key] for state in states]
            if all(value.shape == master.shape for value, master in zip(values, self.masters, strict=True)):
                whole = self._gather(values)
            else:  # a count, one for all parameters of a group
                whole = {name: values[group].detach().cpu().clone() for name, group in groups.items()}
            moments |= {f"{key}/{name}": tensor for name, tensor in whole.items()}
        return moments

    def _load_moments(self, moments: dict[str, dict[str, Tensor]]) -> None:
        """moments: by parameter; those of a parameter that has none are zeros, as before its first step."""
        groups = self.zero.groups
        states: list[dict[str, Tensor]] = [{} for _ in self.masters]
        for key in sorted({key for held in moments.values() for key in held}):
            whole = {name: held[key] for name, held in moments.items() if name in groups and key in held}
            if any(tensor.dim() for tensor in whole.values()):
                shards = [torch.zeros_like(master) for master in self.masters]
                self._scatter(shards, whole)
                for state, shard in zip(states, shards, strict=True):
                    state[key] = shard
            else:
                for name, count in whole.items():
                    states[groups[name]][key] = count
        for master, state in zip(self.masters, states, strict=True):
            set_moments(self.optimizer, master, state)

    def _export_scaler(self) -> dict[str, float]:
        return {"scale": self.zero.loss_scale} if self.dtype == torch.float16 else {}

    def _gather(self, shards: Sequence[Tensor]) -> dict[str, Tensor]:
        """Whole tensors by name from every rank's shards; each rank adds its pieces to zeros. A collective."""
        groups, whole = self.zero.groups, {}
        for name, parameter in self.parameters.items():
            flat = torch.zeros(parameter.numel(), device=self.process.device)
            for mine, piece in self.zero.pieces(name, shards[groups[name]], flat):
                mine.copy_(piece)
            dist.all_reduce(flat)
            whole[name] = flat.view(parameter.shape).cpu()
        return whole

    def _scatter(self, shards: Sequence[Tensor], whole: dict[str, Tensor]) -> None:
        """Write this rank's pieces of whole tensors into its shards."""
        groups = self.zero.groups
        for name in whole.keys() & self.parameters.keys():
            flat = whole[name].detach().float().flatten()
            for mine, piece in self.zero.pieces(name, shards[groups[name]], flat):
                piece.copy_(mine)


def _fp32(tensor: Tensor) -> Tensor:
    held = tensor.detach().cpu().clone()
    return held.float() if held.is_floating_point() else held
