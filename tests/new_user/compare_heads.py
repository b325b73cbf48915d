"""Compares heads on small sets of three kinds (docs/notes.md), as configs/own_data_small.yaml trains them.

    python -m tests.new_user.compare_heads OUT [key=value …] [--kinds K …] [--seeds S …] [--heads H …]

OUT gets the sets, the runs and results.jsonl, a line a run; what is in there already is not trained again. The table of
mean test mAPs that is printed at the end is of all of it.
"""

import argparse
import json
import os
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path

from mlcfast import train
from mlcfast.config import load_config
from mlcfast.data.build import open_split
from mlcfast.engine import discover
from mlcfast.evaluation.evaluate import evaluate_model, stored_model
from mlcfast.metrics import average_precision
from mlcfast.models.loading import find_weights
from tests.new_user.small_sets import KINDS, make_small_set

STARTER = Path(__file__).parents[2] / "configs" / "own_data_small.yaml"
LAST = "model.backbone_options={}"  # the last map of the backbone alone
TWO_LAYERS = ["model.encoder_layers=1", "model.decoder_layers=2"]
HEADS = {  # at about equal CPU time: a step of those with nine epochs takes a tenth longer
    "linear": ["model.head=linear", LAST, "train.epochs=10"],
    "linear_joined": ["model.head=linear", "train.epochs=10"],
    "query2label": [*TWO_LAYERS, LAST, "train.epochs=9"],
    "query2label_joined": ["train.epochs=9"],
    "pooled": ["model.head=tests.new_user.pooled_head:PooledQuery2Label", LAST, "train.epochs=9"],
}


def measure(
    folder: Path, kind: str, seed: int, head: str, overrides: Sequence[str], images: tuple[int, int] = (300, 600)
) -> dict[str, str | int | float]:
    """Train one head on one set; its test mAP in percent and the CPU minutes that training took.

    images: how many of the set are to train and to test with, where it is made.
    """
    data = folder / f"{kind}{seed}"
    if not data.exists():
        make_small_set(kind, data, seed, *images)
    words = [str(STARTER), f"data.root={data}", "data.test=test.csv", f"seed={seed}", *HEADS[head], *overrides]
    words += [f"output={folder}/runs", f"name={kind}{seed}_{head}", "train.trackers=[]"]
    spent = sum(os.times()[:4])
    assert train.main(words) == 0
    minutes = (sum(os.times()[:4]) - spent) / 60
    config = load_config(words[0], words[1:])
    records = open_split(config.data, "test.csv")
    best = find_weights(Path(config.output) / config.name / "best")
    result = evaluate_model(*stored_model(config, best, records.names), records, discover())
    found = 100 * float(average_precision(result.scores, result.labels).mean())
    return {"kind": kind, "seed": seed, "head": head, "mAP": round(found, 2), "cpu_minutes": round(minutes, 2)}


def table(results: Sequence[dict]) -> str:
    """Markdown: a row a kind and head, with the test mAP of each seed, their mean, and the mean CPU minutes."""
    lines = ["| set | head | test mAP | mean | CPU min |", "|---|---|---|---|---|"]
    for kind, head in dict.fromkeys((line["kind"], line["head"]) for line in results):
        found = sorted((x for x in results if (x["kind"], x["head"]) == (kind, head)), key=lambda x: x["seed"])
        each = ", ".join(f"{line['mAP']:.1f}" for line in found)
        mean, minutes = (statistics.mean(line[what] for line in found) for what in ("mAP", "cpu_minutes"))
        lines.append(f"| {kind} | {head} | {each} | {mean:.1f} | {minutes:.1f} |")
    return "\n".join(lines) + "\n"


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, metavar="OUT")
    parser.add_argument("overrides", nargs="*", metavar="key=value")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--heads", nargs="+", choices=HEADS, default=list(HEADS))
    return parser


def work(args: argparse.Namespace) -> None:
    """Train what is not there yet, print the table."""
    kept = args.out / "results.jsonl"
    args.out.mkdir(parents=True, exist_ok=True)
    for seed in args.seeds:
        for kind in args.kinds:
            for head in args.heads:
                known = _read(kept)
                if not any((x["kind"], x["seed"], x["head"]) == (kind, seed, head) for x in known):
                    line = measure(args.out, kind, seed, head, args.overrides)
                    with kept.open("a", encoding="utf-8") as file:
                        file.write(json.dumps(line) + "\n")
    sys.stdout.write(table(_read(kept)))


def _read(kept: Path) -> list[dict]:
    return [json.loads(line) for line in kept.read_text(encoding="utf-8").splitlines()] if kept.exists() else []


if __name__ == "__main__":
    work(build_parser().parse_intermixed_args())
