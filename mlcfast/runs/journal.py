"""The run directory's records: log.txt, metrics.jsonl, summary.csv and TensorBoard; on the main process only."""

import contextlib
import csv
import io
import json
import logging
import math
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tqdm import tqdm

from mlcfast.files import write_text
from mlcfast.runs.directory import RunDirectory

LOGGER = logging.getLogger("mlcfast")


class ConsoleHandler(logging.Handler):
    """Log lines on stderr, above a progress bar if one is there."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line."""
        tqdm.write(self.format(record), file=sys.stderr)


def log_to_console(level: int = logging.INFO) -> None:
    """Send the package's log to stderr; call once a process."""
    handler = ConsoleHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    LOGGER.handlers = [handler]
    LOGGER.setLevel(level)
    LOGGER.propagate = False


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

    A record that cannot be written, on a full disk, is warned of once and does not end the run.
    """

    def __init__(self, directory: RunDirectory, is_main: bool, from_step: int = 0):
        self.directory, self.is_main, self._warned = directory, is_main, False
        if not is_main:
            return
        from torch.utils.tensorboard import SummaryWriter

        handler = LogFile(directory.log, encoding="utf-8", errors="backslashreplace")
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
        LOGGER.addHandler(handler)
        self._handler = handler
        self._metrics = directory.metrics.open("a", encoding="utf-8")
        self._board = SummaryWriter(str(directory.tensorboard), purge_step=from_step or None)

    def record(self, event: str, step: int, **values: Any) -> None:
        """One line of metrics.jsonl (null for a number that is not finite); numbers also go to TensorBoard."""
        if not self.is_main:
            return
        values = {name: None if _not_finite(value) else value for name, value in values.items()}
        line = {"event": event, "step": step, "time": round(time.time(), 3), **values}
        with self._warning():
            self._metrics.write(json.dumps(line) + "\n")
            self._metrics.flush()
        with self._warning():
            for name, value in values.items():
                if isinstance(value, int | float):
                    self._board.add_scalar(f"{event}/{name}", value, step)

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

    def close(self) -> None:
        """Flush and close every file."""
        if not self.is_main:
            return
        for file in (self._metrics, self._board):
            with self._warning():
                file.close()
        LOGGER.removeHandler(self._handler)
        self._handler.close()

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
