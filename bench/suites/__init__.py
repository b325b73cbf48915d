"""The suites of a run, in their order, and what each is given: a suite is a module here with `rows(context)`.

`rows` yields dictionaries, the most valuable first; each is in the record before the next is measured. It ends when it
is done or when its seconds are up: a suite asks `context.left()`, or `attempt`, before anything long.
"""

import gc
import importlib
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from bench.record import Gate, Row

Rows = Iterator[Row]


@dataclass(frozen=True)
class Suite:
    """A suite's portion of a run's seconds; gated: it times operators that must have passed; alone: only where named.

    options: name -> default; "" or 0 leaves the choice to the suite, lists are separated by commas.
    """

    seconds: int
    gated: bool = False
    alone: bool = False
    options: dict[str, Any] = field(default_factory=dict)


ATTENTION = {"batch": "", "labels": "", "models": "", "queries": "", "modes": ""}
COUNTED = {"image_size": 224, "micro_batch": 12, "dropout": 0.0}
PREDICT = {"batch_size": 32, "workers": 0, "rounds": 5}
SUITES = {
    "build": Suite(90),
    "device": Suite(10),
    "ceilings": Suite(15),
    "resources": Suite(15, options={"architectures": ""}),
    "correctness": Suite(95),
    "losses": Suite(85, True, options={"losses": "", "shapes": "", "dtypes": "", "rounds": 0}),
    "attention": Suite(100, True, options=ATTENTION | {"dtype": "", "dropout": "", "compiled": 0, "rounds": 0}),
    "memory": Suite(70, True, options={"configs": "", "steps": 4, "gib": 12.0, "planned": 0}),
    "training": Suite(120, True, options={"models": "", "micro_batches": ""}),
    "tiles": Suite(150, True, True, {"kernels": "", "batch": "", "rounds": 0}),
    "loss_memory": Suite(60, True, True, {"shape": "4096x9605"}),
    "decoder": Suite(60, alone=True, options={"width": 2048, "cells": 196}),
    "backbones": Suite(120, alone=True, options={"rounds": 5}),
    "label_estimates": Suite(60, True, True, {"rounds": 300}),
    "linear_epoch": Suite(400, True, True, {"images": 82_081, "steps": 400}),
    "counted_memory": Suite(300, alone=True, options={"models": "", **COUNTED}),
    "full_size": Suite(400, alone=True, options={"config": "configs/cvt_w24.yaml", "image_size": 384, "steps": 2}),
    "predict": Suite(200, alone=True, options={"checkpoint": "", "images": "", "count": 1000, **PREDICT}),
    "attention_maps": Suite(200, alone=True, options={"checkpoint": "", "root": "", "split": "test"}),
}  # fmt: skip


class SkippedError(Exception):
    """Why a suite cannot run here, in words: a package, a device or a file that is not there."""


@dataclass
class Context:
    """Where a suite runs, until when, with which options, and which implementations have passed their tests."""

    device: str
    seconds: float
    record: Path
    gate: Gate
    started: float = field(default_factory=time.monotonic)
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def on_gpu(self) -> bool:
        """Whether the device is a CUDA one."""
        return self.device == "cuda"

    def left(self) -> float:
        """Seconds until this suite has to end."""
        return self.seconds - (time.monotonic() - self.started)

    def cpu_only(self) -> None:
        """Raise SkippedError where there is a GPU, whose correctness rows say nothing of the CPU's kernels."""
        if self.on_gpu:
            raise SkippedError("measures the CPU; run it with CUDA_VISIBLE_DEVICES= to hide the GPU")

    def refusal(self, *wanted: tuple[str, str]) -> str | None:
        """Why these operators by these backends may not be timed, None if they may; a definition needs no test."""
        for operator, backend in wanted:
            reason = None if backend == "reference" else self.gate.refusal(operator, backend, self.device)
            if reason:
                return f"{operator} by {backend}: {reason}"
        return None

    def listed(self, name: str, default: tuple = ()) -> tuple:
        """The values of an option that is a list, as the type of `default`'s first; the default where none is given."""
        words = [word.strip() for word in str(self.options.get(name, "")).split(",") if word.strip()]
        kind = type(default[0]) if default else str
        return tuple(kind(word) for word in words) or default


def parse_options(names: list[str], words: list[str]) -> dict[str, Row]:
    """Suite -> its options, from words like rounds=5; ValueError names a word that no named suite knows."""
    options = {name: dict(SUITES[name].options) for name in names}
    for key, _, value in (word.partition("=") for word in words):
        takers = [each for each in options.values() if key in each]
        if not takers:
            known = dict.fromkeys(option for each in options.values() for option in each)
            raise ValueError(f"no option {key!r} of {', '.join(names)}; there are: {', '.join(known) or 'none'}")
        for each in takers:
            try:
                each[key] = type(each[key])(value)
            except ValueError:
                raise ValueError(f"{key}={value}: {key} is a number, such as {each[key]}") from None
    return options


def attempt(
    context: Context, seconds: float, row: Row, measure: Callable[[], Iterable[Row]], *wanted: tuple[str, str]
) -> Rows:
    """The row joined to each that is measured; a refusal where fewer seconds are left or whatever it raises.

    wanted: operators and backends that must have passed their tests. Memory that is free goes back to the GPU.
    """
    refused = context.refusal(*wanted) or ("no time left" if context.left() < seconds else None)
    if refused:
        yield row | {"refused": refused}
        return
    try:
        yield from (row | each for each in measure())
    except Exception as error:  # one case's trouble must not cost the others
        yield row | {"refused": first_line(error)}
    release(context)


def first_line(error: BaseException) -> str:
    """The kind of an error and the first line of what it says."""
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:200]}"


def release(context: Context) -> None:
    """Give memory that is no longer used back to the GPU."""
    gc.collect()
    if context.on_gpu:
        torch.cuda.empty_cache()


def measured(name: str, context: Context) -> Rows:
    """The rows of a suite, then one that says how it ended: done, out of time, or skipped and why."""
    context.options = SUITES[name].options | context.options
    event = "done"
    try:
        for row in importlib.import_module(f"bench.suites.{name}").rows(context):
            yield row
            if context.left() <= 0:
                event = "out of time"
                break
        yield {"event": event, "seconds": round(time.monotonic() - context.started, 1)}
    except SkippedError as reason:
        yield {"event": "skipped", "reason": str(reason)}
    except ModuleNotFoundError as error:
        if (error.name or "bench").partition(".")[0] in ("bench", "mlcfast"):
            raise
        yield {"event": "skipped", "reason": f"{error.name} is not installed"}
