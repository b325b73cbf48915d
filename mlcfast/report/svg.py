"""Charts as inline SVG: sharp at any size, in the page's own colours, so that they follow light and dark."""

import math
import unicodedata
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

import numpy as np

from mlcfast.report.names import shortened, told_apart

WIDTH, HEIGHT = 360, 230
LEFT, RIGHT, TOP, BOTTOM = 56, 18, 12, 42
TICKS = 5
NARROWEST, FARTHEST = 1e-290, 1e290  # of a range; from zero: double precision ends beyond
MOST_POINTS, MARKED = 400, 40  # of a line; with a dot each
NARROW, WIDE, NAME = 7.0, 11.0, 98.0  # widths of a letter, of a Chinese one and of the longest name, in the SVG's units
FEW_IMAGES, FAINT = 10, 0.5  # a share of fewer is written as a fraction and drawn fainter: 1/1 is no finding
RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
MID, ON = 0.63, 0.92  # depths from which a number's ink changes, in the dark and in the light: its contrast stays 4.5
ISOLATED = "\u2068{}\u2069"  # a name that runs from right to left leaves the order of what surrounds it alone


class Series(NamedTuple):
    """A line: x and y values, its name in the legend ("" for none) and the style class, s1 to s4 or faint."""

    x: Sequence[float] | np.ndarray
    y: Sequence[float] | np.ndarray
    name: str
    style: str = "s1"
    hint: str = ""  # shown where the pointer rests


def line_chart(
    title: str,
    x_title: str,
    y_title: str,
    series: Sequence[Series],
    x_range: tuple[float, float] | None = None,
    y_range: tuple[float, float] | None = None,
) -> str:
    """A figure with axes, their titles, a grid and a legend; ranges are those of the values unless given.

    What is not finite is left out; of a chart without anything finite it is said that nothing was recorded.
    """
    series = [line for line in map(_thinned, series) if len(line.x)]
    if not series:
        return f'<figure><figcaption>{escape(title)}</figcaption><p class="note">not recorded</p></figure>'
    x_low, x_high = x_range or _range([line.x for line in series], from_zero=False)
    y_low, y_high = y_range or _range([line.y for line in series], from_zero=True)
    whole = all(float(x).is_integer() for line in series for x in line.x)
    across, up = ticks(x_low, x_high, 1.0 if whole else 0.0), ticks(y_low, y_high)
    (x_texts, x_power), (y_texts, y_power) = tick_texts(across), tick_texts(up)
    body = ""
    for tick, text in zip(across, x_texts, strict=True):
        body += _vertical(LEFT + (tick - x_low) / (x_high - x_low) * (WIDTH - LEFT - RIGHT), text)
    for tick, text in zip(up, y_texts, strict=True):
        body += _horizontal(HEIGHT - BOTTOM - (tick - y_low) / (y_high - y_low) * (HEIGHT - TOP - BOTTOM), text)
    for line in series:
        x = LEFT + (np.asarray(line.x, float) - x_low) / (x_high - x_low) * (WIDTH - LEFT - RIGHT)
        y = HEIGHT - BOTTOM - (np.asarray(line.y, float) - y_low) / (y_high - y_low) * (HEIGHT - TOP - BOTTOM)
        body += _path(line, x, y)
    body += _text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 6, f"{x_title}{x_power}", "middle")
    middle = (TOP + HEIGHT - BOTTOM) / 2
    body += _text(12, middle, f"{y_title}{y_power}", "middle", f' transform="rotate(-90 12 {middle:.0f})"')
    label = escape(f"{title}: {y_title} over {x_title}", quote=True)
    svg = f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">{body}</svg>'
    return f"<figure><figcaption>{escape(title)}</figcaption>{svg}{_legend(series)}</figure>"


def heat_map(
    title: str, rows_title: str, columns_title: str, names: Sequence[str], shares: np.ndarray, counts: np.ndarray
) -> str:
    """A square matrix of shares (K, K) in [0, 1]: darker is more, numbers in percent; NaN cells stay empty.

    counts: (K, K), of how many images each share is; that of fewer than FEW_IMAGES is a fraction, and drawn fainter.
    """
    short = short_names(names)
    K, cell, margin = len(names), max(26, 160 // len(names)), 8 + max(map(_width, short))
    side, top = margin + 16 + K * cell, margin + 16
    largest = max(float(np.nanmax(shares, initial=0.0)), 0.01)
    body = _text(8, top + K * cell / 2, rows_title, "middle", f' transform="rotate(-90 10 {top + K * cell / 2:.0f})"')
    body += _text(top + K * cell / 2, 11, columns_title, "middle")
    for i, name in enumerate(short):
        middle = top + (i + 0.5) * cell
        body += _text(top - 5, middle + 4, name, "end")
        body += _text(middle, top - 5, name, "start", f' transform="rotate(-90 {middle + 4:.0f} {top - 5:.0f})"')
    for i, j in np.ndindex(K, K):
        if not np.isnan(shares[i, j]):
            hint = f"{ISOLATED.format(names[i])} → {ISOLATED.format(names[j])}"
            share, count = float(shares[i, j]), int(counts[i, j])
            body += _cell(top + j * cell, top + i * cell, cell, share, count, share / largest, hint)
    label = escape(f"{title}: {rows_title} by {columns_title}", quote=True)
    width = f"min-width:{min(side, 760):.0f}px;max-width:{1.3 * side:.0f}px"
    svg = f'<svg style="{width}" viewBox="0 0 {side:.0f} {side:.0f}" role="img" aria-label="{label}">{body}</svg>'
    scale = f'<p class="scale"><span>0 %</span><i class="heat"></i><span>{100 * largest:.0f} %</span></p>'
    box = f'<div class="wide" tabindex="0" role="region" aria-label="{label}">{svg}</div>'
    return f"<figure><figcaption>{escape(title)}</figcaption>{box}{scale}</figure>"


def _cell(x: float, y: float, side: float, share: float, count: int, depth: float, hint: str) -> str:
    given, few = round(share * count), count < FEW_IMAGES
    text = f"{given}/{count}" if few else f"{100 * share:.0f}"
    depth *= FAINT if few else 1
    ink = "on" if depth > ON else "mid" if depth > MID else "off"
    number = f'<text x="{x + side / 2:.0f}" y="{y + side / 2 + 3.5:.1f}" class="in {ink}">{text}</text>'
    place = f'x="{x:.0f}" y="{y:.0f}" width="{side - 1}" height="{side - 1}"'
    box = f'<rect {place} class="heat" fill-opacity="{depth:.2f}"/>'
    return f"<g><title>{escape(hint)}: {given:,} of {count:,} images</title>{box}{number}</g>"


def short_name(name: str, width: float = NAME) -> str:
    """The name shortened to a width in the SVG's units."""
    return shortened(name, width, _width)


def short_names(names: Sequence[str], width: float = NAME) -> list[str]:
    """The same of several names, of which different ones stay different."""
    return told_apart(names, width, _width)


def _width(text: str) -> float:
    """About how wide a text is, in the SVG's units."""
    return sum(WIDE if unicodedata.east_asian_width(letter) in "WF" else NARROW for letter in text)


def ticks(low: float, high: float, smallest: float = 0.0) -> list[float]:
    """About TICKS round numbers within [low, high]: 1, 2 or 5 times a power of ten apart, at least `smallest`."""
    rough = max((high - low) / TICKS, smallest)
    power = 10 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    digits = 12 - min(0, math.floor(math.log10(step)))
    return [round(n * step, digits) for n in range(first, math.floor(high / step + 1e-9) + 1)]


def _range(values: Sequence[Sequence[float] | np.ndarray], from_zero: bool) -> tuple[float, float]:
    every = np.concatenate([np.asarray(v, float) for v in values])
    low, high = float(every.min()), float(every.max())
    low = min(low, 0.0) if from_zero else low
    high += 0.05 * (high - low) if from_zero else 0.0
    room = max(0.5, 0.001 * abs(high))
    return (low, high) if high - low > NARROWEST else (low - room, high + room)


def _thinned(line: Series) -> Series:
    """Without what is not finite, and no more points than can be seen."""
    x, y = np.asarray(line.x, float), np.asarray(line.y, float)
    kept = np.flatnonzero(np.isfinite(y))
    if len(kept) > MOST_POINTS:
        kept = kept[np.linspace(0, len(kept) - 1, MOST_POINTS).astype(int)]
    return line._replace(x=x[kept], y=np.clip(y[kept], -FARTHEST, FARTHEST))


def tick_texts(values: Sequence[float]) -> tuple[list[str], str]:
    """The texts of an axis's ticks, of one unit, and that unit for the end of the axis's title, "" for one."""
    largest = max((abs(value) for value in values), default=0.0)
    power = 3 * math.floor(math.log10(largest) / 3) if largest else 0
    power = 0 if 0.01 <= largest < 10_000 else power
    unit = f" (× 10{str(power).translate(RAISED)})" if power else ""
    return [f"{value / 10.0**power:.6g}" for value in values], unit


def _vertical(x: float, text: str) -> str:
    line = f'<path class="grid" d="M{x:.1f} {TOP}V{HEIGHT - BOTTOM}"/>'
    return line + _text(x, HEIGHT - BOTTOM + 14, text, "middle")


def _horizontal(y: float, text: str) -> str:
    line = f'<path class="grid" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>'
    return line + _text(LEFT - 6, y + 4, text, "end")


def _path(line: Series, x: np.ndarray, y: np.ndarray) -> str:
    points = "L".join(f"{a:.1f} {b:.1f}" for a, b in zip(x, y, strict=True))
    hint = f"<title>{escape(line.hint)}</title>" if line.hint else ""
    dots = "".join(
        f'<circle class="{line.style}" cx="{a:.1f}" cy="{b:.1f}" r="2.6"/>' for a, b in zip(x, y, strict=True)
    )
    marked = len(x) <= MARKED and not line.hint  # one of many lines has none
    return f'<path class="line {line.style}" d="M{points}">{hint}</path>' + (dots if marked else "")


def _legend(series: Sequence[Series]) -> str:
    named = {line.name: line.style for line in series if line.name}
    if not named:
        return ""
    mark = '<svg class="key" viewBox="0 0 24 8" aria-hidden="true"><path class="line {}" d="M1 4H23"/></svg>'
    return (
        '<p class="legend">'
        + "".join(f"<span>{mark.format(s)}<bdi>{escape(n)}</bdi></span>" for n, s in named.items())
        + "</p>"
    )


def _text(x: float, y: float, text: str, anchor: str, more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{more}>{escape(text)}</text>'
