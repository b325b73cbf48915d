"""Forward + backward of the losses against what people use, interleaved in one process: `python -m bench.losses`.

Appends rows to bench/results/losses.jsonl and writes the tables of docs/losses.md and README.md; `--quick` runs 64×80
only, `--table` only writes the tables. Inputs rotate past the caches at small sizes. On the CPU the peak is of this
process's resident memory, so each contender's is measured in a process of its own (`--peak CONTENDER B K`).
"""

import argparse
import json
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor

from bench.loss_contenders import (
    InPlaceAsymmetric,
    compiled,
    textbook_an,
    textbook_asymmetric,
    textbook_epr,
    textbook_role,
)
from bench.loss_table import write_summary, write_table
from bench.timing import interleaved, provenance, quantiles_ms
from mlcfast import ops
from mlcfast.ops.asymmetric_loss.reference import asymmetric_loss as asymmetric_reference
from mlcfast.ops.epr_loss.reference import epr_loss as epr_reference
from mlcfast.ops.role_loss.reference import role_loss as role_reference
from mlcfast.ops.weighted_bce.reference import weighted_bce as bce_reference

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "bench" / "results" / "losses.jsonl"
SHAPES = ((16, 80), (64, 80), (256, 80), (4096, 80), (16, 9605), (64, 9605), (256, 9605), (4096, 9605))
SETS = 4


def contenders(loss: str) -> dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]]:
    """name -> loss(logits, float labels, estimate logits)."""
    if loss == "role":
        fast = compiled(lambda x, y, e: role_reference(x, y, e, 2.9))
        return {
            "mlcfast": lambda x, y, e: ops.role_loss(x, y, e, 2.9),
            "textbook": textbook_role,
            "torch.compile": fast,
        }
    if loss == "epr":
        fast = compiled(lambda x, y: epr_reference(x, y, 2.9))
        found = {"mlcfast": lambda x, y: ops.epr_loss(x, y, 2.9), "textbook": textbook_epr, "torch.compile": fast}
    elif loss == "an":
        found = {"mlcfast": ops.weighted_bce, "textbook": textbook_an, "torch.compile": compiled(bce_reference)}
    else:
        found = {"mlcfast": ops.asymmetric_loss, "textbook": textbook_asymmetric, "in-place": InPlaceAsymmetric()}
        found |= {"torch.compile": compiled(asymmetric_reference), "torchvision focal": focal}
    return {name: _two_inputs(function) for name, function in found.items()}


def focal(x: Tensor, y: Tensor) -> Tensor:
    """torchvision's focal loss: a different loss of a similar shape."""
    from torchvision.ops import sigmoid_focal_loss

    return sigmoid_focal_loss(x, y, reduction="mean")


def _two_inputs(function: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    return lambda x, y, e: function(x, y)


def make_inputs(B: int, K: int, device: str, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """Logits, float labels with 3 % positives, an estimator's logits; the first and the last learn."""
    logits = torch.randn(B, K, device=device).to(dtype).requires_grad_()
    labels = (torch.rand(B, K, device=device) < 0.03).float()
    return logits, labels, torch.randn(B, K, device=device).requires_grad_()


def stepper(function: Callable, sets: list[tuple[Tensor, Tensor, Tensor]]) -> Callable[[], None]:
    """Forward and backward on the next of the rotating inputs."""
    turn = [0]

    def step() -> None:
        x, y, e = sets[turn[0] % len(sets)]
        turn[0] += 1
        x.grad = e.grad = None
        function(x, y, e).backward()

    return step


def repeated(step: Callable[[], None], times: int) -> Callable[[], None]:
    """`times` steps as one, so that a small one is not timed right after another contender has emptied the caches."""

    def steps() -> None:
        for _ in range(times):
            step()

    return steps


def measure(loss: str, B: int, K: int, device: str, dtype: torch.dtype, rounds: int) -> list[dict]:
    """One row for each contender, all checked against the first before they are timed."""
    sets = [make_inputs(B, K, device, dtype) for _ in range(SETS if B * K < 2**22 else 1)]
    functions = contenders(loss)
    expected = functions["mlcfast"](*sets[0]).item()
    for name, function in functions.items():
        found = function(*sets[0]).item()
        if "torchvision" not in name and abs(found - expected) > 1e-3 * abs(expected):
            raise RuntimeError(f"{loss} by {name} gives {found}, mlcfast {expected}")
    steps = 20 if B * K < 2**17 else 1
    timed = {name: repeated(stepper(function, sets), steps) for name, function in functions.items()}
    seconds = {name: [t / steps for t in times] for name, times in interleaved(timed, rounds, device).items()}
    common = {
        "loss": loss,
        "B": B,
        "K": K,
        "dtype": str(dtype)[6:],
        "rounds": rounds,
        "steps": 20 if B * K < 2**17 else 1,
        **provenance(device),
    }
    size = torch.finfo(dtype).bits // 8
    floor = B * K * (2 * size + 4)
    return [
        common | {"contender": name, **quantiles_ms(times), "floor_gb_s": floor / sorted(times)[len(times) // 2] / 1e9}
        for name, times in seconds.items()
    ]


def peak_bytes(name: str, B: int, K: int) -> int:
    """What one asymmetric step of `name` adds to the resident memory's high-water mark, in this fresh process."""
    x, y, e = make_inputs(B, K, "cpu", torch.float32)
    small = make_inputs(64, 80, "cpu", torch.float32)
    function = contenders("asymmetric")[name]
    function(*small).backward()
    if name == "torch.compile":
        function = contenders("asymmetric")[name]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    function(x, y, e).backward()
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024


def peak_rows(B: int, K: int) -> list[dict]:
    """Peak memory of every asymmetric contender at (B, K), each in its own process, in units of one gradient too."""
    rows = []
    for name in contenders("asymmetric"):
        command = [sys.executable, "-m", "bench.losses", "--peak", name, str(B), str(K)]
        peak = int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        rows.append({"loss": "asymmetric", "B": B, "K": K, "contender": name, "peak_bytes": peak,
                     "gradients": round(peak / (4 * B * K), 2), **provenance("cpu")})  # fmt: skip
    return rows


def main() -> None:
    """Parse, measure, append, write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--losses", default="asymmetric,an,epr,role")
    parser.add_argument("--shapes", default="", help="such as 64x80,4096x9605; default all")
    parser.add_argument("--dtypes", default="float32", help="float32,bfloat16,float16")
    parser.add_argument("--peaks", action="store_true", help="measure peak memory at 4096x9605 instead")
    parser.add_argument("--peak", nargs=3, metavar=("CONTENDER", "B", "K"))
    options = parser.parse_args()
    if options.peak:
        print(peak_bytes(options.peak[0], int(options.peak[1]), int(options.peak[2])))
        return
    device = "cuda" if torch.cuda.is_available() else "cpu"
    shapes = [tuple(map(int, s.split("x"))) for s in options.shapes.split(",") if s] or list(SHAPES)
    shapes = [(64, 80)] if options.quick else shapes
    RESULTS.parent.mkdir(exist_ok=True)
    rows = [] if options.table else peak_rows(4096, 9605) if options.peaks else timings(options, shapes, device)
    with RESULTS.open("a") as file:
        for row in rows:
            file.write(json.dumps(row) + "\n")
            print(json.dumps(row), flush=True)
    write_table(RESULTS, ROOT / "docs" / "losses.md")
    write_summary(RESULTS, ROOT / "README.md")


def timings(options: argparse.Namespace, shapes: list[tuple[int, int]], device: str) -> Iterator[dict]:
    """Rows of every loss, dtype and shape asked for, as they are measured."""
    for loss in options.losses.split(","):
        for dtype in options.dtypes.split(","):
            for B, K in shapes:
                rounds = 7 if B * K > 2**24 else 40 if B * K > 2**20 else 100
                yield from measure(loss, B, K, device, getattr(torch, dtype), rounds)


if __name__ == "__main__":
    main()
