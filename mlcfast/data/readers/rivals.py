"""Columns called as those of labels beside the one that would be read: what is left out must be said or asked."""

import re
from collections.abc import Sequence

from mlcfast.data.readers.columns import first_cells, ignored_columns, is_called, truth_share, words_of, words_recur
from mlcfast.data.readers.numbered import called_alike, numbers_names, whole
from mlcfast.data.readers.sheet import Sheet
from mlcfast.data.readers.source import BLANK, TableOptions
from mlcfast.data.readers.words import LABEL_WORDS, NEGATING, OF_LABELS, OF_VERSIONS
from mlcfast.errors import UsageError

PIECES = re.compile(r"[;|,\s]+")
LEAST = 2  # words that two columns share


def refuse_rivals(sheet: Sheet, column: int, others: Sequence[int], options: TableOptions) -> None:
    """UsageError where another column than the one of labels is called as one, too, and its words or numbers recur.

    So it is with a version of the labels, `labels_corrected`. Numbers beside words are a warning, see labels_beside.
    The user may have named the labels.
    """
    if options.label_columns:
        return
    rivals = _rivals(sheet, column, others, options)
    if not _is_of_numbers(sheet, column):
        rivals = [i for i in rivals if not _is_of_numbers(sheet, i)]
    rivals += _versions(sheet, column, others, options)
    if not rivals:
        return
    own, rival = sheet.header[column], sheet.header[rivals[0]]
    if not NEGATING.isdisjoint(words_of(rival)):
        raise UsageError(
            f"{sheet.path}: {own!r} may list the labels, and {rival!r} those that are absent: set data.label_columns "
            f"to [{own}], and what it does not list is absent, or write a column for each label with 1 and 0"
        )
    raise UsageError(
        f"{sheet.path}: {own!r} and {rival!r} may both hold the labels: set data.label_columns to [{own}] or to "
        f"[{rival}], or to [{own},{rival}] for both"
    )


def labels_beside(sheet: Sheet, column: int, others: Sequence[int], options: TableOptions) -> list[str]:
    """A warning of a column that is not read and may hold labels as the one that is: by its name, or by its words.

    Its words are mostly the same, as those of two people are. None where the user named the columns of labels.
    """
    if options.label_columns:
        return []
    ignored = ignored_columns(sheet, options)
    known = _words(sheet, column)
    more = _rivals(sheet, column, others, options)
    for other in (i for i in others if i != column and i not in ignored):
        words = _words(sheet, other)
        shared = words & known
        mostly = len(shared) >= LEAST and 2 * len(shared) >= max(len(words), len(known))
        if mostly and not _hold_the_same(sheet, column, other):
            more.append(other)
    if not more:
        return []
    own, beside = sheet.header[column], sheet.header[more[0]]
    return [
        f"column {own!r} is read, and {beside!r}, which differs from it, is not: if both hold labels, set "
        f"data.label_columns to [{own},{beside}], else name {beside!r} in data.ignore_columns"
    ]


def _versions(sheet: Sheet, column: int, others: Sequence[int], options: TableOptions) -> list[int]:
    """The columns that are called as a version of the labels, or as another person's, and mostly hold the same labels.

    They are called `labels_ben`, `label_fixed`, `gt` or `absent`; one that says the same in each row is none.
    """
    beside = [i for i in others if i != column and i not in ignored_columns(sheet, options)]
    called = [i for i in beside if not (LABEL_WORDS | OF_VERSIONS).isdisjoint(words_of(sheet.header[i]))]
    if not called:
        return []
    signs = any(re.search(r"[;|,]", cell) for i in (column, *called) for cell in first_cells(sheet, i))
    sign = re.compile(r"[;|,]" if signs else r"\s")
    known = _words(sheet, column, sign)
    found = []
    for other in called:
        words = _words(sheet, other, sign)
        shared = len(words & known)
        mostly = shared >= LEAST and 4 * shared >= 3 * max(len(words), len(known))
        if mostly and not _hold_the_same(sheet, column, other):
            found.append(other)
    return found


def _rivals(sheet: Sheet, column: int, others: Sequence[int], options: TableOptions) -> list[int]:
    """The columns that are called as those of labels, beside the one that is, and say something else."""
    ignored = ignored_columns(sheet, options)
    found = []
    for other in (i for i in others if i != column and i not in ignored):
        if not is_called(sheet.header[other], OF_LABELS) or not _may_hold_labels(sheet, other):
            continue
        of_one_name = called_alike(sheet.header[column], sheet.header[other]) and _is_of_numbers(sheet, column)
        same = numbers_names(sheet, other, column) or numbers_names(sheet, column, other)
        if not (same or of_one_name or _hold_the_same(sheet, column, other)):
            found.append(other)
    return found


def _is_of_numbers(sheet: Sheet, column: int) -> bool:
    """Whether a column holds a whole number a cell, also as `3.0`."""
    return all(whole(cell).isdecimal() for cell in sheet.counts(column) if cell.lower() not in BLANK)


def _words(sheet: Sheet, column: int, sign: re.Pattern[str] = PIECES) -> set[str]:
    """The words of a column's first cells, of those that list several each of these, between signs; without numbers."""
    pieces = {
        piece.strip(" '\"").lower() for cell in first_cells(sheet, column) for piece in sign.split(cell.strip("[](){}"))
    }
    return {piece for piece in pieces - BLANK if not piece.isdecimal()}


def _may_hold_labels(sheet: Sheet, column: int) -> bool:
    """Whether the words or numbers of a column recur, of several, and are not 1 and 0."""
    cells = {cell: times for cell, times in sheet.counts(column).items() if cell.lower() not in BLANK}
    if len(cells) < 2 or truth_share(sheet, column) == 1:
        return False
    numbers = all(map(str.isdecimal, cells))
    return (numbers and len(cells) < sum(cells.values())) or words_recur(sheet, column)


def _hold_the_same(sheet: Sheet, column: int, other: int) -> bool:
    """Whether two columns hold the same in each row."""
    return all(row[column] == row[other] for row in sheet.rows)
