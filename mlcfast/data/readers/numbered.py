"""Columns of whole numbers, one a cell: classes that another column names, and measures."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from mlcfast.data.readers.columns import ignored_columns, is_called, plain_column
from mlcfast.data.readers.measures import FEW_ROWS
from mlcfast.data.readers.separators import IN_BRACKETS
from mlcfast.data.readers.sheet import Sheet
from mlcfast.data.readers.source import BLANK, TableOptions
from mlcfast.data.readers.words import OF_LABELS, WHOLE
from mlcfast.errors import UsageError

OF_NUMBER = re.compile(r"(id|idx|index|number|no|num|code)$")  # `class` in `classid`
LETTER = re.compile(r"[^\W\d_]")
NUMBERED = re.compile(r"(.*?[^\W\d_])[ _.-]?\d*")
FILL = "-1"  # with which programs fill lists to one length


def names_of(sheet: Sheet, column: int, others: Sequence[int], options: TableOptions) -> int:
    """The column called as a column of class numbers and `name`, `class_id` and `class_name`, else that column itself.

    Each number must have one name, and each name one number. Both may also be called as any column of labels is.
    """
    if not all(whole(number).isdecimal() for cell in sheet.counts(column) for number in _members(cell)):
        return column
    ignored = ignored_columns(sheet, options)
    for other in (i for i in others if i != column and i not in ignored):
        named = called_alike(sheet.header[column], sheet.header[other])
        named = named or all(is_called(sheet.header[i], OF_LABELS) for i in (column, other))
        if named and numbers_names(sheet, column, other):
            return other
    return column


def numbers_names(sheet: Sheet, column: int, other: int) -> bool:
    """Whether a column numbers what another names: one a cell, or list by list, each number with a name of its own."""
    single = all(len(_members(cell)) < 2 for cell in sheet.counts(column))
    named: dict[str, str] = {}
    numbered: dict[str, str] = {}
    for row in sheet.rows:
        numbers = [*map(whole, _members(row[column]))]
        names = [row[other].strip()] if single and numbers else _members(row[other])
        if len(names) != len(numbers) or not all(map(str.isdecimal, numbers)):
            return False
        for number, name in zip(numbers, names, strict=True):
            if named.setdefault(number, name) != name or numbered.setdefault(name, number) != number:
                return False
    return len(named) > 1 and any(map(LETTER.search, numbered))


def called_alike(number: str, name: str) -> bool:
    """Whether a column is called as one of names of what another numbers: `label_name` and `label`."""
    stem = OF_NUMBER.sub("", plain_column(number))
    return stem != "" and plain_column(name) in (f"{stem}name", f"{stem}text", stem)


def _members(cell: str) -> list[str]:
    """The numbers or words of a cell that may list some."""
    if cell.lower() in BLANK:
        return []
    return [word for piece in re.split("[;|,]", cell.strip("[](){}")) if (word := piece.strip(" '\""))]


def own_numbers(sheet: Sheet, column: int) -> float:
    """How many different whole numbers, one a cell, a column holds in each row that is filled; 0 for another column.

    Classes are few in many rows, ages and counts are not. 0 also for a few rows, of which nothing can be told.
    """
    cells = {cell: times for cell, times in sheet.counts(column).items() if cell.lower() not in BLANK}
    rows = sum(cells.values())
    return len(cells) / rows if rows >= FEW_ROWS and all(cell.isdecimal() for cell in cells) else 0.0


def whole(cell: str) -> str:
    """A number without its fraction of 0, `3` for `3.0`; another cell as it is."""
    match = WHOLE.fullmatch(cell)
    return match[1] if match else cell


def without_fractions(by_cell: Mapping[str, list[str]]) -> tuple[dict[str, list[str]], list[str]]:
    """The labels of cells, each a list in brackets, `2` for `2.0` where all are whole, and what is said of that.

    by_cell: the labels of each cell. Those of other cells, and those that are text, in quotes, stay as they are.
    """
    lists = all(cell.lower() in BLANK or IN_BRACKETS.fullmatch(cell) for cell in by_cell)
    names = {name for each in by_cell.values() for name in each}
    changed = sorted(name for name in names if whole(name) != name)
    numbers = all(whole(name).isdecimal() for name in names)
    if not (lists and changed and numbers) or any("'" in cell or '"' in cell for cell in by_cell):
        return dict(by_cell), []
    said = f"numbers are classes without their fraction of 0: {changed[0]!r} is {whole(changed[0])!r}"
    return {cell: list(dict.fromkeys(map(whole, each))) for cell, each in by_cell.items()}, [said]


def alike(names: Sequence[str]) -> bool:
    """Whether several columns are called alike but for a number behind, `label1` and `label2`."""
    stems = {match[1] if (match := NUMBERED.fullmatch(name)) else name for name in names}
    return len(names) > 1 and len(stems) == 1


def hold_classes(sheet: Sheet, columns: Sequence[int], told: bool = False) -> bool:
    """Whether several columns that are called alike hold class numbers, −1 and blanks alone.

    Some must be beyond 1 unless the user told so.
    """
    cells: Counter[str] = Counter()
    for column in columns if alike([sheet.header[i] for i in columns]) else ():
        for cell, times in sheet.counts(column).items():
            cells[whole(cell)] += times
    if not all(cell.isdecimal() or cell == FILL or cell.lower() in BLANK for cell in cells):
        return False
    held = sum(times for cell, times in cells.items() if cell.isdecimal())
    beyond = sum(times for cell, times in cells.items() if cell.isdecimal() and int(cell) > 1)
    return held > 0 and (told or 20 * beyond >= held)


def are_filled_up(sheet: Sheet, columns: Sequence[int]) -> bool:
    """Whether a row holds −1, if at all, behind its numbers alone, and no number twice, as lists that are filled up."""
    rows = [[whole(row[i]) for i in columns] for row in sheet.rows]
    held = [[cell for cell in row if cell != FILL] for row in rows]
    behind = all(row[: len(each)] == each and len({*each}) == len(each) for row, each in zip(rows, held, strict=True))
    return behind and len({len(each) for each in held}) > 1


def without_fills(sheet: Sheet, columns: Sequence[int]) -> tuple[Sheet, list[str]]:
    """The table with nothing where these columns hold −1 behind the numbers of a row, and what is said of that.

    Their numbers are written without a fraction of 0.

    UsageError for the first −1 that stands before a number.
    """
    rows, filled = [], 0
    for number, row in zip(sheet.numbers, sheet.rows, strict=True):
        cells = [whole(row[i]) for i in columns]
        places = [place for place, cell in enumerate(cells) if cell == FILL]
        if places and any(cell.isdecimal() for cell in cells[places[0] :]):
            where = f"{sheet.unit} {number}, column {sheet.header[columns[places[0]]]!r}"
            raise UsageError(f"{sheet.path}: {where}: -1 stands before a class: clear the cell, or take the row out")
        filled += len(places)
        plain = dict(zip(columns, ("" if cell == FILL else cell for cell in cells), strict=True))
        rows.append([plain.get(i, cell) for i, cell in enumerate(row)])
    shown = f"{sheet.header[columns[0]]!r} to {sheet.header[columns[-1]]!r}"
    said = [f"-1 behind the classes of a row is taken as no label, in {filled} cells of columns {shown}"]
    return replace(sheet, rows=rows), said if filled else []


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
