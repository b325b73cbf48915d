"""Figures of a GeForce RTX 3060 that no trace gives, in bytes and speeds, and the time of a step by them.

The card has 12 GB. None of these figures has been measured on such a card here; each says where it comes from.
"""

import math

from mlcfast.planning.state import Settings, moment_bytes
from mlcfast.planning.trace import Sizes, StepTrace

MIB = 2**20
GIB = 2**30

# A CUDA context with lazily loaded kernels; nvidia-smi shows 150 to 300 MiB for a process that has done little else.
CONTEXT = 300 * MIB
# NCCL's channels and proxy buffers for a few ranks on one host: some 4 MiB a channel and protocol (NCCL_BUFFSIZE).
COLLECTIVES = 150 * MIB
# cuBLAS asks torch for 4096 KiB x 2 + 16 KiB x 8 a handle (CUBLAS_WORKSPACE_CONFIG's default before Hopper), once for
# the forward thread and once for autograd's, cuBLASLt 1 MiB each; cuDNN's convolution algorithms get what remains.
WORKSPACES = 64 * MIB
# Of what torch allocates and frees within a step, this share again is lost to holes between blocks.
FRAGMENTATION = 0.04

FLOPS = 10e12  # matrix products in bf16 with fp32 sums: 40 % of the card's 25.6e12
GPU_BANDWIDTH = 250e9  # 70 % of the card's 360e9 bytes a second
HOST_BANDWIDTH = 20e9  # a desktop's two memory channels, shared by all ranks of the host
LINK_BANDWIDTH = 10e9  # PCIe 4.0, 8 lanes, one direction
MICRO_BATCH_SECONDS = 0.05  # launching a pass's kernels and what else does not grow with the images


def seconds_per_step(trace: StepTrace, settings: Settings, sizes: Sizes, gpus: int, global_batch: int) -> float:
    """One optimizer step over `global_batch` images, for comparing settings with each other.

    Passes: their traced floating-point operations, recomputation included, at a fixed rate, and a fixed time for each
    micro-batch. Optimizer: the bytes that AdamW and the average read and write, at the speed of the memory they are in,
    which all ranks share on the host; gradients and weights cross the bus if it is there.
    """
    images = global_batch / gpus
    passes = trace.flops / settings.micro_batch * images / FLOPS
    passes += images / settings.micro_batch * MICRO_BATCH_SECONDS
    owned = sizes.trainable / gpus if settings.engine == "zero2" else sizes.trainable
    # Bytes moved: read and write of both moments, of weight and average; one read of gradient and weight.
    moved = 2 * moment_bytes(settings.optimizer, math.ceil(owned)) + owned * (12 + 12)
    if not settings.offload:
        return passes + moved / GPU_BANDWIDTH
    return passes + moved * gpus / HOST_BANDWIDTH + owned * 6 / LINK_BANDWIDTH
