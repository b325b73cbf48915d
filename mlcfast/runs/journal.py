"""The run directory's records, log.txt, metrics.jsonl and summary.csv, and what listens; on the main process only."""

import contextlib
import csv
import io
import json
import logging
import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from tqdm import tqdm

from mlcfast.errors import printable
from mlcfast.files import write_text
from mlcfast.runs.directory import RunDirectory
from mlcfast.runs.listening import Listener

LOGGER = logging.getLogger("mlcfast")


class ConsoleHandler(logging.Handler):
    """Log lines on stderr, above a progress bar if one is there."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line."""
        tqdm.write(printable(self.format(record)), file=sys.stderr)


def log_to_console(level: int = logging.INFO) -> None:
    """Send the package's log to stderr; call once a process."""
    handler = ConsoleHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    LOGGER.handlers = [handler]
    LOGGER.setLevel(level)
    LOGGER.propagate = False


@contextlib.contextmanager
def said_once(is_main: bool) -> Iterator[None]:
    """All ranks do the same in the block, and the main one logs it: Python shows warnings of the others too."""
    before = LOGGER.disabled
    LOGGER.disabled = before or not is_main
    try:
        yield
    finally:
        LOGGER.disabled = before


@contextlib.contextmanager
def logging_to_console() -> Iterator[None]:
    """The same for a while, after which the program's own handlers, level and propagation are back."""
    before = list(LOGGER.handlers), LOGGER.level, LOGGER.propagate
    log_to_console()
    try:
        yield
    finally:
        LOGGER.handlers, LOGGER.propagate = before[0], before[2]
        LOGGER.setLevel(before[1])


class LogFile(logging.FileHandler):
    """Log lines in a file; what cannot be written, on a full disk, is left out of it."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Say nothing: the console has the line, and a traceback for each would hide it."""

    def close(self) -> None:
        """Close the file, whatever of its end could not be written."""
        with contextlib.suppress(OSError):
            super().close()


class Journal:
    """Appends to the run directory's records; on other ranks than the main one every call does nothing.

    A record that cannot be written, on a full disk, is warned of once and does not end the run. listeners: are told of
    all that is recorded, from `begin` on.
    """

    def __init__(self, directory: RunDirectory, is_main: bool, listeners: Sequence[Listener] = ()):
        self.directory, self.is_main, self._warned = directory, is_main, False
        self.listeners: list[Listener] = []  # those that have begun
        self._waiting = listeners if is_main else ()
        if not is_main:
            return
        handler = LogFile(directory.log, encoding="utf-8", errors="backslashreplace")
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
        LOGGER.addHandler(handler)
        self._handler = handler
        self._metrics = directory.metrics.open("a", encoding="utf-8")

    @property
    def asks_to_stop(self) -> bool:
        """Whether a listener asks that the run end after the step it is at."""
        return any(listener.asks_to_stop for listener in self.listeners)

    def begin(self, step: int) -> None:
        """Tell the listeners that the run begins at this step, or goes on from it."""
        for listener in self._waiting:
            with self._warning():
                listener.start(self.directory, step)
                self.listeners.append(listener)

    def record(self, event: str, step: int, **values: Any) -> None:
        """One line of metrics.jsonl; null for a number that is not finite."""
        if not self.is_main:
            return
        values = {name: None if _not_finite(value) else value for name, value in values.items()}
        line = {"event": event, "step": step, "time": round(time.time(), 3), **values}
        with self._warning():
            self._metrics.write(json.dumps(line) + "\n")
            self._metrics.flush()
        self._tell(lambda listener: listener.line(line))

    def summarise(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write summary.csv anew, one row an epoch."""
        if not self.is_main or not rows:
            return
        text = io.StringIO()
        columns = list(dict.fromkeys(column for row in rows for column in row))
        writer = csv.DictWriter(text, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        with self._warning():
            write_text(self.directory.summary, text.getvalue())
        self._tell(lambda listener: listener.row(rows[-1]))

    def finish(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Tell the listeners that the run is over as it should be; rows: one an epoch."""
        self._tell(lambda listener: listener.finish(rows))

    def close(self) -> None:
        """Flush and close every file, and every listener, also where one of them fails."""
        if not self.is_main:
            return
        with contextlib.ExitStack() as closing:
            closing.callback(self._handler.close)
            closing.callback(LOGGER.removeHandler, self._handler)
            for listener in reversed(self.listeners):
                closing.callback(self._quietly, listener.close)
            closing.callback(self._quietly, self._metrics.close)

    def _tell(self, what: Callable[[Listener], None]) -> None:
        for listener in self.listeners:
            self._quietly(partial(what, listener))

    def _quietly(self, work: Callable[[], object]) -> None:
        with self._warning():
            work()

    @contextlib.contextmanager
    def _warning(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if not self._warned:
                LOGGER.warning("%s: its records cannot be written: %s", self.directory.path, error.strerror or error)
            self._warned = True


def _not_finite(value: Any) -> bool:
    return isinstance(value, float) and not math.isfinite(value)
