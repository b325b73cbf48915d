"""Host side of the elementwise Triton kernels: outputs allocated, one launch, the loss reduced."""

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from mlcfast.ops.autograd import HALF_UNIT, REDUCTION_CODES
from mlcfast.ops.kernels import INTERPRETED
from mlcfast.ops.library import fake_gradient, fake_loss
from mlcfast.ops.triton_launch import BLOCK, NUM_WARPS, as_loaded, launch_size, total_of


class Kernel(Protocol):
    """A compiled Triton kernel: kernel[grid](…) launches it."""

    def __getitem__(self, grid: tuple[int, ...]) -> Callable[..., object]: ...


def run_elementwise(
    kernel: Kernel,
    logits: Tensor,
    labels: Tensor,
    others: tuple[object, ...],
    reduction: int,
    scale: float,
    with_gradient: bool,
    **constants: object,
) -> tuple[Tensor, Tensor]:
    """Launch kernel(logits, labels, loss, gradient, *others, loss_scale, gradient_scale, entries, chunk, …)."""
    logits, labels = logits.contiguous(), as_loaded(labels)
    entries = logits.numel()
    gradient = fake_gradient(logits, with_gradient)
    whole = reduction == REDUCTION_CODES["none"]
    if entries == 0:
        return fake_loss(logits, reduction).zero_(), gradient
    reduced = scale / entries if reduction == REDUCTION_CODES["mean"] else scale
    programs, chunk = launch_size(entries)
    loss = torch.empty(logits.shape if whole else programs, dtype=torch.float32, device=logits.device)
    unit = HALF_UNIT if logits.dtype == torch.float16 else reduced
    cut_off = INTERPRETED and logits.dtype == torch.bfloat16  # the interpreter does not round to bf16
    stored = gradient.float() if cut_off else gradient
    kernel[(programs,)](
        logits, labels, loss, stored, *others, reduced, unit, entries, chunk,
        PER_ENTRY=whole, WITH_GRADIENT=with_gradient, BLOCK=BLOCK, num_warps=NUM_WARPS, **constants,
    )  # fmt: skip
    if cut_off:
        gradient.copy_(stored)
    return (loss if whole else total_of(loss)), gradient
