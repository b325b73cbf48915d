"""Compares heads on small sets (docs/notes.md), as configs/own_data_small.yaml trains them.

    python -m tests.new_user.compare_heads OUT [key=value …] [--kinds K …] [--seeds S …] [--runs R …] [--heads H …]

A kind is one that is drawn here, or the name of your own sets: OUT/NAME0, OUT/NAME1 … with labels.csv and test.csv
(tests.new_user.cutout_sets draws such). OUT gets the sets, the runs and results.jsonl, a line a run; what is in there
already is not trained again. The table of mean test mAPs that is printed at the end is of all of it. It also has the
mean over the labels that are not rare: the AP of a label with ten images to train with and twenty to be judged by
changes by tens of points from run to run.
"""

import argparse
import itertools
import json
import os
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mlcfast import train
from mlcfast.config import load_config
from mlcfast.data.build import open_split
from mlcfast.engine import discover
from mlcfast.evaluation.evaluate import evaluate_model, stored_model
from mlcfast.metrics import average_precision
from mlcfast.models.loading import find_weights
from tests.new_user.small_sets import KINDS, make_small_set
from tests.new_user.small_starter import make_set

STARTER = Path(__file__).parents[2] / "configs" / "own_data_small.yaml"
PHOTOS = "photos"  # the sets of tests.new_user.small_starter, 800 × 600 pixels
RARE = 0.05  # of the test images; a label that fewer have is rare
LAST = "model.backbone_options={}"  # the last map of the backbone alone
TWO_LAYERS = ["model.encoder_layers=1", "model.decoder_layers=2"]
HEADS = {  # at about equal CPU time: a step of those with nine epochs takes a tenth longer
    "linear": ["model.head=linear", LAST, "train.epochs=10"],
    "linear_joined": ["model.head=linear", "train.epochs=10"],
    "query2label": [*TWO_LAYERS, LAST, "model.auxiliary_linear=false", "train.epochs=9"],
    "query2label_joined": ["train.epochs=9"],
    "query2label_alone": ["model.auxiliary_linear=false", "train.epochs=9"],
    "pooled": ["model.head=tests.new_user.pooled_head:PooledQuery2Label", LAST, "train.epochs=9"],
}


def measure(
    folder: Path,
    kind: str,
    seed: int,
    head: str,
    overrides: Sequence[str],
    images: tuple[int, int] = (300, 600),
    run: int | None = None,
) -> dict[str, Any]:
    """Train one head on one set; its test mAP and APs in percent and the CPU minutes that training took.

    seed: of the set that is drawn; run: of the training and its share for validation, that of the set for None.
    images: how many of the set are to train and to test with, where it is made. `frequent`: the mean AP of the labels
    that are not rare, None where all are.
    """
    run = seed if run is None else run
    data = folder / f"{kind}{seed}"
    if not data.exists() and kind == PHOTOS:
        make_set(data, seed, *images)
    elif not data.exists():
        make_small_set(kind, data, seed, *images)
    words = [str(STARTER), f"data.root={data}", "data.test=test.csv", f"seed={run}", *HEADS[head], *overrides]
    words += [f"output={folder}/runs", f"name={kind}{seed}_{head}_{run}", "train.trackers=[]"]
    spent = sum(os.times()[:4])
    assert train.main(words) == 0
    minutes = (sum(os.times()[:4]) - spent) / 60
    config = load_config(words[0], words[1:])
    records = open_split(config.data, "test.csv")
    best = find_weights(Path(config.output) / config.name / "best")
    result = evaluate_model(*stored_model(config, best, records.names), records, discover())
    found = 100 * average_precision(result.scores, result.labels)
    frequent = found[(result.labels == 1).mean(axis=0) >= RARE]
    return {
        "kind": kind,
        "seed": seed,
        "run": run,
        "head": head,
        "mAP": round(float(found.mean()), 2),
        "frequent": round(float(frequent.mean()), 2) if len(frequent) else None,
        "AP": dict(zip(records.names, np.round(found, 1).tolist(), strict=True)),
        "cpu_minutes": round(minutes, 2),
    }


def table(results: Sequence[dict]) -> str:
    """Markdown: a row a kind and head, with each run's test mAP, their mean, that of frequent labels, CPU minutes."""
    lines = [
        "| set | head | test mAP | mean | without rare labels | CPU min |",
        "|---|---|---|---|---|---|",
    ]
    for kind, head in dict.fromkeys((line["kind"], line["head"]) for line in results):
        found = [x for x in results if (x["kind"], x["head"]) == (kind, head)]
        found.sort(key=lambda line: (line["seed"], line["run"]))
        each = ", ".join(f"{line['mAP']:.1f}" for line in found)
        mean, minutes = (statistics.mean(line[what] for line in found) for what in ("mAP", "cpu_minutes"))
        common = [line["frequent"] for line in found if line["frequent"] is not None]
        frequent = f"{statistics.mean(common):.1f}" if common else "–"
        lines.append(f"| {kind} | {head} | {each} | {mean:.1f} | {frequent} | {minutes:.1f} |")
    return "\n".join(lines) + "\n"


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, metavar="OUT")
    parser.add_argument("overrides", nargs="*", metavar="key=value")
    parser.add_argument(
        "--kinds", nargs="+", default=list(KINDS), help=f"of {', '.join([*KINDS, PHOTOS])}, or your own"
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], help="of the sets that are drawn")
    parser.add_argument("--runs", nargs="+", type=int, default=[None], help="of the trainings; that of the set if none")
    parser.add_argument("--heads", nargs="+", choices=HEADS, default=list(HEADS))
    return parser


def work(args: argparse.Namespace) -> None:
    """Train what is not there yet, print the table."""
    kept = args.out / "results.jsonl"
    for kind, seed in itertools.product(args.kinds, args.seeds):
        if kind not in (*KINDS, PHOTOS) and not (args.out / f"{kind}{seed}").is_dir():
            raise SystemExit(f"there is no {args.out}/{kind}{seed}; drawn here are {', '.join([*KINDS, PHOTOS])}")
    args.out.mkdir(parents=True, exist_ok=True)
    for seed, run, kind, head in itertools.product(args.seeds, args.runs, args.kinds, args.heads):
        wanted = (kind, seed, seed if run is None else run, head)
        if not any((x["kind"], x["seed"], x["run"], x["head"]) == wanted for x in _read(kept)):
            line = measure(args.out, kind, seed, head, args.overrides, run=run)
            with kept.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
    sys.stdout.write(table(_read(kept)))


def _read(kept: Path) -> list[dict]:
    return [json.loads(line) for line in kept.read_text(encoding="utf-8").splitlines()] if kept.exists() else []


if __name__ == "__main__":
    work(build_parser().parse_intermixed_args())
