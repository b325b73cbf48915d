"""Handles signals to a training process: noted at once, acted on between two steps, so that saves can be resumed."""

import signal
import threading
import time
from types import FrameType, TracebackType
from typing import Any, Self

from mlcfast.engine import Process, all_reduce_max

# Windows has neither SIGHUP nor SIGUSR1.
STOPS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP", "SIGINT") if hasattr(signal, name))
SAVES = getattr(signal, "SIGUSR1", None)
# DeepSpeed's launcher sends SIGINT and, 0.1 s later, SIGTERM for one Ctrl-C: within these seconds both are one request.
ONE_REQUEST = 1.0


class Signals:
    """Within the block SIGTERM, SIGHUP and SIGINT ask for a stop and SIGUSR1 for a checkpoint; see `requested`.

    A second signal to stop ends the process at once; under a launcher, one that comes later than ONE_REQUEST seconds.
    A signal that was ignored before (nohup's SIGHUP) stays ignored. Outside the main thread nothing is installed:
    Python allows handlers there only.
    """

    def __init__(self, process: Process):
        self.process = process
        self.patience = 0.0 if process.launcher == "single" else ONE_REQUEST
        self.stop = self.save = 0
        self.first = 0.0
        self.before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in filter(None, (*STOPS, SAVES)):
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self.before[number] = signal.signal(number, self._hear)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def _hear(self, number: int, frame: FrameType | None) -> None:
        if number == SAVES:
            self.save = number
        elif not self.stop:
            self.stop, self.first = number, time.monotonic()
        elif time.monotonic() - self.first >= self.patience:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)

    def requested(self, finish: bool = False) -> tuple[int, int, bool]:
        """The signal numbers that ask for a stop and for a checkpoint, 0 for none, and whether any rank says `finish`.

        The same on every rank. A collective on the host where there are several: nothing here waits for a device.
        """
        asked = [self.stop, self.save, int(finish)]
        if self.process.world_size > 1:
            asked = all_reduce_max(asked)
        self.save = 0
        return asked[0], asked[1], bool(asked[2])
