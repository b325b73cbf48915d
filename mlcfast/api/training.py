"""Trains as `python -m mlcfast.train` does, under any launcher."""

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mlcfast.api.configuration import load_config
from mlcfast.config import Config
from mlcfast.engine import Process, discover, peers_explained, resolve_engine, start, stop
from mlcfast.runs.directory import RunDirectory
from mlcfast.runs.journal import logging_to_console
from mlcfast.training.callbacks import Callback
from mlcfast.training.result import TrainingResult
from mlcfast.training.run import run


def train(
    config: Config | str | Path | Mapping[str, Any],
    *,
    callbacks: Sequence[Callback] = (),
    resume: bool | str | Path | None = None,
    with_changes: bool = False,
    quiet: bool = False,
) -> TrainingResult:
    """Train, evaluate, and write the best model and the report to `config.run_directory`; returns where they are.

    config: one of `load_config`, or what it takes. resume: True goes on from this run's last checkpoint, a directory
    from that one; None begins anew, and an earlier run of the same name is set aside. with_changes: let it go on with
    other settings or data than the run had. quiet: leave the logger `mlcfast` as the program has set it up, instead of
    writing its lines to stderr for as long as the run takes.

    UsageError for what is wrong with the configuration or the data, RunError for a run that cannot finish, SystemExit
    where a signal stops it.
    """
    settings = config if isinstance(config, Config) else load_config(config)
    process = discover()
    with logging_to_console() if process.is_main and not quiet else contextlib.nullcontext():
        return _trained(settings, process, resume, with_changes, callbacks)


def _trained(
    settings: Config,
    process: Process,
    resume: bool | str | Path | None,
    with_changes: bool,
    callbacks: Sequence[Callback],
) -> TrainingResult:
    resolve_engine(settings, process)
    settings.engine.micro_batch_for(process.world_size)
    directory = settings.run_directory
    RunDirectory(directory).check_writable()
    start(process)
    try:
        with peers_explained(process, "--resume goes on"):
            place = directory if resume is True else Path(resume) if resume else None
            progress = run(settings, process, place, with_changes, callbacks)
    finally:
        stop()
    return TrainingResult(directory, progress.rows)
