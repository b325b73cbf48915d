"""Evaluate a checkpoint on a configuration's held-out images."""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mlcfast import cli
from mlcfast.assembly import evaluation_loader, make_model, open_split
from mlcfast.config import load_config
from mlcfast.engine import Predictor, discover, start, stop
from mlcfast.errors import UsageError
from mlcfast.metrics import multilabel_report
from mlcfast.models.card import load_card
from mlcfast.models.loading import fill, find_weights, read_weights
from mlcfast.report.journal import log_to_console
from mlcfast.trainer import gather_predictions


def build_parser() -> cli.Parser:
    """The command line of `python -m mlcfast.evaluate`."""
    parser = cli.Parser(
        "evaluate", __doc__, "python -m mlcfast.evaluate configs/demo.yaml --checkpoint runs/demo/best --json"
    )
    parser.add_argument("config", help="YAML file")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="settings that replace the file's")
    parser.add_argument("--checkpoint", required=True, type=Path, metavar="PATH", help="weight file or its directory")
    parser.add_argument("--split", help="which split to use instead of data.test, or data.val where there is none")
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of the table")
    parser.add_argument("--local_rank", "--local-rank", type=int, help=argparse.SUPPRESS)  # put there by launchers
    return parser


def work(args: argparse.Namespace) -> None:
    """Evaluate and print the report; the table's last line is the mAP."""
    config = load_config(args.config, args.overrides)
    process = discover()
    if process.is_main:
        log_to_console()
    weights = find_weights(args.checkpoint)
    split = args.split or config.data.test or config.data.val
    names = load_card(weights).labels if (weights.parent / "model.json").exists() else None
    records = open_split(config.data, split, names)
    if names not in (None, records.names):
        raise UsageError(f"{weights}: made for the labels {_shown(names)}; {split} has {_shown(records.names)}")
    model = make_model(config.without_initial_weights(), len(records.names))
    fill(model, read_weights(weights), weights)
    start(process)
    try:
        predictor = Predictor(process, model.to(process.device), config.engine.precision)
        loader = evaluation_loader(config, records, process)
        scores, labels = gather_predictions(predictor, loader, "evaluating", not process.is_main)
    finally:
        stop()
    if process.is_main:
        report = multilabel_report(scores, labels, records.names)
        print(json.dumps(report) if args.json else table(report))


def _shown(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" … ({len(names)} in all)" if len(names) > 5 else "")


def table(report: Mapping[str, Any]) -> str:
    """The report as lines a person reads: labels by AP, then the summary."""
    width = max(len(name) for name in report["per_label"])
    lines = [f"{'label':<{width}}     AP"]
    lines += [
        f"{name:<{width}} {ap:6.2f}" for name, ap in sorted(report["per_label"].items(), key=lambda item: item[1])
    ]
    lines += [f"{report['images']} images, {report['labels']} labels, values in percent"]
    lines += ["      " + " ".join(f"{name:>6}" for name in ("CP", "CR", "CF1", "OP", "OR", "OF1"))]
    for title, values in (("all", report), ("top 3", report["top3"])):
        lines += [f"{title:<6}" + " ".join(f"{values[name]:6.2f}" for name in ("CP", "CR", "CF1", "OP", "OR", "OF1"))]
    return "\n".join([*lines, f"mAP (VOC, interpolated) {report['mAP_voc']:.2f}", f"mAP {report['mAP']:.2f}"])


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    return cli.run(build_parser(), work, argv)


if __name__ == "__main__":
    sys.exit(main())
