"""Charts as inline SVG: sharp at any size, in the page's own colours, so that they follow light and dark."""

import math
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

import numpy as np

WIDTH, HEIGHT = 360, 230
LEFT, RIGHT, TOP, BOTTOM = 56, 18, 12, 42
TICKS = 5
MOST_POINTS = 400


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
    """A figure with axes, their titles, a grid and a legend; ranges are those of the values unless given."""
    series = [_thinned(line) for line in series if len(line.x)]
    if not series:
        return f'<figure><figcaption>{escape(title)}</figcaption><p class="note">not recorded</p></figure>'
    x_low, x_high = x_range or _range([line.x for line in series], from_zero=False)
    y_low, y_high = y_range or _range([line.y for line in series], from_zero=True)
    whole = all(float(x).is_integer() for line in series for x in line.x)
    body = _grid(x_low, x_high, y_low, y_high, 1.0 if whole else 0.0)
    for line in series:
        x = LEFT + (np.asarray(line.x, float) - x_low) / (x_high - x_low) * (WIDTH - LEFT - RIGHT)
        y = HEIGHT - BOTTOM - (np.asarray(line.y, float) - y_low) / (y_high - y_low) * (HEIGHT - TOP - BOTTOM)
        body += _path(line, x, y)
    body += _text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 6, x_title, "middle")
    middle = (TOP + HEIGHT - BOTTOM) / 2
    body += _text(12, middle, y_title, "middle", f' transform="rotate(-90 12 {middle:.0f})"')
    label = escape(f"{title}: {y_title} over {x_title}", quote=True)
    svg = f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">{body}</svg>'
    return f"<figure><figcaption>{escape(title)}</figcaption>{svg}{_legend(series)}</figure>"


def heat_map(title: str, rows_title: str, columns_title: str, names: Sequence[str], values: np.ndarray) -> str:
    """A square matrix (K, K) of shares in [0, 1]: darker is more, numbers in percent; NaN cells stay empty."""
    K, cell, margin = len(names), max(26, 160 // len(names)), 8 + 6.2 * max(len(_short(name)) for name in names)
    side, top = margin + 16 + K * cell, margin + 16
    largest = max(float(np.nanmax(values, initial=0.0)), 0.01)
    body = _text(8, top + K * cell / 2, rows_title, "middle", f' transform="rotate(-90 10 {top + K * cell / 2:.0f})"')
    body += _text(top + K * cell / 2, 11, columns_title, "middle")
    for i, name in enumerate(names):
        middle = top + (i + 0.5) * cell
        body += _text(top - 5, middle + 4, _short(name), "end")
        body += _text(
            middle, top - 5, _short(name), "start", f' transform="rotate(-90 {middle + 4:.0f} {top - 5:.0f})"'
        )
    for i, j in np.ndindex(K, K):
        if not np.isnan(values[i, j]):
            body += _cell(
                top + j * cell, top + i * cell, cell, float(values[i, j]), largest, f"{names[i]} → {names[j]}"
            )
    label = escape(f"{title}: {rows_title} by {columns_title}", quote=True)
    width = f"min-width:{min(side, 760):.0f}px;max-width:{1.3 * side:.0f}px"
    svg = f'<svg style="{width}" viewBox="0 0 {side:.0f} {side:.0f}" role="img" aria-label="{label}">{body}</svg>'
    scale = f'<p class="scale"><span>0 %</span><i class="heat"></i><span>{100 * largest:.0f} %</span></p>'
    return f'<figure><figcaption>{escape(title)}</figcaption><div class="wide">{svg}</div>{scale}</figure>'


def _cell(x: float, y: float, side: float, value: float, largest: float, hint: str) -> str:
    share = value / largest
    ink = "on" if share > 0.55 else "off"
    number = f'<text x="{x + side / 2:.0f}" y="{y + side / 2 + 3.5:.1f}" class="in {ink}">{100 * value:.0f}</text>'
    place = f'x="{x:.0f}" y="{y:.0f}" width="{side - 1}" height="{side - 1}"'
    box = f'<rect {place} class="heat" fill-opacity="{share:.2f}"/>'
    return f"<g><title>{escape(hint)}: {100 * value:.1f} %</title>{box}{number}</g>"


def ticks(low: float, high: float, smallest: float = 0.0) -> list[float]:
    """About TICKS round numbers within [low, high]: 1, 2 or 5 times a power of ten apart, at least `smallest`."""
    rough = max((high - low) / TICKS, smallest)
    power = 10 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [round(n * step, 12) for n in range(first, math.floor(high / step + 1e-9) + 1)]


def _range(values: Sequence[Sequence[float] | np.ndarray], from_zero: bool) -> tuple[float, float]:
    every = np.concatenate([np.asarray(v, float) for v in values])
    low, high = float(every.min()), float(every.max())
    low = min(low, 0.0) if from_zero else low
    high += 0.05 * (high - low) if from_zero else 0.0
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _thinned(line: Series) -> Series:
    """Without what is not a number, and no more points than can be seen."""
    x, y = np.asarray(line.x, float), np.asarray(line.y, float)
    kept = np.flatnonzero(np.isfinite(y))
    if len(kept) > MOST_POINTS:
        kept = kept[np.linspace(0, len(kept) - 1, MOST_POINTS).astype(int)]
    return line._replace(x=x[kept], y=y[kept])


def _grid(x_low: float, x_high: float, y_low: float, y_high: float, x_step: float) -> str:
    parts = []
    for tick in ticks(x_low, x_high, x_step):
        x = LEFT + (tick - x_low) / (x_high - x_low) * (WIDTH - LEFT - RIGHT)
        parts.append(f'<path class="grid" d="M{x:.1f} {TOP}V{HEIGHT - BOTTOM}"/>')
        parts.append(_text(x, HEIGHT - BOTTOM + 14, _number(tick), "middle"))
    for tick in ticks(y_low, y_high):
        y = HEIGHT - BOTTOM - (tick - y_low) / (y_high - y_low) * (HEIGHT - TOP - BOTTOM)
        parts.append(f'<path class="grid" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>')
        parts.append(_text(LEFT - 6, y + 4, _number(tick), "end"))
    return "".join(parts)


def _path(line: Series, x: np.ndarray, y: np.ndarray) -> str:
    points = "L".join(f"{a:.1f} {b:.1f}" for a, b in zip(x, y, strict=True))
    hint = f"<title>{escape(line.hint)}</title>" if line.hint else ""
    dots = "".join(
        f'<circle class="{line.style}" cx="{a:.1f}" cy="{b:.1f}" r="2.6"/>' for a, b in zip(x, y, strict=True)
    )
    return f'<path class="line {line.style}" d="M{points}">{hint}</path>' + (dots if len(x) <= 40 else "")


def _legend(series: Sequence[Series]) -> str:
    named = {line.name: line.style for line in series if line.name}
    if not named:
        return ""
    mark = '<svg class="key" viewBox="0 0 24 8"><path class="line {}" d="M1 4H23"/></svg>'
    return (
        '<p class="legend">' + "".join(f"<span>{mark.format(s)}{escape(n)}</span>" for n, s in named.items()) + "</p>"
    )


def _text(x: float, y: float, text: str, anchor: str, more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{more}>{escape(text)}</text>'


def _short(name: str, most: int = 14) -> str:
    return name if len(name) <= most else f"{name[: most - 1]}…"


def _number(value: float) -> str:
    if value and abs(value) < 0.001:
        return f"{value:.0e}".replace("e-0", "e-")
    return f"{value / 1000:g}k" if abs(value) >= 10_000 else f"{value:g}"
