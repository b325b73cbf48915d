"""What a run leaves for use: its best model with everything needed to apply it, a picture and a report."""

import io
import json
import logging
import os
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from mlcfast.config import Config
from mlcfast.data import LabelledImages
from mlcfast.engine.model import model_arguments
from mlcfast.files import write_bytes, write_text
from mlcfast.metrics import best_f1_thresholds, figures
from mlcfast.models.card import ModelCard, load_card, save_model
from mlcfast.report.result import draw_result
from mlcfast.report.unobserved import draw_unobserved
from mlcfast.runs.journal import Journal
from mlcfast.training.trainer import Progress
from mlcfast.training.unobserved import FILE, read_watched

LOGGER = logging.getLogger("mlcfast")
OUTCOME = "outcome.json"


def keep_best(
    config: Config,
    records: LabelledImages,
    directory: Path,
    weights: dict[str, Tensor],
    which: str,
    report: dict[str, Any],
    scores: np.ndarray,
    labels: np.ndarray,
) -> None:
    """Write best/: weights by name, the card, and the scores and labels (M, K) of the validation images `records`."""
    data, names = config.data, records.names
    card = ModelCard(
        labels=names,
        model=model_arguments(config, len(names)),
        preprocessing={"image_size": data.image_size, "mean": list(data.mean), "std": list(data.std)},
        thresholds=[round(float(value), 6) for value in best_f1_thresholds(scores, labels)],
        weights=which,
        metrics=report,
        config=config.model_dump(mode="json"),
    )
    save_model(directory, weights, card)
    table = io.BytesIO()
    np.savez_compressed(table, scores=scores, labels=labels, paths=np.array(records.paths))
    write_bytes(directory / "validation.npz", table.getvalue())


def list_skipped(directory: Path, skipped: list[tuple[str, str]]) -> None:
    """Write skipped.txt, a line for each image left out: path, tab, reason; nothing if there is none."""
    if skipped:
        write_text(directory / "skipped.txt", "".join(f"{path}\t{reason}\n" for path, reason in skipped))


def record_outcome(directory: Path, progress: Progress, test: dict[str, Any] | None, journal: Journal) -> None:
    """Write best/outcome.json, the mark of a finished run: its best epoch, counted from 1, and its mAPs in percent.

    test: the best weights' report on data.test, every image counted; null without such a split.
    """
    epoch = progress.best_epoch + 1
    outcome = {"epoch": epoch, "validation_mAP": progress.best, "test_mAP": test and test["mAP"], "test": test}
    if test:
        journal.record("test", progress.step, epoch=epoch, **figures(test))
        LOGGER.info("test mAP %.2f, of the weights after epoch %d", test["mAP"], epoch)
    write_text(directory / "best" / OUTCOME, json.dumps(outcome, indent=1))


def draw_outcome(directory: Path, progress: Progress, records: LabelledImages) -> None:
    """Write result.png from the best model's validation scores, and unobserved.png where that was watched.

    Images are shown where their files are at hand, which those of stored features need not be.
    """
    held = np.load(directory / "best" / "validation.npz")
    thresholds = load_card(directory / "best").thresholds
    draw_result(
        directory / "result.png",
        progress.rows,
        records.paths if all(map(os.path.isfile, records.paths)) else [],
        records.names,
        held["scores"],
        held["labels"],
        thresholds,
    )
    if (directory / FILE).exists():
        draw_unobserved(directory / "unobserved.png", {directory.name: read_watched(directory / FILE)})
