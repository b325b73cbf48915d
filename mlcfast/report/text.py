"""Label names in matplotlib's pictures: measured, wrapped, shortened, and in a font that has their letters."""

import unicodedata
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

FALLBACKS = ("Noto Sans CJK SC", "Noto Sans CJK JP", "WenQuanYi Zen Hei", "Droid Sans Fallback", "Microsoft YaHei",
             "SimHei", "PingFang SC", "Hiragino Sans", "Arial Unicode MS", "Noto Sans Arabic",
             "Noto Sans Hebrew")  # fmt: skip


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


def drawn_name(name: str, number: int) -> str:
    """The name as it can be drawn: `label 7` where no installed font has its letters; numbers count from 1.

    Control characters and line breaks become spaces. Matplotlib orders right-to-left scripts itself, from 3.11 on.
    """
    clean = "".join(" " if unicodedata.category(letter).startswith("C") else letter for letter in name).strip()
    if not clean or any(ord(letter) not in _drawable() for letter in clean):
        return f"label {number}"
    return clean


def measure(figure: Any, size: float) -> Callable[[str], float]:
    """A function from a text to its width in inches, in letters of `size` points."""
    from matplotlib.font_manager import FontProperties

    renderer, font = figure.canvas.get_renderer(), FontProperties(family=list(families()), size=size)

    @cache
    def width(text: str) -> float:
        return renderer.get_text_width_height_descent(text, font, False)[0] / figure.dpi

    return width


def shortened(text: str, width: float, measured: Callable[[str], float]) -> str:
    """The text, its middle replaced by … where it is wider than `width`: names often differ at their ends."""
    kept = len(text)
    short = text
    while measured(short) > width and kept > 2:
        kept -= 1
        short = f"{text[: kept - kept // 2]}…{text[len(text) - kept // 2 :]}"
    return short


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
    packed: list[str] = []
    for item in items:
        if packed and measured(f"{packed[-1]} {item}") <= width:
            packed[-1] += f" {item}"
        else:
            packed.append(item)
    return packed
