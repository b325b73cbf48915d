"""Peak resident memory of one asymmetric step on the CPU by each contender, in a process of its own.

`gradients` is the peak in units of one fp32 gradient. On a GPU the losses suite has the allocator's peak in every row.
"""

import torch

from bench.baselines.losses import COMPILED, OPERATORS, OURS, contenders, make_inputs
from bench.suites import Context, Row, Rows, attempt
from bench.timing import in_own_process, peak_resident_bytes
from mlcfast.ops.backend import choose

LONGEST = 20.0  # seconds a contender may take with its process and its compilation


def rows(context: Context) -> Rows:
    """One row a contender."""
    context.cpu_only()
    B, K = map(int, context.options["shape"].split("x"))
    for name in contenders("asymmetric"):
        row = {"loss": "asymmetric", "B": B, "K": K, "dtype": "float32", "contender": name}
        wanted = [(OPERATORS["asymmetric"], choose("cpu"))] if name == OURS else []
        yield from attempt(context, LONGEST, row, lambda n=name: [in_own_process(measure, n, B, K)], *wanted)


def measure(name: str, B: int, K: int) -> Row:
    """What one asymmetric step of `name` adds to the resident memory's high-water mark of this fresh process."""
    inputs = make_inputs(B, K, "cpu", torch.float32)
    function = contenders("asymmetric")[name]
    function(*make_inputs(64, 80, "cpu", torch.float32)).backward()  # what a first call loads is not the step's
    if name == COMPILED:  # for another shape it is compiled anew
        function = contenders("asymmetric")[name]
    before = peak_resident_bytes()
    function(*inputs).backward()
    peak = peak_resident_bytes() - before
    return {"peak_bytes": peak, "gradients": round(peak / (4 * B * K), 2)}
