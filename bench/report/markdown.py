"""Markdown pieces, and the part of a page that a program owns: what stands between two marks."""

from collections.abc import Iterable, Sequence
from pathlib import Path

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
DASH = "–"


def replace_between(page: Path, text: str, begin: str = BEGIN, end: str = END) -> None:
    """Replace what stands between the two marks of the page; ValueError where it lacks them."""
    head, begun, rest = page.read_text(encoding="utf-8").partition(begin)
    _, ended, tail = rest.partition(end)
    if not (begun and ended):
        raise ValueError(f"{page} has no {end if begun else begin}; put {begin} and {end} where the tables belong")
    page.write_text(f"{head}{begin}\n{text}\n{end}{tail}", encoding="utf-8")


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; a cell that would break it is mended."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in line) + " |" for line in lines
    )


def milliseconds(value: float) -> str:
    """Three digits: 0.0123, 1.23, 123."""
    return f"{value:.3g}" if value < 1000 else f"{value:,.0f}"


def ratio(value: float) -> str:
    """How many times: 0.98×, 1.80×, 12.3×, 123×."""
    return f"{value:.2f}×" if value < 10 else f"{value:.1f}×" if value < 100 else f"{value:,.0f}×"


def byte_count(value: float | None) -> str:
    """Bytes in the unit that suits them; a dash where nothing was counted."""
    unit, size = byte_unit(value or 0)
    return DASH if value is None else f"{value / size:.3g} {unit}"


def byte_unit(largest: float) -> tuple[str, int]:
    """The unit in which this many bytes read well, and its size."""
    return next((pair for pair in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)) if largest >= pair[1]), ("bytes", 1))


def number(value: float) -> str:
    """Four digits; large ones as 1.234 G, 1.234 T."""
    size, prefix = next((pair for pair in ((1e12, " T"), (1e9, " G")) if abs(value) >= pair[0]), (1, ""))
    return f"{value:,}" if isinstance(value, int) and not prefix else f"{value / size:,.4g}{prefix}"


def percent(value: float | None) -> str:
    """A share in percent; a dash where there is none."""
    return DASH if value is None else f"{100 * value:.0f} %" if value >= 0.01 else f"{100 * value:.2g} %"
