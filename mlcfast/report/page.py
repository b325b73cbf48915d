"""report.html: everything a run is worth showing, in one file that needs no network and no script."""

from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Any

from mlcfast import __version__
from mlcfast.files import write_text
from mlcfast.report import charts
from mlcfast.report.gallery import Attended, attention_maps, embedded_png, hardest_images
from mlcfast.report.labels import MOST, LabelFigures, average_precisions, label_table, row_head, thresholds
from mlcfast.report.record import RunRecord, read_run
from mlcfast.report.reliability import diagram
from mlcfast.report.style import CSS
from mlcfast.runs.directory import RunDirectory

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
FEW_IMAGES = 100  # fewer validation images judge roughly
SOURCES = ("format", "root", "train", "val", "test")  # of the configuration's data section: where they are


def write_report(
    directory: Path, attended: Sequence[Attended] = (), interval: tuple[float, float] | None = None
) -> Path:
    """Write report.html of a run and return its path; beside it labels.csv where there are more labels than it shows.

    UsageError if that is no run. interval: within which the validation mAP lies, in percent, where that was worked out.
    """
    run, record = RunDirectory(directory), read_run(directory)
    if len(record.names) > MOST:
        write_text(run.labels, label_table(LabelFigures(record)))
    write_text(run.report, render(record, attended, interval))
    return run.report


def render(record: RunRecord, attended: Sequence[Attended] = (), interval: tuple[float, float] | None = None) -> str:
    """The page as text. Images that are no longer there are named without their picture."""
    labels = LabelFigures(record)
    both = f'<div class="two">{charts.precision_recall_chart(record)}<div>{thresholds(labels)}</div></div>'
    sections = (
        _section("The data", _data(record)),
        _section("Average precision of each label", average_precisions(labels)),
        _section("Precision and recall", both),
        _section("How far a score can be taken at its word", diagram(record.scores, record.labels)),
        _section("Which labels are wrongly added to which", charts.confusion(record)),
        _section("The images that surprised the model most", hardest_images(record)),
        _section("Where the labels look", attention_maps(attended)),
        _unobserved(record.unobserved),
        _section("Training", _folded("loss, learning rate, throughput, memory", charts.training(record))),
        _section("Configuration", _folded("config.yaml", _configuration(record))),
    )
    title = escape(record.name)
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}"><style>{CSS}</style></head>'
        f"<body><main><h1>{title}</h1>{_facts(record, interval)}{_damaged(record)}{''.join(sections)}</main>"
        f"<footer>{_written(record)}</footer></body></html>\n"
    )


def _damaged(record: RunRecord) -> str:
    """What is missing on this page because a file of the run could not be read."""
    items = "".join(f"<li>{escape(sentence)}</li>" for sentence in record.damaged)
    return f'<ul class="warned">{items}</ul>' if items else ""


def _section(title: str, body: str) -> str:
    return f"<section><h2>{escape(title)}</h2>{body}</section>"


def _folded(what: str, body: str) -> str:
    return f"<details><summary>{what}</summary>{body}</details>"


def _configuration(record: RunRecord) -> str:
    return f'<pre tabindex="0" role="region" aria-label="config.yaml">{escape(record.config)}</pre>'


def _written(record: RunRecord) -> str:
    """When the run was, and which version wrote the page."""
    times = record.times
    run = f"Trained from {_moment(min(times))} to {_moment(max(times))}. " if times else ""
    return f'<p class="note">{run}Written by mlcfast {escape(__version__)}.</p>'


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _unobserved(png: bytes | None) -> str:
    if png is None:
        return ""
    picture = embedded_png(png, "Histogram an epoch of their predicted probabilities")
    note = "How probable the model finds, epoch by epoch, the positive labels that were hidden from it."
    return _section("Positives that training was not shown", f'<p class="note">{note}</p>{picture}')


def _data(record: RunRecord) -> str:
    """Where the data are, how many images and positives each part has, and what was odd about them before training."""
    held = record.card.get("config", {}).get("data", {})
    named = [f"{key} <bdi>{escape(str(held[key]))}</bdi>" for key in SOURCES if held.get(key)]
    source = f'<p class="note">From {", ".join(named)}.</p>' if named else ""
    data = record.data
    if not data:
        return f'{source}<p class="note">This run did not record its data.</p>'
    sides = list(data["sides"])
    head = "".join(f'<th scope="col">{escape(side)}</th>' for side in sides)

    def row(name: str, key: str, before: str = "") -> str:
        counts = [data["sides"][side] for side in sides]
        cells = "".join(f"<td>{(each['positives'][name] if before else each[key]):,}</td>" for each in counts)
        return f"<tr>{row_head(name, before)}{cells}</tr>"

    rows = row("images", "images") + row("of them without a label", "unlabelled")
    rows += "".join(row(name, "positives", "with ") for name in data["rarest"])
    hidden = len(record.names) - len(data["rarest"])
    few = f" The labels are the rarest; {hidden:,} more are in the next table." if hidden else ""
    sentences = data["warnings"] + _few(record)
    warned = "".join(f"<li>{escape(sentence)}</li>" for sentence in sentences)
    warnings = f'<ul class="warned">{warned}</ul>' if warned else '<p class="note">Nothing odd was found in them.</p>'
    note = f'<p class="note">As they were when training began.{few}</p>'
    return f"{source}{warnings}{note}<table><thead><tr><td></td>{head}</tr></thead><tbody>{rows}</tbody></table>"


def _few(record: RunRecord) -> list[str]:
    count = len(record.scores)
    return [f"only {count} validation images: figures of them are rough"] if count < FEW_IMAGES else []


def _facts(record: RunRecord, interval: tuple[float, float] | None) -> str:
    metrics, K = record.card["metrics"], len(record.names)
    which = {"raw": "raw", "ema": "averaged"}[record.card["weights"]]
    best = [e for e in record.evaluations if e["mAP"] == metrics["mAP"]]
    test = record.outcome.get("test_mAP")
    trained = record.data.get("sides", {}).get("training", {}).get("images")
    facts = {
        **({"test mAP": f"{test:.2f} %"} if isinstance(test, float) else {}),
        "validation mAP": f"{metrics['mAP']:.2f} %",
        **({"of that, 95 % interval": f"{interval[0]:.1f} to {interval[1]:.1f} %"} if interval else {}),
        **_left_out(metrics),
        "mAP, VOC interpolated": f"{metrics['mAP_voc']:.2f} %",
        "CF1 / OF1 at 0.5": f"{metrics['CF1']:.1f} / {metrics['OF1']:.1f} %",
        "best weights": f"{which}, epoch {best[0]['epoch'] + 1}" if best else which,
        **({"training images": f"{trained:,}"} if trained else {}),
        "validation images": f"{record.images:,}",
        **({"of these, shown below": f"{len(record.scores):,}"} if record.images > len(record.scores) else {}),
        "labels": f"{K:,}",
        "backbone and head": f"{record.card['model']['backbone']}, {record.card['model']['head']}",
        "time": charts.duration(record),
    }
    return (
        '<dl class="facts">'
        + "".join(f"<div><dt>{k}</dt><dd>{escape(v)}</dd></div>" for k, v in facts.items())
        + "</dl>"
    )


def _left_out(metrics: dict[str, Any]) -> dict[str, str]:
    """What the mAP hides: labels that no validation image has, and entries that are unknown."""
    facts, absent = {}, len(metrics.get("labels_without_positives", []))
    if absent:
        without = "1 other" if absent == 1 else f"{absent:,} others"
        facts["mAP of labels with images"] = f"{metrics['mAP_present']:.2f} %, without {without}"
    if metrics.get("unknown"):
        facts["unknown entries, left out"] = f"{metrics['unknown']:,}"
    return facts
