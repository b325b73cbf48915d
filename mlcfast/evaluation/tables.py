"""Tables for a spreadsheet: predictions, a row an image, and the errors of a model, a row an error."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import numpy as np

from mlcfast.data import LabelledImages
from mlcfast.errors import RunError, counted
from mlcfast.evaluation.gather import EvaluationResult
from mlcfast.files import write_text
from mlcfast.metrics import known_entries
from mlcfast.models.card import card_file, load_card

FIRST = ("image", "labels", "error")
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what a formula begins with
MISSED, WRONG = "missed", "wrongly added"


def formula_warning(path: Path, names: Sequence[str]) -> str | None:
    """What to say of a table with labels that a spreadsheet takes for formulas; None without one.

    They are written as they are, so that a program finds the labels of the model.
    """
    found = [name for name in names if name.startswith(FORMULA)]
    if not found:
        return None
    which = f"{found[0]!r}" + (f" and {counted(len(found) - 1, 'other label')}" if len(found) > 1 else "")
    return f"{path}: a spreadsheet takes {which} for a formula: import its columns as text"


class PredictionTable:
    """Writes predictions as CSV: image, the labels it was given joined by `;`, its error, and each label's score.

    A label that is called as one of the first columns has `score of` before its name; among the joined ones a name with
    a `;` stands in double quotes. Rows are written as they come.
    """

    def __init__(self, path: Path, names: Sequence[str]):
        """names: the K labels. RunError where the file cannot be written."""
        self.names = list(names)
        try:
            self._file = path.open("w", newline="", encoding="utf-8", errors="backslashreplace")
        except OSError as error:
            raise RunError(f"{path}: cannot be written: {error.strerror}") from error
        self._writer = csv.writer(self._file, lineterminator="\n")
        self._writer.writerow([*FIRST, *(f"score of {name}" if name in FIRST else name for name in self.names)])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def write(self, image: str, found: Sequence[int], scores: np.ndarray) -> None:
        """A row for an image with these labels, by number, and its scores (K,)."""
        labels = ";".join(f'"{self.names[k]}"' if ";" in self.names[k] else self.names[k] for k in found)
        self._writer.writerow([image, labels, "", *(f"{score:.6f}" for score in scores)])

    def write_error(self, image: str, error: str) -> None:
        """A row for an image that could not be read; its scores are blank."""
        self._writer.writerow([image, "", error, *[""] * len(self.names)])


class Mistake(NamedTuple):
    """A label that a model misses in an image, or adds to it wrongly; the fields are the table's columns."""

    image: str
    label: str
    kind: str
    score: float
    threshold: float


def bounds_of(weights: Path, labels: int) -> np.ndarray:
    """The probability above which each label counts as given, (K,): the card's own, 0.5 where there is no card."""
    if not card_file(weights).exists():
        return np.full(labels, 0.5)
    return np.asarray(load_card(weights).thresholds, np.float64)


def mistakes(result: EvaluationResult, records: LabelledImages, bounds: np.ndarray) -> list[Mistake]:
    """Every error of a model on the images, the worst first: by how far the score is from 1, or 0, as it should be.

    bounds: (K,); a label is given from its bound on. Entries that are unknown count as neither. An image without a
    known path goes by its id.
    """
    given, positive = result.scores >= bounds, result.labels == 1
    rows, columns = np.nonzero((given != positive) & known_entries(result.labels))
    distance = np.where(positive, 1 - result.scores, result.scores)[rows, columns]
    order = np.argsort(-distance, kind="stable")
    return [
        Mistake(
            records.paths[row] or records.image_ids[row],
            result.names[column],
            MISSED if positive[row, column] else WRONG,
            float(result.scores[row, column]),
            float(bounds[column]),
        )
        for row, column in zip(rows[order].tolist(), columns[order].tolist(), strict=True)
    ]


def write_mistakes(path: Path, found: Sequence[Mistake]) -> None:
    """Write the errors as CSV, whole or not at all; RunError where that is not possible."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(Mistake._fields)
    rows: list[list[Any]] = [[*each[:3], f"{each.score:.6f}", f"{each.threshold:.6f}"] for each in found]
    writer.writerows(rows)
    try:
        write_text(path, text.getvalue())
    except OSError as error:
        raise RunError(f"{path}: cannot be written: {error.strerror}") from error
