"""The run directory's records: log.txt, metrics.jsonl, summary.csv and TensorBoard; on the main process only."""

import csv
import io
import json
import logging
import math
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from mlcfast.config import Config
from mlcfast.errors import UsageError
from mlcfast.files import write_text

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


def prepare_run_directory(config: Config, resume: bool) -> Path:
    """Make the run directory and save the resolved configuration; UsageError if it cannot be written.

    Without `resume`, an earlier run of the same name is kept beside the new one as `<name>.1`, `<name>.2`, …
    """
    directory = config.run_directory
    try:
        if not resume and directory.exists() and any(directory.iterdir()):
            kept = _set_aside(directory)
            LOGGER.info("the earlier run %s is now %s", directory, kept)
        directory.mkdir(parents=True, exist_ok=True)
        write_text(directory / "config.yaml", config.to_yaml())
    except OSError as error:
        raise UsageError(f"output {directory}: cannot be written: {error.strerror}") from error
    return directory


def check_output_writable(config: Config) -> None:
    """UsageError if the run directory could not be made; leaves nothing behind."""
    place = config.run_directory.absolute()
    while not place.exists():
        place = place.parent
    if not place.is_dir():
        raise UsageError(f"output {config.run_directory}: {place} is not a directory")
    if not os.access(place, os.W_OK | os.X_OK):
        raise UsageError(f"output {config.run_directory}: {place} is not writable")


def _set_aside(directory: Path) -> Path:
    number = 1
    while (kept := directory.with_name(f"{directory.name}.{number}")).exists():
        number += 1
    return directory.rename(kept)


class Journal:
    """Appends to the run directory's records; on other ranks than the main one every call does nothing."""

    def __init__(self, directory: Path, is_main: bool, from_step: int = 0):
        self.directory, self.is_main = directory, is_main
        if not is_main:
            return
        from torch.utils.tensorboard import SummaryWriter

        handler = logging.FileHandler(directory / "log.txt", encoding="utf-8")
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
        LOGGER.addHandler(handler)
        self._handler = handler
        _rewind(directory / "metrics.jsonl", from_step)
        self._metrics = (directory / "metrics.jsonl").open("a", encoding="utf-8")
        self._board = SummaryWriter(str(directory / "tensorboard"), purge_step=from_step or None)

    def record(self, event: str, step: int, **values: Any) -> None:
        """One line of metrics.jsonl (null for a number that is not finite); numbers also go to TensorBoard."""
        if not self.is_main:
            return
        values = {name: None if _not_finite(value) else value for name, value in values.items()}
        line = {"event": event, "step": step, "time": round(time.time(), 3), **values}
        self._metrics.write(json.dumps(line) + "\n")
        self._metrics.flush()
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
        write_text(self.directory / "summary.csv", text.getvalue())

    def close(self) -> None:
        """Flush and close every file."""
        if self.is_main:
            self._metrics.close()
            self._board.close()
            LOGGER.removeHandler(self._handler)
            self._handler.close()


def _not_finite(value: Any) -> bool:
    return isinstance(value, float) and not math.isfinite(value)


def _rewind(path: Path, step: int) -> None:
    """Drop the lines after `step`, which the resumed run writes again, and those that are damaged, with a warning."""
    if not path.exists():
        return
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    steps = [_step_of(line) for line in lines]
    damaged = steps.count(None)
    if damaged:
        LOGGER.warning("%s: %d of %d lines are damaged and left out", path, damaged, len(lines))
    kept = [line for line, at in zip(lines, steps, strict=True) if at is not None and at <= step]
    write_text(path, "".join(f"{line}\n" for line in kept))


def _step_of(line: str) -> int | None:
    """The step of a line of metrics.jsonl; None for one that is torn or damaged."""
    try:
        step = json.loads(line)["step"]
    except (ValueError, KeyError, TypeError):
        return None
    return step if isinstance(step, int) else None
