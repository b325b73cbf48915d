"""Name the labels of images with a trained model."""

import argparse
import contextlib
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mlcfast import cli

# isort: split
import numpy as np
import torch
from torch import nn

from mlcfast.data.readers.probabilities import write_probabilities
from mlcfast.data.sources import find_images
from mlcfast.engine import (
    Predictor,
    Process,
    barrier,
    discover,
    keep_freed_memory,
    on_main,
    peers_explained,
    require_one_command_line,
    start,
    stop,
)
from mlcfast.engine.predictor import FLIP
from mlcfast.errors import UsageError
from mlcfast.evaluation.predict_files import label_numbers, predict_shared, select
from mlcfast.evaluation.tables import PredictionTable, formula_warning
from mlcfast.models.card import ModelCard
from mlcfast.models.heads import Head
from mlcfast.models.trained import load_image_model
from mlcfast.report.attention import AttentionWriter


def build_parser() -> cli.Parser:
    """The command line of `python -m mlcfast.predict`."""
    parser = cli.Parser("predict", __doc__, "python -m mlcfast.predict runs/demo/best photos/ 'more/*.png' --json")
    parser.add_argument("checkpoint", type=Path, metavar="CHECKPOINT", help="model.safetensors or its directory")
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="files, directories (with all below) and patterns")
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of the table")
    parser.add_argument(
        "--csv", type=Path, metavar="FILE", help="also write a table: image, labels, each label's score"
    )
    parser.add_argument(
        "--probabilities",
        type=Path,
        metavar="FILE.npz",
        help="also write every label's probability, from which another model may learn (data.train)",
    )
    parser.add_argument("--top-k", type=cli.at_least(1), metavar="N", help="the N best labels, whatever their scores")
    parser.add_argument(
        "--threshold",
        type=cli.probability,
        metavar="T",
        help="labels scoring at least T instead of each label's own bound",
    )
    parser.add_argument("--flip", action="store_true", help=FLIP)
    parser.add_argument("--attention", type=Path, metavar="DIR", help="write a PNG of attention maps for each image")
    parser.add_argument(
        "--labels",
        type=cli.names,
        metavar="A,B",
        help="the labels to draw with --attention instead of those found; a name with a comma in double quotes, as in "
        "'\"cat, black\",dog'",
    )
    parser.add_argument(
        "--batch-size", type=cli.at_least(1), default=32, metavar="N", help="images a pass (default 32)"
    )
    parser.add_argument(
        "--workers",
        type=cli.at_least(1),
        metavar="N",
        help="threads that decode, and on the CPU compute (default: the cores, shared by the processes)",
    )
    return parser


def work(args: argparse.Namespace) -> int:
    """Predict and print; 1 if any image failed. Ranks share the images, and the main process says what they found."""
    if args.labels and not args.attention:
        raise UsageError("--labels goes with --attention DIR, which draws them")
    model, card = load_image_model(args.checkpoint)
    if args.attention and not (isinstance(model, Head) and model.attends):
        raise UsageError(f"--attention: a {card.model['head']} head looks at no places; query2label and ml_decoder do")
    if args.flip and args.attention:
        raise UsageError("--flip and --attention: the maps are of each image as it is, so its scores must be too")
    check_place(args.probabilities)
    drawn = label_numbers(args.labels, card.labels) if args.labels else None
    process = discover()
    start(process)
    try:
        with peers_explained(process):
            require_one_command_line(args)
            rows = predict_all(args, process, model, card, drawn)
    finally:
        stop()
    if not process.is_main:
        return 0
    if args.json:
        print(json.dumps(rows))
    failed = sum("error" in row for row in rows)
    print(f"done {len(rows) - failed}, failed {failed}", file=sys.stderr)
    return 1 if failed else 0


def predict_all(
    args: argparse.Namespace, process: Process, model: nn.Module, card: ModelCard, drawn: list[int] | None
) -> list[dict[str, Any]]:
    """Predict, show and write what the arguments ask for; the document's rows, of each image one. A collective.

    drawn: the labels to draw, by number, those found if None.
    """
    from tqdm import tqdm  # after cli, which says what to install where it is missing

    keep_freed_memory()
    predictor = Predictor(process, model.to(process.device).to(memory_format=torch.channels_last), "fp32", args.flip)
    sources = on_main(process, lambda: list(find_images(args.images)))
    workers = args.workers or max(1, (os.cpu_count() or 1) // process.world_size)
    predictions = predict_shared(predictor, card, sources, args.batch_size, workers, bool(args.attention))
    writer = AttentionWriter(args.attention, card.labels, drawn) if args.attention else None
    rows: list[dict[str, Any]] = []
    kept: dict[str, np.ndarray] = {}
    if args.csv and process.is_main and (said := formula_warning(args.csv, card.labels)):
        print(said, file=sys.stderr)
    quiet = None if process.is_main else True
    with contextlib.ExitStack() as opened:
        table = None
        if args.csv and process.is_main:
            table = opened.enter_context(PredictionTable(args.csv, card.labels))
        for image, scores, maps, error in tqdm(predictions, "predicting", len(sources), leave=False, disable=quiet):
            rows.append({"image": image, "error": error})
            if not error:
                found = select(scores, card, args.top_k, args.threshold)
                labels = [{"name": card.labels[k], "score": round(float(scores[k]), 6)} for k in found]
                rows[-1] = {"image": image, "labels": labels}
                if writer:
                    rows[-1]["attention"] = writer.write(image, scores, maps, found)
                if table:
                    table.write(image, found, scores)
                if args.probabilities and process.is_main:
                    kept[image] = scores.astype(np.float16)
            elif table:
                table.write_error(image, error)
            if process.is_main:
                show(rows[-1], args.json)
    barrier()  # the others draw
    if args.probabilities and process.is_main:
        scores_MK = np.array(list(kept.values()), np.float16).reshape(len(kept), len(card.labels))
        write_probabilities(args.probabilities, list(kept), card.labels, scores_MK)
    return rows


def check_place(path: Path | None) -> None:
    """UsageError, before anything is predicted, for a file of probabilities that could not be written or read."""
    if path is None:
        return
    if path.suffix.lower() != ".npz":
        raise UsageError(f"--probabilities {path}: the name must end with .npz")
    if not path.absolute().parent.is_dir():
        raise UsageError(f"--probabilities {path}: no directory {path.parent}")


def show(row: dict[str, Any], as_json: bool) -> None:
    """One line for an image: its labels on stdout unless the document follows, its error on stderr."""
    from tqdm import tqdm

    name = row["image"] if row["image"].isprintable() else ascii(row["image"])
    if "error" in row:
        tqdm.write(f"{name}: {row['error']}", file=sys.stderr)
    elif not as_json:
        labels = "  ".join(f"{label['name']} {label['score']:.2f}" for label in row["labels"])
        tqdm.write(f"{name}  {labels or '(none)'}", file=sys.stdout)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    return cli.run(build_parser(), work, argv, needs=["timm"])


if __name__ == "__main__":
    sys.exit(main())
