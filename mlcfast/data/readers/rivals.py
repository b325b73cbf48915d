"""Columns called as those of labels beside the one that would be read: what is left out must be said or asked."""

import re
from collections.abc import Sequence

from mlcfast.data.readers.columns import ignored_columns, is_called, truth_share, words_recur
from mlcfast.data.readers.numbered import called_alike, numbers_names
from mlcfast.data.readers.sheet import Sheet
from mlcfast.data.readers.source import BLANK, TableOptions
from mlcfast.data.readers.words import OF_LABELS
from mlcfast.errors import UsageError

PIECES = re.compile(r"[;|,\s]+")
LEAST = 2  # words that two columns share


def refuse_rivals(sheet: Sheet, column: int, others: Sequence[int], options: TableOptions) -> None:
    """UsageError where another column than the one of labels is called as one, too, and its words or numbers recur.

    One that numbers the labels, or is named or numbered by them, says the same. The user may have named the labels.
    """
    if options.label_columns:
        return
    ignored = ignored_columns(sheet, options)
    for other in (i for i in others if i != column and i not in ignored):
        if not is_called(sheet.header[other], OF_LABELS) or not _may_hold_labels(sheet, other):
            continue
        if numbers_names(sheet, other, column) or numbers_names(sheet, column, other) or _alike(sheet, column, other):
            continue
        own, rival = sheet.header[column], sheet.header[other]
        if called_alike(own, rival) and all(map(str.isdecimal, sheet.counts(column))):  # two classes of one name
            continue
        raise UsageError(
            f"{sheet.path}: {own!r} and {rival!r} may both hold the labels: set data.label_columns to [{own}] or to "
            f"[{rival}], or to [{own},{rival}] for both"
        )


def same_words_elsewhere(sheet: Sheet, column: int, others: Sequence[int], options: TableOptions) -> list[str]:
    """A warning of a column that is not read and whose words are mostly those of the one that is, as two people's are.

    One that holds the same in each row, and one that the user named, are none.
    """
    ignored = ignored_columns(sheet, options)
    known = _words(sheet, column)
    for other in (i for i in others if i != column and i not in ignored):
        words = _words(sheet, other)
        shared = words & known
        if len(shared) < LEAST or 2 * len(shared) < max(len(words), len(known)) or _alike(sheet, column, other):
            continue
        own, more = sheet.header[column], sheet.header[other]
        return [
            f"column {more!r} holds the words of {own!r}, which is read, and differs from it: if both hold labels, set "
            f"data.label_columns to [{own},{more}], else name it in data.ignore_columns"
        ]
    return []


def _words(sheet: Sheet, column: int) -> set[str]:
    """The words of a column, of cells that list several each of these; without numbers."""
    pieces = {
        piece.strip(" '\"").lower() for cell in sheet.counts(column) for piece in PIECES.split(cell.strip("[](){}"))
    }
    return {piece for piece in pieces - BLANK if not piece.isdecimal()}


def _may_hold_labels(sheet: Sheet, column: int) -> bool:
    """Whether the words or numbers of a column recur, of several, and are not 1 and 0."""
    cells = {cell: times for cell, times in sheet.counts(column).items() if cell.lower() not in BLANK}
    if len(cells) < 2 or truth_share(sheet, column) == 1:
        return False
    numbers = all(map(str.isdecimal, cells))
    return (numbers and len(cells) < sum(cells.values())) or words_recur(sheet, column)


def _alike(sheet: Sheet, column: int, other: int) -> bool:
    """Whether two columns hold the same in each row."""
    return all(row[column] == row[other] for row in sheet.rows)
