"""The backward pass of the elementwise losses in Triton: gradient *= incoming · factor, in place.

The factor is read on the device, so nothing waits; where it is 1 (loss.backward()) the programs return at once.
"""

import triton
import triton.language as tl
from torch import Tensor

from mlcfast.ops.triton_launch import BLOCK, NUM_WARPS


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
