"""A run's directory: every path in it, who may write to it, and going back to an earlier step."""

import contextlib
import glob
import io
import json
import logging
import os
import re
import shutil
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from mlcfast.documents import parse_yaml
from mlcfast.errors import UsageError
from mlcfast.files import lock_file, remove_directory, sealed, sha256_of, unlock_file, unsealed, write_bytes, write_text

LOGGER = logging.getLogger("mlcfast")
LOCK = ".lock"


@dataclass(frozen=True)
class RunDirectory:
    """runs/NAME: what a run writes and others read."""

    path: Path

    @property
    def config(self) -> Path:
        """The resolved configuration, which runs the same again."""
        return self.path / "config.yaml"

    @property
    def log(self) -> Path:
        """The log's lines."""
        return self.path / "log.txt"

    @property
    def metrics(self) -> Path:
        """A JSON line a log step, evaluation and event."""
        return self.path / "metrics.jsonl"

    @property
    def non_finite(self) -> Path:
        """A JSON line for each batch whose loss was not finite: its step, rank and images, by number."""
        return self.path / "nonfinite.jsonl"

    @property
    def summary(self) -> Path:
        """A row an epoch."""
        return self.path / "summary.csv"

    @property
    def tensorboard(self) -> Path:
        """TensorBoard's event files."""
        return self.path / "tensorboard"

    def tracked(self, name: str) -> Path:
        """What the tracker that the configuration calls `name` has received."""
        return self.path / "trackers" / f"{re.sub(r'[^A-Za-z0-9._-]', '-', name)}.json"

    @property
    def checkpoints(self) -> Path:
        """A directory a checkpoint, named by its step, and `latest`."""
        return self.path / "checkpoints"

    @property
    def best(self) -> Path:
        """The best model with its card, its validation scores and, after the run, its outcome."""
        return self.path / "best"

    @property
    def card(self) -> Path:
        """The best model's card."""
        return self.best / "model.json"

    @property
    def validation(self) -> Path:
        """Scores and labels (M, K) and paths (M,) of the validation images by the best model."""
        return self.best / "validation.npz"

    @property
    def estimates(self) -> Path:
        """ROLE's label estimates of the best model's epoch."""
        return self.best / "estimates.npz"

    @property
    def outcome(self) -> Path:
        """The mark of a finished run: its best epoch and its mAPs."""
        return self.best / "outcome.json"

    @property
    def unobserved(self) -> Path:
        """By epoch, what the model predicts for the positives hidden from it."""
        return self.path / "unobserved.npz"

    @property
    def unobserved_picture(self) -> Path:
        """The histograms of unobserved.npz, an epoch a panel."""
        return self.path / "unobserved.png"

    @property
    def picture(self) -> Path:
        """The curve and some validation images with their labels."""
        return self.path / "result.png"

    @property
    def report(self) -> Path:
        """The report, one page."""
        return self.path / "report.html"

    @property
    def labels(self) -> Path:
        """A row a label, where the report cannot show them all: its average precision, threshold and so on."""
        return self.path / "labels.csv"

    @property
    def skipped(self) -> Path:
        """The images left out and why."""
        return self.path / "skipped.txt"

    def check_writable(self) -> None:
        """UsageError if the directory could not be made; leaves nothing behind."""
        place = self.path.absolute()
        while not place.exists():
            place = place.parent
        if not place.is_dir():
            raise UsageError(f"output {self.path}: {place} is not a directory")
        if not os.access(place, os.W_OK | os.X_OK):
            raise UsageError(f"output {self.path}: {place} is not writable")

    @contextlib.contextmanager
    def held(self, resume: bool) -> Iterator[None]:
        """Make the directory and lock it against other runs; UsageError if it cannot be written or another run has it.

        Without `resume`, an earlier run of the same name is kept beside the new one as `NAME.1`, `NAME.2`, …
        """
        try:
            if self.path.exists():
                # Moved under its lock: a run that began at the same moment may have a new directory here by now.
                with self._lock() as is_locked:
                    moves = not resume and any(entry.name != LOCK for entry in self.path.iterdir())
                    if moves and is_locked:
                        self._set_aside()
                if moves and not is_locked:  # Windows moves nothing that holds an open file
                    self._set_aside()
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"output {self.path}: cannot be written: {error.strerror}") from error
        with self._lock():
            yield

    @contextlib.contextmanager
    def _lock(self) -> Iterator[bool]:
        """Lock the directory, UsageError if another run has it; gives whether it is locked: not every system can."""
        with (self.path / LOCK).open("a+", encoding="utf-8") as file:
            is_locked = False
            try:
                is_locked = lock_file(file, wait=False)
                if is_locked and not self._is_here(file):
                    raise BlockingIOError
            except BlockingIOError as error:
                file.seek(0)
                holder = file.read().strip() if self._is_here(file) else ""
                raise UsageError(
                    f"output {self.path}: {holder or 'another process'} is writing to it; wait for it, or give this "
                    "run another name"
                ) from error
            except OSError as error:
                LOGGER.warning("%s: cannot lock (%s); start no second run here", self.path, error.strerror)
            file.truncate(0)
            file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
            file.flush()
            try:
                yield is_locked
            finally:
                unlock_file(file)

    def _is_here(self, file: IO[str]) -> bool:
        """Whether an open lock is this directory's, and not of one that was set aside meanwhile."""
        try:
            return os.path.samestat(os.fstat(file.fileno()), (self.path / LOCK).stat())
        except FileNotFoundError:
            return False

    def holder(self) -> str:
        """The process that writes here and its host; "" where none does, or where this host does not see it."""
        try:
            return (self.path / LOCK).read_text(encoding="utf-8").strip()
        except OSError:
            return ""

    def _set_aside(self) -> None:
        number = 1
        while (kept := self.path.with_name(f"{self.path.name}.{number}")).exists():
            number += 1
        LOGGER.info("the earlier run %s is now %s", self.path, self.path.rename(kept))

    def finished_before(self) -> list["RunDirectory"]:
        """The finished runs of this name that were set aside, as `NAME.1` and so on."""
        beside = (RunDirectory(place) for place in self.path.parent.glob(f"{glob.escape(self.path.name)}.*"))
        return sorted(
            (run for run in beside if run.path.suffix[1:].isdigit() and run.outcome.exists()), key=lambda run: run.path
        )

    def best_step(self) -> int | None:
        """The step of the best model; None where there is none that can be read."""
        try:
            step = unsealed(self.card.read_bytes()).get("step")
        except (OSError, ValueError):
            return None
        return step if isinstance(step, int) else None

    def rewind(self, step: int, epoch: int) -> None:
        """Drop what a run that goes on from `step`, in epoch `epoch` counted from 0, will write again.

        Lines of the journal after the step, epochs from this one on, a best model of a later step, the outcome, and
        what an interrupted run left half written. The checkpoints stay until the next one is saved.
        """
        for draft in list(self.path.rglob("*.partial")):  # hidden ones too
            shutil.rmtree(draft) if draft.is_dir() else draft.unlink(missing_ok=True)
        for lines in (self.metrics, self.non_finite):
            rewind_lines(lines, step)
        _rewind_epochs(self.unobserved, epoch)
        self.outcome.unlink(missing_ok=True)
        best = self.best_step()
        if self.best.exists() and (best is None or best > step):
            LOGGER.warning(
                "%s: is %s and is dropped: the best model is chosen anew from step %d on",
                self.best,
                "damaged" if best is None else f"of step {best}, which this run goes back from",
                step,
            )
            remove_directory(self.best)

    def read_config(self) -> dict[str, Any]:
        """The resolved configuration as nested plain values; UsageError where it cannot be read."""
        try:
            values = parse_yaml(self.config.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise UsageError(f"{self.config}: cannot be read: {error}") from error
        if not isinstance(values, dict):
            raise UsageError(f"{self.config}: damaged: no settings in it")
        return values

    def last_event(self, kind: str) -> dict[str, Any]:
        """The last line of that kind in metrics.jsonl; empty where there is none that can be read."""
        if not self.metrics.exists():
            return {}
        found: dict[str, Any] = {}
        for text in self.metrics.read_text(encoding="utf-8", errors="replace").splitlines():
            if f'"{kind}"' in text and _step_of(text) is not None:
                line = json.loads(text)
                found = line if line.get("event") == kind else found
        return found

    def write_outcome(self, outcome: dict[str, object]) -> None:
        """Mark the run as finished with the best model that is there."""
        write_text(self.outcome, sealed({**outcome, "card": sha256_of(self.card)}))

    def read_outcome(self) -> dict[str, Any]:
        """Read outcome.json, which marks the run as finished; UsageError where it is not there or damaged."""
        try:
            outcome = unsealed(self.outcome.read_bytes())
            card = sha256_of(self.card)
        except OSError as error:
            raise UsageError(f"{error.filename}: cannot be read: {error.strerror}") from error
        except ValueError as error:
            raise UsageError(f"{self.outcome}: damaged: {error}") from error
        if outcome.pop("card", card) != card:
            raise UsageError(f"{self.outcome}: damaged, or of another model than {self.card}")
        return outcome


def find_run(place: Path) -> RunDirectory | None:
    """The run that a checkpoint, its directory or the run's own directory belongs to; None where there is none."""
    nearby = [place, *list(place.absolute().parents)[:3]]
    return next((RunDirectory(folder) for folder in nearby if (folder / "config.yaml").is_file()), None)


def find_checkpoints(place: Path) -> list[Path]:
    """The checkpoint meant by its own directory, or all of a run: the last complete one and those to fall back to.

    UsageError if there is none, with the remedy where the run is finished.
    """
    if (place / "manifest.json").is_file():
        return [place]
    for root in (place / "checkpoints", place):
        if not root.is_dir():
            continue
        found = complete_checkpoints(root)
        try:
            last = (root / "latest").read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):
            last = ""
        pointed = [entry for entry in found if entry.name <= last]
        if pointed or found:
            return pointed or found
    run = find_run(place)
    remedy = ""
    if run is not None and run.outcome.exists():
        remedy = (
            f": the run is finished and its checkpoints are deleted; a new run with train.initialise_from={run.path} "
            "starts from its best weights"
        )
    raise UsageError(f"{place}: no checkpoint to resume from{remedy}")


def complete_checkpoints(root: Path) -> list[Path]:
    """The checkpoints under `root` that were published whole, the newest first; none where there is no such place."""
    if not root.is_dir():
        return []
    found = sorted((entry for entry in root.iterdir() if (entry / "manifest.json").is_file()), reverse=True)
    return [entry for entry in found if entry.name.isdigit()]


def rewind_lines(path: Path, step: int) -> None:
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


def _rewind_epochs(path: Path, epoch: int) -> None:
    """Keep the rows before `epoch` of each array with a row an epoch, `epochs` saying which; a damaged file goes."""
    if not path.exists():
        return
    try:
        with np.load(path) as held:
            arrays = dict(held)
        kept = arrays["epochs"] < epoch
    except (OSError, ValueError, KeyError) as error:
        LOGGER.warning("%s: damaged and dropped (%s)", path, error)
        path.unlink()
        return
    rows = {name: array[kept] if array.shape[:1] == kept.shape else array for name, array in arrays.items()}
    write_arrays(path, **rows)


def write_arrays(path: Path, **arrays: object) -> None:
    """Write a compressed .npz whole or not at all."""
    write_bytes(path, packed(**arrays))


def packed(**arrays: Any) -> bytes:
    """The bytes of a compressed .npz with these arrays."""
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)
    return content.getvalue()
