"""Draws, as a histogram an epoch, what the model predicts for positives hidden from it (arXiv 2106.09708)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mlcfast.report.names import shortened
from mlcfast.report.result import BLUE, ORANGE
from mlcfast.report.text import MARKED, drawn_name, measure, new_figure, place_axes, write

POSITIVES = ("expected", "estimated", "true")
MOST = 8  # runs side by side
LEFT, PANEL, GAP, SCALE = 0.95, 3.6, 0.35, 1.0  # widths in inches: of the axis's texts, a panel, between, the scale
TOP, HISTOGRAM, BETWEEN, CURVES, FOOT, DPI = 0.45, 3.3, 0.52, 1.6, 0.55, 110  # heights from the top


def draw_unobserved(file: Path, runs: Mapping[str, Mapping[str, np.ndarray]]) -> None:
    """Write a PNG with a column of panels for each run, by title; the first MOST, with the number of the others.

    runs: the arrays of their unobserved.npz. Top: one column an epoch, the share of unobserved positives in
    each bin of predicted probability, white where there is none. Bottom: positives an image, as the model and, where
    there are any, the label estimates have it, beside the true mean.
    """
    unobserved_figure(runs).savefig(file, dpi=DPI)


def unobserved_figure(runs: Mapping[str, Mapping[str, np.ndarray]]) -> Any:
    """The figure that `draw_unobserved` writes, of the same argument."""
    shown, rest = dict(list(runs.items())[:MOST]), max(0, len(runs) - MOST)
    whole = LEFT + len(shown) * (PANEL + GAP) + SCALE
    figure = new_figure(whole, TOP + HISTOGRAM + BETWEEN + CURVES + FOOT, DPI)
    shares = {title: _shares(run["counts"]) for title, run in shown.items()}
    held = [share[~np.isnan(share)] for share in shares.values()]
    largest = max((float(share.max()) for share in held if share.size), default=1.0)
    highest = max(float(np.nan_to_num(run[key]).max(initial=0)) for run in shown.values() for key in POSITIVES)
    measured = measure(figure, 11)
    for number, (title, run) in enumerate(shown.items()):
        left = LEFT + number * (PANEL + GAP)
        write(figure, left, 0.15, shortened(drawn_name(title, number + 1, "run"), PANEL, measured), 11)
        top = place_axes(figure, left, TOP, PANEL, HISTOGRAM)
        bottom = place_axes(figure, left, TOP + HISTOGRAM + BETWEEN, PANEL, CURVES)
        image = _histograms(top, shares[title], run["epochs"], largest)
        _positives(bottom, run)
        bottom.set_ylim(0, 1.08 * highest or 1)
        for axis in (top, bottom) if number else ():
            axis.tick_params(labelleft=False)
        if not number:
            top.set_ylabel("predicted probability of\nunobserved positives")
            bottom.set_ylabel("positives an image")
    scale = place_axes(figure, whole - SCALE + 0.05, TOP, 0.14, HISTOGRAM)
    figure.colorbar(image, cax=scale, label="share of unobserved positives (white: none)")
    if rest:
        write(figure, whole - SCALE, TOP + HISTOGRAM + BETWEEN, f"… and\n{rest:,} more", 11)
    return figure


def _shares(counts: np.ndarray) -> np.ndarray:
    """(E, bins) counts -> (bins, E) shares of each epoch, NaN where the count is 0."""
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    return np.where(counts > 0, shares, np.nan).T


def _histograms(axis: Any, shares: np.ndarray, epochs: np.ndarray, largest: float) -> Any:
    from matplotlib.colors import LogNorm

    extent = (epochs[0] + 0.5, epochs[-1] + 1.5, 0, 1)
    scale = LogNorm(vmin=largest / 1000, vmax=largest)
    axis.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
    return axis.imshow(shares, origin="lower", aspect="auto", extent=extent, norm=scale, cmap="viridis")


def _positives(axis: Any, run: Mapping[str, np.ndarray]) -> None:
    epochs = run["epochs"] + 1
    marked = len(epochs) <= MARKED
    axis.plot(epochs, run["expected"], color=BLUE, marker="o" if marked else None, markersize=3, label="model")
    if np.isfinite(run["estimated"]).any():
        marker = "s" if marked else None
        axis.plot(epochs, run["estimated"], color=ORANGE, marker=marker, markersize=3, label="label estimates")
    axis.axhline(float(run["true"]), color="black", linestyle=":", label="true")
    axis.set(xlabel="epoch", xlim=(epochs[0] - 0.5, epochs[-1] + 0.5))
    axis.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
    axis.grid(alpha=0.3)
    axis.legend(loc="lower left", bbox_to_anchor=(-0.02, 0.97), ncols=3, fontsize=8, frameon=False)
