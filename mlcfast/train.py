"""Train a model from a configuration file."""

import argparse
import contextlib
import functools
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

from mlcfast import cli
from mlcfast.config import Config, load_config
from mlcfast.data import LabelledFeatures, LabelledImages
from mlcfast.engine import (
    Process,
    accumulation_steps,
    build_engine,
    discover,
    find_checkpoint,
    load_checkpoint,
    on_main,
    resolve_engine,
    start,
    stop,
)
from mlcfast.evaluation.evaluate import measure
from mlcfast.planning import out_of_memory, planned
from mlcfast.runs.journal import Journal, check_output_writable, log_to_console, prepare_run_directory
from mlcfast.training.best import draw_outcome, keep_best, list_skipped, record_outcome, report_run
from mlcfast.training.build import evaluation_loader, make_objective, open_samples, train_loader
from mlcfast.training.initialise import hand_over
from mlcfast.training.trainer import Progress, Trainer
from mlcfast.training.unobserved import LabelWatch

NEWEST = Path()
SMALL_STEP = 2**18  # features in a micro-batch


def build_parser() -> cli.Parser:
    """The command line of `python -m mlcfast.train`."""
    parser = cli.Parser("train", __doc__, "python -m mlcfast.train configs/demo.yaml optim.lr=3e-4 --resume")
    parser.add_argument("config", help="YAML file")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="settings that replace the file's")
    parser.add_argument(
        "--resume", nargs="?", type=Path, const=NEWEST, metavar="DIR", help="go on from DIR or the last checkpoint"
    )
    parser.add_argument("--local_rank", "--local-rank", type=int, help=argparse.SUPPRESS)  # put there by launchers
    return parser


def work(args: argparse.Namespace) -> None:
    """Train as the arguments say and print the best validation mAP as the last line of stdout."""
    if args.resume and "=" in args.resume.name and not args.resume.exists():  # `--resume key=value`: no DIR was meant
        args.overrides, args.resume = [*args.overrides, str(args.resume)], NEWEST
    config = load_config(args.config, args.overrides)
    process = discover()
    if process.is_main:
        log_to_console()
    resolve_engine(config, process)
    accumulation_steps(config, process)
    check_output_writable(config)
    start(process)
    try:
        progress = run(config, process, args.resume)
    finally:
        stop()
    if process.is_main:
        print(f"mAP {progress.best:.2f}")


def run(config: Config, process: Process, resume: Path | None = None) -> Progress:
    """Assemble the run, train it and return where it ended."""
    if resume is not None:
        state, held = load_checkpoint(find_checkpoint(config.run_directory if resume == NEWEST else resume))
    samples = open_samples(config, process)
    config, plan = planned(config, process, *samples.train.labels.shape)
    torch.manual_seed(config.seed)
    objective = make_objective(config, samples.train, samples.hidden)
    if config.train.initialise_from and resume is None:
        hand_over(objective, samples.train, Path(config.train.initialise_from))
    engine = build_engine(config, process, objective)
    loaders = (train_loader(config, samples.train, process), evaluation_loader(config, samples.validation, process))
    directory = config.run_directory
    keep = functools.partial(keep_best, config, samples.validation, directory / "best")
    watch = None if samples.hidden is None else LabelWatch(objective, samples.train, samples.hidden, directory)
    trainer = Trainer(config, engine, *loaders, samples.train.names, keep, watch, plan and plan.estimate.allocated)
    if resume is not None:
        trainer.resume(state, held)
    on_main(process, lambda: prepare_run_directory(config, resume is not None))
    on_main(process, lambda: list_skipped(directory, samples.skipped))
    journal = Journal(directory, process.is_main, trainer.progress.step)
    try:
        with threads_for(config, samples.train, process):
            progress = trainer.fit(journal)
        test = measure(config, process, directory / "best", config.data.test) if config.data.test else None
        on_main(process, lambda: record_outcome(directory, progress, test, journal))
    except torch.OutOfMemoryError as error:
        raise out_of_memory(config, plan) from error
    finally:
        journal.close()
    on_main(process, lambda: draw_outcome(directory, progress, samples.validation))
    on_main(process, lambda: report_run(directory))
    return progress


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


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    return cli.run(build_parser(), work, argv)


if __name__ == "__main__":
    sys.exit(main())
