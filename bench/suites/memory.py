"""The 12 GiB proofs: planned and measured memory of real steps of the large configurations on one GPU held to 12 GiB.

The GPU stands in for the first of two cards. Under ZeRO-2 the second rank's masters, moments, average and gradients lie
on its own card, so here they are not allocated: one process computes on the weights in the training precision and keeps
half of that state on the GPU, zero-filled buffers that are read and written as a step would. The reduction bucket is
there as well. Under DDP, where nothing is partitioned, the engine of a single process runs as it is. What torch's
allocator never sees, the CUDA context and NCCL's buffers, is taken off what it may use, at the planner's figures.
"""

import time
import weakref
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from bench.record import ROOT
from bench.suites import Context, Row, Rows, SkippedError, attempt, first_line
from mlcfast.config import Config, load_config
from mlcfast.engine import Process, build_engine, reduce_bucket
from mlcfast.engine.base import trainable
from mlcfast.engine.predictor import DTYPES
from mlcfast.engine.training_module import TrainingModule, make_model
from mlcfast.models.activation_checkpointing import enable_activation_checkpointing
from mlcfast.models.precision import prepare_half_weights
from mlcfast.planning import Estimate, Planner, Settings, hardware
from mlcfast.planning.format import COMPONENTS
from mlcfast.training.build import make_loss

NAMES, CARDS, LABELS, GIB = ("cvt_w24", "swin_l", "resnet101_448"), 2, 80, 2**30
PARTITIONED = [("zero2", "blocks", False, 48), ("zero2", "blocks", False, 64), ("zero2", "blocks", True, 64)]
WHOLE = [("ddp", "none", False, 32), ("ddp", "blocks", False, 64)]  # engine, checkpointing, optimizer on host, batch
PLANNED = {"cvt_w24": PARTITIONED, "swin_l": PARTITIONED, "resnet101_448": WHOLE}
LONGEST = 15.0  # seconds to trace, build and take the steps of one configuration


def rows(context: Context) -> Rows:
    """One row a configuration; one that does not fit, or fails, says so."""
    names, steps = context.listed("configs", NAMES), context.options["steps"]
    if context.options["planned"]:
        yield from planned(context)
        return
    if not context.on_gpu:
        raise SkippedError("needs a GPU")
    for name in names:
        yield from attempt(context, LONGEST, {"config": name}, partial(measure, name, steps, context.options["gib"]))


def planned(context: Context) -> Rows:
    """What two cards would hold: bytes a GPU by component, at the peak, and on the host. Nothing runs."""
    for name, cases in PLANNED.items():
        planner = Planner(load_config(ROOT / "configs" / f"{name}.yaml"), CARDS, int(context.options["gib"] * GIB))
        for engine, checkpointing, offload, micro_batch in cases:
            estimate = planner.estimate(Settings(engine, checkpointing, offload, "adamw", micro_batch))
            row = {"config": name, "engine.name": engine, "engine.micro_batch": micro_batch}
            row |= {"engine.activation_checkpointing": checkpointing, "engine.offload_optimizer": offload}
            row |= {f"{component}_bytes": int(estimate.breakdown[component]) for component in COMPONENTS}
            yield row | {"predicted_bytes": int(estimate.peak), "host_bytes": int(estimate.host)}


class ShardedStep:
    """One rank's share of ZeRO-2's state, and a step that touches all of it.

    Each gradient goes into the reduction bucket as it is finished and this rank's part from there to its shard.
    """

    def __init__(
        self, training_module: TrainingModule, precision: torch.dtype, ema: bool, device: str, bucket: int | None = None
    ):
        self.parameters = list(trainable(training_module).values())
        elements = sum(parameter.numel() for parameter in self.parameters)
        bucket = reduce_bucket(elements) if bucket is None else bucket
        shard = -(-elements // CARDS)
        self.master, self.first, self.second = (torch.zeros(shard, device=device) for _ in range(3))
        self.average = torch.zeros(shard, device=device) if ema else None
        self.gradient = torch.zeros(shard, device=device, dtype=precision)
        self.buckets = [torch.zeros(bucket, device=device, dtype=precision) for _ in range(2)]
        self.filled = 0
        reduce = weakref.WeakMethod(self._reduce)  # a hook's reference to its parameter's owner is never collected
        for parameter in self.parameters:
            parameter.register_post_accumulate_grad_hook(lambda finished: reduce()(finished))

    def _reduce(self, parameter: nn.Parameter) -> None:
        bucket = self.buckets[0]
        for piece in parameter.grad.flatten().split(bucket.numel()):
            bucket[: piece.numel()] = piece
            room = min(piece.numel(), self.gradient.numel() - self.filled)
            self.gradient[self.filled : self.filled + room] = bucket[:room]
            self.filled += room
        parameter.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """AdamW's arithmetic on the shard, in fp32; the weights in the training precision come back from it."""
        gradient = self.gradient.float()
        torch._fused_adamw_(
            [self.master], [gradient], [self.first], [self.second], [], [torch.ones((), device=gradient.device)],
            lr=1e-4, beta1=0.9, beta2=0.999, weight_decay=1e-2, eps=1e-8, amsgrad=False, maximize=False,
        )  # fmt: skip
        del gradient
        if self.average is not None:
            self.average.lerp_(self.master, 1e-3)
        self.master.to(self.gradient.dtype)
        self.filled = 0


def batch(config: Config, device: str) -> tuple[Tensor, Tensor, Tensor]:
    """A random micro-batch."""
    count, side = config.engine.micro_batch, config.data.image_size
    images = torch.randn(count, 3, side, side, device=device)
    return images, (torch.rand(count, LABELS, device=device) < 0.04).float(), torch.arange(count, device=device)


def stepper(config: Config, sharded: bool, device: str = "cuda") -> Callable[[], None]:
    """A function that takes one optimizer step of one micro-batch."""
    training_module = TrainingModule(make_model(config, LABELS), make_loss(config.loss))
    if not sharded:
        engine = build_engine(config, Process(), training_module)

        def whole() -> None:
            engine.micro_step(*batch(config, device), last=True)
            engine.step()

        return whole
    precision = DTYPES[config.engine.precision]
    if config.engine.activation_checkpointing == "blocks":
        enable_activation_checkpointing(training_module.model)
    prepare_half_weights(training_module, precision)
    for parameter in training_module.parameters():
        parameter.data = parameter.data.to(precision)
    training_module.to(device).train()
    state = ShardedStep(training_module, precision, config.train.ema_decay > 0, device)

    def step() -> None:
        images, labels, index = batch(config, device)
        training_module(images.to(precision), labels, index).backward()
        state.step()

    return step


def hold(gib: float) -> int:
    """Limit torch's allocator to what two cards of `gib` would leave it, in bytes, which it returns."""
    total = torch.cuda.get_device_properties(0).total_memory
    limit = max(0, int(gib * GIB - hardware.CONTEXT.likely - hardware.COLLECTIVES.likely))
    torch.cuda.set_per_process_memory_fraction(min(1.0, limit / total))
    return limit


def measure(name: str, steps: int, gib: float = 12) -> Rows:
    """Run the configuration's steps on a GPU held to `gib`; a row of predicted and measured bytes and steps a second.

    One process runs `single` where two would run DDP. What does not fit is a row too, with `refused`.
    """
    sharded = name != "resnet101_448"
    overrides = ["model.weights=none"] + ([] if sharded else ["engine.name=single"])
    config = load_config(ROOT / "configs" / f"{name}.yaml", overrides)
    if not sharded:
        config = _with_engine(config, global_batch=config.engine.micro_batch)
    planner = Planner(config, CARDS if sharded else 1, int(gib * GIB))
    estimate = planner.estimate(planner.configured())
    settings = estimate.settings
    config = _with_engine(
        config, name=settings.engine, micro_batch=settings.micro_batch, activation_checkpointing=settings.checkpointing,
        global_batch=settings.micro_batch * (CARDS if sharded else 1),
    )  # fmt: skip
    row = estimate.settings.overrides() | {"stand_in": sharded, "limit_bytes": hold(gib)}
    row |= {"before_bytes": torch.cuda.memory_allocated(), "predicted_bytes": estimate.allocated}
    torch.manual_seed(0)
    try:
        yield row | _measured(stepper(config, sharded), steps, estimate)
    except torch.OutOfMemoryError as error:
        yield row | {"refused": first_line(error)}


def _with_engine(config: Config, **settings: object) -> Config:
    return config.model_copy(update={"engine": config.engine.model_copy(update=settings)})


def _measured(step: Callable[[], None], steps: int, estimate: Estimate) -> Row:
    torch.cuda.reset_peak_memory_stats()
    step()
    torch.cuda.synchronize()
    began = time.perf_counter()
    for _ in range(steps):
        step()
    torch.cuda.synchronize()
    seconds, measured = time.perf_counter() - began, torch.cuda.max_memory_allocated()
    row = {"measured_bytes": measured, "reserved_bytes": torch.cuda.max_memory_reserved()}
    row |= {"predicted_over_measured": round(estimate.allocated / measured, 3)}
    return row | {"steps_per_second": round(steps / seconds, 3)}
