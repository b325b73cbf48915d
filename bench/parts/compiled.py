"""Registers, spills and shared memory of the attention's Triton kernels, compiled ahead of time for this device."""

from collections.abc import Iterator

import torch

from bench.part import Context, needs

WITHOUT_GPU = (80, 86, 90, 120)


def rows(context: Context) -> Iterator[dict]:
    """One row a kernel and dtype, for the device's architecture or, without one, for four that are in use."""
    needs("triton")
    from bench.triton_resources import KERNELS, resources

    major, minor = torch.cuda.get_device_capability() if context.on_gpu else (0, 0)
    architectures = (10 * major + minor,) if context.on_gpu else WITHOUT_GPU
    for arch in architectures:
        for dtype in ("bf16", "fp32"):
            for kernel in KERNELS:
                yield resources(kernel, dtype, arch)
