"""The report's figures of each label: average precision, threshold, precision and recall, on the page and as CSV.

Shapes: K labels.
"""

import csv
import io
from collections.abc import Iterable, Sequence
from functools import cached_property
from html import escape
from typing import Any

import numpy as np

from mlcfast.metrics import average_precision
from mlcfast.report.record import RunRecord, rates

MOST = 1000  # rows of a table on the page
COLUMNS = ("label", "ap", "images", "threshold", "precision", "recall", "f1", "f1_at_0.5")


class LabelFigures:
    """The figures of each label on the validation images, (K,) each: percentages but for images and thresholds."""

    def __init__(self, record: RunRecord):
        self.names, self.thresholds = record.names, record.thresholds
        if record.images > len(record.scores):  # of a large set: what was worked out of all images
            of_all = (record.card["metrics"][key] for key in ("per_label", "support"))
            self.ap, self.images = (np.array([each[name] for name in record.names]) for each in of_all)
        else:
            self.ap = 100 * average_precision(record.scores, record.labels)
            self.images = record.positive.sum(axis=0)
        own, half = (rates(given & record.known, record.positive) for given in (record.predicted, record.scores >= 0.5))
        self.precision, self.recall, self.f1, self.f1_at_half = (100 * values for values in (*own, half[2]))

    @cached_property
    def worst_first(self) -> np.ndarray:
        """The K labels' numbers by AP; those that no image has, whose AP of 0 says nothing, come last."""
        return np.lexsort((self.ap, self.images == 0))


def label_table(labels: LabelFigures) -> str:
    """All of it as CSV, a row a label, the worst first."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for k in labels.worst_first.tolist():
        figures: list[Any] = [f"{labels.ap[k]:.4f}", int(labels.images[k]), f"{labels.thresholds[k]:.6f}"]
        rest = (labels.precision[k], labels.recall[k], labels.f1[k], labels.f1_at_half[k])
        writer.writerow([labels.names[k], *figures, *(f"{value:.4f}" for value in rest)])
    return text.getvalue()


def average_precisions(labels: LabelFigures) -> str:
    """A bar a label, the worst first."""
    rows = (
        f'{_name(labels, k)}<td class="bar"><i style="width:{labels.ap[k]:.1f}%"></i></td>'
        + (f"<td>{labels.ap[k]:.2f}</td>" if labels.images[k] else "<td>–</td>")
        + f"<td>{labels.images[k]:,}</td>"
        for k in labels.worst_first[:MOST].tolist()
    )
    heads = ("label", "AP, 0 to 100 %", "AP (%)", "images with it")
    absent = int((labels.images == 0).sum())
    last = f"; last, {absent:,} that no image has" if absent else ""
    order = f"labels, the worst first{last}" if len(labels.names) > 1 else "label"
    note = f'<p class="note">{len(labels.names):,} {order}.</p>'
    return note + long_table("Average precision of each label", heads, rows) + _more(len(labels.names))


def thresholds(labels: LabelFigures) -> str:
    """The bound of each label and what it does, in the order of the labels."""
    rows = (
        f"{_name(labels, k)}<td>{labels.thresholds[k]:.3f}</td>"
        + "".join(
            f"<td>{values[k]:.1f}</td>" for values in (labels.precision, labels.recall, labels.f1, labels.f1_at_half)
        )
        for k in range(min(len(labels.names), MOST))
    )
    heads = ("label", "threshold", "precision (%)", "recall (%)", "F1 (%)", "F1 at 0.5 (%)")
    note = '<p class="note">Thresholds have the best F1 on these images; predict uses them.</p>'
    return note + long_table("Threshold of each label", heads, rows) + _more(len(labels.names))


def long_table(title: str, heads: Sequence[str], rows: Iterable[str]) -> str:
    """A table that scrolls on a screen and is printed whole; rows: the cells of each, their markup made."""
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in heads)
    body = "".join(f"<tr>{cells}</tr>" for cells in rows)
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return f'<div class="long" tabindex="0" role="region" aria-label="{escape(title, quote=True)}">{table}</div>'


def row_head(name: str, before: str = "") -> str:
    """The cell that names a row; a name that runs from right to left leaves the order of the others alone."""
    return f'<th scope="row">{before}<bdi>{escape(name)}</bdi></th>'


def _name(labels: LabelFigures, k: int) -> str:
    return row_head(labels.names[k])


def _more(count: int) -> str:
    if count <= MOST:
        return ""
    return f'<p class="note">… and {count - MOST:,} more: <a href="labels.csv">labels.csv</a> beside this page.</p>'
