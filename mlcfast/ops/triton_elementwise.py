"""The host side of the elementwise Triton kernels, and the kernel of their backward pass.

Forward: outputs allocated, one launch, the loss reduced. Backward: gradient *= incoming · factor, in place; the factor
is read on the device, so nothing waits, and where it is 1 (loss.backward()) the programs return at once.
"""

from collections.abc import Callable
from typing import Protocol

import torch
import triton
import triton.language as tl
from torch import Tensor

from mlcfast.ops.autograd import HALF_UNIT, REDUCTION_CODES
from mlcfast.ops.backend import INTERPRETED
from mlcfast.ops.library import fake_gradient, fake_loss
from mlcfast.ops.tiles import chosen_tile
from mlcfast.ops.triton_launch import BLOCK, NUM_WARPS, as_loaded, launch_size, total_of


class Kernel(Protocol):
    """A compiled Triton kernel: kernel[grid](…) launches it."""

    __name__: str

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
    chosen = chosen_tile(kernel.__name__, logits, entries)
    programs, chunk = launch_size(entries, chosen)
    loss = torch.empty(logits.shape if whole else programs, dtype=torch.float32, device=logits.device)
    unit = HALF_UNIT if logits.dtype == torch.float16 else reduced
    cut_off = INTERPRETED and logits.dtype == torch.bfloat16  # the interpreter does not round to bf16
    stored = gradient.float() if cut_off else gradient
    kernel[(programs,)](
        logits, labels, loss, stored, *others, reduced, unit, entries, chunk,
        PER_ENTRY=whole, WITH_GRADIENT=with_gradient, BLOCK=chosen["BLOCK"], num_warps=chosen["num_warps"],
        **constants,
    )  # fmt: skip
    if cut_off:
        gradient.copy_(stored)
    return (loss if whole else total_of(loss)), gradient


@triton.jit
def rescale_kernel(gradient, incoming, factor, entries, BLOCK: tl.constexpr):
    """One program a block."""
    scale = tl.load(incoming).to(tl.float32) * factor
    if scale != 1.0:
        at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
        inside = at < entries
        value = tl.load(gradient + at, mask=inside, other=0.0).to(tl.float32) * scale
        tl.store(gradient + at, value.to(gradient.dtype.element_ty), mask=inside)


def rescale_(gradient: Tensor, incoming: Tensor, factor: float, mean: bool) -> None:
    """gradient: contiguous; incoming: the scalar gradient of the loss; mean: divide by the number of entries too."""
    entries = gradient.numel()
    if entries:
        factor = factor / entries if mean else factor
        rescale_kernel[(triton.cdiv(entries, BLOCK),)](
            gradient, incoming, factor, entries, BLOCK=BLOCK, num_warps=NUM_WARPS
        )
