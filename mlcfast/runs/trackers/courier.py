"""Carries a run to a tracker on a thread of its own: training never waits for it, and nothing is lost on the way."""

import logging
import shlex
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

from mlcfast.runs.directory import RunDirectory
from mlcfast.runs.listening import Listener
from mlcfast.runs.trackers.base import Tracker
from mlcfast.runs.trackers.delivery import Delivery

LOGGER = logging.getLogger("mlcfast")
INTERVAL = 1.0  # seconds between two batches
LONGEST_PAUSE = 60.0  # seconds between two attempts where the server is away
WAIT = 60.0  # seconds that the end of a finished run waits for a tracker
WAIT_STOPPED = 5.0  # the same for a run that was stopped or failed, whose scheduler may be impatient
LAST_ATTEMPTS = 3  # that fail in a row at the end, a second apart, before the rest is left for later


class Courier(Listener):
    """Sends what the run's directory holds to `tracker`, which the configuration calls `name`, as the run goes."""

    def __init__(self, name: str, tracker: Tracker):
        self.name, self.tracker = name, tracker
        self._finished, self._ends = False, threading.Event()

    def start(self, directory: RunDirectory, step: int) -> None:
        """Begin to send."""
        self._delivery = Delivery(self.name, self.tracker, directory)
        self._thread = threading.Thread(target=self._work, name=f"tracker {self.name}", daemon=True)
        self._thread.start()

    def finish(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """The last files are there: send them while other trackers send theirs."""
        self._finished = True
        self._ends.set()

    def close(self) -> None:
        """Wait until all is sent, for WAIT seconds at most, and say what is not."""
        self._ends.set()
        self._thread.join(WAIT if self._finished else WAIT_STOPPED)
        self._delivery.give_up()
        say_outcome(self._delivery, self._finished)

    def _work(self) -> None:
        failures, attempts_left = 0, LAST_ATTEMPTS
        while attempts_left:
            over = self._ends.is_set()  # asked first: what was recorded until then is sent below
            done = self._delivery.attempt(self._finished, over)
            if over and done:
                return
            failures = 0 if done else failures + 1
            if failures == 1 and not over:
                words = "tracker %s: %s; training goes on, and it is tried again"
                LOGGER.warning(words, self.name, self._delivery.reason)
            attempts_left -= over
            if not over:
                self._ends.wait(min(INTERVAL * 2**failures, LONGEST_PAUSE))
            elif attempts_left:
                time.sleep(INTERVAL)


def say_outcome(delivery: Delivery, finished: bool) -> None:
    """Log what the tracker has to say at the end or, where it has not received all, what is missing and the remedy."""
    if delivery.is_closed:
        if delivery.tracker.note:
            LOGGER.info("tracker %s: %s", delivery.name, delivery.tracker.note)
        return
    LOGGER.warning(
        "tracker %s: not delivered: %s (%s); %s sends it later",
        delivery.name,
        delivery.missing(finished),
        delivery.reason,
        delivery.tracker.remedy or f"python -m mlcfast.track {shlex.quote(str(delivery.directory.path))}",
    )
