"""Tables with one column that lists an image's labels."""

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from mlcfast.data.labels import from_lists
from mlcfast.data.readers.columns import (
    are_scores,
    column_named,
    ignored_columns,
    is_about,
    is_called,
    is_index,
    refuse_broken_cells,
    truth_share,
    words_recur,
)
from mlcfast.data.readers.flags import flags_beside, only_truths, refuse_flags
from mlcfast.data.readers.list_doubts import may_be_measures, refuse_sentences
from mlcfast.data.readers.marked import below_zero, marked, may_say_none, none_among, refuse_marked
from mlcfast.data.readers.numbered import names_of, own_numbers, refuse_measures
from mlcfast.data.readers.separators import IN_BRACKETS, JOINING, SIGNS, labels_in, separator_of
from mlcfast.data.readers.sheet import Sheet
from mlcfast.data.readers.source import BLANK, LabelSource, TableOptions
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
    OF_WHOM,
    OTHER_LISTS,
    PROSE,
    SCORES,
    STATES,
)
from mlcfast.errors import UsageError

NO_LISTS = PROSE | OF_JUDGEMENT | OF_PEOPLE | OF_WHOM
NESTED = re.compile(r"\[\s*[\[(]")  # as boxes and outlines begin, `[[1, 2, 3, 4]]`
MEASURE = re.compile(r"[-+]?\d+(?:\.\d+)?")
OF_MEASURES = re.compile(r"[\[({][-+\d.,\s\"']*[\])}]")
EMPTY = re.compile(r"[\[({]\s*[\])}]")  # a list, or an object, without anything
SHARE = re.compile(r"0?\.\d*[1-9]\d*")  # neither 0 nor 1


def list_column(sheet: Sheet, others: Sequence[int], options: TableOptions) -> int | None:
    """The column that lists labels; None where there is none. UsageError where two may, or flags stand beside it.

    Of a column of class numbers and one that names these classes it is the second, unless the options name the first.
    """
    column = _list_column(sheet, others, options)
    return column if column is None or options.label_columns else names_of(sheet, column, others, options)


def _list_column(sheet: Sheet, others: Sequence[int], options: TableOptions) -> int | None:
    ignored = ignored_columns(sheet, options)
    if options.label_columns:
        columns = [column_named(sheet, name, "data.label_columns") for name in options.label_columns]
        of_words = truth_share(sheet, columns[0]) < 0.5 or options.separator is not None
        alone = len(columns) == 1 and (of_words or holds_classes(sheet, columns[0]))
        return columns[0] if alone else None
    named = [i for i in others if is_called(sheet.header[i], LIST_COLUMNS) and i not in ignored]
    foreign = [i for i in others if is_called(sheet.header[i], LABELS_ELSEWHERE) and i not in ignored]
    named = named or [i for i in foreign if truth_share(sheet, i) == 1]
    named = [i for i in named if not only_truths(sheet, i, others)]
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
    graded = [i for i in others if i not in ignored and is_called(sheet.header[i], OTHER_LISTS)]
    if len(graded) == 1 and holds_classes(sheet, graded[0]):  # a diagnosis of 0 to 4 beside facts of the patient
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
    words = [word for word in re.split(r"[\W_]+", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()) if word]
    words = words[:-1] if len(words) > 1 and words[-1].isdecimal() else words
    called = len(words) > 1 and words[-1] in LABEL_WORDS and not COUNT_WORDS & {*words}
    numbered = re.fullmatch(r"([a-z]+)[\W_]*\d+", name.lower())
    called = called or (numbered is not None and numbered[1] in LABEL_WORDS)
    return called and not is_about(name) and any(sheet.counts(column)) and truth_share(sheet, column) < 1


def _column_of_lists(sheet: Sheet, others: Sequence[int], options: TableOptions) -> int | None:
    """The column whose cells are lists, whatever its name, in a table without a column of 1 and 0; None without one.

    `a|b`, `a;b` and lists in brackets count; a comma is as likely a sentence's. Words that recur count in the only
    column beside the images. UsageError where two columns are such, and where words that recur are listed beside
    columns of 1 and 0.
    """
    lists = [i for i in others if sheet.header[i] and not is_called(sheet.header[i], PROSE) and _holds_lists(sheet, i)]
    classes = [i for i in others if is_called(sheet.header[i], LONG_COLUMNS) and truth_share(sheet, i) < 0.5]
    classes = classes or [i for i in others if is_called(sheet.header[i], OF_CLASSES)]
    flags = [i for i in others if truth_share(sheet, i) >= 0.5 and not is_about(sheet.header[i])]
    if flags:
        called = [i for i in others if is_called(sheet.header[i], OTHER_LISTS) and i not in flags]
        for column in {*lists, *classes, *(called if len(flags) <= MOST_FLAGS else ())}:
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


def _holds_lists(sheet: Sheet, column: int) -> bool:
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


def read_list(sheet: Sheet, image: int, column: int, others: Sequence[int], options: TableOptions) -> LabelSource:
    """Read the images and what their cells in `column` list; what is not listed is absent.

    others: the columns that may hold labels, `column` among them.
    """
    _refuse_scores(sheet, [i for i in others if i != column], options)
    refuse_measures(sheet, column, options)
    told = options.separator or (" " if is_called(sheet.header[column], OF_CLASSES) else None)
    separator, why, lists, said, warnings = lists_in(sheet, column, told)
    names = sorted({name for each in lists for name in each}, key=natural_order)
    label = {name: position for position, name in enumerate(names)}
    states = from_lists([[label[name] for name in each] for each in lists], len(names))
    shown = f", separated by {separator!r}{why}" if separator else why
    said = [f"column {sheet.header[column]!r} lists the labels{shown}", *said]
    classes = holds_classes(sheet, column) and not is_called(sheet.header[column], LIST_COLUMNS)
    classes = classes or own_numbers(sheet, column) > 0.5
    said += [f"its numbers, {names[0]} to {names[-1]}, are classes, one a row"] if classes else []
    numbers = [i for i in others if i != column and names_of(sheet, i, others, options) == column]
    said += [f"it names the classes that column {sheet.header[numbers[0]]!r} numbers"] if numbers else []
    elsewhere = (options.split_column, options.group)
    left = [name for i, name in enumerate(sheet.header) if i not in (image, column) and name and name not in elsewhere]
    said += [f"columns that are no labels: {', '.join(left)}"] if left else []
    images = [row[image] for row in sheet.rows]
    said, warnings = (
        [*sheet.assumptions, *said],
        [*warnings, *may_say_none(names), *flags_beside(sheet, column, others, options)],
    )
    return LabelSource(sheet.path, "list", images, sheet.numbers, names, states, said, warnings).merged()


def _refuse_scores(sheet: Sheet, others: Sequence[int], options: TableOptions) -> None:
    """UsageError for the first row with a share in a column of scores: a model gave its labels."""
    ignored = ignored_columns(sheet, options)
    for column in (i for i in others if is_called(sheet.header[i], SCORES) and i not in ignored):
        for cell in sheet.counts(column):
            pieces = re.split(r"[\s;|,\[\]]+", cell)
            if not options.label_columns and any(SHARE.fullmatch(piece) for piece in pieces):
                where = f"{sheet.unit} {sheet.line(column, cell)}, column {sheet.header[column]!r}"
                raise UsageError(
                    f"{sheet.path}: {where}: {cell!r} makes the labels predictions: list those that you hold to be "
                    "right, or name the column in data.ignore_columns"
                )


def lists_in(sheet: Sheet, column: int, told: str | None) -> tuple[str, str, list[list[str]], list[str], list[str]]:
    """What separates the labels of a column and why, the labels of each row, and what is said and warned of them.

    told: the sign that the user named, None for none. UsageError where they can be read in several ways.
    """
    refuse_broken_cells(sheet, column)
    if told is None:
        refuse_flags(sheet, column)
    as_told = told is not None and not _in_brackets(sheet, column)  # such a list says itself where its labels end
    separator, why = (told or "", "") if as_told else separator_of(sheet, column)
    by_cell = {cell: labels_in(sheet, column, cell, separator) for cell in sheet.counts(column)}
    by_cell, said, warnings = without_no_label(sheet, column, by_cell)
    if as_told:
        warnings += _unused(sheet, column, separator)
    if separator == "," and told is None:
        ends = (names[-1] for names in by_cell.values() if len(names) > 1)
        joined = next((name for name in ends if any(f" {word} " in name for word in JOINING)), None)
        warnings += [f"{joined!r} ends a list and is one label: write ',' in it if it is several"] if joined else []
    known = {name for names in by_cell.values() for name in names}
    refuse_marked(sheet, column, (marked if told is None else below_zero)(known), by_cell)
    if told is None and any(name.count(" ") > 1 for name in known):
        refuse_sentences(sheet, column, by_cell)
    if told is None and all(map(str.isdecimal, known)):
        warnings += may_be_measures(sheet, column, by_cell)
    return separator, why, [by_cell[row[column]] for row in sheet.rows], said, warnings


def _unused(sheet: Sheet, column: int, separator: str) -> list[str]:
    """A warning where no cell holds the sign that the user named, and some hold another that may separate labels."""
    cells = sheet.counts(column)
    if any(separator in cell for cell in cells):
        return []
    other = next((cell for cell in cells if any(sign in cell for sign in SIGNS)), None)
    return [f"no cell holds data.separator, {separator!r}: {other!r} is one label"] if other else []


def _in_brackets(sheet: Sheet, column: int) -> bool:
    """Whether each cell of a column is a list in brackets of its own."""
    cells = [cell for cell in sheet.counts(column) if cell.lower() not in BLANK]
    return bool(cells) and all(cell[0] in "[{<" and IN_BRACKETS.fullmatch(cell) for cell in cells)


def without_no_label(
    sheet: Sheet, column: int, by_cell: Mapping[str, list[str]]
) -> tuple[dict[str, list[str]], list[str], list[str]]:
    """The lists of cells without words that say that there is no label, and what is said and warned of that.

    UsageError where such a word does not stand alone.
    """
    said_so, empty, blank, first = 0, 0, 0, ""
    kept = {}
    for cell, names in by_cell.items():
        times = sheet.counts(column)[cell]
        try:
            word = none_among(names)
        except ValueError as error:
            where = f"{sheet.unit} {sheet.line(column, cell)}, column {sheet.header[column]!r}"
            raise UsageError(f"{sheet.path}: {where}: {error}") from error
        kept[cell] = [] if word else names
        said_so, first = said_so + (times if word else 0), first or word
        says_none = not names and cell.lower() not in BLANK
        empty, blank = empty + times * says_none, blank + times * (not names and not says_none)
    said, warnings = of_blanks(blank, empty + said_so)
    return kept, [*([f"{first!r} is taken as no label, in {said_so} rows"] if said_so else []), *said], warnings


def of_blanks(blank: int, empty: int) -> tuple[list[str], list[str]]:
    """What is said, and warned of, where `blank` cells hold nothing and `empty` cells say that there is no label."""
    if blank and empty:
        return [], [
            f"{blank} cells of the labels are blank and {empty} say that there is none: both are read as no label; "
            "take out the rows that nobody has labelled"
        ]
    return [f"a blank cell is no label, in {blank} rows"] if blank else [], []


def with_labels_together(sheet: Sheet, options: TableOptions) -> tuple[Sheet, TableOptions]:
    """The table with one column that lists what several named columns of text hold, a label in each cell.

    So are read `tag1,tag2,tag3`, `colour,shape`, and columns that list labels themselves. A word that stands in two of
    the columns is one label.
    """
    if len(options.label_columns) < 2 or options.form in ("wide", "long"):
        return sheet, options
    columns = [column_named(sheet, name, "data.label_columns") for name in options.label_columns]
    if any(truth_share(sheet, i) >= 0.5 for i in columns):
        return sheet, options
    listing = {
        i for i in columns if any(sign in cell for cell in sheet.counts(i) for sign in SIGNS) or _holds_lists(sheet, i)
    }
    words = {cell.lower() for i in columns for cell in sheet.counts(i)} - BLANK
    if words and words <= STATES:
        shown = " and ".join(repr(word) for word in sorted(words)[:2])
        raise UsageError(
            f"{sheet.path}: the label columns hold {shown}, which may say that a label is present or absent: write 1 "
            "and 0, and nothing for what is unknown"
        )
    kept = [i for i in range(len(sheet.header)) if i not in columns]
    name = ", ".join(sheet.header[i] for i in columns)
    held = [
        lists_in(sheet, i, options.separator)[2]
        if i in listing
        else [[row[i]] if row[i].lower() not in BLANK else [] for row in sheet.rows]
        for i in columns
    ]
    cells = [json.dumps([name for names in row for name in names]) for row in zip(*held, strict=True)]
    rows = [[*(row[i] for i in kept), cell] for row, cell in zip(sheet.rows, cells, strict=True)]
    together = replace(sheet, header=[*(sheet.header[i] for i in kept), name], rows=rows)
    return together, replace(options, label_columns=(name,))


def natural_order(name: str) -> tuple[int, int, str]:
    """The key that sorts labels: numbers first, by their value, then words."""
    return (0, int(name), name) if name.isdecimal() else (1, 0, name)
