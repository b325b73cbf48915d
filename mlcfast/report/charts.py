"""The report's charts: which numbers of a run are drawn against which."""

from html import escape

import numpy as np

from mlcfast.metrics import average_precision
from mlcfast.report.labels import long_table, row_head
from mlcfast.report.record import RunRecord, precision_recall, with_one_not_other, wrongly_added
from mlcfast.report.svg import FEW_IMAGES, Series, heat_map, line_chart, short_names

FEW, MATRIX, CANDIDATES = 20, 30, 300  # labels with a curve each; in the matrix; looked at for it
WORST = ("s2", "s3", "s4")  # the looks of the labels with the lowest average precision
LEGEND = 200.0  # the widest name in a legend, in the SVG's units
MOST_SCORES = 2_000_000  # pooled for the precision-recall curve
GIB = 2**30


def training(record: RunRecord) -> str:
    """Validation mAP, loss, learning rate, throughput and memory over the run."""
    steps = [line["step"] for line in record.train]

    def over_steps(key: str, name: str = "", scale: float = 1.0, style: str = "s1") -> Series:
        numbers = np.asarray([line.get(key) for line in record.train], float)  # None, of what has no number, is NaN
        return Series(steps, scale * numbers, name, style)

    memory = [over_steps("host_peak_bytes", "host", 1 / GIB), over_steps("peak_bytes", "GPU, allocated", 1 / GIB, "s2")]
    memory = [series for series in memory if np.isfinite(series.y).any()]
    figures = (
        line_chart("Validation mAP", "epoch", "mAP (%)", _mean_ap(record), y_range=(0, 100)),
        line_chart("Loss", "step", "loss", [over_steps("loss", "training"), *_validation_loss(record)]),
        line_chart("Learning rate", "step", "learning rate", [over_steps("lr")]),
        line_chart("Throughput", "step", "images a second", [over_steps("images_per_second")]),
        line_chart("Peak memory of the main process", "step", "memory (GiB)", memory),
    )
    return f'<div class="charts">{"".join(figures)}</div>{_spent(record)}'


def _spent(record: RunRecord) -> str:
    """Where each epoch's time went, in percent, and the setting that would have helped the last one most."""
    if not record.spent:
        return ""
    kinds = [kind for kind in record.spent[-1] if kind not in ("event", "step", "time", "epoch", "seconds", "remedy")]
    rows = (
        row_head(str(line["epoch"] + 1))
        + f"<td>{line['seconds']:,.1f}</td>"
        + "".join(f"<td>{line[kind]:.1f}</td>" for kind in kinds)
        for line in record.spent
    )
    change = record.spent[-1]["remedy"]
    note = f'<p class="note">{escape(change)} would have helped most.</p>' if change else ""
    table = long_table("Where the time went", ("epoch", "seconds", *(f"{kind} (%)" for kind in kinds)), rows)
    return f"<details><summary>Where the time went</summary>{note}{table}</details>"


def _validation_loss(record: RunRecord) -> list[Series]:
    """Of both kinds of weights after each epoch; nothing for a loss that has no value on validation images."""
    series = []
    for which, name, style in (("raw", "validation", "s2"), ("ema", "validation, averaged weights", "s3")):
        lines = [line for line in record.evaluations if line["weights"] == which and line.get("loss") is not None]
        series.append(Series([line["step"] for line in lines], [line["loss"] for line in lines], name, style))
    return series


def _mean_ap(record: RunRecord) -> list[Series]:
    series = []
    for which, name, style in (("raw", "weights", "s1"), ("ema", "averaged weights", "s2")):
        lines = [line for line in record.evaluations if line["weights"] == which]
        series.append(Series([line["epoch"] + 1 for line in lines], [line["mAP"] for line in lines], name, style))
    return series


def precision_recall_chart(record: RunRecord) -> str:
    """All labels pooled, the labels of the lowest average precision, and a faint curve for each of a few others."""
    limits = {"x_range": (0.0, 100.0), "y_range": (0.0, 100.0)}
    K, known, positive = len(record.names), record.known, record.positive
    ap = average_precision(record.scores, record.labels)
    order = [k for k in np.argsort(ap, kind="stable").tolist() if positive[:, k].any()]
    worst, others = dict(zip(order, WORST, strict=False)), sorted(order[len(WORST) :])
    title = "the other labels" if len(others) <= FEW else f"{FEW} of the {len(others):,} other labels"
    titles = dict(zip(worst, short_names([record.names[k] for k in worst], LEGEND), strict=True))
    lines = []
    for k in [*others[:FEW], *worst] if K > 1 else []:
        rows, name = known[:, k], record.names[k]
        recall, precision = precision_recall(record.scores[rows, k], positive[rows, k])
        called = titles.get(k, title)
        lines.append(Series(100 * recall, 100 * precision, called, worst.get(k, "faint"), name))
    first = slice(None, max(1, MOST_SCORES // K))
    recall, precision = precision_recall(record.scores[first][known[first]], positive[first][known[first]])
    pooled = Series(100 * recall, 100 * precision, "all labels pooled" if K > 1 else record.names[0], "s1")
    return line_chart("Precision over recall", "recall (%)", "precision (%)", [*lines, pooled], **limits)


def confusion(record: RunRecord) -> str:
    """The matrix of wrongly added labels; of many labels those that are most often mixed up."""
    K, wrong, positive = len(record.names), record.wrong, record.positive
    if K < 2:
        return '<p class="note">There is one label only.</p>'
    chosen = np.arange(K)
    if K > CANDIDATES:  # those beside which others are wrongly added, and these others
        beside = _highest(_weighted(positive, wrong.sum(axis=1)), CANDIDATES // 2)
        added = _highest(_weighted(wrong, positive[:, beside].sum(axis=1)), CANDIDATES // 2)
        chosen = np.union1d(beside, added)
    shares = wrongly_added(wrong[:, chosen], positive[:, chosen], record.known[:, chosen])
    counts = with_one_not_other(positive[:, chosen], record.known[:, chosen])
    mixed = np.nan_to_num(shares * counts)
    if not mixed.any():
        return '<p class="note">No label was wrongly added to an image that has another one.</p>'
    beside = _highest(mixed.sum(axis=1), MATRIX // 2)
    added = _highest(mixed[beside].sum(axis=0), MATRIX // 2)
    others = _highest(mixed.sum(axis=0) + mixed.sum(axis=1), MATRIX)
    most = np.sort(list(dict.fromkeys([*beside, *added, *others]))[:MATRIX])
    names, places = [record.names[k] for k in chosen[most]], np.ix_(most, most)
    title = "Share (%) of the images with one label, and without the other, that were given the other"
    few = f"{MATRIX} of {K:,} labels, those most often mixed up. " if len(most) < K else ""
    note = f"Shares of fewer than {FEW_IMAGES} images are written as fractions. Where the matrix is cut, it scrolls."
    matrix = heat_map(title, "label that is there", "label wrongly added", names, shares[places], counts[places])
    return f'<p class="note">{few}{note}</p>{matrix}'


def _highest(values: np.ndarray, count: int) -> np.ndarray:
    """The places of the `count` highest, the highest first."""
    return np.argsort(-values, kind="stable")[:count]


def _weighted(which: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(K,): for each label the sum of the weights (M,) of the images in which it is true; which: (M, K) bool, few."""
    rows, columns = np.nonzero(which)
    return np.bincount(columns, weights[rows], which.shape[1])


def duration(record: RunRecord) -> str:
    """From the first to the last line of the journal, as a person says it."""
    times = record.times
    seconds = round(max(times) - min(times)) if times else 0
    hours, minutes = divmod(seconds // 60, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds % 60} s"
