"""Draws the scores of a sweep: a row for each group of runs that differ in their seed alone."""

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mlcfast.report.names import told_apart
from mlcfast.report.result import BLUE
from mlcfast.report.text import drawn_name, measure, new_figure, place_axes, write

MOST = 40  # groups in one picture
MARGIN, NAMES, PLOT, ROW = 0.15, 2.6, 5.0, 0.26  # widths in inches: at the sides, of the names at most, of the plot
TOP, FOOT, LETTERS, DPI = 0.45, 0.6, 10.0, 110  # heights above and below the rows; the letters' size in points


def draw_scores(file: Path, groups: Mapping[str, Sequence[float]], what: str) -> None:
    """Write a PNG: a dot for each run, a line at the mean of its group, in the order given; the first MOST groups.

    groups: the scores in percent of the runs of each group, by its name, at least one a group. what: what they measure.
    """
    scores_figure(groups, what).savefig(file, dpi=DPI)


def scores_figure(groups: Mapping[str, Sequence[float]], what: str) -> Any:
    """The figure that `draw_scores` writes, of the same arguments."""
    shown, rest = dict(list(groups.items())[:MOST]), max(0, len(groups) - MOST)
    measured = measure(new_figure(1, 1, DPI), LETTERS)
    names = told_apart([drawn_name(name, k, "group") for k, name in enumerate(shown, 1)], NAMES, measured)
    left = 2 * MARGIN + max(measured(name) for name in names)
    height = ROW * len(shown)
    figure = new_figure(left + PLOT + MARGIN, TOP + height + FOOT + (ROW if rest else 0), DPI)
    axis = place_axes(figure, left, TOP, PLOT, height)
    for row, (name, scores) in enumerate(zip(names, shown.values(), strict=True)):
        write(figure, left - MARGIN - measured(name), TOP + (row + 0.5) * ROW - 0.08, name, LETTERS)
        axis.plot(scores, [row] * len(scores), "o", color=BLUE, alpha=0.6, markersize=5, label="" if row else "a run")
        axis.plot(
            statistics.mean(scores), row, "|", color="black", markersize=13, markeredgewidth=2,
            label="" if row else "mean",
        )  # fmt: skip
    axis.set(ylim=(len(shown) - 0.5, -0.5), yticks=range(len(shown)), xlabel=what)
    axis.tick_params(axis="y", length=0, labelleft=False)
    axis.grid(alpha=0.3)
    axis.legend(loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=2, fontsize=8, frameon=False)
    if rest:
        write(figure, left, TOP + height + FOOT, f"… and {rest:,} more", LETTERS)
    return figure
