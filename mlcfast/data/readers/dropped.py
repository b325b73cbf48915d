"""Rows of a table that say of themselves that their labels were not kept, or seen by nobody."""

from collections.abc import Iterator, Sequence

from mlcfast.data.readers.columns import is_called, words_of
from mlcfast.data.readers.sheet import Sheet
from mlcfast.data.readers.words import NOT_KEPT, OF_ROWS, OF_ROWS_BEHIND
from mlcfast.errors import UsageError


def refuse_dropped(sheet: Sheet, columns: Sequence[int]) -> None:
    """UsageError for the first row of which a column says that its one label was not kept, or seen: `rejected`, 0."""
    for column, cell in _dropped(sheet, columns):
        raise UsageError(
            f"{sheet.path}: {_where(sheet, column, cell)} may say that the label does not hold: take such rows out, or "
            "name the column in data.ignore_columns"
        )


def may_be_dropped(sheet: Sheet, columns: Sequence[int]) -> list[str]:
    """A warning of the first row with a word that its list of labels, or the image, was not kept: `Rejected`."""
    words = list(_dropped(sheet, columns))
    return [
        f"{_where(sheet, column, cell)} may say that the labels do not hold, and the row is read: take such rows out "
        "if so"
        for column, cell in words[:1]
    ]


def _where(sheet: Sheet, column: int, cell: str) -> str:
    return f"{sheet.unit} {sheet.line(column, cell)}, column {sheet.header[column]!r}: {cell!r}"


def _dropped(sheet: Sheet, columns: Sequence[int]) -> Iterator[tuple[int, str]]:
    """The columns that say what was kept of rows, each with the cells that say that a row was not."""
    for column in columns:
        name = sheet.header[column]
        counted = is_called(name, OF_ROWS)
        if counted or OF_ROWS_BEHIND.issuperset(words_of(name)[-1:] or [""]):
            yield from (
                (column, cell) for cell in sheet.counts(column) if cell.lower() in NOT_KEPT and (counted or cell != "0")
            )
