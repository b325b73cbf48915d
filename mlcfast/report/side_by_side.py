"""One picture of two models: what each finds in the same images, and where the first looks for one of the labels.

All places are in inches, measured from the picture's top left corner. Shapes: K labels, H × W the feature map's grid.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mlcfast.data.images import load_rgb
from mlcfast.report.attention import overlay, upsample
from mlcfast.report.text import caption_names, families, measure, wrapped

CELL, GAP, MARGIN, PICTURE = 2.1, 0.16, 0.15, 2.0  # widths of an image's column and around it; an image's height
LINES, LETTERS, LEADING = 6, 9.0, 0.165  # of a model's caption: most lines, size in points, inches from line to line
INDENT = 0.16  # of a caption's names, behind their sign
HEAD, TITLE, DPI = 0.45, 0.24, 110
FOUND, MISSED, WRONG, PLAIN = "#007A59", "#0072B2", "#B94A00", "#222222"  # dark enough for letters on white


class Seen(NamedTuple):
    """An image that two models were asked about.

    path: its file; positive: (K,) bool, its labels; given: for each model (K,) bool, the labels it gives; attention: a
    title and the first model's map (H, W), or None for a model without maps.
    """

    path: str
    positive: np.ndarray
    given: tuple[np.ndarray, np.ndarray]
    attention: tuple[str, np.ndarray] | None = None


def draw_side_by_side(file: Path, seen: Sequence[Seen], names: Sequence[str], titles: tuple[str, str]) -> None:
    """Write a PNG, a column for each of the images. names: the K labels; titles: of the two models.

    Labels found have ✓, missed ones −, wrongly given ones +. Names without room are shortened or counted.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with_maps = any(each.attention for each in seen)
    text = TITLE + LINES * LEADING + 0.1
    pictures = (2 if with_maps else 1) * (PICTURE + TITLE)
    wide = 2 * MARGIN + max(3, len(seen)) * (CELL + GAP) - GAP
    figure = Figure(figsize=(wide, HEAD + pictures + 2 * text), dpi=DPI)
    FigureCanvasAgg(figure)
    _legend(figure)
    shown = np.any([each.positive | given for each in seen for given in each.given], axis=0)
    called = caption_names(names, shown, CELL - INDENT, measure(figure, LETTERS))
    for place, each in enumerate(seen):
        left = MARGIN + place * (CELL + GAP)
        _pictures(figure, left, each)
        for row, (title, given) in enumerate(zip(titles, each.given, strict=True)):
            _caption(figure, left, HEAD + pictures + row * text, title, called, given, each.positive)
    figure.savefig(file, dpi=DPI)


def _pictures(figure: Any, left: float, seen: Seen) -> None:
    small = load_rgb(str(seen.path))
    small.thumbnail((400, 400))
    _show(figure, left, HEAD, np.asarray(small))
    if seen.attention:
        title, attention = seen.attention
        pixels = np.asarray(small)
        top = HEAD + PICTURE + TITLE
        _write(figure, left, top - 0.2, wrapped([title], CELL, 1, measure(figure, LETTERS))[0], PLAIN)
        _show(figure, left, top, overlay(pixels, upsample(attention[None], *pixels.shape[:2])[0]))


def _show(figure: Any, left: float, top: float, pixels: np.ndarray) -> None:
    wide, high = figure.get_size_inches()
    axis = figure.add_axes((left / wide, 1 - (top + PICTURE) / high, CELL / wide, PICTURE / high))
    axis.axis("off")
    axis.set_anchor("W")
    axis.imshow(pixels)


def _write(figure: Any, left: float, top: float, text: str, colour: str, size: float = LETTERS) -> None:
    wide, high = figure.get_size_inches()
    look = {"color": colour, "fontsize": size, "family": list(families()), "parse_math": False}
    figure.text(left / wide, 1 - top / high, text, va="top", ha="left", **look)


def _caption(
    figure: Any, left: float, top: float, title: str, names: Sequence[str], given: np.ndarray, true: np.ndarray
) -> None:
    measured = measure(figure, LETTERS)
    _write(figure, left, top, wrapped([title], CELL, 1, measured)[0], PLAIN)
    top += TITLE - 0.04
    kinds = (("✓", given & true, FOUND), ("−", ~given & true, MISSED), ("+", given & ~true, WRONG))
    groups = [kind for kind in kinds if kind[1].any()]
    for sign, which, colour in groups:
        shown = [names[k] for k in np.flatnonzero(which).tolist()]
        _write(figure, left, top, sign, colour)
        for line in wrapped(shown, CELL - INDENT, LINES // len(groups), measured):
            _write(figure, left + INDENT, top, line, colour)
            top += LEADING


def _legend(figure: Any) -> None:
    left = MARGIN
    for text, colour in (("✓ found", FOUND), ("− missed", MISSED), ("+ wrongly given", WRONG)):
        _write(figure, left, 0.12, text, colour, 11)
        left += measure(figure, 11)(text) + 0.2
