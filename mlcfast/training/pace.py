"""Measures how fast a run moves: when a line of progress is due and how long the rest will take; and its memory."""

import contextlib
import sys
import time
from collections.abc import Callable

import torch

OFTEN, SELDOM = 10.0, 60.0  # seconds between lines: in the first minute, and later
FIRST_MINUTE = 60.0
WARM_UP_STEPS = 3  # the first ones also set up what later ones use


class Pace:
    """Counts the work done and its seconds.

    steps: how many there are until the end of the run; micro_batches: in each step; epochs: until then, each with an
    evaluation; clock: gives seconds.
    """

    def __init__(self, steps: int, micro_batches: int, epochs: int, clock: Callable[[], float] = time.monotonic):
        self.steps, self.micro_batches, self.epochs, self.clock = steps, micro_batches, epochs, clock
        self.done = 0  # micro-batches of this process's life
        self.evaluations = 0
        self.training_seconds = self.evaluation_seconds = 0.0
        self.warm_up: tuple[int, float] | None = None  # micro-batches and seconds of the first steps
        self.started = self.said = self.since = clock()

    def begin(self) -> None:
        """Start timing: what was before this call does not count as training."""
        self.since = self.clock()

    def micro_batch(self) -> None:
        """One micro-batch is done."""
        now = self.clock()
        self.training_seconds, self.since = self.training_seconds + now - self.since, now
        self.done += 1
        if self.warm_up is None and self.done == WARM_UP_STEPS * self.micro_batches:
            self.warm_up = self.done, self.training_seconds

    def evaluated(self) -> None:
        """An epoch's evaluation has ended; the time since the last micro-batch or line was its own."""
        now = self.clock()
        self.evaluation_seconds, self.since = self.evaluation_seconds + now - self.since, now
        self.evaluations += 1

    def line_is_due(self) -> bool:
        """Whether the last line is so long ago that another should be written; `line_written` says that one was."""
        now = self.clock()
        return now - self.said >= (OFTEN if now - self.started < FIRST_MINUTE else SELDOM)

    def line_written(self) -> None:
        """A line of progress has just been written, for whatever reason."""
        self.said = self.clock()

    def step_seconds(self) -> float | None:
        """Seconds a step, without the first ones once there are others; None before the first micro-batch."""
        done, seconds = self.done, self.training_seconds
        if self.warm_up is not None and done > self.warm_up[0]:
            done, seconds = done - self.warm_up[0], seconds - self.warm_up[1]
        return seconds / done * self.micro_batches if done else None

    def seconds_left(self) -> float | None:
        """Until the last epoch's end; evaluations are counted once one has been timed."""
        step = self.step_seconds()
        if step is None:
            return None
        left = step * (self.steps - self.done / self.micro_batches)
        if self.evaluations:
            left += self.evaluation_seconds / self.evaluations * (self.epochs - self.evaluations)
        return max(left, 0.0)

    def left_in_words(self) -> str:
        """`about 12 min left`, or that the evaluations come on top as long as none was timed."""
        left = self.seconds_left()
        if left is None:
            return "no estimate yet"
        return f"about {in_words(left)} left" + ("" if self.evaluations else " without the evaluations")


def in_words(seconds: float) -> str:
    """A length of time as a person says it: 45 s, 12 min, 3 h 20 min, 2 days 4 h."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(hours + (minutes >= 30), 24)
    return f"{days} day{'' if days == 1 else 's'}" + (f" {hours} h" if hours else "")


def memory_peaks() -> dict[str, int]:
    """Bytes at this process's peak so far: resident in host memory, which Windows does not say, and on a GPU."""
    host = {}
    with contextlib.suppress(ImportError):
        import resource

        unit = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss
        host = {"host_peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit}
    return host | {"peak_bytes": torch.cuda.max_memory_allocated()} if torch.cuda.is_available() else host
