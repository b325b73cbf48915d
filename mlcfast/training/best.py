"""Writes best/ (weights, card, validation scores), its outcome.json, and the pictures of a finished run."""

import logging
import os
import shutil

import numpy as np
from torch import Tensor

from mlcfast.config import Config
from mlcfast.data import LabelledImages
from mlcfast.engine.training_module import model_arguments
from mlcfast.evaluation.gather import EvaluationResult
from mlcfast.files import publish_directory, write_text
from mlcfast.models.card import ModelCard, load_card, save_model
from mlcfast.report.reliability import reliability
from mlcfast.report.result import draw_result
from mlcfast.report.unobserved import draw_unobserved
from mlcfast.runs.directory import RunDirectory, packed
from mlcfast.runs.journal import Journal
from mlcfast.training.progress import Progress
from mlcfast.training.unobserved import read_unobserved

LOGGER = logging.getLogger("mlcfast")


class BestModel:
    """Publishes the best weights of a run as best/, whole: weights, card, validation scores, label estimates.

    records: the validation images.
    """

    def __init__(self, config: Config, records: LabelledImages, directory: RunDirectory):
        self.config, self.records, self.directory = config, records, directory
        self.model = model_arguments(config, len(records.names))

    def keep(
        self, weights: dict[str, Tensor], which: str, result: EvaluationResult, step: int, beside: dict[str, bytes]
    ) -> None:
        """Put these weights, of the model by name, in the place of the best so far; on the main process only.

        which: raw or ema; result: on the validation images; beside: further files, by name. OSError, which names the
        file, where that fails: the best so far then stays.
        """
        data, names = self.config.data, self.records.names
        found = reliability(result.scores, result.labels)
        card = ModelCard(
            labels=names,
            model=self.model,
            preprocessing={"image_size": data.image_size, "mean": list(data.mean), "std": list(data.std)},
            thresholds=[round(float(value), 6) for value in result.thresholds],
            weights=which,
            metrics=result.report,
            config=self.config.model_dump(mode="json"),
            step=step,
            calibration={name: round(value, 4) for name, value in found.items() if name != "tenths"},
        )
        rows = range(len(self.records)) if result.rows is None else result.rows
        paths = np.array([self.records.paths[row] for row in rows])
        beside = beside | {"validation.npz": packed(scores=result.scores, labels=result.labels, paths=paths)}
        draft = self.directory.best.with_name(".best.partial")
        shutil.rmtree(draft, ignore_errors=True)
        try:
            save_model(draft / "model.safetensors", weights, card, beside)
            publish_directory(draft, self.directory.best)
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise


def list_skipped(directory: RunDirectory, skipped: list[tuple[str, str]]) -> None:
    """Write skipped.txt, a line for each image left out: path, tab, reason; nothing if there is none."""
    if skipped:
        write_text(directory.skipped, "".join(f"{path}\t{reason}\n" for path, reason in skipped))


def record_outcome(
    directory: RunDirectory, progress: Progress, test: EvaluationResult | None, journal: Journal
) -> None:
    """Write best/outcome.json, the mark of a finished run: its best epoch, counted from 1, and its mAPs in percent.

    test: the best weights on data.test, every image counted; None without such a split.
    """
    epoch = progress.best_epoch + 1
    report = None if test is None else test.report
    score = None if report is None else report["mAP"]
    if test is not None:
        journal.record("test", progress.step, epoch=epoch, **test.figures)
        LOGGER.info("test mAP %.2f, of the weights after epoch %d", score, epoch)
    directory.write_outcome({"epoch": epoch, "validation_mAP": progress.best, "test_mAP": score, "test": report})


def draw_outcome(directory: RunDirectory, progress: Progress, records: LabelledImages) -> None:
    """Write result.png from the best model's validation scores, and unobserved.png where that was followed.

    Images are shown where their files are at hand, which those of stored features need not be.
    """
    with np.load(directory.validation) as held:
        scores, labels, paths = held["scores"], held["labels"], held["paths"].tolist()
    draw_result(
        directory.picture,
        progress.rows,
        paths if all(map(os.path.isfile, paths)) else [],
        records.names,
        scores,
        labels,
        load_card(directory.best).thresholds,
    )
    if directory.unobserved.exists():
        draw_unobserved(directory.unobserved_picture, {directory.path.name: read_unobserved(directory.unobserved)})
