"""How long a step takes, for comparing settings with each other; see hardware.py for the figures behind it."""

import math

from mlcfast.planning import hardware
from mlcfast.planning.state import Settings, moment_bytes
from mlcfast.planning.trace import Sizes, StepTrace


def seconds_per_step(trace: StepTrace, settings: Settings, sizes: Sizes, gpus: int, global_batch: int) -> float:
    """One optimizer step over `global_batch` images.

    Passes: their traced floating-point operations, recomputation included, at a fixed rate, and a fixed time for each
    micro-batch. Optimizer: the bytes that AdamW and the average read and write, at the speed of the memory they are in,
    which all ranks share on the host; gradients and weights cross the bus if it is there.
    """
    images = global_batch / gpus
    passes = trace.flops / settings.micro_batch * images / hardware.FLOPS
    passes += images / settings.micro_batch * hardware.MICRO_BATCH_SECONDS
    owned = sizes.trainable / gpus if settings.engine == "zero2" else sizes.trainable
    # moments twice; weights twice and gradient; the average twice, weights again
    moved = 2 * moment_bytes(settings.optimizer, math.ceil(owned)) + owned * (12 + 12)
    if not settings.offload:
        return passes + moved / hardware.GPU_BANDWIDTH
    return passes + moved * gpus / hardware.HOST_BANDWIDTH + owned * 6 / hardware.LINK_BANDWIDTH
