"""One part of a run, in a process of its own: python -m bench.parts NAME --record FILE --run ID --seconds S"""

import argparse
import time
from pathlib import Path

import torch

from bench.gate import Gate
from bench.part import Context, measured
from bench.parts import SHARES
from bench.record import append


def main() -> None:
    """Run one part and write its rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=list(SHARES))
    parser.add_argument("--record", type=Path, required=True)
    parser.add_argument("--run", required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--started", type=float, help="by the system's monotonic clock; default: now")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", choices=("cpu", "cuda"))
    args = parser.parse_args()
    started = time.monotonic() if args.started is None else args.started
    context = Context(args.device, args.seconds, args.record, Gate(args.record), started)
    for row in measured(args.name, context):
        append(args.record, {"run": args.run, "part": args.name, **row})
        print(args.name, *(f"{key}={value}" for key, value in row.items()), flush=True)


if __name__ == "__main__":
    main()
