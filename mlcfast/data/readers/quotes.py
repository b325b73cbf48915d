"""Quotes of a text table that are not written as CSV has them: a cell that goes on behind the quote that closes it."""

import functools
import re
from collections.abc import Sequence
from pathlib import Path

from mlcfast.data.readers.names import plain_label
from mlcfast.data.readers.source import TableOptions
from mlcfast.data.readers.words import PROSE
from mlcfast.errors import UsageError

BREAK = re.compile(r"\r\n|\r|\n")
SHOWN = 40  # letters of a cell


def refuse_behind_quotes(path: Path, text: str, delimiter: str, header: Sequence[str], options: TableOptions) -> None:
    """UsageError for the first cell with something else than blanks behind its closing quote, such as `"cat"x`.

    Cells of texts that are no labels, `"Hello" he said` under `caption`, are let be, and so are those of columns that
    the options leave out, but for a cell with a line break, which may be a quote that the next row closes. header: the
    first row. The message has the line as a spreadsheet counts it, and as an editor does where cells before it have
    line breaks.
    """
    let_be = _left_out(header, options)
    place, line, written = 0, 1, 1
    for cell in _cells(delimiter).finditer(text):
        name = header[place] if place < len(header) else ""
        free = name.lower() in PROSE or (name in let_be and not BREAK.search(cell["whole"]))
        if (cell["behind"] or "").strip() and not free:
            shown = " ".join(cell["whole"].split())
            shown = shown if len(shown) <= SHOWN else f"…{shown[-SHOWN:]}"
            where = f"line {line}" if line == written else f"line {line} (line {written} in an editor of text)"
            raise UsageError(
                f"{path}: {where}: {shown!r} goes on behind its closing quote: put quotes around the whole cell, "
                "write those within twice, and close each"
            )
        written += len(BREAK.findall(cell[0]))
        place, line = (place + 1, line) if cell["end"] == delimiter else (0, line + 1)


def _left_out(header: Sequence[str], options: TableOptions) -> set[str]:
    """The columns that the user said are not read: those ignored, and all beside the columns of labels and images."""
    ignored = {plain_label(name).lower() for name in options.ignore_columns}
    labels = {plain_label(name).lower() for name in options.label_columns}
    kept = {
        plain_label(name).lower()
        for name in (options.image_column, options.split_column, options.group)
        if name is not None
    }
    plain = {name: plain_label(name).lower() for name in header}
    if labels and labels <= {*plain.values()}:
        ignored |= {*plain.values()} - labels
    return {name for name, own in plain.items() if own in ignored - kept}


@functools.cache
def _cells(delimiter: str) -> re.Pattern[str]:
    """A cell of a table, what stands behind its closing quote if it has one, and the sign that ends it."""
    rest, end = rf"[^{delimiter}\r\n]*", rf"{delimiter}|\r\n|\r|\n|\Z"
    return re.compile(rf' *(?P<whole>"(?:[^"]|"")*+"(?P<behind>{rest})|{rest})(?P<end>{end})')
