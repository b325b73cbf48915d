"""What of a run's directory goes to a tracker: metrics.jsonl is the queue, the ledger says how far it was received."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mlcfast.files import sha256_of
from mlcfast.runs.directory import RunDirectory
from mlcfast.runs.listening import scalars_of
from mlcfast.runs.trackers.base import Scalars, TrackedRun, Tracker
from mlcfast.runs.trackers.ledger import Ledger, stream_of
from mlcfast.settings_reference import flattened

BATCH = 500  # lines: however long a server was away, no more are held at once


class Delivery:
    """Brings the tracker that the configuration calls `name` up to what is in the run's directory.

    reason: why the last attempt failed. is_closed: whether the tracker knows that the run is over.
    """

    def __init__(self, name: str, tracker: Tracker, directory: RunDirectory):
        self.name, self.tracker, self.directory = name, tracker, directory
        self.reason, self.is_closed = "it has not answered", False
        self._kept = directory.tracked(name)
        self._ledger = Ledger.read(self._kept, tracker.place)
        self._is_open = self._given_up = False
        self._at = 0  # in metrics.jsonl, in bytes

    def attempt(self, finished: bool, over: bool) -> bool:
        """Send what is not received yet; whether that succeeded.

        finished: the run's last files are there, to be sent too; over: the tracker is told then that the run has ended.
        """
        try:
            self._open()
            while self._send_lines():
                pass
            for path in self._files(finished):
                self._go_on()
                (self.tracker.model if path.is_dir() else self.tracker.file)(path)
                self._ledger.files[path.name] = _digest(path)
                self._ledger.write(self._kept)
            if over:
                self._go_on()
                self.tracker.close(finished)
                self.is_closed = True
        except Exception as error:  # a tracker, and the network behind it, may raise anything
            self._is_open, self.reason = False, _in_words(error)
            return False
        return True

    def give_up(self) -> None:
        """An attempt that is under way in another thread ends at its next call: what it would send is sent later."""
        self._given_up = True

    def missing(self, finished: bool) -> str:
        """What has not been received, in words."""
        lines = sum(1 for _, line in self._lines(0) if scalars_of(line) and self._ledger.lacks(line))
        parts = [f"{lines} lines of metrics.jsonl"] if lines else []
        return ", ".join(parts + [path.name for path in self._files(finished)]) or "that the run is over"

    def _go_on(self) -> None:
        if self._given_up:
            raise RuntimeError("nobody waits any longer")

    def _open(self) -> None:
        if self._is_open:
            return
        config = self.directory.read_config()
        self._ledger.write(self._kept)  # first, so that a run which is opened is found again
        settings, directory = flattened(config), self.directory.path.absolute()
        self.tracker.open(TrackedRun(directory, str(config.get("name")), settings, self._ledger.key))
        self._is_open = True

    def _send_lines(self) -> bool:
        """Send the next lines that are not received; whether there may be more."""
        lines: list[dict[str, Any]] = []
        at = self._at
        for end, line in self._lines(self._at):
            at = end
            if scalars_of(line) and self._ledger.lacks(line):
                lines.append(line)
            if len(lines) == BATCH:
                break
        if lines:
            self._go_on()
            self.tracker.scalars([_of_stream(line) for line in lines])
            self._ledger.note(lines)
            self._ledger.write(self._kept)
        self._at = at
        return len(lines) == BATCH

    def _lines(self, at: int) -> Iterator[tuple[int, dict[str, Any]]]:
        """The whole lines of metrics.jsonl from byte `at` on, each with where it ends; damaged ones are passed over."""
        if not self.directory.metrics.exists():
            return
        with self.directory.metrics.open("rb") as file:
            file.seek(at)
            for text in file:
                if not text.endswith(b"\n"):  # it is being written
                    return
                at += len(text)
                try:
                    line = json.loads(text)
                    whole = isinstance(line["step"], int) and isinstance(line["event"], str) and "time" in line
                except (ValueError, KeyError, TypeError):
                    continue
                if whole:
                    yield at, line

    def _files(self, finished: bool) -> list[Path]:
        """What is to be sent besides numbers and was not received as it is now; the model comes last."""
        run = self.directory
        last = [run.picture, run.unobserved_picture, run.report, run.summary, run.labels, run.best] if finished else []
        return [
            path for path in (run.config, *last) if path.exists() and self._ledger.files.get(path.name) != _digest(path)
        ]


def _of_stream(line: dict[str, Any]) -> Scalars:
    stream, skipped = stream_of(line), len(line["event"]) + 1
    values = {f"{stream}/{name[skipped:]}": value for name, value in scalars_of(line).items()}
    return Scalars(line["step"], line["time"], values)


def _digest(path: Path) -> str:
    """Of a file, or of a model's card, which holds the digests of the files beside it."""
    return sha256_of(path / "model.json" if path.is_dir() else path)


def _in_words(error: Exception) -> str:
    """The error's kind and the beginning of its first line."""
    first = (str(error).strip().splitlines() or [""])[0]
    return f"{type(error).__name__}: {first[:200]}".rstrip(": ")
