"""The benchmark: python -m bench.run [SUITE …] [key=value …] [--minutes 10]

Builds csrc, measures the device's own ceilings, proves every operator against fp64, then times operators and training
steps and holds a GPU to 12 GiB. Each suite runs in a process of its own, so that a crash or a timeout costs that suite
alone. Rows are in bench/results/<device>-<date>.jsonl as soon as they are measured; no document is written. What needs
a package or a GPU that is not there says so in its row. Words like rounds=5 set options of the suites named.
bench/README.md lists suites and options; `python -m bench.report` makes tables and plots.
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

from bench.record import ROOT, Gate, append, provenance, read, record_path, setting
from bench.suites import SUITES, Context, measured, parse_options

GRACE = 8  # seconds a suite may overrun its own time before it is stopped; as many go to starting
FORCING = ("MLCFAST_BACKEND", "TRITON_INTERPRET")  # a suite times what a user gets, and asks for the rest itself


def main(arguments: list[str] | None = None) -> int:
    """Run the suites asked for; 1 if one crashed or an operator failed its tests."""
    args = _parse(arguments)
    if args.run:  # this is the process of one suite
        (suite,) = args.suites
        context = Context(args.device, args.seconds, args.record, Gate(args.record), args.started, args.options[suite])
        for row in measured(suite, context):
            append(args.record, {"run": args.run, "suite": suite, **row})
            print(suite, *(f"{key}={value}" for key, value in row.items()), flush=True)
        return 0
    began = datetime.datetime.now(datetime.UTC)
    where = provenance(args.device)
    record = args.record or record_path(str(where["device"]), began.date())
    run = began.strftime("%Y%m%dT%H%M%SZ")
    begin = {"run": run, "suite": "run", "event": "begin", **where, **setting(args.device), "minutes": args.minutes}
    append(record, begin | ({"options": args.words} if args.words else {}))
    started = time.monotonic()
    deadline = started + 60 * args.minutes - 2 * GRACE
    suites = _with_correctness(args.suites, record, args.device)
    for i, suite in enumerate(suites):
        left = deadline - time.monotonic()
        seconds = left * SUITES[suite].seconds / sum(SUITES[later].seconds for later in suites[i:])
        words = [word for word in args.words if word.partition("=")[0] in SUITES[suite].options]
        run_suite(suite, words, record, run, args.device, seconds)
    took = round(time.monotonic() - started, 1)
    problems = _problems(record, run)
    append(record, {"run": run, "suite": "run", "event": "end", "seconds": took, "problems": problems})
    print(f"{record}: {took} s" + "".join(f"\n  {line}" for line in [*problems, *_advice(problems, args.minutes)]))
    return 1 if problems else 0


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    every = [name for name, suite in SUITES.items() if not suite.alone]
    named = [name for name, suite in SUITES.items() if suite.alone]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    text = f"of {', '.join(every)}; default: all of these, in this order; when named also {', '.join(named)}"
    parser.add_argument("words", nargs="*", metavar="SUITE", help=text)
    parser.add_argument("--minutes", type=float, default=10, help="for everything together (default 10)")
    parser.add_argument("--record", type=Path, help="the file to append to instead")
    for hidden, kind in (("--run", str), ("--seconds", float), ("--started", float)):  # of a suite's own process
        parser.add_argument(hidden, type=kind, help=argparse.SUPPRESS)
    args = parser.parse_args(arguments)
    names, args.words = ([w for w in args.words if ("=" in w) == options] for options in (False, True))
    unknown = [name for name in names if name not in SUITES]
    if unknown or args.minutes <= 0:
        parser.error(f"no suite {unknown[0]!r}; there are {', '.join(SUITES)}" if unknown else "--minutes is above 0")
    args.suites = [name for name in SUITES if name in (names or every)]
    args.device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        args.options = parse_options(args.suites, args.words)
    except ValueError as error:
        parser.error(str(error))
    return args


def _with_correctness(suites: list[str], record: Path, device: str) -> list[str]:
    """The suites, with the tests before them when this record does not show what is to be timed to be right."""
    wanted, rows = setting(device).items(), list(read(record))
    here = {row["run"] for row in rows if row.get("event") == "begin" and wanted <= row.items()}
    done = {row["run"] for row in rows if row.get("suite") == "correctness" and row.get("event") == "done"}
    if done & here or "correctness" in suites or not any(SUITES[suite].gated for suite in suites):
        return suites
    return [suite for suite in SUITES if suite in suites or suite == "correctness"]


def run_suite(suite: str, words: list[str], record: Path, run: str, device: str, seconds: float) -> None:
    """Run one suite in a process group of its own; a crash or an overrun becomes a row."""
    command = [sys.executable, "-m", "bench.run", suite, *words, "--record", str(record), "--run", run]
    command += ["--seconds", f"{seconds:.1f}", "--started", str(time.monotonic())]
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
        append(record, {"run": run, "suite": suite, "event": "interrupted"})
        raise
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    if event:
        append(record, {"run": run, "suite": suite, **event})


def _problems(record: Path, run: str) -> list[str]:
    """A line for each suite that crashed or was stopped and each operator that failed."""
    rows = [row for row in read(record) if row.get("run") == run]
    found = [f"{row['suite']} {row['event']}" for row in rows if row.get("event") in ("crashed", "stopped")]
    failed = {f"{row['operator']} by {row['backend']} fails" for row in rows if row.get("passed") is False}
    return found + sorted(failed)


def _advice(problems: list[str], minutes: float) -> list[str]:
    """What helps suites that were stopped."""
    if not any(problem.endswith(" stopped") for problem in problems):
        return []
    return [
        f"what was measured until it was stopped is kept; --minutes {2 * minutes:g} gives each suite twice the time"
    ]


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
