"""Tables with a column for each label, which holds 1, 0, −1 or nothing."""

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np

from mlcfast.data.readers.cell_doubts import doubtful_cells
from mlcfast.data.readers.cells import BLANK_CELL, refuse_contradictions, states_of
from mlcfast.data.readers.columns import (
    another_person,
    column_named,
    first_untrue,
    ignored_columns,
    is_about,
    is_blank,
    is_called,
    is_index,
    is_unnamed,
    truth,
    truth_share,
    words_recur,
)
from mlcfast.data.readers.facts import may_be_fact, may_be_facts
from mlcfast.data.readers.flags import blank_among
from mlcfast.data.readers.image_folders import part_in
from mlcfast.data.readers.numbered import NUMBERED, are_filled_up
from mlcfast.data.readers.paths import plain_path
from mlcfast.data.readers.sheet import Sheet
from mlcfast.data.readers.source import BLANK, LabelSource, TableOptions
from mlcfast.data.readers.words import (
    CAPTIONS,
    LIST_COLUMNS,
    MOST_FLAGS,
    NO_LABEL,
    OF_PARTS,
    OF_PEOPLE,
    OTHER_LISTS,
    PROSE,
    SURE,
)
from mlcfast.errors import UsageError

AMOUNT = re.compile(r"(\d{1,2}([.,]\d+)?|100([.,]0+)?|[.,]\d+)\s*%?")
AGAIN = re.compile(r"(.+)\.\d+")
PERSON = r"(?:rater|reader|annotator|reviewer|coder|observer|expert|doctor|worker|user|r)[ _.-]?\d+"
PROGRAM = r"(?:pred|predicted|prediction|prob|probability|score|conf|confidence|model|gt|truth)"
RATER = re.compile(rf"(.+?)[ _.-]+(?:{PERSON}|{PROGRAM})|(?:{PERSON}|{PROGRAM})[ _.-]+(.+)", re.IGNORECASE)
MERGED = re.compile(r"(.+)_x")


def read_wide(sheet: Sheet, image: int, others: Sequence[int], options: TableOptions) -> LabelSource:
    """Read the label columns among `others`; each image's states are what its cells say (see docs/data.md)."""
    columns, left, doubts = _label_columns(sheet, others, options)
    values = _values(sheet, columns)
    _refuse_people(sheet, image, others, values)
    names = [sheet.header[i] for i in columns]
    states, said, cells = states_of(values, names, sheet.path, options)
    blank = [sheet.header[i] for i in others if is_blank(sheet, i) and sheet.header[i]]
    shown = [f"{name} (blank)" if name in blank else name for name in left]
    said += [f"columns that are no labels: {', '.join(shown)}"] if left else []
    if sheet.delimiter != "," and any("," in cell for i in columns for cell in sheet.counts(i)):
        said.append("1,0 and 0,0 are numbers with a decimal comma")
    doubts += doubtful_cells(values, states, names, lambda row: f"{sheet.unit} {sheet.numbers[row]}", options)
    images = [row[image] for row in sheet.rows]
    refuse_contradictions(sheet.path, images, sheet.numbers, names, states, values != BLANK_CELL)
    empty = [name for name, some in zip(names, (states == 1).any(axis=0), strict=True) if not some]
    again = [(name, match[1]) for name in names if (match := AGAIN.fullmatch(name)) and match[1] in names]
    doubts += [f"{name!r} is a label beside {base!r}: pandas names a repeated column so" for name, base in again[:1]]
    both = [(name, f"{match[1]}_y") for name in names if (match := MERGED.fullmatch(name)) and f"{match[1]}_y" in names]
    doubts += [f"{x!r} and {y!r} are two labels: pandas names a column of two merged tables so" for x, y in both[:1]]
    doubts += [*may_be_facts(names), *_none_beside(sheet, image, names, states)]
    told = ", whose column is blank: if it is none, name it in data.ignore_columns"
    told = told if len(empty) == 1 and empty[0] in blank else ""
    warnings = [*doubts, *(f"no image has the label {name!r}{told}" for name in empty[:5])]
    said = [*sheet.assumptions, *said]
    left_blank = tuple(name for name in left if name in blank)
    return LabelSource(
        sheet.path, "wide", images, sheet.numbers, names, states, said, warnings, cells=cells, blank=left_blank
    ).merged()


def _label_columns(
    sheet: Sheet, others: Sequence[int], options: TableOptions
) -> tuple[list[int], list[str], list[str]]:
    """The columns that are labels, the names of those that are not, and warnings of those that may be."""
    if options.label_columns:
        columns = [column_named(sheet, name, "data.label_columns") for name in options.label_columns]
        return columns, [sheet.header[i] for i in others if i not in columns and sheet.header[i]], []
    ignored = ignored_columns(sheet, options)
    _refuse_numbered(sheet, [i for i in others if i not in ignored], options)
    columns, left, doubts, unclear = [], [], [], []
    for i in others:
        filled = any(cell.lower() not in BLANK for cell in sheet.counts(i))
        about = may_be_fact(sheet.header[i], sheet.header)
        about = (about and not _is_answer(sheet, i)) or SURE.search(sheet.header[i]) is not None
        part, of_parts = truth_share(sheet, i), filled and is_called(sheet.header[i], OF_PARTS)
        counts = about and _numbers_rows(sheet, i)
        if i in ignored or is_index(sheet, i) or counts or of_parts or (filled and part < 0.5):
            left.append(sheet.header[i] or "the unnamed index")
            if i not in ignored and of_parts and part == 1 and "fold" in sheet.header[i].lower():
                doubts.append(_may_be_a_fold(sheet.header[i]))
            if i not in ignored and not about and not is_index(sheet, i) and (part or _may_say(sheet, i)):
                doubts.append(_doubt(sheet, i))
        elif is_unnamed(sheet.header[i]) and not filled:
            left.append(sheet.header[i] or f"column {i + 1}, which is blank")
        elif is_unnamed(sheet.header[i]):
            where = f"{sheet.path}: line 1: column {i + 1} has no name"
            raise UsageError(f"{where}: write one, in a single line of names, or take the column out")
        elif about and not filled:
            left.append(sheet.header[i])
        elif about:
            unclear.append(sheet.header[i])
        else:
            columns.append(i)
    blank = blank_among(sheet, columns, options)
    columns, left = [i for i in columns if i not in blank], [*left, *(sheet.header[i] for i in blank)]
    alone = sheet.header[columns[0]] if len(columns) == 1 else ""
    if alone and part_in(alone):  # `service_test`, beside which other columns may be meant
        unclear.append(alone)
    if unclear:
        first, *more = unclear
        several = f", and so may {', '.join(map(repr, more))}" if more else ""
        remedy = f"those that do in data.ignore_columns, [{','.join(unclear)}]" if more else "it in data.ignore_columns"
        raise UsageError(
            f"{sheet.path}: column {first!r} may be a label or say something of the image{several}: name {remedy}, or "
            "the labels in data.label_columns"
        )
    if 0 < len(columns) <= MOST_FLAGS and not doubts:
        doubts = [_words_left(sheet, i) for i in others if i not in ignored and sheet.header[i] in left]
        doubts = [*filter(None, doubts)]
    elif columns:  # `diagnostic` beside many facts of 1 and 0
        called = [i for i in others if i not in ignored and is_called(sheet.header[i], OTHER_LISTS)]
        doubts += [_words_left(sheet, i) for i in called if sheet.header[i] in left and words_recur(sheet, i)]
    _refuse_raters(sheet, columns)
    if not any(cell.lower() not in BLANK for i in columns for cell in sheet.counts(i)):
        raise UsageError(
            f"{sheet.path}: the header has no label column{_why_none(sheet, [i for i in others if i not in ignored])}"
        )
    return columns, left, doubts


def _is_answer(sheet: Sheet, column: int) -> bool:
    """Whether a column is called `no` beside one called `yes`, and so numbers nothing."""
    return {"yes", "no"} <= {name.lower() for name in sheet.header} and sheet.header[column].lower() == "no"


def _may_be_a_fold(name: str) -> str:
    return (
        f"column {name!r}, of 1 and 0, is taken as a part of the data: if it is a label, name all labels in "
        "data.label_columns, else it in data.ignore_columns"
    )


def _words_left(sheet: Sheet, column: int) -> str:
    """A warning where the cells of a column that is no label are words of which one recurs; "" where they are not."""
    name = sheet.header[column]
    about = may_be_fact(name, sheet.header) or any(is_called(name, words) for words in (PROSE - CAPTIONS, OF_PEOPLE))
    about = about or (is_called(name, CAPTIONS) and not any("," in cell for cell in sheet.counts(column)))
    if not name or about or is_index(sheet, column) or not words_recur(sheet, column):
        return ""
    return (
        f"column {name!r} is taken as no label, though its words recur: if they are the labels, set data.label_columns "
        f"to [{name}], else name it in data.ignore_columns"
    )


def _none_beside(sheet: Sheet, image: int, names: Sequence[str], states: np.ndarray) -> list[str]:
    """A warning of the first image that has a label that says that there is none, `No Finding`, and another."""
    for column in (place for place, name in enumerate(names) if name.lower() in NO_LABEL):
        others = [place for place, name in enumerate(names) if place != column and name.lower() != "support devices"]
        both = (states[:, [column]] == 1) & (states[:, others] == 1)
        if both.any():
            row, other = np.argwhere(both)[0]
            where = f"{sheet.unit} {sheet.numbers[row]}: {sheet.rows[row][image]!r} has {names[column]!r}"
            count = int(both.any(axis=1).sum())
            more = f", and {count - 1} more such rows" if count > 1 else ""
            return [f"{where} and {names[others[other]]!r}{more}: one of the two is wrong"]
    return []


def _refuse_people(sheet: Sheet, image: int, others: Sequence[int], values: np.ndarray) -> None:
    """UsageError where several people say different things of one image, in rows of their own."""
    people = another_person(sheet, image, others)
    if not people:
        return
    first: dict[str, np.ndarray] = {}
    for row, cells in zip(sheet.rows, values, strict=True):
        if (first.setdefault(plain_path(row[image]), cells) == cells).all():
            continue
        remedy = "write one row for each image, such as what most people saw"
        raise UsageError(f"{sheet.path}: {people} and others say different things of one image: {remedy}")


def _refuse_numbered(sheet: Sheet, others: Sequence[int], options: TableOptions) -> None:
    """UsageError where several columns hold a label a cell, as `label1`, `label2` do, and nothing says so."""
    alike = [i for i in others if (match := NUMBERED.fullmatch(sheet.header[i])) and is_called(match[1], LIST_COLUMNS)]
    words = [i for i in alike if any(sheet.counts(i)) and truth_share(sheet, i) < 1]
    named = ",".join(sheet.header[i] for i in alike)
    if len(alike) > 1 and not words and options.form != "wide" and are_filled_up(sheet, alike):
        raise UsageError(
            f"{sheet.path}: the columns {named} may hold a class a cell, 0 and 1, with -1 where a row has no more, or "
            f"say with 1, 0 and -1 of a label each whether it is there: set data.label_columns to [{named}] and "
            "data.separator to ' ' for classes, data.format to wide for labels"
        )
    if len(alike) > 1 and words:
        raise UsageError(
            f"{sheet.path}: the columns {named} may hold a label a cell, and {first_untrue(sheet, words[0])} is "
            f"none of 1, 0 and -1: set data.label_columns to [{named}] if so, else name them in data.ignore_columns"
        )


def _refuse_raters(sheet: Sheet, columns: Sequence[int]) -> None:
    """UsageError where columns say what several people saw of one label, as `cat_rater1` and `cat_rater2` do."""
    seen: dict[str, str] = {}
    for name in (sheet.header[i] for i in columns):
        match = RATER.fullmatch(name)
        other = seen.setdefault((match[1] or match[2]).lower() if match else name.lower(), name)
        if other != name and (match or RATER.fullmatch(other)):
            raise UsageError(
                f"{sheet.path}: {other!r} and {name!r} may say of one label what two saw, people or a program: make "
                "one column of them, or name those that are labels in data.label_columns"
            )


def _numbers_rows(sheet: Sheet, column: int) -> bool:
    """Whether each row has a whole number of its own in a column, and not only 0 and 1."""
    cells = sheet.counts(column)
    return len(cells) == len(sheet.rows) and all(map(str.isdecimal, cells)) and not cells.keys() <= {"0", "1"}


def _may_say(sheet: Sheet, column: int) -> bool:
    """Whether a column may say present and absent in its own way: by two or three words, or by counts or shares."""
    cells: Counter[str] = Counter()
    for cell, times in sheet.counts(column).items():
        cells[cell.lower()] += times if cell.lower() not in BLANK else 0
    cells = +cells
    few = 2 <= len(cells) <= 3 and cells.total() > len(cells)
    return few or (len(cells) > 1 and all(AMOUNT.fullmatch(cell) for cell in cells))


def _doubt(sheet: Sheet, column: int) -> str:
    coded = "; 1 and 2 may be yes and no" if _of_1_and_2(sheet, [column]) else ""
    return (
        f"column {sheet.header[column]!r} is taken as no label, because fewer than half of its cells are 1, 0, -1 or "
        f"blank, the first in {first_untrue(sheet, column)}; if that is right, name it in data.ignore_columns, else "
        f"write 1 and 0 and name the labels in data.label_columns{coded}"
    )


def _of_1_and_2(sheet: Sheet, columns: Sequence[int]) -> bool:
    """Whether columns hold 1 and 2 alone, as programs of statistics code yes and no."""
    return {cell for i in columns for cell in sheet.counts(i) if cell.lower() not in BLANK} == {"1", "2"}


def _why_none(sheet: Sheet, others: Sequence[int]) -> str:
    others = [i for i in others if not is_index(sheet, i)]
    found = next(filter(None, (first_untrue(sheet, i) for i in others)), "")
    remedy = "write 1 and 0 where columns are labels, or name the column that lists them in data.label_columns"
    of_words = _of_words(sheet, others)
    remedy += f" (words recur in {', '.join(map(repr, of_words[:5]))})" if of_words else ""
    return f": {found} is not 1, 0, -1 or blank; {remedy}" if found else f"; {remedy}"


def _of_words(sheet: Sheet, columns: Sequence[int]) -> list[str]:
    """The names of columns whose words recur, and which may list labels; those first that are called so."""
    found = [sheet.header[i] for i in columns if not is_about(sheet.header[i]) and words_recur(sheet, i)]
    return sorted(found, key=lambda name: not is_called(name, OTHER_LISTS))


def _values(sheet: Sheet, columns: Sequence[int]) -> np.ndarray:
    """The cells of the label columns as numbers, (M, K) int8; UsageError for the first that says nothing of a label."""
    values = np.empty((len(sheet.rows), len(columns)), np.int8)
    wrong = []
    for place, i in enumerate(columns):
        said = {cell: truth(sheet, cell) for cell in sheet.counts(i)}
        wrong += [(sheet.line(i, cell), place, cell) for cell, value in said.items() if value is None]
        values[:, place] = [said[row[i]] or 0 for row in sheet.rows]
    if wrong:
        line, place, cell = min(wrong)
        name = sheet.header[columns[place]]
        where = f"{sheet.unit} {line}, column {name!r}: {cell!r}"
        remedy = "a column that is no label goes to data.ignore_columns"
        at = [columns[other] for other in sorted({other for _, other, _ in wrong})]
        names = [sheet.header[i] for i in at]
        of_words = _of_words(sheet, [i for i in range(len(sheet.header)) if truth_share(sheet, i) < 0.5])
        if _of_1_and_2(sheet, at):
            remedy = f"if 1 is yes and 2 is no, write 1 and 0; {remedy}"
        elif len(names) == len(columns) > 1 and not of_words:
            remedy = (
                f"so it is in all {len(names)} columns of labels: write 1 where an image has the label (of grades or "
            )
            remedy += "counts, from where you hold that it has), 0 where it has not, and nothing where it is not known"
        elif len(names) > 1:
            remedy = f"so it is in {len(names)} columns: those that are no labels go to data.ignore_columns, "
            remedy += f"[{','.join(names)}]"
            for name in of_words[:1]:
                remedy += f"; if {name!r}, whose words recur, lists the labels, set data.label_columns to [{name}]"
        elif len(columns) == 1 and all(cell.isdecimal() for cell in sheet.counts(columns[0])):
            remedy = f"if its numbers are classes, set data.label_columns to [{name}] and data.separator to ' '"
        raise UsageError(f"{sheet.path}: {where} must be 1, 0, -1 or blank; {remedy}")
    return values
