"""Saves during training, beside it; a full or failing disk loses only what could not be written, nothing older."""

import logging
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Self

from mlcfast.config import TrainConfig
from mlcfast.engine import BackgroundSave, Engine, Process, on_main
from mlcfast.errors import RunError, UsageError
from mlcfast.files import remove_directory
from mlcfast.runs.directory import RunDirectory, complete_checkpoints
from mlcfast.runs.journal import Journal
from mlcfast.training.progress import Progress

LOGGER = logging.getLogger("mlcfast")


class Checkpoints:
    """A run's checkpoints, written beside training; a context that ends when the last one is written.

    saved_step: of the last complete one, 0 if there is none. The methods are collectives.
    """

    def __init__(self, engine: Engine, settings: TrainConfig, journal: Journal, saved_step: int):
        self.engine, self.settings, self.journal, self.saved_step = engine, settings, journal, saved_step
        self.directory = journal.directory
        self.background = BackgroundSave(engine.process, self.directory.checkpoints, settings.keep_checkpoints)
        self._has_waited = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.note_completed(wait=True)
            return
        failure = self.background.leave()
        if failure is not None and self.engine.process.is_main:
            LOGGER.warning("the checkpoint of step %d was not written: %s", self.background.step, failure)

    def save(self, progress: Progress) -> None:
        """Copy the state and begin to write it; the checkpoint before it is waited for."""
        self.note_completed()
        if self.background.step is not None and not self._has_waited:
            self._has_waited = True
            LOGGER.info(
                "step %d is to be saved while the checkpoint of step %d is being written, which is waited for; "
                "a larger train.checkpoint_every would not wait",
                progress.step,
                self.background.step,
            )
        self.note_completed(wait=True)
        self.engine.average_buffers()
        self.background.begin(progress.step, self.engine.share_of_state(), asdict(progress))

    def note_completed(self, wait: bool = False) -> None:
        """Record the checkpoint being written once it is complete, or say why it failed; a collective.

        While it is still being written, this does nothing or, with `wait`, waits for it. RunError on every rank where
        it failed and train.on_save_error is stop.
        """
        written = self.background.collect(wait)
        if written is None:
            return
        step, error = written
        if error is None:
            self.saved_step = step
            self.journal.record("checkpoint", step)
        elif isinstance(error, OSError):
            _report(self.engine.process, _in_words(error, self.directory), self.directory, self.settings.on_save_error)
        else:
            raise error


def attempt(process: Process, work: Callable[[], object], directory: RunDirectory, on_error: str) -> bool:
    """Let the main process do `work`, which writes to the run's directory; whether it could, the same on every rank.

    on_error: train.on_save_error. With stop a RunError on every rank names the file, says what is intact and what to
    do; with continue the same is a warning. A collective.
    """

    def work_or_say() -> str:
        try:
            work()
        except OSError as error:
            return _in_words(error, directory)
        return ""

    failure = on_main(process, work_or_say)
    if failure:
        _report(process, failure, directory, on_error)
    return not failure


def _in_words(error: OSError, directory: RunDirectory) -> str:
    return f"{error.filename or directory.path}: cannot be written: {error.strerror or error}"


def _report(process: Process, failure: str, directory: RunDirectory, on_error: str) -> None:
    if on_error == "stop":
        resumable = complete_checkpoints(directory.checkpoints)
        again = "go on with --resume" if resumable else "begin again, without --resume"
        remedy = f"free space there and {again}, or set train.on_save_error to continue"
        raise RunError(f"{failure}; {_intact(directory)}: {remedy}")
    if process.is_main:
        LOGGER.warning("%s; %s; training goes on and saves at the next occasion", failure, _intact(directory))


def delete_old_checkpoints(directory: RunDirectory, keep: bool | None) -> None:
    """Delete what checkpoints of finished runs need not be kept, or say what room they take; best/ stays.

    directory: of the run that has just finished; keep: its train.keep_finished. Unless that is true, finished runs of
    its name that were set aside lose theirs too, if their own setting allows it. On the main process only.
    """
    place = directory.checkpoints
    if keep is False:
        LOGGER.info("disk: %s is deleted, %.0f MB: the run is finished", place, _delete(place))
    else:
        until = "" if keep else "it goes when a later run of this name has finished, or at once with "
        LOGGER.info(
            "disk: %s takes %.0f MB and is needed only to add epochs with --resume; %strain.keep_finished=false%s",
            place,
            _megabytes(place),
            until,
            " deletes it at the end of a run" if keep else "",
        )
    if keep:
        return
    freed = {
        run.path: _delete(run.checkpoints) for run in directory.finished_before() if _may_go(run, directory.path.name)
    }
    if freed:
        LOGGER.info(
            "disk: the checkpoints of earlier finished runs are deleted, %.0f MB: %s; train.keep_finished=true keeps a "
            "run's",
            sum(freed.values()),
            ", ".join(map(str, freed)),
        )


def _may_go(run: RunDirectory, name: str) -> bool:
    """Whether a finished run had this name, not one like `v1.2`, and checkpoints that its settings do not keep."""
    try:
        values = run.read_config()
    except UsageError:
        return False
    settings = values.get("train")
    kept = not isinstance(settings, dict) or settings.get("keep_finished") is not None
    return values.get("name") == name and run.checkpoints.is_dir() and not kept


def _megabytes(place: Path) -> float:
    return sum(file.stat().st_size for file in place.rglob("*") if file.is_file()) / 10**6


def _delete(place: Path) -> float:
    """Delete a directory; returns its MB."""
    megabytes = _megabytes(place)
    remove_directory(place)
    return megabytes


def _intact(directory: RunDirectory) -> str:
    found: list[Path] = complete_checkpoints(directory.checkpoints)
    return f"the checkpoint before it, {found[0]}, is intact" if found else "no checkpoint was written before it"
