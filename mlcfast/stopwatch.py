"""Measures the seconds that each kind of work takes, on the host or a GPU, without waiting for the device."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

Point = float | torch.cuda.Event


class Stopwatch:
    """Adds up what lies between pairs of points in time.

    On a GPU a point is an event in the current stream: it has passed when all that was asked of the stream before has
    been done. So time counts in which the device does that work or waits, not in which the host asks for it.

    device: whose time; clock: gives the host's seconds.
    """

    def __init__(self, device: torch.device, clock: Callable[[], float] = time.perf_counter):
        self.device, self.clock = device, clock
        self._pairs: list[tuple[str, Point, Point]] = []

    def point(self) -> Point:
        """Now."""
        if self.device.type != "cuda":
            return self.clock()
        event = torch.cuda.Event(enable_timing=True)
        event.record(torch.cuda.current_stream(self.device))
        return event

    def since(self, kind: str, begin: Point) -> None:
        """What lies between `begin` and now is of this kind."""
        self._pairs.append((kind, begin, self.point()))

    @contextmanager
    def of(self, kind: str) -> Iterator[None]:
        """The time within the block is of this kind."""
        begin = self.point()
        try:
            yield
        finally:
            self.since(kind, begin)

    def take(self) -> dict[str, float]:
        """Seconds by kind since the last call, which forgets them; waits for the device to reach the last point."""
        total: defaultdict[str, float] = defaultdict(float)
        for kind, begin, end in self._pairs:
            if isinstance(begin, torch.cuda.Event) and isinstance(end, torch.cuda.Event):
                end.synchronize()
                total[kind] += begin.elapsed_time(end) / 1000
            elif isinstance(begin, float) and isinstance(end, float):
                total[kind] += end - begin
        self._pairs.clear()
        return dict(total)
