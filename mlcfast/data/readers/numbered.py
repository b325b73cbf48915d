"""Columns of whole numbers, one a cell: classes that another column names, and measures."""

import re
from collections.abc import Sequence

from mlcfast.data.readers.columns import ignored_columns, plain_column
from mlcfast.data.readers.measures import FEW_ROWS
from mlcfast.data.readers.sheet import Sheet
from mlcfast.data.readers.source import BLANK, TableOptions
from mlcfast.errors import UsageError

OF_NUMBER = re.compile(r"(id|idx|index|number|no|num|code)$")  # `class` in `classid`
LETTER = re.compile(r"[^\W\d_]")


def names_of(sheet: Sheet, column: int, others: Sequence[int], options: TableOptions) -> int:
    """The column called as a column of class numbers and `name`, `class_id` and `class_name`, else that column itself.

    Each number must have one name, and each name one number.
    """
    filled = [cell for cell in sheet.counts(column) if cell.lower() not in BLANK]
    if not filled or not all(cell.isdecimal() for cell in filled):
        return column
    stem = OF_NUMBER.sub("", plain_column(sheet.header[column]))
    ignored = ignored_columns(sheet, options)
    for other in (i for i in others if i != column and i not in ignored):
        if plain_column(sheet.header[other]) in (f"{stem}name", f"{stem}text", stem) and stem:
            both = {(row[column], row[other]) for row in sheet.rows}
            names = {name for _, name in both}
            if len(both) == len(names) == len({number for number, _ in both}) and any(map(LETTER.search, names)):
                return other
    return column


def own_numbers(sheet: Sheet, column: int) -> float:
    """How many different whole numbers, one a cell, a column holds in each row that is filled; 0 for another column.

    Classes are few in many rows, ages and counts are not. 0 also for a few rows, of which nothing can be told.
    """
    cells = {cell: times for cell, times in sheet.counts(column).items() if cell.lower() not in BLANK}
    rows = sum(cells.values())
    return len(cells) / rows if rows >= FEW_ROWS and all(cell.isdecimal() for cell in cells) else 0.0


def refuse_measures(sheet: Sheet, column: int, options: TableOptions) -> None:
    """UsageError where nearly each row has a number of its own, and nobody said that these are labels."""
    if options.label_columns or options.separator is not None or own_numbers(sheet, column) < 0.9:
        return
    name, numbers = sheet.header[column], sorted(int(cell) for cell in sheet.counts(column) if cell.isdecimal())
    raise UsageError(
        f"{sheet.path}: column {name!r} holds {len(numbers)} different numbers, {numbers[0]} to {numbers[-1]}, in "
        f"{len(sheet.rows)} rows, which may be measures: set data.label_columns to [{name}] if each is a class, else "
        "name it in data.ignore_columns"
    )
