"""How probable training finds the positives it is not shown: a histogram an epoch (arXiv 2106.09708)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mlcfast.report.result import BLUE, ORANGE

POSITIVES = ("expected", "estimated", "true")


def draw_unobserved(file: Path, runs: Mapping[str, Mapping[str, np.ndarray]]) -> None:
    """Write a PNG with a column of panels for each run, by title.

    runs: the arrays of their unobserved.npz. Top: one column an epoch, the share of unobserved positives in
    each bin of predicted probability, white where there is none. Bottom: positives an image, as the model and, where
    there are any, the label estimates have it, beside the true mean.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(1.2 + 4.2 * len(runs), 6.4), layout="constrained")
    axes = figure.subplots(2, len(runs), squeeze=False, sharey="row", gridspec_kw={"height_ratios": (2, 1)})
    shares = {title: _shares(run["counts"]) for title, run in runs.items()}
    largest = max(float(np.nanmax(share, initial=0)) for share in shares.values()) or 1.0
    for (top, bottom), (title, run) in zip(axes.T, runs.items(), strict=True):
        image = _histograms(top, shares[title], run["epochs"], largest)
        top.set_title(title)
        _positives(bottom, run)
    axes[1, 0].set_ylim(
        0, 1.08 * max(float(np.nanmax(run[key], initial=0)) for run in runs.values() for key in POSITIVES)
    )
    axes[0, 0].set_ylabel("predicted probability of\nunobserved positives")
    axes[1, 0].set_ylabel("positives an image")
    figure.colorbar(image, ax=list(axes[0]), label="share of unobserved positives")
    figure.savefig(file, dpi=110)


def _shares(counts: np.ndarray) -> np.ndarray:
    """(E, bins) counts -> (bins, E) shares of each epoch, NaN where the count is 0."""
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    return np.where(counts > 0, shares, np.nan).T


def _histograms(axis: Any, shares: np.ndarray, epochs: np.ndarray, largest: float) -> Any:
    from matplotlib.colors import LogNorm

    extent = (epochs[0] + 0.5, epochs[-1] + 1.5, 0, 1)
    scale = LogNorm(vmin=largest / 1000, vmax=largest)
    axis.xaxis.get_major_locator().set_params(integer=True)
    return axis.imshow(shares, origin="lower", aspect="auto", extent=extent, norm=scale, cmap="viridis")


def _positives(axis: Any, run: Mapping[str, np.ndarray]) -> None:
    epochs = run["epochs"] + 1
    axis.plot(epochs, run["expected"], color=BLUE, marker="o", markersize=3, label="model")
    if np.isfinite(run["estimated"]).any():
        axis.plot(epochs, run["estimated"], color=ORANGE, marker="s", markersize=3, label="label estimates")
    axis.axhline(float(run["true"]), color="black", linestyle=":", label="true")
    axis.set(xlabel="epoch", xlim=(epochs[0] - 0.5, epochs[-1] + 0.5))
    axis.xaxis.get_major_locator().set_params(integer=True)
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8)
