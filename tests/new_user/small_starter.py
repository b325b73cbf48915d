"""Compares the small starting point with a logistic regression on the same backbone's pooled features.

    python -m tests.new_user.small_starter DIR [--seed S] [key=value …]

DIR/labels.csv has the photographs to train with and DIR/test.csv those that judge; where DIR is not there, 300 and 600
photographs are made. The regression learns from all of labels.csv, also from the images with which the starting point
chooses its best epoch; its strength is chosen for each label by cross-validation.
"""

import argparse
import json
import os
import sys
import time
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mlcfast import features, train
from mlcfast.config import load_config
from mlcfast.data.build import open_split
from mlcfast.engine import discover
from mlcfast.evaluation.bootstrap import ap_differences
from mlcfast.evaluation.evaluate import evaluate_model, stored_model
from mlcfast.metrics import average_precision
from mlcfast.models.loading import find_weights
from tests.new_user.photos import make_photos

STARTER = Path(__file__).parents[2] / "configs" / "own_data_small.yaml"
STRENGTHS = (1e-4, 1e-3, 1e-2, 0.1, 1.0, 10.0)  # C of the regression
FOLDS = 5


def make_set(folder: Path, seed: int, train_images: int = 300, test_images: int = 600, **size: tuple[int, int]) -> None:
    """Write labels.csv and test.csv with photographs of their own, drawn alike."""
    make_photos(folder, train_images, seed=seed, **size)
    header, *rows = make_photos(folder / "more", test_images, seed=1000 + seed, **size)
    lines = [header, *([f"more/{name}", *labels] for name, *labels in rows)]
    (folder / "test.csv").write_text("".join(",".join(line) + "\n" for line in lines), encoding="utf-8")


def regression(inputs: np.ndarray, labels: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Scores (M, K) of one logistic regression a label for the images `asked` (M, D).

    inputs (N, D) with labels (N, K) of 1 and 0 are learnt from; the strength is that of the best AP on folds left out.
    """

    def made(strength: float):
        return make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=500))

    def left_out(strength: float, truth: np.ndarray) -> float:
        folds = StratifiedKFold(max(2, min(FOLDS, int(truth.sum()))), shuffle=True, random_state=0)
        scores = cross_val_predict(made(strength), inputs, truth, cv=folds, method="decision_function")
        return float(average_precision(scores[:, None], truth[:, None].astype(np.int8))[0])

    columns = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        for truth in (labels == 1).T:
            best = max(STRENGTHS, key=lambda strength, truth=truth: left_out(strength, truth))
            columns.append(made(best).fit(inputs, truth).decision_function(asked))
    return np.stack(columns, axis=1)


def compare(folder: Path, overrides: Sequence[str]) -> dict[str, float]:
    """Train the starting point and the regression; test mAPs, their difference with its 95 % interval, in percent."""
    words = [str(STARTER), f"data.root={folder}", "data.test=test.csv", *overrides]
    words += [f"output={folder}/runs", "name=starter"]
    began, spent = time.perf_counter(), sum(os.times()[:4])
    assert train.main(words) == 0
    minutes = {"minutes": (time.perf_counter() - began) / 60, "cpu_minutes": (sum(os.times()[:4]) - spent) / 60}
    pooled = [*words, "model.backbone_options={}"]  # of the last map
    assert features.main([*pooled, "--out", str(folder / "features"), "--dtype", "float32"]) == 0
    (inputs, labels), (asked, truth) = (
        [np.load(folder / "features" / split / f"{what}.npy") for what in ("features", "labels")]
        for split in ("labels.csv", "test.csv")
    )
    config = load_config(words[0], words[1:])
    records = open_split(config.data, "test.csv")
    best = find_weights(folder / "runs" / "starter" / "best")
    scores = evaluate_model(*stored_model(config, best, records.names), records, discover()).scores
    other = regression(inputs.astype(np.float64), labels, asked.astype(np.float64))
    _, gain = ap_differences(other, scores, truth)
    means = {"starter": average_precision(scores, truth).mean(), "regression": average_precision(other, truth).mean()}
    means |= {"difference": gain.value, "low": gain.low, "high": gain.high}
    return {name: 100 * float(value) for name, value in means.items()} | minutes


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="DIR")
    parser.add_argument("overrides", nargs="*", metavar="key=value")
    parser.add_argument("--seed", type=int, default=0, help="of the photographs that are made")
    return parser


def work(args: argparse.Namespace) -> None:
    """Make the photographs where there are none, compare, print."""
    if not args.folder.exists():
        make_set(args.folder, args.seed)
    found = {name: round(value, 2) for name, value in compare(args.folder, args.overrides).items()}
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    work(build_parser().parse_intermixed_args())
