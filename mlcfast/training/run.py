"""One training run, from its configuration to the best model and the report."""

import contextlib
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from mlcfast.config import Config
from mlcfast.data import LabelledFeatures, LabelledImages
from mlcfast.data.build import Samples, evaluation_loader, make_loaders, open_samples
from mlcfast.data.overlap import copies, refuse_copies
from mlcfast.data.splits import are_named_by_file, find_split, sides_of_run, write_split
from mlcfast.engine import (
    Engine,
    EngineState,
    Process,
    all_gather_objects,
    build_engine,
    load_checkpoint,
    on_main,
    with_micro_batch,
)
from mlcfast.errors import RunError, UsageError
from mlcfast.evaluation.evaluate import evaluate_weights
from mlcfast.evaluation.run_report import report_run
from mlcfast.files import write_text
from mlcfast.planning import out_of_memory, planned
from mlcfast.runs.directory import RunDirectory, find_checkpoints
from mlcfast.runs.journal import Journal, said_once
from mlcfast.runs.listening import Listener
from mlcfast.runs.trackers import make_trackers
from mlcfast.training.alike import refuse_other_data, refuse_other_settings
from mlcfast.training.announce import announce_end, announce_samples, announce_training, seen_earlier, unknown_as_absent
from mlcfast.training.best import BestModel, draw_outcome, list_skipped, record_outcome
from mlcfast.training.build import check_parts, make_training_module
from mlcfast.training.callbacks import Callback, Called
from mlcfast.training.initialise import initialise_from_run
from mlcfast.training.mix import make_training_mix
from mlcfast.training.progress import Follower, Progress
from mlcfast.training.pseudo_labels import PseudoLabelling
from mlcfast.training.query_start import start_queries
from mlcfast.training.resuming import Changes, changes_since, contents_of, normalised_as_before
from mlcfast.training.saving import delete_old_checkpoints
from mlcfast.training.trainer import Trainer
from mlcfast.training.unobserved import UnobservedPositives

LOGGER = logging.getLogger("mlcfast")
SMALL_STEP = 2**18  # features in a micro-batch


def run(
    config: Config,
    process: Process,
    resume: Path | None = None,
    with_changes: bool = False,
    callbacks: Sequence[Callback] = (),
) -> Progress:
    """Open the samples, plan, build, train, evaluate the best weights and report; returns where training ended.

    resume: a checkpoint's directory or a run's, whose last complete checkpoint is meant; None begins anew.
    with_changes: whether what goes on may be another run than the one that was stopped (see training/resuming.py).
    callbacks: told of it on the main process.
    """
    refuse_other_settings(config, resume=resume is not None, with_changes=with_changes)
    check_parts(config, resume is not None)
    config = config if resume is None else normalised_as_before(config, resume)
    checkpoint = None if resume is None else load_last_checkpoint(resume, process)
    held = None if resume is None else find_split(resume)
    started_from = config.train.initialise_from if resume is None else None
    earlier = sides_of_run(Path(started_from), config.data.root, config.data.train) if started_from else {}
    with said_once(process.is_main):
        samples = open_samples(config, held, earlier)
    parts = {"training": samples.train, "validation": samples.validation, "test": samples.test}
    given = {name: records for name, records in parts.items() if records is not None}
    contents = contents_of(given)
    refuse_other_data(contents, len(samples.train), checkpoint[1]["step"] if checkpoint else None)
    copied = on_main(process, lambda: copies(given))
    refuse_copies(copied, config.data.allow_overlap)
    about: dict[str, Any] = {}
    if process.is_main:
        more = [*copied, *seen_earlier(given, earlier), *unknown_as_absent(config.loss.name, samples.train)]
        about = announce_samples(given, more) | {"contents": contents}
    saved, plan = planned(config, process, *samples.train.labels.shape)  # as config.yaml keeps it, for any processes
    config, directory = with_micro_batch(saved, process.world_size), RunDirectory(config.run_directory)
    changes = since_saved(resume, saved, contents, process)
    torch.manual_seed(config.seed)
    module = make_training_module(config, samples.train, samples.hidden)
    if started_from:
        renamed = config.train.renamed_labels
        initialise_from_run(module, samples.train, Path(started_from), renamed, config.model.backbone)
    elif config.model.query_start and resume is None:
        start_queries(module.model, samples.train.names, Path(config.model.query_start), config.seed)
    trainer = make_trainer(config, saved, samples, directory, build_engine(config, process, module))
    if checkpoint is not None and resume is not None:
        trainer.resume(*checkpoint)
        changes.refuse(resume, trainer.progress.step, with_changes)
        if "validation" in changes.data:
            trainer.forget_best()
    if process.is_main:
        announce_training(config, trainer, process)
    listeners = [Called(callback, saved) for callback in callbacks]
    with prepared(directory, saved, samples, process, trainer, listeners) as journal:
        changes.write_down(journal, trainer.progress.step)
        journal.record("data", trainer.progress.step, **about)
        try:
            with threads_for(config, samples.train, process):
                progress = trainer.fit(journal, plan.estimate.predicted if plan else None)
            test = evaluate_weights(config, process, directory.best, samples.test) if samples.test else None
        except torch.OutOfMemoryError as error:
            raise out_of_memory(config, plan) from error
        except ValueError as error:
            raise_one_value_a_channel(error)
            raise
        on_main(process, lambda: record_outcome(directory, progress, test, journal))
        on_main(process, lambda: draw_outcome(directory, progress, samples.validation))
        _, interval = on_main(process, lambda: report_run(directory.path))
        journal.finish(progress.rows)
    if process.is_main:
        delete_old_checkpoints(directory, config.train.keep_finished)
        announce_end(config, directory, progress, len(samples.validation), interval, test)
    return progress


def raise_one_value_a_channel(error: ValueError) -> None:
    """UsageError where torch's batch normalisation has one value a channel to train on; nothing for another error."""
    if str(error).startswith("Expected more than 1 value per channel when training"):
        raise UsageError(
            "engine.micro_batch: a batch normalisation of the model cannot train on one image at once that is one cell "
            "wide and high there: set engine.micro_batch and engine.global_batch to 2 or more, or a larger "
            "data.image_size"
        ) from error


def load_last_checkpoint(place: Path, process: Process) -> tuple[EngineState, dict[str, Any]]:
    """The last whole checkpoint meant by `place`; a damaged one is named and passed over for the one before it."""
    candidates = find_checkpoints(place)
    for number, directory in enumerate(candidates):
        try:
            loaded = load_checkpoint(directory)
        except RunError as error:
            if number == len(candidates) - 1:
                raise
            if process.is_main:
                LOGGER.warning("%s", error)
            continue
        if number and process.is_main:
            lost = int(candidates[0].name) - int(directory.name)
            LOGGER.warning("going on from %s: the %d steps after it are lost and run again", directory, lost)
        return loaded
    raise AssertionError("find_checkpoints gives at least one")


def since_saved(resume: Path | None, config: Config, contents: Mapping[str, str], process: Process) -> Changes:
    """What has changed since the run that goes on was saved, the same on every rank; nothing for a new run.

    contents: see contents_of.
    """
    if resume is None:
        return Changes()
    return on_main(process, lambda: changes_since(resume, config.model_dump(mode="json"), contents))


def make_trainer(config: Config, saved: Config, samples: Samples, directory: RunDirectory, engine: Engine) -> Trainer:
    """The trainer of this rank; saved: the configuration as the best model's card keeps it."""
    process, train = engine.process, samples.train
    loaders = make_loaders(config, samples, process, engine.stopwatch)
    followers: list[Follower] = []
    if samples.hidden is not None:
        file = directory.unobserved if process.is_main else None
        followers.append(UnobservedPositives(engine.training_module, train, samples.hidden, file))
    if engine.training_module.pseudo_labels is not None:
        followers.append(PseudoLabelling(engine, train, evaluation_loader(config, train, process)))
    mix = make_training_mix(config, engine.training_module, train)
    return Trainer(config, engine, loaders, BestModel(saved, samples.validation, directory), followers, mix)


@contextlib.contextmanager
def prepared(
    directory: RunDirectory,
    config: Config,
    samples: Samples,
    process: Process,
    trainer: Trainer,
    listeners: Sequence[Listener] = (),
) -> Iterator[Journal]:
    """Make the run's directory, lock it against other runs and rewind it to the trainer's step; gives its journal.

    listeners: hear of the run beside its trackers, and before them.
    """
    progress, resumed = trainer.progress, trainer.is_resumed

    def prepare() -> int | None:
        holding.enter_context(directory.held(resumed))
        write_text(directory.config, config.to_yaml())
        if resumed:
            directory.rewind(progress.step, progress.epoch)
        list_skipped(directory, samples.skipped)
        parts = samples.train, samples.validation
        if config.data.val_share or all(are_named_by_file(part, config.data.root) for part in parts):
            write_split(directory.path, *parts)
        return directory.best_step()

    with contextlib.ExitStack() as holding:
        best = on_main(process, prepare)
        require_shared(directory, process)
        if resumed and best is None:
            trainer.forget_best()
        trackers = make_trackers(config.train.trackers) if process.is_main else []
        journal = Journal(directory, process.is_main, [*listeners, *trackers])
        try:
            journal.begin(progress.step)
            yield journal
        finally:
            journal.close()


def require_shared(directory: RunDirectory, process: Process, seconds: float = 30.0) -> None:
    """UsageError on every rank unless all see the run's directory, where each writes its share of a checkpoint.

    seconds: that the other hosts' views of a file system may lag behind. A collective.
    """
    holder, until = on_main(process, directory.holder), time.monotonic() + seconds
    while directory.holder() != holder and time.monotonic() < until:
        time.sleep(0.1)
    seen = all_gather_objects(directory.holder() == holder)
    blind = [rank for rank, sees in enumerate(seen) if not sees]
    if blind:
        raise UsageError(
            f"output {directory.path}: rank {blind[0]} does not see the directory that rank 0 ({holder}) writes to: "
            "put it on a file system that all hosts of the run share"
        )


@contextlib.contextmanager
def threads_for(config: Config, records: LabelledImages, process: Process) -> Iterator[None]:
    """One thread for small linear steps on the CPU.

    A second one saves such a step less than waiting for it costs where the machine has other work (docs/notes.md).
    """
    before = torch.get_num_threads()
    features = isinstance(records, LabelledFeatures) and process.device.type == "cpu"
    if features and config.engine.micro_batch * records.features.shape[1] < SMALL_STEP:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
