"""One command that measures everything on the device there is: python -m bench.run [PART …] [--minutes 10]

Builds csrc, measures the device's own ceilings, proves every operator against fp64, then times operators and training
steps and holds a GPU to 12 GiB. Each part runs in a process of its own, so that a crash or a timeout costs that part
alone; rows are in bench/results/<device>-<date>.jsonl as soon as they are measured. What needs a package or a GPU that
is not there says so in its row. Implementations that fail their tests are not timed. Without a GPU the same command
checks what can be checked: the CPU's kernels, Triton's in its interpreter and ahead of time.

`python -m bench.tables` turns the records into the tables and plots of the documentation.
"""

import argparse
import datetime
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import torch

from bench.gate import ROOT, setting
from bench.parts import GATED, SHARES
from bench.record import append, read, record_path
from bench.timing import provenance

GRACE = 8  # seconds a part may overrun its own time before it is stopped; as many go to starting
FORCING = ("MLCFAST_BACKEND", "TRITON_INTERPRET")  # a part times what a user gets, and asks for the rest itself


def main(arguments: list[str] | None = None) -> int:
    """Run the parts asked for; 1 if one crashed or an operator failed its tests."""
    args = _parse(arguments)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    began = datetime.datetime.now(datetime.UTC)
    where = provenance(device)
    record = args.record or record_path(str(where["device"]), began.date())
    run = began.strftime("%Y%m%dT%H%M%SZ")
    append(record, {"run": run, "part": "run", "event": "begin", **where, **setting(device), "minutes": args.minutes})
    started = time.monotonic()
    deadline = started + 60 * args.minutes - 2 * GRACE
    parts = _with_correctness(args.parts or list(SHARES), record, device)
    for i, part in enumerate(parts):
        left = deadline - time.monotonic()
        seconds = left * SHARES[part] / sum(SHARES[later] for later in parts[i:])
        run_part(part, record, run, device, seconds)
    took = round(time.monotonic() - started, 1)
    problems = _problems(record, run)
    append(record, {"run": run, "part": "run", "event": "end", "seconds": took, "problems": problems})
    print(f"{record}: {took} s" + "".join(f"\n  {problem}" for problem in problems))
    return 1 if problems else 0


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(SHARES)}; default: all, in this order")
    parser.add_argument("--minutes", type=float, default=10, help="for everything together (default 10)")
    parser.add_argument("--record", type=Path, help="the file to append to instead")
    args = parser.parse_args(arguments)
    unknown = [part for part in args.parts if part not in SHARES]
    if unknown or args.minutes <= 0:
        parser.error(f"no part {unknown[0]!r}; there are {', '.join(SHARES)}" if unknown else "--minutes is above 0")
    args.parts = [part for part in SHARES if part in args.parts]
    return args


def _with_correctness(parts: list[str], record: Path, device: str) -> list[str]:
    """The parts, with the tests before them when this record does not show what is to be timed to be right."""
    wanted, rows = setting(device).items(), list(read(record))
    here = {row["run"] for row in rows if row.get("event") == "begin" and wanted <= row.items()}
    tested = any(row.get("part") == "correctness" and row.get("event") == "done" and row["run"] in here for row in rows)
    if tested or "correctness" in parts or not set(parts) & set(GATED):
        return parts
    return [part for part in SHARES if part in parts or part == "correctness"]


def run_part(part: str, record: Path, run: str, device: str, seconds: float) -> None:
    """Run one part in a process group of its own; a crash or an overrun becomes a row."""
    command = [sys.executable, "-m", "bench.parts", part, "--record", str(record), "--run", run]
    command += ["--device", device, "--seconds", f"{seconds:.1f}", "--started", str(time.monotonic())]
    environment = {name: value for name, value in os.environ.items() if name not in FORCING}
    process = subprocess.Popen(command, cwd=ROOT, env=environment, start_new_session=True)
    event = None
    try:
        code = process.wait(seconds + GRACE)
        if code:
            event = {"event": "crashed", "exit_code": code}
    except subprocess.TimeoutExpired:
        event = {"event": "stopped", "reason": f"did not end within {seconds:.0f} s"}
    except BaseException:
        append(record, {"run": run, "part": part, "event": "interrupted"})
        raise
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    if event:
        append(record, {"run": run, "part": part, **event})


def _problems(record: Path, run: str) -> list[str]:
    """A line for each part that crashed or was stopped and each operator that failed."""
    rows = [row for row in read(record) if row.get("run") == run]
    found = [f"{row['part']} {row['event']}" for row in rows if row.get("event") in ("crashed", "stopped")]
    failed = {f"{row['operator']} by {row['backend']} fails" for row in rows if row.get("passed") is False}
    return found + sorted(failed)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
