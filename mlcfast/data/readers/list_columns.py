"""Finds the column of a table that lists an image's labels."""

import re
from collections import Counter
from collections.abc import Collection, Sequence

from mlcfast.data.readers.columns import (
    are_scores,
    column_named,
    first_cells,
    ignored_columns,
    is_about,
    is_called,
    is_index,
    plain_column,
    truth_share,
    words_of,
    words_recur,
)
from mlcfast.data.readers.flags import flags_beside, is_blank_beside, only_truths
from mlcfast.data.readers.numbered import names_of, numbers_names
from mlcfast.data.readers.rivals import refuse_rivals
from mlcfast.data.readers.separators import EMPTY, IN_BRACKETS
from mlcfast.data.readers.sheet import Sheet
from mlcfast.data.readers.source import BLANK, TableOptions
from mlcfast.data.readers.words import (
    COUNT_WORDS,
    GROUPS,
    LABEL_WORDS,
    LABELS_ELSEWHERE,
    LIST_COLUMNS,
    LONG_COLUMNS,
    MOST_FLAGS,
    OF_CLASSES,
    OF_JUDGEMENT,
    OF_PEOPLE,
    OF_SCENES,
    OF_WHOM,
    OTHER_LISTS,
    PROSE,
)
from mlcfast.errors import UsageError

NO_LISTS = PROSE | OF_JUDGEMENT | OF_PEOPLE | OF_WHOM
BELOW = re.compile(r"sub(label|class|category|tag)(e?s)?|subcategories")
NESTED = re.compile(r"\[\s*[\[(]")  # as boxes and outlines begin, `[[1, 2, 3, 4]]`
MEASURE = re.compile(r"[-+]?\d+(?:\.\d+)?")
OF_MEASURES = re.compile(r"[\[({][-+\d.,\s\"']*[\])}]")


def list_column(sheet: Sheet, others: Sequence[int], options: TableOptions) -> int | None:
    """The column that lists labels; None where there is none. UsageError where two may, or flags stand beside it.

    Of a column of class numbers and one that names these classes it is the second, unless the options name the first.
    """
    column = _list_column(sheet, others, options)
    if column is None or options.label_columns:
        return column
    column = names_of(sheet, column, others, options)
    refuse_rivals(sheet, column, others, options)
    return column


def _list_column(sheet: Sheet, others: Sequence[int], options: TableOptions) -> int | None:
    ignored = ignored_columns(sheet, options)
    others = [i for i in others if not is_blank_beside(sheet, i, others)]
    if options.label_columns:
        columns = [column_named(sheet, name, "data.label_columns") for name in options.label_columns]
        of_words = truth_share(sheet, columns[0]) < 0.5 or options.separator is not None
        alone = len(columns) == 1 and (of_words or holds_classes(sheet, columns[0]))
        return columns[0] if alone else None
    named = [i for i in others if is_called(sheet.header[i], LIST_COLUMNS) and i not in ignored]
    foreign = [i for i in others if is_called(sheet.header[i], LABELS_ELSEWHERE) and i not in ignored]
    named = named or [i for i in foreign if truth_share(sheet, i) == 1]
    named = [i for i in named if not only_truths(sheet, i, others)]
    named = [i for i in named if not any(numbers_names(sheet, i, other) for other in named if other != i)]
    if len(named) > 1:
        shown = " and ".join(repr(sheet.header[i]) for i in named[:2])
        raise UsageError(f"{sheet.path}: {shown} may both list the labels: name one with data.label_columns")
    _refuse_others(sheet, named, others, options)
    if named:
        flags_beside(sheet, named[0], others, options)
        return named[0]
    only = _only_column(sheet, others, ignored)
    if only is not None and holds_classes(sheet, only):
        return only
    graded = [i for i in others if i not in ignored and is_called(sheet.header[i], OTHER_LISTS - {"annotations"})]
    if len(graded) == 1 and holds_classes(sheet, graded[0]):  # a diagnosis of 0 to 4; `annotations` are counts
        flags_beside(sheet, graded[0], others, options)
        return graded[0]
    return _column_of_lists(sheet, [i for i in others if i not in ignored and not is_index(sheet, i)], options)


def _only_column(sheet: Sheet, others: Sequence[int], ignored: Collection[int]) -> int | None:
    """The only column beside the images, if its name does not say that it is a count or says whose an image is."""
    left = [i for i in others if i not in ignored and sheet.header[i] and not is_index(sheet, i)]
    name = sheet.header[left[0]] if len(left) == 1 else ""
    counts = not COUNT_WORDS.isdisjoint(re.split(r"[\W_]+", name.lower()))
    told = is_called(name, (PROSE | OF_PEOPLE | OF_WHOM | GROUPS) - {"weight"}) or counts
    return left[0] if name and not told else None


def holds_classes(sheet: Sheet, column: int) -> bool:
    """Whether a column holds class numbers beyond 0 and 1, as grades are: most of those up to the largest, some often.

    Numbers beyond 1 that stand in few cells are as likely slips.
    """
    cells = {cell: times for cell, times in sheet.counts(column).items() if cell.lower() not in BLANK}
    if not cells or not all(re.fullmatch(r"0|[1-9]\d{0,2}", cell) for cell in cells):
        return False
    rows, beyond = sum(cells.values()), sum(times for cell, times in cells.items() if cell not in ("0", "1"))
    recur = len(cells) < rows and 20 * beyond >= rows
    return recur and min(map(int, cells)) < 2 < len(cells) and 4 * len(cells) >= 3 * max(map(int, cells))


def _refuse_others(sheet: Sheet, named: Sequence[int], others: Sequence[int], options: TableOptions) -> None:
    """UsageError where columns called as `second_label` or `label_2` stand beside the one that lists the labels.

    named: that one; where it is empty, any two called so, in a table without a column of 1 and 0.
    """
    ignored = ignored_columns(sheet, options)
    if not named and any(truth_share(sheet, i) >= 0.5 for i in others if not is_about(sheet.header[i])):
        return
    more = [i for i in others if i not in named and i not in ignored and may_list_more(sheet, i)]
    both = sorted([*named, *more])
    if more and len(both) > 1 and (named or not all(sheet.header[i][-1:].isdecimal() for i in more)):
        shown, names = " and ".join(repr(sheet.header[i]) for i in both[:2]), ",".join(sheet.header[i] for i in both)
        raise UsageError(
            f"{sheet.path}: {shown} may both hold labels: set data.label_columns to [{names}] for all of them, or to "
            "the one that does"
        )


def may_list_more(sheet: Sheet, column: int) -> bool:
    """Whether a column is called as a further one of labels, as `second_label`, `label_2` and `otherTags` are.

    Its cells must be more than 1 and 0.
    """
    name = sheet.header[column]
    words = words_of(name)
    words = words[:-1] if len(words) > 1 and words[-1].isdecimal() else words
    called = len(words) > 1 and words[-1] in LABEL_WORDS and not COUNT_WORDS & {*words}
    numbered = re.fullmatch(r"([a-z]+)[\W_]*\d+", name.lower())
    called = called or (numbered is not None and numbered[1] in LABEL_WORDS)
    called = called or BELOW.fullmatch(plain_column(name)) is not None
    return called and not is_about(name) and any(sheet.counts(column)) and truth_share(sheet, column) < 1


def _column_of_lists(sheet: Sheet, others: Sequence[int], options: TableOptions) -> int | None:
    """The column whose cells are lists, whatever its name, in a table without a column of 1 and 0; None without one.

    `a|b`, `a;b` and lists in brackets count; a comma is as likely a sentence's. Words that recur count in the only
    column beside the images. UsageError where two columns are such, and where words that recur are listed beside
    columns of 1 and 0.
    """
    named = [i for i in others if sheet.header[i] and not is_called(sheet.header[i], PROSE)]
    lists = [i for i in named if holds_lists(sheet, i)]
    classes = [i for i in others if is_called(sheet.header[i], LONG_COLUMNS) and truth_share(sheet, i) < 0.5]
    classes = classes or [i for i in others if is_called(sheet.header[i], OF_CLASSES)]
    flags = [i for i in others if truth_share(sheet, i) >= 0.5 and not is_about(sheet.header[i])]
    if flags:
        called = [i for i in others if is_called(sheet.header[i], OTHER_LISTS) and i not in flags]
        commas = [i for i in named if holds_words_between_commas(sheet, i)] if len(flags) == 1 else []
        for column in {*lists, *classes, *commas, *(called if len(flags) <= MOST_FLAGS else ())}:
            if column in classes or words_recur(sheet, column):
                flags_beside(sheet, column, others, options)
        if len(classes) == 1:  # which leave the columns of 1 and 0 aside, with a warning
            return classes[0]
        return None
    called = [i for i in others if is_called(sheet.header[i], OTHER_LISTS) or i in classes] if not lists else []
    if not called and not lists:  # `disease_label`, alone of its kind
        called = [i for i in others if may_list_more(sheet, i) and words_recur(sheet, i)]
    called = classes if len(classes) == 1 and not lists else called
    lists = called if len(called) == 1 else lists
    alone = [i for i in others if not is_called(sheet.header[i], NO_LISTS) and not is_about(sheet.header[i])]
    ids = [i for i in others if sheet.header[i].lower() == "id"]  # of individuals: `Image,Id`
    alone = alone or ids
    if not lists and len(alone) == len(others) == 1 and words_recur(sheet, alone[0]):  # `image,breed`
        return alone[0]
    if len(lists) > 1:
        shown = " and ".join(repr(sheet.header[i]) for i in lists[:2])
        raise UsageError(f"{sheet.path}: {shown} may both list the labels: name one with data.label_columns")
    return lists[0] if lists else None


def holds_words_between_commas(sheet: Sheet, column: int) -> bool:
    """Whether cells of a column list words with commas between them of which one stands alone or in another list, too.

    Columns called as scenes and people are none.
    """
    if is_called(sheet.header[column], OF_SCENES | NO_LISTS) or is_about(sheet.header[column]):
        return False
    lists = [{piece.strip() for piece in cell.split(",")} for cell in first_cells(sheet, column)]
    times = Counter(piece for pieces in lists for piece in pieces)
    several = any(len(pieces) > 1 and any(times[piece] > 1 for piece in pieces) for pieces in lists)
    return several and words_recur(sheet, column)


def holds_lists(sheet: Sheet, column: int) -> bool:
    """Whether the cells of a column are lists by their signs and shortness."""
    cells = [cell for cell in sheet.counts(column) if cell.lower() not in BLANK]
    if all(EMPTY.fullmatch(cell) for cell in cells):
        return False
    if cells and all(IN_BRACKETS.fullmatch(cell) for cell in cells):
        return not any(map(NESTED.match, cells)) and not _are_places(cells)
    pieces = [re.split("[|;]", cell) for cell in cells]
    words = max((len(piece.split()) for each in pieces for piece in each), default=0)
    return any(len(each) > 1 for each in pieces) and words <= 3  # more make a sentence


def _are_places(cells: Sequence[str]) -> bool:
    """Whether lists hold equally many numbers, two or more, or numbers with a fraction: corners, sizes, measures."""
    numbers = [MEASURE.findall(cell) for cell in cells]
    if not all(OF_MEASURES.fullmatch(cell) for cell in cells):
        return False
    sizes = {len(each) for each in numbers} - {0}
    return are_scores([number for each in numbers for number in each]) or (len(sizes) == 1 and min(sizes) > 1)
