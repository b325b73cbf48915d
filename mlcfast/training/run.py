"""One training run, from its configuration to the best model and the report."""

import contextlib
import functools
import logging
from collections.abc import Iterator
from pathlib import Path

import torch

from mlcfast.config import Config
from mlcfast.data import LabelledFeatures, LabelledImages
from mlcfast.data.build import Samples, evaluation_loader, open_samples, train_loader
from mlcfast.engine import Process, build_engine, find_checkpoint, load_checkpoint, on_main, with_micro_batch
from mlcfast.evaluation.evaluate import evaluate_weights
from mlcfast.evaluation.run_report import report_run
from mlcfast.planning import out_of_memory, planned
from mlcfast.runs.journal import Journal, prepare_run_directory
from mlcfast.training.best import draw_outcome, keep_best, list_skipped, record_outcome
from mlcfast.training.build import make_training_module
from mlcfast.training.initialise import initialise_from_run
from mlcfast.training.pseudo_labels import PseudoLabelling
from mlcfast.training.trainer import Progress, Trainer
from mlcfast.training.unobserved import LabelWatch

LOGGER = logging.getLogger("mlcfast")
SMALL_STEP = 2**18  # features in a micro-batch


def run(config: Config, process: Process, resume: Path | None = None) -> Progress:
    """Open the samples, plan, build, train, evaluate the best weights and report; returns where training ended.

    resume: a checkpoint's directory or a run's, whose last complete checkpoint is meant; None begins anew.
    """
    if resume is not None:
        state, held = load_checkpoint(find_checkpoint(resume))
    samples = open_samples(config)
    if process.is_main:
        warn_of_labels_without_positives(samples)
    saved, plan = planned(config, process, *samples.train.labels.shape)  # as config.yaml keeps it, for any processes
    config = with_micro_batch(saved, process.world_size)
    torch.manual_seed(config.seed)
    module = make_training_module(config, samples.train, samples.hidden)
    if config.train.initialise_from and resume is None:
        initialise_from_run(module, samples.train, Path(config.train.initialise_from))
    engine = build_engine(config, process, module)
    loaders = (train_loader(config, samples.train, process), evaluation_loader(config, samples.validation, process))
    directory = config.run_directory
    keep = functools.partial(keep_best, saved, samples.validation, directory / "best")
    watch = None if samples.hidden is None else LabelWatch(module, samples.train, samples.hidden, directory)
    labels = None
    if module.pseudo_labels is not None:
        scored = evaluation_loader(config, samples.train, process)
        labels = PseudoLabelling(engine, samples.train, scored, directory)
    predicted = plan and plan.estimate.allocated
    trainer = Trainer(config, engine, *loaders, samples.train.names, keep, watch, predicted, labels)
    if resume is not None:
        trainer.resume(state, held)
    on_main(process, lambda: prepare_run_directory(saved, resume is not None))
    on_main(process, lambda: list_skipped(directory, samples.skipped))
    journal = Journal(directory, process.is_main, trainer.progress.step)
    try:
        with threads_for(config, samples.train, process):
            progress = trainer.fit(journal)
        test = evaluate_weights(config, process, directory / "best", config.data.test) if config.data.test else None
        on_main(process, lambda: record_outcome(directory, progress, test, journal))
    except torch.OutOfMemoryError as error:
        raise out_of_memory(config, plan) from error
    finally:
        journal.close()
    on_main(process, lambda: draw_outcome(directory, progress, samples.validation))
    on_main(process, lambda: report_run(directory))
    return progress


def warn_of_labels_without_positives(samples: Samples) -> None:
    """Name the labels that no image of a part has: such a label counts as 0 in the part's mAP."""
    for part, records in (("training", samples.train), ("validation", samples.validation)):
        absent = [name for name, some in zip(records.names, (records.labels == 1).any(axis=0), strict=True) if not some]
        if absent:
            shown = ", ".join(absent[:5]) + (f" and {len(absent) - 5} more" if len(absent) > 5 else "")
            means = (
                "the model cannot learn" if part == "training" else "count as AP 0 in the mAP and get threshold 0.5:"
            )
            LOGGER.warning("no %s image has these labels, which %s %s", part, means, shown)


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
