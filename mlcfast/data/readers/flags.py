"""Columns of 1 and 0 beside a column that lists labels, and cells that hold a flag for each label."""

import re
from collections.abc import Sequence
from dataclasses import replace

from mlcfast.data.readers.columns import box_columns, ignored_columns, is_about, is_index, is_truth, truth_share
from mlcfast.data.readers.separators import OF_SET
from mlcfast.data.readers.sheet import Sheet
from mlcfast.data.readers.source import BLANK, TableOptions
from mlcfast.data.readers.words import LIST_COLUMNS, STATES
from mlcfast.errors import UsageError


def refuse_flags_beside(sheet: Sheet, column: int, others: Sequence[int], options: TableOptions) -> None:
    """UsageError where columns of 1 and 0 stand beside the one that lists labels: either may hold them."""
    ignored = ignored_columns(sheet, options)
    beside = [i for i in others if i not in ignored | box_columns(sheet) and i != column and not is_index(sheet, i)]
    flags = [i for i in beside if not is_about(sheet.header[i]) and _looks_like_flags(sheet, i)]
    if flags and not options.label_columns:
        listed, shown = sheet.header[column], ", ".join(repr(sheet.header[i]) for i in flags[:3])
        more = f" and {len(flags) - 3} more" if len(flags) > 3 else ""
        names = ",".join(sheet.header[i] for i in flags[:3]) + (",…" if more else "")
        raise UsageError(
            f"{sheet.path}: the labels may be listed in column {listed!r} or be the columns {shown}{more}: "
            f"set data.label_columns to [{listed}] or to [{names}]"
        )


def _looks_like_flags(sheet: Sheet, column: int) -> bool:
    """Whether a column holds 1 and 0 but for some slips that are no numbers, or other words for them."""
    words = {row[column].lower() for row in sheet.rows} - BLANK
    if len(words) > 1 and words <= STATES:
        return True
    if truth_share(sheet, column) < 0.5:
        return False
    strange = [row[column] for row in sheet.rows if not is_truth(sheet, row[column])]
    return not any(re.fullmatch(r"[+-]?[\d.,]+", cell) for cell in strange)


def only_truths(sheet: Sheet, column: int, others: Sequence[int]) -> bool:
    """Whether a column called as a list holds 1 and 0 beside other such columns: then it is a label of that name."""
    alike = [i for i in others if all(is_truth(sheet, row[i]) for row in sheet.rows)]
    return column in alike and len(alike) > 1


def refuse_flags(sheet: Sheet, column: int) -> None:
    """UsageError where every cell holds equally many of 0 and 1, classes or a flag for each class, or true or false."""
    cells = _flags(sheet, column)
    words = sorted({row[column].lower() for row in sheet.rows} - BLANK)
    if words and not words[0].isdecimal() and all(is_truth(sheet, word) for word in words):
        name = sheet.header[column]
        raise UsageError(
            f"{sheet.path}: column {name!r}: {words[0]!r} may be a label, or say whether the image has the label "
            f"{name!r}: set data.label_columns to [{name}] for the latter, data.separator to ';' for labels"
        )
    held = {row[column] for row in sheet.rows} - {""}
    if not cells and len(held) > 1 and max(map(len, held)) > 2 and all(re.fullmatch("[01]+", cell) for cell in held):
        raise UsageError(
            f"{sheet.path}: column {sheet.header[column]!r}: {max(held, key=len)!r} may be a class, or flags of which "
            "a program dropped the first zeros: write a column for each label, or set data.separator to ' ' for classes"
        )
    if cells:
        where = f"column {sheet.header[column]!r}: {sheet.rows[0][column]!r}"
        if len(cells[0]) == 1:
            raise UsageError(
                f"{sheet.path}: {where} may be a class, 0 or 1, or say whether the image has the label "
                f"{sheet.header[column]!r}: set data.label_columns to [{sheet.header[column]}] for the latter, "
                "data.separator to ' ' for classes"
            )
        raise UsageError(
            f"{sheet.path}: {where} may be classes or a flag for each: name the {len(cells[0])} labels in "
            "data.label_columns for flags, or set data.separator for classes"
        )


def _flags(sheet: Sheet, column: int) -> list[list[str]]:
    """The cells of a column of which each holds equally many of 0 and 1; empty where they hold anything else."""
    held = [of_set[1] or "" if (of_set := OF_SET.fullmatch(row[column])) else row[column] for row in sheet.rows]
    cells = [re.findall(r"[^\s,;|'\"\[\]()]+", cell) for cell in held]
    if all(len(each) == 1 and re.fullmatch("[01]{2,}", each[0]) for each in cells):  # 101
        cells = [list(each[0]) for each in cells]
    alike = len({len(each) for each in cells}) == 1 and len(cells[0]) > 0
    return cells if alike and {sign for each in cells for sign in each} <= {"0", "1"} else []


def with_flags_apart(sheet: Sheet, options: TableOptions) -> Sheet:
    """The table with a column for each of the named labels, where one column holds a flag for each of them."""
    named, header = options.label_columns, [name.lower() for name in sheet.header]
    if len(named) < 2 or any(name.lower() in header for name in named):
        return sheet
    for column, name in enumerate(header):
        cells = _flags(sheet, column) if name in LIST_COLUMNS else []
        if cells and len(cells[0]) == len(named):
            rows = [[*row, *flags] for row, flags in zip(sheet.rows, cells, strict=True)]
            said = f"column {sheet.header[column]!r} holds a flag for each label"
            return replace(sheet, header=[*sheet.header, *named], rows=rows, assumptions=[*sheet.assumptions, said])
    return sheet
