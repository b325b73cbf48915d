"""Whether Triton's interpreter runs at all with the numpy that is here, found by adding up four numbers."""

import numpy
import torch
import triton
import triton.language as tl


@triton.jit
def _sum(x, out, count):
    total = 0.0
    for at in range(count):
        total += tl.load(x + at)
    tl.store(out, total)


def trouble() -> str:
    """Why the interpreter does not run, "" if it does; for processes started with TRITON_INTERPRET=1."""
    x, out = torch.arange(4.0), torch.zeros(1)
    try:
        _sum[(1,)](x, out, 4)
    except Exception as error:  # whatever the interpreter raises
        return f"Triton {triton.__version__}'s interpreter fails with numpy {numpy.__version__}: {error}"
    return "" if out.item() == 6 else f"Triton {triton.__version__}'s interpreter adds up to {out.item()}, not 6"
