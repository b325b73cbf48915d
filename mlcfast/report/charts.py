"""The report's charts: which numbers of a run are drawn against which."""

from html import escape

import numpy as np

from mlcfast.report.record import RunRecord, precision_recall, wrongly_added
from mlcfast.report.svg import Series, heat_map, line_chart

FEW, MATRIX, CANDIDATES = 20, 30, 300  # labels with a curve each; in the matrix; looked at for it
MOST_SCORES = 2_000_000  # pooled for the precision-recall curve
GIB = 2**30


def training(record: RunRecord) -> str:
    """Validation mAP, loss, learning rate, throughput and memory over the run."""
    steps = [line["step"] for line in record.train]

    def over_steps(key: str, name: str = "", scale: float = 1.0, style: str = "s1") -> Series:
        return Series(steps, [scale * (line.get(key) or np.nan) for line in record.train], name, style)

    memory = [over_steps("host_peak_bytes", "host", 1 / GIB), over_steps("peak_bytes", "GPU, allocated", 1 / GIB, "s2")]
    memory = [series for series in memory if np.isfinite(series.y).any()]
    figures = (
        line_chart("Validation mAP", "epoch", "mAP (%)", _mean_ap(record), y_range=(0, 100)),
        line_chart("Training loss", "step", "loss", [over_steps("loss")]),
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
    head = "".join(f"<th>{escape(kind)} (%)</th>" for kind in kinds)
    rows = "".join(
        f"<tr><td>{line['epoch'] + 1}</td><td>{line['seconds']:,.1f}</td>"
        + "".join(f"<td>{line[kind]:.1f}</td>" for kind in kinds)
        + "</tr>"
        for line in record.spent
    )
    change = record.spent[-1]["remedy"]
    note = f'<p class="note">{escape(change)} would have helped most.</p>' if change else ""
    table = f"<table><tr><th>epoch</th><th>seconds</th>{head}</tr>{rows}</table>"
    return f"<details><summary>Where the time went</summary>{note}{table}</details>"


def _mean_ap(record: RunRecord) -> list[Series]:
    series = []
    for which, name, style in (("raw", "weights", "s1"), ("ema", "averaged weights", "s2")):
        lines = [line for line in record.evaluations if line["weights"] == which]
        series.append(Series([line["epoch"] + 1 for line in lines], [line["mAP"] for line in lines], name, style))
    return series


def precision_recall_chart(record: RunRecord) -> str:
    """All labels pooled, and a faint curve for each of a few labels."""
    limits = {"x_range": (0.0, 100.0), "y_range": (0.0, 100.0)}
    K, single = len(record.names), []
    title = "single labels" if K <= FEW else f"single labels, the first {FEW}"
    for k in range(min(K, FEW)):
        rows = record.known[:, k]
        if not rows.any():
            continue
        recall, precision = precision_recall(record.scores[rows, k], record.positive[rows, k])
        single.append(Series(100 * recall, 100 * precision, title, "faint", record.names[k]))
    first = slice(None, max(1, MOST_SCORES // K))
    known = record.known[first]
    recall, precision = precision_recall(record.scores[first][known], record.positive[first][known])
    pooled = Series(100 * recall, 100 * precision, "all labels pooled", "s1")
    return line_chart("Precision over recall", "recall (%)", "precision (%)", [*single, pooled], **limits)


def confusion(record: RunRecord) -> str:
    """The matrix of wrongly added labels; of many labels those that are most often mixed up."""
    wrong = record.wrong
    chosen = np.sort(np.argsort(-wrong.sum(axis=0), kind="stable")[:CANDIDATES])
    shares = wrongly_added(wrong[:, chosen], record.positive[:, chosen], record.known[:, chosen])
    if len(chosen) > MATRIX:
        filled = np.nan_to_num(shares)
        mixed_up = np.sort(np.argsort(-(filled.sum(axis=0) + filled.sum(axis=1)), kind="stable")[:MATRIX])
        chosen, shares = chosen[mixed_up], shares[np.ix_(mixed_up, mixed_up)]
    if len(chosen) < 2:
        return '<p class="note">There is one label only.</p>'
    names = [record.names[k] for k in chosen]
    title = "Share (%) of the images with one label, and without the other, that were given the other"
    few = f'<p class="note">{MATRIX} of {len(record.names):,} labels, those most often mixed up.</p>'
    matrix = heat_map(title, "label that is there", "label wrongly added", names, shares)
    return f"{few}{matrix}" if len(chosen) < len(record.names) else matrix


def duration(record: RunRecord) -> str:
    """From the first to the last line of the journal, as a person says it."""
    times = [line["time"] for line in record.train + record.evaluations]
    seconds = round(max(times) - min(times)) if times else 0
    hours, minutes = divmod(seconds // 60, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds % 60} s"
