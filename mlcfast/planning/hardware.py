"""Figures of a GeForce RTX 3060 that no trace gives, in bytes and speeds, and the time of a step by them.

The card has 12 GB. None of these figures has been measured on such a card here; each says where it comes from.
"""

import math
from typing import NamedTuple

from mlcfast.planning.state import Settings, moment_bytes
from mlcfast.planning.trace import Sizes, StepTrace

MIB = 2**20
GIB = 2**30


class Range(NamedTuple):
    """A figure with bounds that it should keep within: `likely` is planned with, the others are the error bar."""

    least: float
    likely: float
    most: float


# A CUDA context with lazily loaded kernels: nvidia-smi shows 150 to 300 MiB for a process that has done little else,
# and twice that where kernels are loaded at once (CUDA_MODULE_LOADING=EAGER) or the card has many multiprocessors.
CONTEXT = Range(150 * MIB, 300 * MIB, 600 * MIB)
# NCCL's channels and proxy buffers for a few ranks on one host: some 4 MiB a channel and protocol (NCCL_BUFFSIZE), from
# two channels over shared memory to many over peer access.
COLLECTIVES = Range(30 * MIB, 150 * MIB, 400 * MIB)
# cuBLAS asks torch for 4096 KiB x 2 + 16 KiB x 8 a handle (CUBLAS_WORKSPACE_CONFIG's default before Hopper, 32 MiB
# from there on), once for the forward thread and once for autograd's, cuBLASLt 1 MiB each; cuDNN's convolution
# algorithms get what remains, and may ask for more.
WORKSPACES = Range(18 * MIB, 64 * MIB, 256 * MIB)
# Of what torch allocates and frees within a step, this share again is lost to holes between blocks: pages of 2 MiB that
# are not full with expandable segments, which every command asks for, more without them (other settings, Windows).
FRAGMENTATION = Range(0.0, 0.04, 0.12)
# What a step allocates, by what its trace counts: on the CPU 0.98 to 1.04, where it computes in the same types as a GPU
# (`python -m bench.run counted_memory`); the GPU's kernels may differ more.
COUNTED = Range(0.97, 1.0, 1.06)

FLOPS = 10e12  # matrix products in bf16 with fp32 sums: 40 % of the card's 25.6e12
GPU_BANDWIDTH = 250e9  # 70 % of the card's 360e9 bytes a second
HOST_BANDWIDTH = 20e9  # a desktop's two memory channels, shared by all ranks of the host
LINK_BANDWIDTH = 10e9  # PCIe 4.0, 8 lanes, one direction
MICRO_BATCH_SECONDS = 0.05  # launching a pass's kernels and what else does not grow with the images


def fixed(passes: Range, gpus: int) -> Range:
    """Bytes beside what a rank allocates by itself; passes: of activations and temporaries, which leave holes."""
    held = [CONTEXT, WORKSPACES, *([COLLECTIVES] if gpus > 1 else [])]
    holes = [share * count for share, count in zip(FRAGMENTATION, passes, strict=True)]
    return Range(*(math.ceil(sum(parts)) for parts in zip(*held, holes, strict=True)))


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
