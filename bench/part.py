"""What a part of a run is given, and how its rows end.

A part is a module of bench.parts with `rows(context)`, a generator of dictionaries, the most valuable first; each row
is in the record before the next is measured. It ends when it is done or when its seconds are up, whichever comes first:
a part asks `context.left()` before anything long. `bench.run` starts the parts and stops one that does not stop itself.
"""

import importlib.util
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.gate import Gate


class SkippedError(Exception):
    """Why a part cannot run here, in words: a package or a device that is not there."""


@dataclass
class Context:
    """Where a part runs, until when, and which implementations have passed their tests."""

    device: str
    seconds: float
    record: Path
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


def first_line(error: BaseException) -> str:
    """The kind of an error and the first line of what it says."""
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:200]}"


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
