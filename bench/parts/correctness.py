"""Every operator by every implementation that runs on the device, against fp64; what fails here is not timed.

Each operator and implementation is tried in a process of its own (bench.check), several at once: a kernel that corrupts
the device fails alone. Without a GPU the Triton kernels run in Triton's interpreter on small problems.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from bench.gate import ROOT, setting
from bench.part import Context

CUT = "out of time"
SETTLING = 8  # seconds kept for writing what the last groups found
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


def rows(context: Context) -> Iterator[dict]:
    """One row a problem, group by group as they finish."""
    at_once = max(1, min(8, (os.cpu_count() or 1) // 2))
    with ThreadPoolExecutor(at_once) as pool:
        pending: set[Future[list[dict]]] = {pool.submit(try_group, context, *group) for group in GROUPS}
        while pending:
            done, pending = wait(pending, return_when=FIRST_COMPLETED)
            for future in done:
                yield from future.result()


def try_group(context: Context, operator: str, backend: str, dtype: str = "") -> list[dict]:
    """The rows of one process; one that crashes adds a failed row, one that runs out of time says after how many."""
    left = context.left() - SETTLING
    if left < 5:
        return [{"operator": operator, "backend": backend, "refused": "no time left"}]
    interpreted = {"TRITON_INTERPRET": "1"} if backend == "triton" and not context.on_gpu else {}
    command = [sys.executable, "-m", "bench.check", operator, backend, "--device", context.device]
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


def _failure(operator: str, backend: str, reason: str, device: str) -> dict:
    case = {"dtype": "-", "case": "the process", "error": None, "bound": None, "passed": False, "reason": reason}
    return {"operator": operator, "backend": backend, **setting(device), **case}
