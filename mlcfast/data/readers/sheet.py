"""Text tables as spreadsheets and programs write them: encoding, delimiter, and lines counted as a spreadsheet does."""

import csv
import io
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from pathlib import Path

from mlcfast.data.readers.comments import without_comments
from mlcfast.data.readers.encodings import decoded
from mlcfast.data.readers.headerless import listed_words, with_header
from mlcfast.data.readers.image_files import IMAGE_ENDINGS
from mlcfast.data.readers.kinds import refuse_other_kinds, refuse_other_texts
from mlcfast.data.readers.paths import unit_of
from mlcfast.data.readers.quotes import refuse_behind_quotes
from mlcfast.data.readers.slips import (
    refuse_image_by_number_in_header,
    refuse_images_in_header,
    refuse_numbers_in_header,
    refuse_repeated,
    with_row_names,
)
from mlcfast.data.readers.source import TableOptions
from mlcfast.documents import read_content
from mlcfast.errors import UsageError
from mlcfast.registry import hint_path

DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs"}
OTHER_SIGNS = "|\x01:\uff0c\uff1b\u3001\u060c "
EXCEL_DELIMITER = re.compile(r'"?sep=(.)"?[ \t]*\r?\n', re.IGNORECASE)


@dataclass(frozen=True)
class Sheet:
    """A header and its rows, cells stripped; numbers: the line of each row, the header being line 1.

    delimiter: what splits a line into cells; "" where the cells do not come from text.
    """

    path: Path
    header: list[str]
    rows: list[list[str]]
    numbers: Sequence[int]
    assumptions: list[str]
    delimiter: str = ","
    _counts: dict[int, Counter[str]] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def unit(self) -> str:
        """What `numbers` counts, in a word; see unit_of."""
        return unit_of(self.path)

    def counts(self, column: int) -> Counter[str]:
        """How often each cell of a column stands in it, in the order in which they first do; counted once."""
        if column not in self._counts:
            self._counts[column] = Counter(map(itemgetter(column), self.rows))
        return self._counts[column]

    def line(self, column: int, cell: str) -> int:
        """The line of the first row that holds a cell in this column."""
        return next(number for number, row in zip(self.numbers, self.rows, strict=True) if row[column] == cell)


def read_text(path: Path) -> tuple[str, list[str]]:
    """A file's text and what was assumed of its encoding: UTF-8, UTF-16 with or without its mark, else Windows-1252.

    UsageError for a file that cannot be read, is no text, or is in another encoding.
    """
    try:
        content = read_content(path)
    except OSError as error:
        raise UsageError(f"{path}: cannot read the CSV file: {error.strerror}{hint_path(path)}") from error
    refuse_other_kinds(path, content)
    return decoded(path, content)


def read_sheet(path: Path, options: TableOptions | None = None) -> Sheet:
    """Read a table with a header; blank rows and trailing blank columns are left out.

    A first line `sep=;`, which tells Excel what separates the cells and which it does not show, is no row.
    options: what the user said of columns, whose quotes then need not be those of CSV.

    Raises UsageError naming the line for a row of another length, a repeated column or a file without rows.
    """
    text, assumptions = read_text(path)
    refuse_other_texts(path, text)
    text, left = without_comments(text)
    assumptions += left
    listed = listed_words(text)
    if listed is not None:
        header, rows, said = listed
        return Sheet(path, header, [row for _, row in rows], [number for number, _ in rows], [*assumptions, said], " ")
    told = EXCEL_DELIMITER.match(text)
    text = text[told.end() :] if told else text
    delimiter = told[1] if told and told[1] in DELIMITERS else _delimiter(path, text)
    numbered = _rows_of(path, text, delimiter, options or TableOptions())
    known = with_header(numbered)
    if known is not None:
        header, rows, said = known
        numbers, cells = [number for number, _ in rows], [row for _, row in rows]
        return Sheet(path, header, cells, numbers, [*assumptions, said], delimiter)
    _refuse_other_signs(path, numbered)
    _refuse_title(path, numbered)
    (top, header), *body = numbered
    if not body:
        raise UsageError(f"{path}: no images below the header")
    refuse_images_in_header(path, top, header, body)
    refuse_numbers_in_header(path, header, body)
    refuse_image_by_number_in_header(path, header, body)
    named = with_row_names(header, body)
    if named is not None:
        assumptions.append("the first column, which has no name, holds R's names of rows")
        header = named
    width = len(header)
    while width and not header[width - 1] and all(not any(row[width - 1 :]) for _, row in body):
        width -= 1
    _refuse_other_rows(path, header, body, width, delimiter)
    refuse_repeated(path, header[:width], body)
    if delimiter != ",":
        assumptions.append(f"cells are separated by {DELIMITERS[delimiter]}")
    return Sheet(
        path,
        header[:width],
        [row if len(row) == width else row[:width] for _, row in body],
        [number for number, _ in body],
        assumptions,
        delimiter,
    )


def _rows_of(path: Path, text: str, delimiter: str, options: TableOptions) -> list[tuple[int, list[str]]]:
    """The rows that are not blank, each with its number; UsageError where quotes make them something else."""
    is_strict = True
    try:
        try:
            lines = _cells_of(text, delimiter, strict=True)
        except csv.Error:
            lines, is_strict = _cells_of(text, delimiter, strict=False), False
    except csv.Error as error:
        too_long = "field larger" in str(error)
        remedy = "shorten its longest cell" if too_long else "close each quote that a cell opens"
        raise UsageError(f"{path}: not a CSV file with a header: {error}: {remedy}") from error
    numbered = [(number, row) for number, row in enumerate(lines, start=1) if any(row)]
    if not numbered:
        raise UsageError(f"{path}: not a CSV file with a header: it is empty")
    last, row = numbered[-1]
    if "\n" in row[-1] and not text.rstrip().endswith('"'):
        where = f"{path}: line {last}: {row[-1].splitlines()[0]!r}"
        raise UsageError(f"{where} begins with a quote that nothing closes: close it, or take it out")
    _refuse_whole_lines(path, text, numbered, delimiter)
    if not is_strict:
        refuse_behind_quotes(path, text, delimiter, numbered[0][1], options)
    return numbered


def _cells_of(text: str, delimiter: str, strict: bool) -> list[list[str]]:
    """The rows of a text table; strict: csv.Error for what is not CSV to the letter."""
    file = io.StringIO(text, newline="")
    rows = csv.reader(file, delimiter=delimiter, skipinitialspace=True, strict=strict)
    return [[cell.strip() for cell in row] for row in rows]


def _refuse_other_rows(
    path: Path, header: Sequence[str], body: Sequence[tuple[int, list[str]]], width: int, delimiter: str
) -> None:
    """UsageError for a row of another length than the header's first `width` columns, and for the header again."""
    for number, row in body:
        if row == header and width == 1:
            raise UsageError(
                f"{path}: a value a line, {header[0]!r} the first, and no column names an image: these are labels "
                "alone: write a table of images and labels, `image,label`"
            )
        if row == header:
            raise UsageError(f"{path}: line {number} is the header again: take it out")
        if any(row[width:]) or (len(row) < width and len(row) < len(header)):
            quotes = "a cell that holds the separator needs quotes around it"
            if all(len(other) == width + 1 for _, other in body):
                quotes += ", or a name is missing in line 1"
            remedy = "write one for each column, blank ones too" if len(row) < width else quotes
            if len(row) == 1 and row[0].count(delimiter) + 1 == width:
                remedy = "quotes around the whole line make it one: take them out"
            raise UsageError(f"{path}: line {number} has {len(row)} cells, the header {width}: {remedy}")


def _refuse_whole_lines(path: Path, text: str, numbered: Sequence[tuple[int, list[str]]], delimiter: str) -> None:
    """UsageError where quotes stand around each line, `"a.jpg,1,0"`, as around a table pasted as one column."""
    signs = {row[0].count(delimiter) if len(row) == 1 else 0 for _, row in numbered}
    if len(numbered) > 1 and len(signs) == 1 and min(signs) > 0 and text.lstrip().startswith('"'):
        raise UsageError(
            f"{path}: line {numbered[0][0]}: quotes stand around the whole line, as around all others, so that each is "
            f"one cell: take them out, or split the column at its {DELIMITERS[delimiter]} and save the table anew"
        )


def _refuse_other_signs(path: Path, numbered: Sequence[tuple[int, list[str]]]) -> None:
    """UsageError where another sign than a comma, semicolon or tab stands between the cells of the first line."""
    first, *more = [row for _, row in numbered]
    if len(first) > 1 or not more:
        return
    whole = all(len(row) == 1 for row in more)  # a blank, and others in a line with commas, may be a title's
    sign = next((sign for sign in OTHER_SIGNS if sign in first[0] and all(sign in row[0] for row in more)), None)
    if sign is not None and (whole or sign not in " :"):
        raise UsageError(f"{path}: line 1 is separated by {sign!r}: save the table with commas, semicolons or tabs")


def _refuse_title(path: Path, numbered: Sequence[tuple[int, list[str]]]) -> None:
    """UsageError where a title, as spreadsheets have it, stands above the header: one cell of several, the first."""
    first, *more = numbered
    filled = [sum(map(bool, row)) for _, row in numbered[:20]]
    if filled[0] > 1 or not first[1][0] or max(filled[1:], default=0) < 2:
        return
    number, header = next((number, row) for number, row in more if sum(map(bool, row)) > 1)
    if any(cell.lower().endswith(IMAGE_ENDINGS) for cell in header):
        return
    raise UsageError(
        f"{path}: line {first[0]} holds {first[1][0]!r} alone, as a title does, and line {number} looks like the "
        f"header, {','.join(header)!r}: take out what stands above it"
    )


def _delimiter(path: Path, text: str) -> str:
    """The one of comma, semicolon and tab that splits the header and every row alike."""
    first = next((line for line in text.splitlines() if any(sign in line for sign in DELIMITERS)), "")
    found = [sign for sign in DELIMITERS if sign in first]
    if len(found) < 2:
        return found[0] if found else ","
    even = [sign for sign in found if _is_even(text, sign)]
    if len(even) == 1:
        return even[0]
    outside = [sign for sign in even or found if len(next(csv.reader([first], delimiter=sign))) > 1]
    if len(outside) == 1:
        return outside[0]
    words = " or ".join(DELIMITERS[sign] for sign in outside)
    raise UsageError(f"{path}: line 1 may be separated by {words}: save the table with one of them only")


def _is_even(text: str, delimiter: str) -> bool:
    read = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True)
    rows = [row for row in read if any(map(str.strip, row))]
    return len({len(row) for row in rows}) == 1 and len(rows[0]) > 1
