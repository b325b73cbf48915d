"""A table that says its labels twice: a column lists them, and a column for each holds 1 and 0."""

import re
from collections.abc import Sequence
from dataclasses import replace

from mlcfast.data.readers.columns import (
    first_untrue,
    ignored_columns,
    is_about,
    is_called,
    is_index,
    truth,
    truth_share,
)
from mlcfast.data.readers.flags import OF_IMAGE
from mlcfast.data.readers.sheet import Sheet
from mlcfast.data.readers.source import BLANK, TableOptions
from mlcfast.data.readers.words import IMAGE_COLUMNS, NO_LABEL

ONLY_NAMES = re.compile(r"[^\w\0]*(\0([^\w\0]+\0)*)?[^\w\0]*")  # each name is replaced by \0


def without_list_told_twice(sheet: Sheet, options: TableOptions) -> Sheet:
    """The table without a column whose cells list, in every row, the columns that hold 1 there.

    Two such columns at least must hold 1 and 0 and say nothing else of the image, all of them are compared, and
    nothing may be named by the user; else the table is as it was. What is left out is said.
    """
    if options.label_columns or options.separator is not None or options.form in ("list", "long") or not sheet.rows:
        return sheet
    told = {(name or "").lower() for name in (options.split_column, options.group, options.image_column)}
    left = ignored_columns(sheet, options)
    others = [i for i, name in enumerate(sheet.header) if name and i not in left and name.lower() not in told]
    others = [i for i in others if not (is_index(sheet, i) or is_about(sheet.header[i]))]
    flags = [i for i in others if not first_untrue(sheet, i) and truth_share(sheet, i) == 1]
    flags = [i for i in flags if not OF_IMAGE.match(sheet.header[i])]
    lists = [i for i in others if i not in flags and not is_called(sheet.header[i], IMAGE_COLUMNS)]
    lists = [i for i in lists if truth_share(sheet, i) < 0.5] if len(flags) > 1 else []
    twice = next((i for i in lists if _says_the_same(sheet, i, flags)), None)
    if twice is None:
        return sheet
    said = f"column {sheet.header[twice]!r} lists in every row the labels whose columns hold 1: these are read"
    return replace(
        sheet,
        header=[name for i, name in enumerate(sheet.header) if i != twice],
        rows=[[cell for i, cell in enumerate(row) if i != twice] for row in sheet.rows],
        assumptions=[*sheet.assumptions, said],
    )


def _says_the_same(sheet: Sheet, column: int, flags: Sequence[int]) -> bool:
    names = {i: sheet.header[i].casefold() for i in sorted(flags, key=lambda i: -len(sheet.header[i]))}
    states = {i: {cell: truth(sheet, cell) for cell in sheet.counts(i)} for i in flags}
    if not all(set(held.values()) <= {0, 1} for held in states.values()):
        return False
    return any(1 in held.values() for held in states.values()) and all(
        _lists(row[column], [name for i, name in names.items() if states[i][row[i]] == 1]) for row in sheet.rows
    )


def _lists(cell: str, names: Sequence[str]) -> bool:
    """Whether a cell lists these names, the longest first, and nothing else."""
    rest = cell.casefold()
    if not names and rest in BLANK | NO_LABEL:
        return True
    for name in names:
        if name not in rest:
            return False
        rest = rest.replace(name, "\0", 1)
    return ONLY_NAMES.fullmatch(rest) is not None
