"""Writes a run's report.html, with attention maps made by its best model."""

import logging
from pathlib import Path

import numpy as np

from mlcfast.data.sources import Source
from mlcfast.engine import HostProcess, Predictor
from mlcfast.evaluation.bootstrap import percent_interval
from mlcfast.evaluation.predict_files import predict_files
from mlcfast.models.build import attends
from mlcfast.models.card import load_card
from mlcfast.models.trained import load_trained
from mlcfast.report.gallery import Attended
from mlcfast.report.page import write_report
from mlcfast.report.record import RunRecord, read_run

LOGGER = logging.getLogger("mlcfast")
ATTENDED_IMAGES, ATTENDED_LABELS = 6, 4


def report_run(directory: Path) -> tuple[Path, tuple[float, float] | None]:
    """Write report.html of the run in `directory` from what is there.

    Returns its path and the interval of the validation mAP in percent, None where that was not worked out. UsageError
    names what is missing or damaged.
    """
    record = read_run(directory)
    load_card(directory / "best")  # says what is wrong with its entries
    for sentence in record.damaged:
        LOGGER.warning("%s", sentence)
    interval = percent_interval(record.scores, record.labels)
    return write_report(directory, _attended(directory, record), interval), interval


def _attended(directory: Path, record: RunRecord) -> list[Attended]:
    """Attention maps of the labels of a few validation images, spread evenly over the set, that can still be read.

    On the CPU: a training run's device may be full.
    """
    if not attends(record.card["model"]["head"]) or not record.paths:
        return []
    model, card = load_trained(directory / "best")
    chosen = np.unique(np.linspace(0, len(record.paths) - 1, ATTENDED_IMAGES).astype(int))
    predictor = Predictor(HostProcess(), model, "fp32")
    attended = []
    sources = [Source(record.paths[index]) for index in chosen]
    predictions = predict_files(predictor, card, sources, workers=1, attention=True)  # few images, beside a trainer
    for index, seen in zip(chosen, predictions, strict=True):
        shown = np.flatnonzero(record.positive[index])[:ATTENDED_LABELS]
        if seen.scores is not None and seen.maps is not None and len(shown):
            titles = [f"{card.labels[k]} {seen.scores[k]:.2f}" for k in shown]
            attended.append(Attended(seen.image, seen.maps[shown], titles))
    return attended
