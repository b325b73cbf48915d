"""Train a model from a configuration file."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mlcfast import cli
from mlcfast.assembly import evaluation_loader, make_objective, model_arguments, open_samples, train_loader
from mlcfast.config import Config, load_config
from mlcfast.engine import (
    Process,
    accumulation_steps,
    build_engine,
    discover,
    latest_checkpoint,
    on_main,
    resolve_engine,
    start,
    stop,
)
from mlcfast.metrics import best_f1_thresholds
from mlcfast.models.card import ModelCard, save_model
from mlcfast.report.journal import Journal, check_output_writable, log_to_console, prepare_run_directory
from mlcfast.trainer import Progress, Trainer

NEWEST = Path()


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
    config = load_config(args.config, args.overrides)
    process = discover()
    log_to_console() if process.is_main else None
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
    checkpoint = (
        None
        if resume is None
        else resume
        if resume != NEWEST
        else latest_checkpoint(config.run_directory / "checkpoints")
    )
    samples = open_samples(config, process)
    torch.manual_seed(config.seed)
    names = samples.train.names
    engine = build_engine(config, process, make_objective(config, len(names)))
    loaders = (train_loader(config, samples.train, process), evaluation_loader(config, samples.validation, process))
    directory = on_main(process, lambda: prepare_run_directory(config, resume is not None))

    def keep_best(
        weights: dict[str, Tensor], which: str, report: dict[str, Any], scores: np.ndarray, labels: np.ndarray
    ) -> None:
        if process.is_main:
            save_model(
                directory / "best", weights, _card(config, names, which, report, best_f1_thresholds(scores, labels))
            )

    journal = Journal(directory, process.is_main)
    trainer = Trainer(config, engine, *loaders, names, journal, keep_best)
    if checkpoint is not None:
        trainer.resume(checkpoint)
    try:
        return trainer.fit()
    finally:
        journal.close()


def _card(config: Config, names: list[str], which: str, report: dict[str, Any], thresholds: np.ndarray) -> ModelCard:
    data = config.data
    preprocessing = {"image_size": data.image_size, "mean": list(data.mean), "std": list(data.std)}
    return ModelCard(
        labels=names,
        model=model_arguments(config, len(names)),
        preprocessing=preprocessing,
        thresholds=[round(float(value), 6) for value in thresholds],
        weights=which,
        metrics=report,
        config=config.model_dump(mode="json"),
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    return cli.run(build_parser(), work, argv)


if __name__ == "__main__":
    sys.exit(main())
