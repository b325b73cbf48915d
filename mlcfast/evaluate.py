"""Evaluate a checkpoint on a configuration's held-out images."""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mlcfast import cli
from mlcfast.config import Config, DataConfig
from mlcfast.data import LabelledImages
from mlcfast.data.build import open_split
from mlcfast.data.splits import TRAIN, VALIDATION, find_split, sides_of_run, trained_on
from mlcfast.engine import discover, peers_explained, start, stop
from mlcfast.engine.predictor import FLIP
from mlcfast.errors import UsageError, counted
from mlcfast.evaluation.bootstrap import report_intervals
from mlcfast.evaluation.compare import compare, comparison_table
from mlcfast.evaluation.evaluate import (
    evaluate_stored,
    evaluate_weights,
    load_for_model,
    other_input,
    other_labels,
    own_labels,
    stored_model,
)
from mlcfast.evaluation.gather import MOST_HELD, EvaluationResult
from mlcfast.evaluation.side_by_side import picture_of_both
from mlcfast.evaluation.tables import bounds_of, formula_warning, mistakes, write_mistakes
from mlcfast.evaluation.thresholds import (
    Aim,
    as_json,
    choose_thresholds,
    read_aim,
    thresholds_table,
    write_thresholds,
)
from mlcfast.models.loading import find_weights, is_hub_name
from mlcfast.report.reliability import in_words, reliability
from mlcfast.runs.journal import LOGGER, log_to_console, said_once

FIGURES = (
    "precision P, recall R and F1 at threshold 0.5; C: each label counts the same, O: each decision; the mAP needs no "
    "threshold"
)


def build_parser() -> cli.Parser:
    """The command line of `python -m mlcfast.evaluate`."""
    parser = cli.Parser(
        "evaluate", __doc__, "python -m mlcfast.evaluate configs/demo.yaml --checkpoint runs/demo/best --json"
    )
    parser.add_argument("config", help="YAML file")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="settings that replace the file's")
    parser.add_argument("--checkpoint", required=True, type=Path, metavar="PATH", help="weight file or its directory")
    parser.add_argument("--against", type=Path, metavar="PATH", help="a second model to compare with, label by label")
    parser.add_argument(
        "--picture",
        type=Path,
        metavar="FILE.png",
        help="with --against: also draw what each model finds in five images",
    )
    parser.add_argument(
        "--split",
        help="instead of data.test, or data.val where there is none; `val` and `train` where data.val is a share",
    )
    parser.add_argument(
        "--errors",
        type=Path,
        metavar="FILE.csv",
        help="also write every error, the worst first: image, label, kind, score",
    )
    parser.add_argument(
        "--thresholds",
        metavar="AIM",
        help="choose the labels' thresholds anew: f1, precision=P or recall=R; on data.val, unless --split says else",
    )
    parser.add_argument("--write", action="store_true", help="with --thresholds: write them into the model's card")
    parser.add_argument("--flip", action="store_true", help=FLIP)
    parser.add_argument(
        "--scales",
        metavar="S,S",
        help="the mean of each model's scores with images of these sides in pixels, instead of those of one size alone",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of the table")
    return parser


def work(args: argparse.Namespace) -> None:
    """Evaluate and print the report; the table's last line is the mAP."""
    config = load_for_model(args.config, args.overrides, args.checkpoint)
    checkpoints = [find_weights(path) for path in (args.checkpoint, args.against) if path]
    process = discover()
    if process.is_main:
        log_to_console()
    sides = read_scales(args.scales, config)
    aim = read_aim(args.thresholds) if args.thresholds else None
    check_options(args, config)
    if process.is_main and (said := other_input(config, checkpoints[0])):
        LOGGER.warning("%s", said)
    split = args.split or (config.data.test if aim is None else None) or config.data.val
    with said_once(process.is_main):
        records = open_for(config, split, checkpoints[0])
    check_size(args, records)
    if process.is_main and split not in (TRAIN, config.data.train):
        _warn_of_seen(config.data, records, checkpoints)
    for weights in checkpoints[1:]:  # what does not fit is said now, not after the first model's images
        stored_model(config, weights, records.names, *sides[:1])
    start(process)
    try:
        with peers_explained(process):
            result = evaluate_weights(config, process, checkpoints[0], records, args.flip, sides)
            others = [
                evaluate_stored(config, process, weights, records, args.flip, sides) for weights in checkpoints[1:]
            ]
    finally:
        stop()
    if process.is_main:
        tell(args, records, aim, checkpoints, [result, *others])


def _warn_of_seen(data: DataConfig, records: LabelledImages, checkpoints: Sequence[Path]) -> None:
    """Say how many of the images that are to judge a model it was trained on."""
    for weights in checkpoints:
        if seen := trained_on(records, sides_of_run(weights, data.root, data.train)):
            flattered = f"the model of {weights}: its figures here flatter it; --split names others"
            LOGGER.warning("%d of the %d images trained %s", seen, len(records), flattered)


def open_for(config: Config, split: str | float | None, weights: Path) -> LabelledImages:
    """The images of a split with the labels that the weights were made for.

    The readers' UsageError is of a training file; this one names the weights where it is they that have other labels,
    and the splits there are where none is called so.
    """
    names, held = own_labels(weights), find_split(weights)
    try:
        return open_split(config.data, split, names, config.seed, held)
    except UsageError as error:
        there = _labels_of(config, split) if names is not None else []
        if there and set(there) != set(names or ()):
            raise UsageError(other_labels(weights, names or [], there)) from error
        known = _splits(config.data)
        if isinstance(split, str) and split not in known and not Path(config.data.root, split).exists():
            raise UsageError(f"--split {split}: {error}; this configuration has {', '.join(known)}") from error
        raise


def _labels_of(config: Config, split: str | float | None) -> list[str]:
    """The labels that a split has by itself; none where it cannot be read."""
    try:
        return open_split(config.data, split, seed=config.seed).names
    except UsageError:
        return []


def _splits(settings: DataConfig) -> list[str]:
    """What --split may be called, beside label files that the configuration does not name."""
    parts = [TRAIN, VALIDATION] if settings.val_share is not None else []
    return [*parts, *(name for name in (settings.train, settings.val, settings.test) if isinstance(name, str))]


def check_options(args: argparse.Namespace, config: Config) -> None:
    """UsageError for options that do not go together, or not with this configuration."""
    for option, file in (("--errors", args.errors), ("--picture", args.picture)):
        if file and not file.absolute().parent.is_dir():
            raise UsageError(f"{option} {file}: no directory {file.parent}")
    if args.picture and not args.against:
        raise UsageError("--picture shows two models: name the second with --against")
    if args.flip and config.data.format == "features":
        raise UsageError("--flip mirrors images, of which stored features hold none")
    if args.write and not args.thresholds:
        raise UsageError("--write goes with --thresholds")
    if args.write and args.scales:
        raise UsageError(
            "--write and --scales: the thresholds would be of scores that only --scales gives: leave one out"
        )
    if args.write and is_hub_name(args.checkpoint):
        raise UsageError(f"--write: {args.checkpoint} is of the hub; `hf download` it into a directory and write there")


def check_size(args: argparse.Namespace, records: LabelledImages) -> None:
    """UsageError where an option wants all scores at once and there are too many to hold."""
    whole = args.errors or args.against or args.thresholds or args.scales
    if whole and len(records) * len(records.names) > MOST_HELD:
        size = f"{len(records)} images × {len(records.names)} labels"
        raise UsageError(
            f"--errors, --against, --thresholds and --scales: the scores of {size} are not all held: name a smaller "
            "split"
        )


def tell(
    args: argparse.Namespace,
    records: LabelledImages,
    aim: Aim | None,
    checkpoints: Sequence[Path],
    results: Sequence[EvaluationResult],
) -> None:
    """Print the first model's report, beside the second's where there is one, and write the files asked for."""
    result, *others = results
    report = result.report | intervals(result)
    if aim is not None:
        report |= {"thresholds": new_thresholds(result, aim, checkpoints[0], args.write, not args.json)}
    if args.errors:
        found = mistakes(result, records, bounds_of(checkpoints[0], len(result.names)))
        write_mistakes(args.errors, found)
        print(f"{args.errors}: {len(found)} errors in {result.scores.size} entries", file=sys.stderr)
        if said := formula_warning(args.errors, result.names):
            print(said, file=sys.stderr)
    if args.picture:
        picture_of_both(args.picture, results, checkpoints, records)
        print(f"{args.picture}: images with what each model finds", file=sys.stderr)
    if others:
        report |= compare(result, others[0], [str(path) for path in checkpoints])
    if args.json:
        print(json.dumps(report))
    else:
        print(f"{comparison_table(report)}\n{table(report)}" if others else table(report))


def intervals(result: EvaluationResult) -> dict[str, Any]:
    """How sure the figures are and how well the scores are calibrated, where all scores are held."""
    if result.rows is not None:
        return {"mAP_interval": None}
    within: dict[str, Any] = report_intervals(result.scores, result.labels, result.names)
    return within | {"reliability": reliability(result.scores, result.labels)}


def read_scales(text: str | None, config: Config) -> list[int]:
    """The sides of images that --scales names, in pixels; none where it is not given. UsageError for no such list."""
    if text is None:
        return []
    if config.data.format == "features":
        raise UsageError("--scales resizes images, of which stored features hold none")
    try:
        sides = [int(side) for side in text.split(",")]
    except ValueError:
        sides = [0]
    if min(sides) < 1 or len(set(sides)) < len(sides):
        raise UsageError(f"--scales {text}: expected different sides in pixels, such as 384,448,512")
    return sides


def new_thresholds(result: EvaluationResult, aim: Aim, weights: Path, write: bool, show: bool) -> dict[str, Any]:
    """Choose thresholds, show them as a table and write them to the model if told so; what --json says of them."""
    choices = choose_thresholds(result, aim)
    if show:
        print(thresholds_table(result.names, choices, aim, bounds_of(weights, len(choices)).tolist()))
    if write:
        write_thresholds(weights, [each.threshold for each in choices])
        print(f"{weights.parent}: the new thresholds are written to it", file=sys.stderr)
    return as_json(result.names, choices, aim)


def table(report: Mapping[str, Any]) -> str:
    """The report as lines a person reads: labels by AP, then the summary."""
    width, absent = max(len(name) for name in report["per_label"]), set(report["labels_without_positives"])
    lines = [f"{'label':<{width}}     AP"]
    lines += [
        f"{name:<{width}} {ap:6.2f}" + ("  no image has it" if name in absent else _within(report, name))
        for name, ap in sorted(report["per_label"].items(), key=lambda item: item[1])
    ]
    lines += [f"{counted(report['images'], 'image')}, {counted(report['labels'], 'label')}, values in percent"]
    if report["unknown"]:
        entries = report["images"] * report["labels"]
        lines += [f"{report['unknown']} of {entries} entries are unknown and left out"]
    lines += [FIGURES]
    lines += ["      " + " ".join(f"{name:>6}" for name in ("CP", "CR", "CF1", "OP", "OR", "OF1"))]
    for title, values in (("all", report), ("top 3", report["top3"])):
        lines += [f"{title:<6}" + " ".join(f"{values[name]:6.2f}" for name in ("CP", "CR", "CF1", "OP", "OR", "OF1"))]
    if report.get("reliability"):
        lines += [in_words(report["reliability"])]
    lines += [f"mAP (VOC, interpolated) {report['mAP_voc']:.2f}"]
    if absent:
        means = f"{report['mAP_present']:.2f}; the other {len(absent)} count as 0 in the mAP"
        lines += [f"mAP of the {report['labels'] - len(absent)} labels that some image has {means}"]
    if report["mAP_interval"]:
        low, high = report["mAP_interval"]
        lines += [f"95 % interval of the mAP, by resampling the images: {low:.2f} to {high:.2f}"]
    return "\n".join([*lines, f"mAP {report['mAP']:.2f}"])


def _within(report: Mapping[str, Any], name: str) -> str:
    """Where the AP of a label that few images have lies; "" for others."""
    if name not in report.get("intervals", {}):
        return ""
    low, high = report["intervals"][name]
    return f"  {low:.1f} to {high:.1f} (95 %): {report['support'][name]} images have it"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    return cli.run(build_parser(), work, argv, needs=["timm"])


if __name__ == "__main__":
    sys.exit(main())
