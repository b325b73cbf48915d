"""report.html: everything a run is worth showing, in one file that needs no network and no script."""

import base64
import io
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from mlcfast.data.images import load_rgb
from mlcfast.errors import RunError
from mlcfast.files import write_text
from mlcfast.metrics import average_precision
from mlcfast.report import attention, charts
from mlcfast.report.record import RunRecord, hardest, rates, read_run, surprise
from mlcfast.report.style import CSS
from mlcfast.runs.directory import RunDirectory

MOST_LABELS, MOST_IMAGES = 1000, 12
THUMBNAIL, PREFIX = 280, "data:image/jpeg;base64,"
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


class Attended(NamedTuple):
    """An image file with the attention maps (L, H, W) of some labels and their titles."""

    path: str
    maps: np.ndarray
    titles: list[str]


def write_report(
    directory: Path, attended: Sequence[Attended] = (), interval: tuple[float, float] | None = None
) -> Path:
    """Write report.html of the run in `directory` and return its path; UsageError if that is no run.

    interval: within which the validation mAP lies, in percent, where that was worked out.
    """
    file = RunDirectory(directory).report
    write_text(file, render(read_run(directory), attended, interval))
    return file


def render(record: RunRecord, attended: Sequence[Attended] = (), interval: tuple[float, float] | None = None) -> str:
    """The page as text. Images that are no longer there are named without their picture."""
    sections = (
        _section("The data", _data(record)),
        _section("Average precision of each label", _per_label(record)),
        _section("Precision and recall", _precision_recall(record)),
        _section("Which labels are wrongly added to which", charts.confusion(record)),
        _section("The images that surprised the model most", _images(record)),
        _section("Where the labels look", _attention(attended)),
        _unobserved(record.unobserved),
        _section("Training", charts.training(record)),
        _section(
            "Configuration", f"<details open><summary>config.yaml</summary><pre>{escape(record.config)}</pre></details>"
        ),
    )
    title = escape(record.name)
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}"><style>{CSS}</style></head>'
        f"<body><h1>{title}</h1>{_facts(record, interval)}{''.join(sections)}</body></html>\n"
    )


def _section(title: str, body: str) -> str:
    return f"<section><h2>{escape(title)}</h2>{body}</section>"


def _unobserved(png: bytes | None) -> str:
    if png is None:
        return ""
    source = "data:image/png;base64," + base64.b64encode(png).decode()
    picture = f'<img src="{source}" style="max-width:100%" alt="Histogram an epoch of their predicted probabilities">'
    note = "How probable the model finds, epoch by epoch, the positive labels that were hidden from it."
    return _section("Positives that training was not shown", f'<p class="note">{note}</p>{picture}')


def _data(record: RunRecord) -> str:
    """How many images and positives each part has, and what was said of them before training."""
    data = record.data
    if not data:
        return '<p class="note">This run did not record its data.</p>'
    sides = list(data["sides"])
    head = "".join(f"<th>{escape(side)}</th>" for side in sides)
    images = "".join(f"<td>{data['sides'][side]['images']:,}</td>" for side in sides)
    bare = "".join(f"<td>{data['sides'][side]['unlabelled']:,}</td>" for side in sides)
    rows = f"<tr><td>images</td>{images}</tr><tr><td>of them without a label</td>{bare}</tr>"
    for name in data["rarest"]:
        counts = "".join(f"<td>{data['sides'][side]['positives'][name]:,}</td>" for side in sides)
        rows += f"<tr><td>with {escape(name)}</td>{counts}</tr>"
    few = "" if len(data["rarest"]) == len(record.names) else " The labels are the rarest."
    warned = "".join(f"<li>{escape(sentence)}</li>" for sentence in data["warnings"])
    warnings = f'<ul class="missed">{warned}</ul>' if warned else '<p class="note">Nothing odd was found in them.</p>'
    note = f'<p class="note">As they were when training began.{few}</p>'
    return f"{warnings}{note}<table><tr><th></th>{head}</tr>{rows}</table>"


def _facts(record: RunRecord, interval: tuple[float, float] | None) -> str:
    metrics, K = record.card["metrics"], len(record.names)
    which = {"raw": "raw", "ema": "averaged"}[record.card["weights"]]
    best = [e for e in record.evaluations if e["mAP"] == metrics["mAP"]]
    test = record.outcome.get("test_mAP")
    facts = {
        **({"test mAP": f"{test:.2f} %"} if isinstance(test, float) else {}),
        "validation mAP": f"{metrics['mAP']:.2f} %",
        **({"of that, 95 % interval": f"{interval[0]:.1f} to {interval[1]:.1f} %"} if interval else {}),
        **_left_out(metrics),
        "mAP, VOC interpolated": f"{metrics['mAP_voc']:.2f} %",
        "CF1 / OF1 at 0.5": f"{metrics['CF1']:.1f} / {metrics['OF1']:.1f} %",
        "best weights": f"{which}, epoch {best[0]['epoch'] + 1}" if best else which,
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
        facts["mAP of labels with images"] = f"{metrics['mAP_present']:.2f} %, without {absent} labels"
    if metrics.get("unknown"):
        facts["unknown entries, left out"] = f"{metrics['unknown']:,}"
    return facts


def _per_label(record: RunRecord) -> str:
    if record.images > len(record.scores):
        metrics = record.card["metrics"]
        ap, support = (np.array([metrics[key][name] for name in record.names]) for key in ("per_label", "support"))
    else:
        ap, support = 100 * average_precision(record.scores, record.labels), record.positive.sum(axis=0)
    order = np.argsort(ap, kind="stable")
    rows = "".join(
        f"<tr><td>{escape(record.names[k])}</td>"
        f'<td class="bar"><i style="width:{ap[k]:.1f}%"></i></td><td>{ap[k]:.2f}</td><td>{support[k]:,}</td></tr>'
        for k in order[:MOST_LABELS]
    )
    head = "<tr><th>label</th><th>AP, 0 to 100 %</th><th>AP (%)</th><th>images with it</th></tr>"
    return _note(len(order), "labels, the worst first") + f'<div class="long"><table>{head}{rows}</table></div>'


def _precision_recall(record: RunRecord) -> str:
    return f'<div class="two">{charts.precision_recall_chart(record)}<div>{_thresholds(record)}</div></div>'


def _thresholds(record: RunRecord) -> str:
    known = record.known
    own, half = (rates(given & known, record.positive) for given in (record.predicted, record.scores >= 0.5))
    rows = "".join(
        f"<tr><td>{escape(record.names[k])}</td><td>{record.thresholds[k]:.3f}</td>"
        + "".join(f"<td>{100 * values[k]:.1f}</td>" for values in (*own, half[2]))
        + "</tr>"
        for k in range(min(len(record.names), MOST_LABELS))
    )
    head = "<tr><th>label</th>" + "".join(
        f"<th>{name}</th>" for name in ("threshold", "precision (%)", "recall (%)", "F1 (%)", "F1 at 0.5 (%)")
    )
    note = '<p class="note">Thresholds have the best F1 on these images; predict uses them.</p>'
    return f'{note}<div class="long"><table>{head}</tr>{rows}</table></div>'


def _images(record: RunRecord) -> str:
    if not record.paths:
        return '<p class="note">This run did not record the images’ paths.</p>'
    loss, figures = surprise(record), []
    for index in hardest(record, MOST_IMAGES):
        path = record.paths[index]
        caption = f"<strong>{escape(Path(path).name)}</strong><br>cross-entropy {loss[index]:.2f} nat"
        figures.append(f"<figure>{_thumbnail(path)}<div>{caption}</div>{_verdicts(record, index)}</figure>")
    note = (
        '<p class="note"><span class="found">✓ found</span> <span class="missed">− missed</span> <span class="added">'
    )
    note += "+ wrongly added</span>, each with its score; by mean binary cross-entropy over the labels.</p>"
    return f'{note}<div class="images">{"".join(figures)}</div>'


def _verdicts(record: RunRecord, index: int) -> str:
    predicted, positive = record.scores[index] >= record.thresholds, record.labels[index] == 1
    kinds = [("missed", "−", ~predicted & positive), ("added", "+", record.wrong[index])]
    kinds += [("found", "✓", predicted & positive)]
    lines = [
        f'<li class="{style}">{sign} {escape(record.names[k])} {record.scores[index, k]:.2f}</li>'
        for style, sign, which in kinds
        for k in np.flatnonzero(which)[:6]
    ]
    return f"<ul>{''.join(lines)}</ul>"


def _attention(attended: Sequence[Attended]) -> str:
    if not attended:
        return '<p class="note">No attention maps: a linear head has none, or the images are not there.</p>'
    rows = ""
    for image in attended:
        pixels = np.asarray(_small(image.path))
        dense = attention.upsample(image.maps, *pixels.shape[:2])
        figures = [f"<figure>{_embedded(pixels)}<figcaption>{escape(Path(image.path).name)}</figcaption></figure>"]
        for density, title in zip(dense, image.titles, strict=True):
            picture = _embedded(attention.overlay(pixels, density))
            figures.append(f"<figure>{picture}<figcaption>{escape(title)}</figcaption></figure>")
        rows += f'<div class="maps">{"".join(figures)}</div>'
    note = "Cross-attention of the last decoder layer, averaged over its heads, for the labels the images have."
    gradient = f'<i style="background:linear-gradient(90deg,{attention.gradient()})"></i>'
    scale = f'<p class="scale"><span>none</span>{gradient}<span>the map’s highest</span></p>'
    return f'<p class="note">{note}</p>{scale}{rows}'


def _small(path: str) -> Image.Image:
    image = load_rgb(path)
    image.thumbnail((THUMBNAIL, THUMBNAIL))
    return image


def _thumbnail(path: str) -> str:
    try:
        return _embedded(np.asarray(_small(path)))
    except RunError as error:
        return f'<p class="note">{escape(str(error))}</p>'


def _embedded(pixels: np.ndarray) -> str:
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, "JPEG", quality=82)
    source = PREFIX + base64.b64encode(data.getvalue()).decode()
    height, width = pixels.shape[:2]
    return f'<img width="{width}" height="{height}" style="height:auto" alt="" src="{source}">'


def _note(count: int, what: str) -> str:
    shown = f"{count:,} {what}" if count <= MOST_LABELS else f"{MOST_LABELS} of {count:,} {what}"
    return f'<p class="note">{shown}.</p>'
