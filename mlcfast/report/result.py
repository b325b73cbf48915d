"""One picture of a run: the validation mAP over the epochs beside images with their true and predicted labels."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

COLUMNS, ROWS = 5, 2
# Okabe and Ito's colours, told apart by colour-blind readers.
BLUE, ORANGE, GREEN, RED = "#0072B2", "#E69F00", "#009E73", "#D55E00"


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
    wrongly given (+).
    """
    from matplotlib.figure import Figure

    if not paths:
        figure = Figure(figsize=(5, 5), layout="constrained")
        _curves(figure.subplots(), rows)
        figure.savefig(file, dpi=110)
        return
    figure = Figure(figsize=(13, 5), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(1, 2.1))
    _curves(left.subplots(), rows)
    chosen = np.linspace(0, len(paths) - 1, min(COLUMNS * ROWS, len(paths))).astype(int)
    axes = list(right.subplots(ROWS, COLUMNS).flat)
    for axis in axes:
        axis.axis("off")
    for axis, index in zip(axes, chosen, strict=False):
        with Image.open(paths[index]) as image:
            axis.imshow(image.convert("RGB"))
        _caption(axis, names, scores[index] >= np.asarray(thresholds), labels[index] == 1)
    right.suptitle("validation images: ✓ found   − missed   + wrongly given", fontsize=11)
    figure.savefig(file, dpi=110)


def _curves(axis: Any, rows: Sequence[Mapping[str, Any]]) -> None:
    epochs = [row["epoch"] + 1 for row in rows]
    for which, colour, marker in (("raw", BLUE, "o"), ("ema", ORANGE, "s")):
        if f"{which}_mAP" in rows[0]:
            title = {"raw": "weights", "ema": "averaged weights"}[which]
            axis.plot(epochs, [row[f"{which}_mAP"] for row in rows], color=colour, marker=marker, label=title)
    axis.set(xlabel="epoch", ylabel="validation mAP (%)", ylim=(0, 100))
    axis.xaxis.get_major_locator().set_params(integer=True)
    axis.grid(alpha=0.3)
    axis.legend(loc="lower right")


def _caption(axis: Any, names: Sequence[str], predicted: np.ndarray, true: np.ndarray) -> None:
    groups = (("✓", predicted & true, GREEN), ("−", ~predicted & true, ORANGE), ("+", predicted & ~true, RED))
    lines = [(f"{sign} {_short(names, which)}", colour) for sign, which, colour in groups if which.any()]
    for number, (line, colour) in enumerate(lines):
        place = {"xy": (0, 0), "xytext": (0, -3 - 11 * number), "xycoords": "axes fraction"}
        axis.annotate(line, **place, textcoords="offset points", va="top", fontsize=8.5, color=colour)


def _short(names: Sequence[str], which: np.ndarray, most: int = 4) -> str:
    shown = [names[k] for k in np.flatnonzero(which)]
    return ", ".join(shown[:most]) + (f" … {len(shown) - most} more" if len(shown) > most else "")
