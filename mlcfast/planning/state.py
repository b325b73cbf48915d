"""Weights, gradients, optimizer and average: bytes on each GPU and on the host, by the engines' sharding."""

from dataclasses import dataclass

from mlcfast.engine import reduce_bucket
from mlcfast.planning.trace import Sizes

BLOCK = 256  # elements that share their two scales in 8-bit moments


@dataclass(frozen=True)
class Settings:
    """What the planner may choose: engine single, ddp or zero2; checkpointing none or blocks."""

    engine: str
    checkpointing: str
    offload: bool
    optimizer: str
    micro_batch: int

    def overrides(self) -> dict[str, str | int | bool]:
        """These settings by their keys in the configuration."""
        return {
            "engine.name": self.engine,
            "engine.micro_batch": self.micro_batch,
            "engine.activation_checkpointing": self.checkpointing,
            "engine.offload_optimizer": self.offload,
            "optim.name": self.optimizer,
        }


@dataclass(frozen=True)
class State:
    """Bytes: `gpu` by component, all the time; `step`: more while the optimizer steps, when activations are gone.

    host: in the host's memory, with the copy of this rank's share of a checkpoint.
    """

    gpu: dict[str, int]
    step: int
    host: int


def moment_bytes(optimizer: str, elements: int) -> int:
    """Both of Adam's moments: fp32, or for adamw8bit a byte each and an fp32 scale a block and moment."""
    return 2 * elements + 8 * -(-elements // BLOCK) if optimizer == "adamw8bit" else 8 * elements


def copied_bytes(sizes: Sizes, gpus: int, ema: bool) -> int:
    """A rank's share of the state as it is copied to be written beside training; its moments are in fp32 there."""
    weights, average = sizes.trainable + sizes.frozen + sizes.buffers, (sizes.trainable + sizes.buffers) * ema
    return -(-4 * (weights + average + 2 * sizes.trainable) // gpus)


def state_bytes(sizes: Sizes, settings: Settings, gpus: int, precision: str, ema: bool, accumulates: bool) -> State:
    """Bytes that one rank holds, on its host too. accumulates: several micro-batches make a step."""
    if settings.engine == "zero2":
        return _zero2(sizes, settings, gpus, precision, ema, accumulates)
    grads = 4 * sizes.trainable
    if settings.engine == "ddp" and accumulates:
        grads *= 2  # micro-batches that are not exchanged add up beside the buckets
    if settings.engine == "single" and not accumulates:
        grads = 0  # traced: they come one by one while activations go
    gpu = {
        "parameters": 4 * (sizes.trainable + sizes.frozen + sizes.buffers),
        "gradients": grads,
        "optimizer": moment_bytes(settings.optimizer, sizes.trainable),
        "ema": 4 * (sizes.trainable + sizes.buffers) * ema,
    }
    late = 4 * sizes.trainable if settings.engine == "single" and not accumulates else 0
    return State(gpu, late, copied_bytes(sizes, gpus, ema))


def _zero2(sizes: Sizes, settings: Settings, gpus: int, precision: str, ema: bool, accumulates: bool) -> State:
    offload = settings.offload
    width = 4 if precision == "fp32" else 2
    shard = -(-sizes.trainable // gpus)
    # DeepSpeed gathers whole tensors, so that one which straddles the boundary lies in two partitions; several
    # micro-batches add up in fp32 (engine/zero2.py). While a bucket is reduced, up to all of it is copied once more.
    gradient = 4 * shard if accumulates else width * (shard + sizes.largest)
    gradient *= not (offload and not accumulates)
    buckets = 2 * width * reduce_bucket(sizes.trainable)
    optimizer, average = 4 * shard + moment_bytes(settings.optimizer, shard), 4 * shard * ema
    gpu = {
        "parameters": width * (sizes.trainable + sizes.frozen + sizes.buffers),
        "gradients": gradient + buckets + (width * sizes.largest if offload else 0),
        "optimizer": 0 if offload else optimizer,
        "ema": (0 if offload else average) + 4 * sizes.buffers * ema,
    }
    # The host also holds fp32 gradients and the half-precision weights on their way back.
    host = optimizer + average + (4 + width) * shard if offload else 0
    step = 0 if offload else (4 + width) * shard  # the flat gradient in fp32, and before that in the training precision
    return State(gpu, step, host + copied_bytes(sizes, gpus, ema))
