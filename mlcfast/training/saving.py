"""Saves during training so that a full or failing disk loses only what could not be written, nothing older."""

import logging
import shutil
from collections.abc import Callable
from pathlib import Path

from mlcfast.engine import Process, on_main
from mlcfast.errors import RunError
from mlcfast.runs.directory import RunDirectory, complete_checkpoints

LOGGER = logging.getLogger("mlcfast")


def attempt(process: Process, work: Callable[[], object], directory: RunDirectory, on_error: str) -> bool:
    """Let the main process do `work`, which writes to the run's directory; whether it could, the same on every rank.

    on_error: train.on_save_error. With stop a RunError on every rank names the file, says what is intact and what to
    do; with continue the same is a warning. A collective.
    """

    def work_or_say() -> str:
        try:
            work()
        except OSError as error:
            return f"{error.filename or directory.path}: cannot be written: {error.strerror or error}"
        return ""

    failure = on_main(process, work_or_say)
    if not failure:
        return True
    if on_error == "stop":
        remedy = "free space there and go on with --resume, or set train.on_save_error to continue"
        raise RunError(f"{failure}; {_intact(directory)}: {remedy}")
    if process.is_main:
        LOGGER.warning("%s; %s; training goes on and saves at the next occasion", failure, _intact(directory))
    return False


def settle_checkpoints(directory: RunDirectory, keep: bool) -> None:
    """Drop the checkpoints of a finished run, or say what room they take; best/ stays. On the main process only."""
    place = directory.checkpoints
    megabytes = sum(file.stat().st_size for file in place.rglob("*") if file.is_file()) / 10**6
    if keep:
        LOGGER.info(
            "disk: %s takes %.0f MB and is needed only to add epochs with --resume; it may be deleted, and "
            "train.keep_finished=false does so at the end of a run",
            place,
            megabytes,
        )
    else:
        shutil.rmtree(place, ignore_errors=True)
        LOGGER.info("disk: %s is deleted, %.0f MB: the run is finished", place, megabytes)


def _intact(directory: RunDirectory) -> str:
    found: list[Path] = complete_checkpoints(directory.checkpoints)
    return f"the checkpoint before it, {found[0]}, is intact" if found else "no checkpoint was written before it"
