"""Texts and panels of matplotlib's pictures, placed in inches from the top left corner, so that none meets another.

Label names are measured, wrapped, shortened, and drawn in a font that has their letters.
"""

import logging
import unicodedata
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np

from mlcfast.report.names import shortened, told_apart

LOGGER = logging.getLogger("mlcfast")
FALLBACKS = (
    "Noto Sans CJK SC", "Noto Sans CJK JP", "WenQuanYi Zen Hei", "WenQuanYi Micro Hei", "Droid Sans Fallback",
    "Microsoft YaHei", "SimHei", "Yu Gothic", "Malgun Gothic", "PingFang SC", "Hiragino Sans", "Arial Unicode MS",
    "Noto Sans Arabic", "Noto Sans Hebrew", "Noto Sans Devanagari", "Noto Sans Thai", "Nirmala UI", "Noto Emoji",
)  # fmt: skip
MARKED = 40  # points with a mark each; more are a line


def new_figure(width: float, height: float, dpi: int) -> Any:
    """An empty figure of that size in inches, which can be drawn and measured without a window."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=dpi)
    FigureCanvasAgg(figure)
    return figure


def place_axes(figure: Any, left: float, top: float, width: float, height: float) -> Any:
    """Axes at that place."""
    whole, high = figure.get_size_inches()
    return figure.add_axes((left / whole, 1 - (top + height) / high, width / whole, height / high))


def write(figure: Any, left: float, top: float, text: str, size: float, colour: str = "black") -> None:
    """A line of text whose top left corner is there, in letters of `size` points; $ is a dollar, no formula."""
    whole, high = figure.get_size_inches()
    look = {"color": colour, "fontsize": size, "family": list(families()), "parse_math": False}
    figure.text(left / whole, 1 - top / high, text, va="top", ha="left", **look)


@cache
def families() -> tuple[str, ...]:
    """DejaVu Sans, which comes with matplotlib, then the installed fonts that have more scripts."""
    from matplotlib.font_manager import fontManager

    installed = {font.name for font in fontManager.ttflist}
    return ("DejaVu Sans", *(name for name in FALLBACKS if name in installed))


@cache
def _drawable() -> frozenset[int]:
    from matplotlib.font_manager import FontProperties, findfont
    from matplotlib.ft2font import FT2Font

    fonts = [FT2Font(findfont(FontProperties(family=name))) for name in families()]
    return frozenset(code for font in fonts for code in font.get_charmap())


def drawn_name(name: str, number: int, what: str = "label") -> str:
    """The name as it can be drawn: `label 7` where no installed font has its letters; numbers count from 1.

    Control characters and line breaks become spaces. Matplotlib orders right-to-left scripts itself, from 3.11 on.
    """
    clean = "".join(" " if unicodedata.category(letter).startswith("C") else letter for letter in name).strip()
    if not clean:
        return f"{what} {number}"
    if any(ord(letter) not in _drawable() for letter in clean):
        _say_no_font()
        return f"{what} {number}"
    return clean


@cache
def _say_no_font() -> None:
    """Once a process."""
    LOGGER.warning(
        "no installed font has the letters of some names: pictures call these `label` and their number, from 1; "
        "report.html shows them. Noto fonts (on Debian fonts-noto-cjk) have most letters"
    )


def measure(figure: Any, size: float) -> Callable[[str], float]:
    """A function from a text to its width in inches, in letters of `size` points."""
    from matplotlib.font_manager import FontProperties

    renderer, font = figure.canvas.get_renderer(), FontProperties(family=list(families()), size=size)

    @cache
    def width(text: str) -> float:
        return renderer.get_text_width_height_descent(text, font, False)[0] / figure.dpi

    return width


def caption_names(names: Sequence[str], which: np.ndarray, width: float, measured: Callable[[str], float]) -> list[str]:
    """The K names, of which those of `which`, (K,) bool, are as `wrapped` draws them in lines of this width."""
    called, numbers = list(names), np.flatnonzero(which).tolist()
    drawn = [drawn_name(names[k], k + 1) for k in numbers]
    short = told_apart(drawn, width - measured(","), measured, [k + 1 for k in numbers])
    for k, name in zip(numbers, short, strict=True):
        called[k] = name
    return called


def wrapped(names: Sequence[str], width: float, lines: int, measured: Callable[[str], float]) -> list[str]:
    """At most `lines` lines of names with commas; those without room are counted: `… and 14 more`."""
    for shown in range(min(len(names), 6 * lines), -1, -1):
        rest = len(names) - shown
        items = [f"{shortened(name, width - measured(','), measured)}," for name in names[:shown]]
        if rest:
            items.append(f"… and {rest:,} more" if shown else f"{rest:,} labels")
        packed = _packed(items, width, measured)
        if len(packed) <= lines:
            break
    return [packed[i].removesuffix(",") if i == len(packed) - 1 else packed[i] for i in range(len(packed))]


def _packed(items: Sequence[str], width: float, measured: Callable[[str], float]) -> list[str]:
    """As many items a line as have room; one that runs from right to left would reorder a line, and has its own."""
    packed: list[str] = []
    for item in items:
        alone = not packed or _runs_left(packed[-1]) or _runs_left(item)
        if not alone and measured(f"{packed[-1]} {item}") <= width:
            packed[-1] += f" {item}"
        else:
            packed.append(item)
    return packed


def _runs_left(text: str) -> bool:
    return any(unicodedata.bidirectional(letter) in ("R", "AL") for letter in text)
