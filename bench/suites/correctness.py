"""Every operator by every implementation that runs on the device, against fp64; what fails here is not timed.

The cases and bounds are those of tests/ops (bench.cases). Each operator and implementation is tried in a process of its
own (this module with OPERATOR BACKEND DEVICE), several at once: a kernel that corrupts the device fails alone. Without
a GPU the Triton kernels run in Triton's interpreter on small problems. Memory that is left unwritten is NaN.
"""

import json
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import partial

import torch

from bench.cases import attention, elementwise, losses
from bench.cases.interpreter import let_scalars_be_indices
from bench.cases.problem import DRAWS, verdict
from bench.record import ROOT, setting
from bench.suites import Context, Row, Rows
from mlcfast.ops.backend import choose, has_triton
from mlcfast.ops.library import MISSING

CUT = "out of time"
SETTLING = 8  # seconds kept for writing what the last groups found
INTERPRETED_DRAWS = 4
OTHERS = {"label_query_attention": attention.problems, "groupwise_linear": elementwise.head_problems}
GROUPS = (  # a process a type for the attention by Triton: compiling its kernels takes longest
    "asymmetric_loss native", "label_query_attention native", "groupwise_linear native", "asymmetric_loss triton",
    "label_query_attention triton bfloat16", "label_query_attention triton float32",
    "label_query_attention triton float16", "groupwise_linear triton", "layer_norm native", "quick_gelu native",
    "role_loss native", "epr_loss native", "weighted_bce native", "role_loss triton", "epr_loss triton",
    "weighted_bce triton", "pairwise_ranking native", "pairwise_ranking triton",
)  # fmt: skip


def rows(context: Context) -> Rows:
    """One row a case, group by group as they finish."""
    at_once = max(1, min(8, (os.cpu_count() or 1) // 2))
    groups = GROUPS if context.on_gpu else sorted(GROUPS, key=lambda group: "triton" in group)  # what is timed first
    with ThreadPoolExecutor(at_once) as pool:
        for future in as_completed([pool.submit(try_group, context, *group.split()) for group in groups]):
            yield from future.result()


def try_group(context: Context, operator: str, backend: str, *dtype: str) -> list[Row]:
    """The rows of one process; one that crashes adds a failed row, one that runs out of time says after how many."""
    left = context.left() - SETTLING
    if left < 5:
        return [{"operator": operator, "backend": backend, "refused": "no time left"}]
    interpreted = {"TRITON_INTERPRET": "1"} if backend == "triton" and not context.on_gpu else {}
    command = [sys.executable, "-m", "bench.suites.correctness", operator, backend, context.device, *dtype]
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as complaints:
        environment = os.environ | interpreted
        try:
            done = subprocess.run(command, cwd=ROOT, env=environment, stdout=out, stderr=complaints, timeout=left)
            trouble = f"exit status {done.returncode}" if done.returncode else ""
        except subprocess.TimeoutExpired:
            trouble = CUT
        out.seek(0)
        complaints.seek(0)
        found = [json.loads(line) for line in out if line.startswith("{") and line.endswith("}\n")]
        if trouble == CUT:
            found.append({"operator": operator, "backend": backend, "refused": f"{CUT} after {len(found)} problems"})
        elif trouble:
            last = (complaints.read().strip().splitlines() or [""])[-1][:200]
            case = {"dtype": "-", "case": "the process", "passed": False, "reason": f"{trouble}: {last}"}
            found.append({"operator": operator, "backend": backend, **setting(context.device), **case})
    return sorted(found, key=lambda row: row.get("passed", True))  # whatever cuts the record short, failures are in it


def verdicts(operator: str, backend: str, device: str, size: str, dtype: str | None = None) -> Rows:
    """A row for each case of one operator, or those of one type; size: full, moderate or tiny."""
    if operator in losses.OPERATORS:
        yield from (row for row in losses.checks(operator, device, size) if dtype in (None, row["dtype"]))
        return
    for problem in OTHERS.get(operator, partial(elementwise.problems, operator))(backend, device, size):
        if dtype in (None, str(problem.dtype).removeprefix("torch.")):
            yield verdict(problem, INTERPRETED_DRAWS if size == "tiny" else DRAWS)


def unavailable(operator: str, backend: str, device: str) -> str:
    """Why plain torch would run under this implementation's name, "" if it would not."""
    if operator not in losses.OPERATORS:
        return "Triton is not installed" if backend == "triton" and not has_triton(device) else ""
    chosen = choose(device)
    return "" if chosen == backend else MISSING.get(device, "") or f"{chosen} would run instead"


def interpreter_trouble() -> str:
    """Why Triton's interpreter does not run with the numpy that is here, "" if it does: it adds up four numbers."""
    import numpy
    import triton
    import triton.language as tl

    let_scalars_be_indices()

    @triton.jit
    def add_up(x, out, count):
        total = 0.0
        for at in range(count):
            total += tl.load(x + at)
        tl.store(out, total)

    numbers, out = torch.arange(4.0), torch.zeros(1)
    try:
        add_up[(1,)](numbers, out, 4)
    except Exception as error:  # whatever the interpreter raises
        return f"Triton {triton.__version__}'s interpreter fails with numpy {numpy.__version__}: {error}"
    return "" if out.item() == 6 else f"Triton {triton.__version__}'s interpreter adds up to {out.item()}, not 6"


def main(operator: str, backend: str, device: str, dtype: str | None = None) -> None:
    """Try every case of one operator; prints a JSON line a case."""
    os.environ["MLCFAST_BACKEND"] = backend
    interpreted = os.environ.get("TRITON_INTERPRET") == "1"
    size = "tiny" if interpreted else "full" if device == "cuda" else "moderate"
    torch.manual_seed(0)
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = True
    common = {"operator": operator, "backend": backend, **setting(device)}
    common |= {"interpreted": True} if interpreted else {}
    reason = unavailable(operator, backend, device) or (interpreted and interpreter_trouble())
    for row in [{"refused": reason}] if reason else verdicts(operator, backend, device, size, dtype):
        print(json.dumps(common | row), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
