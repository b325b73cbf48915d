"""Divides the time of an epoch by kind of work, and names the one setting that would give most of it back."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from mlcfast.config import Config
from mlcfast.stopwatch import Stopwatch

T = TypeVar("T")
KINDS = ("computing", "waiting for data", "transferring", "exchanging", "evaluating", "saving")
WORTH_A_WORD = 10.0  # percent of an epoch, below which nothing needs to be done about a kind


class TimeSpent:
    """Seconds of this process by kind; `computing` is the rest.

    stopwatch: the engine's, of what happens on the device: a wait for data counts where the device had nothing to do,
    not where the host waited while the device still computed. An exchange counts where the computation waited for it.
    """

    def __init__(self, stopwatch: Stopwatch, clock: Callable[[], float] = time.perf_counter):
        self.stopwatch, self.clock = stopwatch, clock
        self.began, self.seconds = clock(), defaultdict[str, float](float)

    def begin(self) -> None:
        """An epoch begins."""
        self.stopwatch.take()
        self.began, self.seconds = self.clock(), defaultdict(float)

    def batches(self, loader: Iterable[T]) -> Iterator[T]:
        """What the loader gives; from asking for a batch until it is there is time that the batch was waited for."""
        batches = iter(loader)
        while True:
            asked = self.stopwatch.point()
            try:
                batch = next(batches)
            except StopIteration:
                return
            self.stopwatch.since("coming", asked)
            yield batch

    @contextmanager
    def of(self, kind: str) -> Iterator[None]:
        """The host's time within the block, at whose end the device has nothing left to do, is of this kind."""
        began = self.clock()
        try:
            yield
        finally:
            self.seconds[kind] += self.clock() - began

    def note(self) -> None:
        """Add up what the device has passed so far; call where it is waited for anyway."""
        for kind, seconds in self.stopwatch.take().items():
            self.seconds[kind] += seconds

    def shares(self) -> dict[str, float]:
        """Percent of the time since the epoch began, by kind, and `seconds`, all of it."""
        self.note()
        whole, found = max(self.clock() - self.began, 1e-9), self.seconds
        waited = {
            "waiting for data": max(0.0, found["coming"] - found["transferring"]),
            **{kind: found[kind] for kind in KINDS[2:]},
        }
        rest = max(0.0, whole - sum(waited.values()))
        shares = {kind: round(100 * seconds / whole, 1) for kind, seconds in ({KINDS[0]: rest} | waited).items()}
        return shares | {"seconds": round(whole, 3)}


def in_words(shares: dict[str, float]) -> str:
    """`61 % computing, 30 % waiting for data, 9 % evaluating`: what is at least one percent, the most first."""
    kinds = sorted(KINDS, key=lambda kind: -shares[kind])
    return ", ".join(f"{shares[kind]:.0f} % {kind}" for kind in kinds if shares[kind] >= 1) or "nothing of note"


def remedy(shares: dict[str, float], config: Config, processes: int) -> str:
    """The setting that would help most against the largest share that is not computing; "" where all are small."""
    largest = max(KINDS[1:], key=lambda kind: shares[kind])
    if shares[largest] < WORTH_A_WORD:
        return ""
    data, train = config.data, config.train
    images = data.format != "features"
    if largest == "waiting for data" and images:
        return f"data.workers={max(1, 2 * data.workers)}" if data.resized_cache else "data.resized_cache=true"
    if largest == "evaluating" and train.evaluate_every < train.epochs:
        return f"train.evaluate_every={2 * train.evaluate_every}"
    if largest == "saving" and train.checkpoint_every:
        return f"train.checkpoint_every={2 * train.checkpoint_every}"
    if largest == "exchanging" and config.engine.accumulation_for(processes) == 1:
        return f"engine.global_batch={2 * config.engine.global_batch}"
    return ""
