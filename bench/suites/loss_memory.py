"""Peak resident memory of one asymmetric step on the CPU by each contender, in a process of its own.

`gradients` is the peak in units of one fp32 gradient. On a GPU the losses suite has the allocator's peak in every row.

Options: shape=4096x9605.
"""

from collections.abc import Iterator

import torch

from bench.baselines.losses import COMPILED, OPERATORS, OURS, contenders, make_inputs
from bench.record import Row
from bench.suites import Context, cpu_only, first_line
from bench.timing import in_own_process, peak_resident_bytes
from mlcfast.ops.backend import choose

LONGEST = 20.0  # seconds a contender may take with its process and its compilation


def rows(context: Context) -> Iterator[Row]:
    """One row a contender."""
    cpu_only(context)
    B, K = map(int, context.options["shape"].split("x"))
    common = {"loss": "asymmetric", "B": B, "K": K, "dtype": "float32"}
    for name in contenders("asymmetric"):
        refused = context.refusal((OPERATORS["asymmetric"], choose("cpu"))) if name == OURS else None
        if refused or context.left() < LONGEST:
            yield common | {"contender": name, "refused": refused or "no time left"}
            continue
        try:
            peak = in_own_process(extra_peak_bytes, name, B, K)
        except Exception as error:  # whatever a contender raises, the others are still to be measured
            yield common | {"contender": name, "refused": first_line(error)}
        else:
            yield common | {"contender": name, "peak_bytes": peak, "gradients": round(peak / (4 * B * K), 2)}


def extra_peak_bytes(name: str, B: int, K: int) -> int:
    """What one asymmetric step of `name` adds to the resident memory's high-water mark of this fresh process."""
    inputs = make_inputs(B, K, "cpu", torch.float32)
    function = contenders("asymmetric")[name]
    function(*make_inputs(64, 80, "cpu", torch.float32)).backward()  # what a first call loads is not the step's
    if name == COMPILED:  # for another shape it is compiled anew
        function = contenders("asymmetric")[name]
    before = peak_resident_bytes()
    function(*inputs).backward()
    return peak_resident_bytes() - before
