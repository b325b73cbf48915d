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
    StepResult,
    floating_buffers,
    load_tensors,
    on_host,
    trainable,
)
from mlcfast.engine.distributed import Process
from mlcfast.engine.ema import WeightAverage
from mlcfast.engine.internals import ZeroState, extension_to_compile, skips_on_device
from mlcfast.engine.optimizers import moments_of, set_moments
from mlcfast.engine.predictor import DTYPES
from mlcfast.engine.share import Kinds, StateShare, share_of
from mlcfast.engine.training_module import TrainingModule
from mlcfast.models.precision import prepare_half_weights
from mlcfast.stopwatch import Stopwatch
from mlcfast.tensor_files import Form, Share, Stretch

LOGGER = logging.getLogger("mlcfast")

# At most so many elements in the buffer that gradients are reduced in: more than any parameter here has (16.8 million
# in a feed-forward layer of width 2048), far fewer than DeepSpeed's default of 1 GB in bf16, beside all activations.
REDUCE_BUCKET = 2**25


def reduce_bucket(trainable_elements: int) -> int:
    """Elements of the reduction bucket, which DeepSpeed allocates whole: no more than gradients can fill."""
    return max(1, min(REDUCE_BUCKET, trainable_elements))


def deepspeed_config(
    precision: str,
    micro_batch: int,
    accumulation: int,
    world_size: int,
    grad_clip: float | None,
    offload: bool,
    asks_host: bool,
    bucket: int,
) -> dict[str, Any]:
    """DeepSpeed's configuration for these settings, complete: nothing of it is written by hand elsewhere.

    asks_host: DeepSpeed itself finds the gradient's norm, clips it and drops a step, for which its host reads a flag
    from the device several times a step; else the engine does so on the device. bucket: elements, see reduce_bucket.
    """
    zero: dict[str, Any] = {
        "stage": 2,
        "overlap_comm": False,
        "contiguous_gradients": True,
        "reduce_bucket_size": bucket,
        "use_multi_rank_bucket_allreduce": False,  # each rank is sent its own part, not the sum of all parts
        "compute_grad_norm": asks_host,
    }
    if offload:
        zero["offload_optimizer"] = {"device": "cpu", "pin_memory": torch.cuda.is_available()}
    config = {
        "train_micro_batch_size_per_gpu": micro_batch,
        "gradient_accumulation_steps": accumulation,
        "train_batch_size": micro_batch * accumulation * world_size,
        "gradient_clipping": (grad_clip or 0.0) if asks_host else 0.0,
        "zero_optimization": zero,
        "zero_allow_untested_optimizer": True,
        "zero_force_ds_cpu_optimizer": False,
        "bf16": {"enabled": precision == "bf16", "check_grad_overflow": asks_host},
        "fp16": {"enabled": precision == "fp16"},
        "steps_per_print": 10**9,
        "timers": {"throughput": {"enabled": False}},  # it waits for the device in every forward pass and step
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
        self.unrounded = {
            name: _fp32(t) for name, t in training_module.state_dict().items() if name not in self.parameters
        }
        # fp16's loss scale and an offloaded gradient are the host's own; other optimizers cannot leave a step out.
        self.asks_host = precision == "fp16" or offload or not skips_on_device(optimizer)
        bucket = reduce_bucket(sum(parameter.numel() for parameter in self.parameters.values()))
        config = deepspeed_config(
            precision, micro_batch, accumulation, process.world_size, grad_clip, offload, self.asks_host, bucket
        )
        if name := extension_to_compile():
            LOGGER.info("DeepSpeed first compiles its extension %s, once for this machine: a minute or two", name)
        self.deepspeed, zero, _, _ = deepspeed.initialize(
            model=training_module, optimizer=optimizer, config=config, dist_init_required=False
        )
        self.zero, self.stopwatch = ZeroState(zero, self.parameters), Stopwatch(process.device)
        self.zero.time_exchange(self.stopwatch)
        self.optimizer, self.grad_clip = optimizer, grad_clip
        self.factor: Tensor | None = None  # of the gradient in this step
        optimizer.register_step_pre_hook(self._scale_gradient)
        self.statistics = RunningStatistics(training_module)
        self.masters = self.zero.masters
        self.buffers = dict(floating_buffers(training_module))
        if ema_decay:
            self.average = WeightAverage([*self.masters, *self.buffers.values()], ema_decay, ema_warmup)

    def micro_step(self, images: Tensor, labels: Tensor, index: Tensor, last: bool) -> Tensor:
        """See Engine; DeepSpeed counts the micro-batches itself and divides by their number."""
        self.training_module.train()
        loss = self.deepspeed(self._prepared(images), labels, index)
        self.deepspeed.backward(loss)
        if not last:
            self.deepspeed.step()
        return loss.detach()

    def training_logits(self, images: Tensor) -> Tensor:
        """See Engine."""
        return self.training_module.model(self._prepared(images))

    def _prepared(self, images: Tensor) -> Tensor:
        """In the training precision and channels-last memory: convolutions follow it, whatever their weights lie in."""
        layout = torch.channels_last if images.dim() == 4 else torch.preserve_format
        return self.process.place(images, self.dtype).to(memory_format=layout)

    def step(self) -> StepResult:
        """See Engine; the host reads nothing of the gradient, but where `asks_host` says so."""
        if self.asks_host:
            self.deepspeed.step()
            skipped = torch.tensor(float(self.zero.overflow), device=self.process.device)
            found = self.deepspeed.get_global_grad_norm()
            norm = torch.as_tensor(found if found is not None else float("nan"))
        else:
            norm = self._gradient_norm()
            skipped = (~torch.isfinite(norm)).float()
            self.optimizer.found_inf = skipped  # type: ignore[attr-defined]  # skips_on_device has asked for it
            self.factor = (self.grad_clip / (norm + 1e-6)).clamp(max=1) if self.grad_clip else None
            self.deepspeed.step()
        self.statistics.commit_or_restore(skipped)
        if self.average:
            self.average.update(skipped)
        return StepResult(norm, skipped)

    @torch.no_grad()
    def _gradient_norm(self) -> Tensor:
        """Of the whole gradient, 0-d fp32, summed over the ranks' parts of it; a collective."""
        norms = torch._foreach_norm(self.zero.gradients, 2, dtype=torch.float32)
        square = torch.stack(norms).square().sum()
        dist.all_reduce(square)
        return square.sqrt()

    @torch.no_grad()
    def _scale_gradient(self, optimizer: torch.optim.Optimizer, *_: Any) -> None:
        """Clip the fp32 gradient of the group that DeepSpeed lets the optimizer step."""
        if self.factor is not None:
            masters = [master for group in optimizer.param_groups for master in group["params"]]
            torch._foreach_mul_([master.grad for master in masters if master.grad is not None], self.factor)

    @torch.no_grad()
    def predict(self, images: Tensor) -> Tensor:
        """See Engine."""
        self.training_module.eval()
        return torch.sigmoid(self.training_module.model(self._prepared(images)).float())

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

    def share_of_state(self) -> StateShare:
        """See Engine: the pieces in this rank's shards, and its part of what every rank holds whole."""
        whole: Kinds = {"weights": {n: self._unrounded(n, t) for n, t in self._whole_tensors().items()}}
        sharded = {"weights": [("", self.masters)]}
        if self.average:
            averages = zip(self.buffers, self.average.tensors[len(self.masters) :], strict=True)
            whole["average"] = whole["weights"] | dict(averages)
            sharded["average"] = [("", self.average.tensors[: len(self.masters)])]
        shards, counts = self._moments()
        whole["moments"], sharded["moments"] = counts, [(f"{key}/", values) for key, values in shards.items()]
        files = share_of(whole, self.process.rank, self.process.world_size)
        for kind, prefixed in sharded.items():
            file = files.setdefault(kind, Share({}, []))
            for prefix, values in prefixed:
                for name, parameter in self.parameters.items():
                    shard = values[self.zero.groups[name]]
                    file.forms[prefix + name] = Form(shard.dtype, tuple(parameter.shape))
                    file.stretches.extend(
                        Stretch(prefix + name, start, held) for start, held in self.zero.held(name, shard)
                    )
        return StateShare(files, self._export_scaler(), self.average.steps if self.average else 0)

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
            self.zero.scaler = state.scaler

    def _unrounded(self, name: str, tensor: Tensor) -> Tensor:
        original = self.unrounded[name]
        return original if torch.equal(original.to(tensor.dtype), tensor.cpu()) else _fp32(tensor)

    def _whole_tensors(self) -> dict[str, Tensor]:
        """What is not partitioned: buffers and frozen parameters."""
        return {name: t for name, t in self.training_module.state_dict().items() if name not in self.parameters}

    def _export_moments(self) -> dict[str, Tensor]:
        shards, counts = self._moments()
        whole = {f"{key}/{name}": t for key, values in shards.items() for name, t in self._gather(values).items()}
        return whole | {name: on_host(count) for name, count in counts.items()}

    def _moments(self) -> tuple[dict[str, list[Tensor]], dict[str, Tensor]]:
        """This rank's shards of each moment, and by `<key>/<name>` the counts, one for all parameters of a group."""
        states = [moments_of(self.optimizer, master) for master in self.masters]
        shards: dict[str, list[Tensor]] = {}
        counts: dict[str, Tensor] = {}
        for key in sorted(set.intersection(*map(set, states))):  # in one order on every rank
            values = [state[key].detach() for state in states]
            if all(value.shape == master.shape for value, master in zip(values, self.masters, strict=True)):
                shards[key] = values
            else:
                counts |= {f"{key}/{name}": values[group] for name, group in self.zero.groups.items()}
        return shards, counts

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
        return self.zero.scaler if self.dtype == torch.float16 else {}

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
