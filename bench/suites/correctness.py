"""Every operator by every implementation that runs on the device, against fp64; what fails here is not timed.

The cases and bounds are those of tests/ops (bench.cases). Each operator and implementation is tried in a process of its
own, several at once: a kernel that corrupts the device fails alone. Without a GPU the Triton kernels run in Triton's
interpreter on small problems. One group: python -m bench.suites.correctness OPERATOR BACKEND [--device cuda]. Memory
that an operator leaves unwritten is NaN. Where plain torch would run under a kernel's name, nothing is tried.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

import torch

from bench.cases import attention, elementwise, losses
from bench.cases.problem import DRAWS, Problem, type_name, verdict
from bench.record import ROOT, Row, setting
from bench.suites import Context
from mlcfast.ops.backend import choose
from mlcfast.ops.kernels import has_triton
from mlcfast.ops.library import MISSING

CUT = "out of time"
SETTLING = 8  # seconds kept for writing what the last groups found
INTERPRETED_DRAWS = 4
BACKENDS = ("native", "triton")
GROUPS = (
    ("asymmetric_loss", "native"),
    ("label_query_attention", "native"),
    ("groupwise_linear", "native"),
    ("asymmetric_loss", "triton"),
    ("label_query_attention", "triton", "bfloat16"),  # a process a type: compiling its kernels takes longest
    ("label_query_attention", "triton", "float32"),
    ("label_query_attention", "triton", "float16"),
    ("groupwise_linear", "triton"),
    ("layer_norm", "native"),
    ("quick_gelu", "native"),
    ("role_loss", "native"),
    ("epr_loss", "native"),
    ("weighted_bce", "native"),
    ("role_loss", "triton"),
    ("epr_loss", "triton"),
    ("weighted_bce", "triton"),
    ("pairwise_ranking", "native"),
    ("pairwise_ranking", "triton"),
)


def rows(context: Context) -> Iterator[Row]:
    """One row a case, group by group as they finish."""
    at_once = max(1, min(8, (os.cpu_count() or 1) // 2))
    with ThreadPoolExecutor(at_once) as pool:
        pending: set[Future[list[Row]]] = {pool.submit(try_group, context, *group) for group in GROUPS}
        while pending:
            done, pending = wait(pending, return_when=FIRST_COMPLETED)
            for future in done:
                yield from future.result()


def try_group(context: Context, operator: str, backend: str, dtype: str = "") -> list[Row]:
    """The rows of one process; one that crashes adds a failed row, one that runs out of time says after how many."""
    left = context.left() - SETTLING
    if left < 5:
        return [{"operator": operator, "backend": backend, "refused": "no time left"}]
    interpreted = {"TRITON_INTERPRET": "1"} if backend == "triton" and not context.on_gpu else {}
    command = [sys.executable, "-m", "bench.suites.correctness", operator, backend, "--device", context.device]
    command += ["--dtype", dtype] if dtype else []
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as complaints:
        process = subprocess.Popen(command, cwd=ROOT, env=os.environ | interpreted, stdout=out, stderr=complaints)
        try:
            code = process.wait(left)
            trouble = f"exit status {code}" if code else ""
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            trouble = CUT
        out.seek(0)
        complaints.seek(0)
        found = [json.loads(line) for line in out if line.startswith("{") and line.endswith("}\n")]
        if trouble == CUT:
            found.append({"operator": operator, "backend": backend, "refused": f"{CUT} after {len(found)} problems"})
        elif trouble:
            last = (complaints.read().strip().splitlines() or [""])[-1][:200]
            found.append(_failure(operator, backend, f"{trouble}: {last}", context.device))
    return sorted(found, key=lambda row: row.get("passed", True))  # whatever cuts the record short, failures are in it


def _failure(operator: str, backend: str, reason: str, device: str) -> Row:
    case = {"dtype": "-", "case": "the process", "error": None, "bound": None, "passed": False, "reason": reason}
    return {"operator": operator, "backend": backend, **setting(device), **case}


def verdicts(operator: str, backend: str, device: str, size: str, dtype: str | None = None) -> Iterator[Row]:
    """A row for each case of one operator, or those of one type; size: full, moderate or tiny."""
    if operator in losses.OPERATORS:
        yield from (row for row in losses.checks(operator, device, size) if dtype in (None, row["dtype"]))
        return
    for problem in problems(operator, backend, device, size):
        if dtype in (None, type_name(problem.dtype)):
            yield verdict(problem, INTERPRETED_DRAWS if size == "tiny" else DRAWS)


def problems(operator: str, backend: str, device: str, size: str) -> Iterator[Problem]:
    """Those of an operator other than the losses."""
    if operator == "label_query_attention":
        return attention.problems(backend, device, size)
    if operator == "groupwise_linear":
        return elementwise.head_problems(backend, device, size)
    return elementwise.problems(operator, device, size)


def unavailable(operator: str, backend: str, device: str) -> str:
    """Why plain torch would run under this implementation's name, "" if it would not."""
    if operator not in losses.OPERATORS:
        missing = backend == "triton" and not has_triton(device)
        return "Triton is not installed" if missing else ""
    chosen = choose(device)
    return "" if chosen == backend else MISSING.get(device, "") or f"{chosen} would run instead"


def interpreter_trouble() -> str:
    """Why Triton's interpreter does not run with the numpy that is here, "" if it does: it adds up four numbers.

    For processes started with TRITON_INTERPRET=1.
    """
    import numpy
    import triton
    import triton.language as tl

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


def main() -> None:
    """Try every case of one operator; prints a JSON line a case."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("operator")
    parser.add_argument("backend", choices=BACKENDS)
    parser.add_argument("--dtype", help="cases of this type alone")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    args = parser.parse_args()
    os.environ["MLCFAST_BACKEND"] = args.backend
    interpreted = os.environ.get("TRITON_INTERPRET") == "1"
    size = "tiny" if interpreted else "full" if args.device == "cuda" else "moderate"
    torch.manual_seed(0)
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = True
    common = {"operator": args.operator, "backend": args.backend, **setting(args.device)}
    common |= {"interpreted": True} if interpreted else {}
    reason = unavailable(args.operator, args.backend, args.device) or (interpreted and interpreter_trouble())
    if reason:
        print(json.dumps(common | {"refused": reason}), flush=True)
        return
    for row in verdicts(args.operator, args.backend, args.device, size, args.dtype):
        print(json.dumps(common | row), flush=True)


if __name__ == "__main__":
    main()
