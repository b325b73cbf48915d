"""One part of a run, in a process of its own: python -m bench.part NAME --record FILE --run ID --seconds S

A part is a module of bench.parts with `rows(context)`, a generator of dictionaries, the most valuable first; each row
is in the record before the next is measured. It ends when it is done or when its seconds are up, whichever comes first:
a part asks `context.left()` before anything long. `bench.run` starts the parts and stops one that does not stop itself.
"""

import argparse
import importlib.util
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from bench.gate import Gate
from bench.record import append


class SkippedError(Exception):
    """Why a part cannot run here, in words: a package or a device that is not there."""


@dataclass
class Context:
    """Where a part runs, until when, and which implementations have passed their tests."""

    device: str
    seconds: float
    gate: Gate
    started: float = field(default_factory=time.monotonic)

    @property
    def on_gpu(self) -> bool:
        """Whether the device is a CUDA one."""
        return self.device == "cuda"

    def left(self) -> float:
        """Seconds until this part has to end."""
        return self.seconds - (time.monotonic() - self.started)


def needs(*packages: str) -> None:
    """Raise SkippedError naming the first of the packages that is not installed."""
    for package in packages:
        if importlib.util.find_spec(package) is None:
            raise SkippedError(f"{package} is not installed")


def measured(name: str, context: Context) -> Iterator[dict[str, Any]]:
    """The rows of a part, then one that says how it ended: done, out of time, or skipped and why."""
    cut = False
    try:
        for row in importlib.import_module(f"bench.parts.{name}").rows(context):
            yield row
            cut = context.left() <= 0
            if cut:
                break
        yield {"event": "out of time" if cut else "done", "seconds": round(time.monotonic() - context.started, 1)}
    except SkippedError as reason:
        yield {"event": "skipped", "reason": str(reason)}


def main() -> None:
    """Run one part and write its rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name")
    parser.add_argument("--record", type=Path, required=True)
    parser.add_argument("--run", required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", choices=("cpu", "cuda"))
    args = parser.parse_args()
    context = Context(args.device, args.seconds, Gate(args.record))
    for row in measured(args.name, context):
        append(args.record, {"run": args.run, "part": args.name, **row})
        print(args.name, *(f"{key}={value}" for key, value in row.items()), flush=True)


if __name__ == "__main__":
    main()
