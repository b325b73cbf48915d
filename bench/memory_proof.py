"""Planned and measured memory of real steps on one GPU that is held to 12 GiB: python -m bench.memory_proof.

The GPU stands in for the first of two cards. Under ZeRO-2 the second rank's masters, moments, average and gradients lie
on its own card, so here they are not allocated: one process computes on the weights in the training precision and keeps
half of that state on the GPU, zero-filled buffers that are read and written as a step would. The reduction bucket is
there as well. Under DDP, where nothing is partitioned, the engine of a single process runs as it is. What torch's
allocator never sees, the CUDA context and NCCL's buffers, is taken off what it may use, at the planner's figures.

Appends a row for each configuration to bench/results/memory_proof.jsonl; random images and labels.
"""

import argparse
import gc
import json
import sys
import time
import weakref
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from bench.part import first_line
from bench.timing import provenance
from mlcfast.config import Config, load_config
from mlcfast.engine import REDUCE_BUCKET, Process, build_engine
from mlcfast.engine.base import trainable
from mlcfast.engine.model import make_model
from mlcfast.engine.predictor import DTYPES
from mlcfast.engine.training_module import TrainingModule
from mlcfast.models.activation_checkpointing import enable_activation_checkpointing
from mlcfast.models.precision import prepare_half_weights
from mlcfast.planning import Estimate, Planner, hardware
from mlcfast.training.build import make_loss

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results" / "memory_proof.jsonl"
NAMES, CARDS, LABELS, GIB = ("cvt_w24", "swin_l", "resnet101_448"), 2, 80, 2**30


class ShardedStep:
    """One rank's share of ZeRO-2's state for `objective`, and a step that touches all of it.

    Each gradient goes into the reduction bucket as it is finished and this rank's part from there to its shard.
    """

    def __init__(self, objective: TrainingModule, precision: torch.dtype, ema: bool, device: str, bucket: int):
        self.parameters = list(trainable(objective).values())
        elements = sum(parameter.numel() for parameter in self.parameters)
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


def batch(config: Config, device: str) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """A random micro-batch."""
    count, side = config.engine.micro_batch, config.data.image_size
    images = torch.randn(count, 3, side, side, device=device)
    return images, (torch.rand(count, LABELS, device=device) < 0.04).float(), torch.arange(count, device=device)


def stepper(config: Config, sharded: bool, device: str = "cuda", bucket: int = REDUCE_BUCKET) -> Callable[[], None]:
    """A function that takes one optimizer step of one micro-batch."""
    objective = TrainingModule(make_model(config, LABELS), make_loss(config.loss))
    if not sharded:
        engine = build_engine(config, Process(), objective)

        def whole() -> None:
            engine.micro_step(*batch(config, device), last=True)
            engine.step()

        return whole
    precision = DTYPES[config.engine.precision]
    if config.engine.activation_checkpointing == "blocks":
        enable_activation_checkpointing(objective.model)
    prepare_half_weights(objective, precision)
    for parameter in objective.parameters():
        parameter.data = parameter.data.to(precision)
    objective.to(device).train()
    state = ShardedStep(objective, precision, config.train.ema_decay > 0, device, bucket)

    def step() -> None:
        images, labels, index = batch(config, device)
        objective(images.to(precision), labels, index).backward()
        state.step()

    return step


def predicted(config: Config, sharded: bool, gib: float = 12) -> tuple[Config, Estimate]:
    """The settings to run and what the planner says of them; one process runs `single` where two would run DDP."""
    planner = Planner(config, CARDS if sharded else 1, int(gib * GIB))
    estimate = planner.estimate(planner.configured())
    settings = estimate.settings
    engine = {
        "name": settings.engine,
        "micro_batch": settings.micro_batch,
        "global_batch": settings.micro_batch * (CARDS if sharded else 1),
        "activation_checkpointing": settings.checkpointing,
    }
    return config.model_copy(update={"engine": config.engine.model_copy(update=engine)}), estimate


def hold(gib: float) -> int:
    """Limit torch's allocator to what two cards of `gib` would leave it, in bytes, which it returns."""
    total = torch.cuda.get_device_properties(0).total_memory
    limit = max(0, int(gib * GIB) - hardware.CONTEXT - hardware.COLLECTIVES)
    torch.cuda.set_per_process_memory_fraction(min(1.0, limit / total))
    return limit


def release() -> None:
    """Give back what the last configuration held, so that it is not counted against the next."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def measure(name: str, steps: int, gib: float = 12) -> dict:
    """Run the configuration's steps on a GPU held to `gib`; a row of predicted and measured bytes and steps a second.

    One that does not fit is a row too, with `refused`.
    """
    sharded = name != "resnet101_448"
    overrides = ["model.weights=none"] + ([] if sharded else ["engine.name=single"])
    config = load_config(ROOT / "configs" / f"{name}.yaml", overrides)
    if not sharded:
        engine = config.engine.model_copy(update={"global_batch": config.engine.micro_batch})
        config = config.model_copy(update={"engine": engine})
    config, estimate = predicted(config, sharded, gib)
    release()
    row = {
        **provenance("cuda"),
        "config": name,
        **estimate.settings.overrides(),
        "stand_in": sharded,
        "limit_bytes": hold(gib),
        "before_bytes": torch.cuda.memory_allocated(),
        "predicted_bytes": estimate.allocated,
    }
    torch.manual_seed(0)
    try:
        return row | _measured(stepper(config, sharded), steps, estimate)
    except torch.OutOfMemoryError as error:
        return row | {"refused": first_line(error)}


def _measured(step: Callable[[], None], steps: int, estimate: Estimate) -> dict:
    torch.cuda.reset_peak_memory_stats()
    step()
    torch.cuda.synchronize()
    began = time.perf_counter()
    for _ in range(steps):
        step()
    torch.cuda.synchronize()
    seconds, measured = time.perf_counter() - began, torch.cuda.max_memory_allocated()
    return {
        "measured_bytes": measured,
        "reserved_bytes": torch.cuda.max_memory_reserved(),
        "predicted_over_measured": round(estimate.allocated / measured, 3),
        "steps_per_second": round(steps / seconds, 3),
    }


def main(arguments: list[str] | None = None) -> int:
    """Measure each configuration and record its row; 2 without a GPU."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}; default: all")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--gib", type=float, default=12, help="what the process may use of the GPU")
    args = parser.parse_args(arguments)
    unknown = set(args.names) - set(NAMES)
    if unknown or args.steps < 1 or args.gib <= 0:
        parser.error(f"NAME is one of {', '.join(NAMES)}; --steps is at least 1, --gib more than 0")
    if not torch.cuda.is_available():
        print("memory_proof needs a GPU: torch.cuda.is_available() is false here", file=sys.stderr)
        return 2
    for name in args.names or NAMES:
        row = measure(name, args.steps, args.gib)
        with RESULTS.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        print(json.dumps(row))
    return 0


if __name__ == "__main__":
    sys.exit(main())
