"""One picture of a run: the validation mAP over the epochs beside images with their true and predicted labels.

All places are in inches, measured from the picture's top left corner: captions cannot meet, whatever the names are.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mlcfast.data.images import load_rgb
from mlcfast.errors import RunError
from mlcfast.metrics import known_entries
from mlcfast.report.text import MARKED, caption_names, measure, new_figure, place_axes, wrapped, write

COLUMNS, ROWS = 5, 2
CURVE, CELL, GAP, PICTURE = 4.4, 1.72, 0.14, 1.5  # widths of the curve and of an image's cell; an image's height
LINES, LETTERS, LEADING = 6, 8.5, 0.155  # of a caption: most lines, size in points, inches from line to line
INDENT = 0.15  # of a caption's names, behind their sign
HEAD, DPI = 0.55, 110
# Okabe and Ito's colours, told apart by colour-blind readers.
BLUE, ORANGE, GREEN, RED = "#0072B2", "#E69F00", "#009E73", "#D55E00"
FOUND, MISSED, WRONG, SOFT = "#007A59", "#0072B2", "#B94A00", "#555555"  # dark enough for letters on white


def draw_result(
    file: Path,
    rows: Sequence[Mapping[str, Any]],
    paths: Sequence[str],
    names: Sequence[str],
    scores: np.ndarray,
    labels: np.ndarray,
    thresholds: Sequence[float],
) -> None:
    """Write a PNG. rows: of summary.csv; paths: M image files, or none; scores, labels: (M, K); thresholds: (K,).

    The images shown are spread evenly over the data set, not chosen. Under each: labels found (✓), missed (−) and
    wrongly given (+). Names without room are shortened or counted.
    """
    result_figure(rows, paths, names, scores, labels, thresholds).savefig(file, dpi=DPI)


def result_figure(
    rows: Sequence[Mapping[str, Any]],
    paths: Sequence[str],
    names: Sequence[str],
    scores: np.ndarray,
    labels: np.ndarray,
    thresholds: Sequence[float],
) -> Any:
    """The figure that `draw_result` writes, of the same arguments."""
    caption = LINES * LEADING + 0.2
    height = HEAD + ROWS * (PICTURE + caption)
    columns = COLUMNS if paths else 0
    figure = new_figure(CURVE + columns * (CELL + GAP) + (0.1 if paths else 0.2), height, DPI)
    _curves(place_axes(figure, 0.75, HEAD, CURVE - 1.1, height - HEAD - 0.6), rows)
    if not paths:
        return figure
    chosen = np.unique(np.linspace(0, len(paths) - 1, min(COLUMNS * ROWS, len(paths))).astype(int))
    predicted = (scores >= np.asarray(thresholds)) & known_entries(labels)
    shown = (predicted | (labels == 1))[chosen].any(axis=0)
    called = caption_names(names, shown, CELL - INDENT, measure(figure, LETTERS))
    for place, index in enumerate(chosen):
        row, column = divmod(place, COLUMNS)
        left, top = CURVE + column * (CELL + GAP), HEAD + row * (PICTURE + caption)
        _picture(place_axes(figure, left, top, CELL, PICTURE), paths[index])
        _caption(figure, left, top + PICTURE + 0.05, called, predicted[index], labels[index] == 1)
    _legend(figure)
    return figure


def _curves(axis: Any, rows: Sequence[Mapping[str, Any]]) -> None:
    epochs = [row["epoch"] + 1 for row in rows]
    for which, colour, shape in (("raw", BLUE, "o"), ("ema", ORANGE, "s")):
        if f"{which}_mAP" in rows[0]:
            title = {"raw": "weights", "ema": "averaged weights"}[which]
            marker = shape if len(rows) <= MARKED else None
            values = [row[f"{which}_mAP"] for row in rows]
            axis.plot(epochs, values, color=colour, marker=marker, label=title, clip_on=False, zorder=3)  # whole at 100
    limits = (epochs[0] - 0.5, epochs[-1] + 0.5)
    axis.set(xlabel="epoch", ylabel="validation mAP (%)", xlim=limits, ylim=(0, 100))
    axis.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
    axis.grid(alpha=0.3)
    axis.legend(loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=2, frameon=False)


def _picture(axis: Any, path: str) -> None:
    axis.axis("off")
    axis.set_anchor("S")
    try:
        small = load_rgb(path)
    except RunError:  # it was read in training, but need not be there any more
        axis.text(0.5, 0.5, "not there any more", ha="center", va="center", color=SOFT, fontsize=LETTERS)
        return
    small.thumbnail((400, 400))
    axis.imshow(small)


def _caption(
    figure: Any, left: float, top: float, names: Sequence[str], predicted: np.ndarray, true: np.ndarray
) -> None:
    kinds = (("✓", predicted & true, FOUND), ("−", ~predicted & true, MISSED), ("+", predicted & ~true, WRONG))
    groups = [kind for kind in kinds if kind[1].any()]
    if not groups:
        write(figure, left, top, "no label", LETTERS, SOFT)
    measured = measure(figure, LETTERS)
    for sign, which, colour in groups:
        shown = [names[k] for k in np.flatnonzero(which).tolist()]
        lines = wrapped(shown, CELL - INDENT, LINES // len(groups), measured)
        write(figure, left, top, sign, LETTERS, colour)
        for line in lines:
            write(figure, left + INDENT, top, line, LETTERS, colour)
            top += LEADING


def _legend(figure: Any) -> None:
    left = CURVE
    for text, colour in (("validation images:", "black"), ("✓ found", FOUND), ("− missed", MISSED),
                         ("+ wrongly given", WRONG)):  # fmt: skip
        write(figure, left, 0.2, text, 11, colour)
        left += measure(figure, 11)(text) + 0.2
