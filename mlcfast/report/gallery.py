"""The report's pictures: the images that surprised the model most, and where its labels look."""

import base64
import io
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from mlcfast.data.images import load_rgb
from mlcfast.errors import RunError
from mlcfast.report import attention
from mlcfast.report.record import RunRecord, hardest, surprise
from mlcfast.report.svg import short_name

MOST_IMAGES, MOST_VERDICTS = 12, 6  # on the page; of a kind under an image
WIDEST = 300.0  # of a name under an image, in units of svg.short_name: about 42 letters
THUMBNAIL, PREFIX = 280, "data:image/jpeg;base64,"


class Attended(NamedTuple):
    """An image file with the attention maps (L, H, W) of some labels and their titles."""

    path: str
    maps: np.ndarray
    titles: list[str]


def hardest_images(record: RunRecord) -> str:
    """The images with the highest loss, each with the labels missed, wrongly added and found."""
    if not record.paths:
        return '<p class="note">This run did not record the images’ paths.</p>'
    loss, figures = surprise(record), []
    for index in hardest(record, MOST_IMAGES):
        path = record.paths[index]
        caption = f"<strong><bdi>{escape(Path(path).name)}</bdi></strong><br>loss {loss[index]:.2f}"
        figures.append(f"<figure>{_thumbnail(path)}<div>{caption}</div>{_verdicts(record, index)}</figure>")
    note = (
        '<p class="note"><span class="found">✓ found</span> <span class="missed">− missed</span> <span class="added">'
        "+ wrongly added</span>, each with its score, and an error with the threshold that it should have reached or "
        "stayed below. The loss is the mean binary cross-entropy over the labels: 0 would be perfect, and 0.69 is that "
        "of scores of 0.5.</p>"
    )
    return f'{note}<div class="images">{"".join(figures)}</div>'


def _verdicts(record: RunRecord, index: int) -> str:
    predicted, positive = record.scores[index] >= record.thresholds, record.labels[index] == 1
    kinds = [("missed", "−", ~predicted & positive), ("added", "+", record.wrong[index])]
    kinds += [("found", "✓", predicted & positive)]
    lines = []
    for style, sign, which in kinds:
        chosen = np.flatnonzero(which)
        for k in chosen[:MOST_VERDICTS].tolist():
            bound = "" if style == "found" else f" (threshold {record.thresholds[k]:.2f})"
            score = f"{record.scores[index, k]:.2f}{bound}"
            name = escape(short_name(record.names[k], WIDEST))
            lines.append(f'<li class="{style}">{sign} <bdi>{name}</bdi> {score}</li>')
        if len(chosen) > MOST_VERDICTS:
            lines.append(f'<li class="{style}">{sign} … and {len(chosen) - MOST_VERDICTS:,} more</li>')
    return f"<ul>{''.join(lines or ['<li>no label</li>'])}</ul>"


def attention_maps(attended: Sequence[Attended]) -> str:
    """A row an image: the image, and a map laid over it for each of some of its labels."""
    if not attended:
        return '<p class="note">No attention maps: a linear head has none, or the images are not there.</p>'
    rows = ""
    for image in attended:
        pixels, name = np.asarray(_small(image.path)), Path(image.path).name
        dense = attention.upsample(image.maps, *pixels.shape[:2])
        figures = [_captioned(pixels, name, name)]
        for density, title in zip(dense, image.titles, strict=True):
            figures.append(_captioned(attention.overlay(pixels, density), title, f"Where {title} looks in {name}"))
        rows += f'<div class="maps">{"".join(figures)}</div>'
    note = (
        "Cross-attention of the last decoder layer, averaged over its heads, for the labels the images have, each with "
        "its score. A map that is nearly even is drawn fainter: that label looks everywhere alike."
    )
    gradient = f'<i style="background:linear-gradient(90deg,{attention.gradient()})"></i>'
    scale = f'<p class="scale"><span>none</span>{gradient}<span>the map’s highest</span></p>'
    return f'<p class="note">{note}</p>{scale}{rows}'


def embedded_png(png: bytes, alternative: str) -> str:
    """A picture that is there as PNG, no wider than the page."""
    source = "data:image/png;base64," + base64.b64encode(png).decode()
    return f'<img src="{source}" style="max-width:100%" alt="{escape(alternative, quote=True)}">'


def _captioned(pixels: np.ndarray, caption: str, alternative: str) -> str:
    text = f"<figcaption><bdi>{escape(caption)}</bdi></figcaption>"
    return f"<figure>{_embedded(pixels, alternative)}{text}</figure>"


def _small(path: str) -> Image.Image:
    image = load_rgb(path)
    image.thumbnail((THUMBNAIL, THUMBNAIL))
    return image


def _thumbnail(path: str) -> str:
    try:
        return _embedded(np.asarray(_small(path)), "")  # its name stands beside it
    except RunError as error:
        return f'<p class="note">{escape(str(error))}</p>'


def _embedded(pixels: np.ndarray, alternative: str) -> str:
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, "JPEG", quality=82)
    source = PREFIX + base64.b64encode(data.getvalue()).decode()
    height, width = pixels.shape[:2]
    size = f'width="{width}" height="{height}" style="height:auto"'
    return f'<img {size} alt="{escape(alternative, quote=True)}" src="{source}">'
