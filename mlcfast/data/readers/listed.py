"""Reads tables with one column that lists an image's labels."""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from mlcfast.data.labels import from_lists
from mlcfast.data.readers.blanks import JOINING
from mlcfast.data.readers.columns import (
    another_person,
    column_named,
    ignored_columns,
    is_called,
    labels_first,
    refuse_broken_cells,
    truth_share,
    words_of,
)
from mlcfast.data.readers.dropped import may_be_dropped
from mlcfast.data.readers.flags import flags_beside, refuse_flags
from mlcfast.data.readers.list_columns import holds_classes, holds_lists
from mlcfast.data.readers.list_doubts import may_be_measures, refuse_sentences
from mlcfast.data.readers.marked import (
    below_zero,
    joined_numbers,
    marked,
    may_say_none,
    none_among,
    of_blank_words,
    refuse_marked,
)
from mlcfast.data.readers.names import refuse_controls
from mlcfast.data.readers.numbered import (
    hold_classes,
    names_of,
    own_numbers,
    refuse_measures,
    without_fills,
    without_fractions,
)
from mlcfast.data.readers.paths import plain_path
from mlcfast.data.readers.rivals import labels_beside
from mlcfast.data.readers.separators import IN_BRACKETS, SIGNS, labels_in, separator_of
from mlcfast.data.readers.sheet import Sheet
from mlcfast.data.readers.source import BLANK, LabelSource, TableOptions
from mlcfast.data.readers.words import (
    LABEL_WORDS,
    LIST_COLUMNS,
    OF_CLASSES,
    OF_LABELS,
    RANKS_OF_LABELS,
    SCORES,
    STATES,
)
from mlcfast.errors import UsageError

SHARE = re.compile(r"0?\.\d*[1-9]\d*")  # neither 0 nor 1


def read_list(sheet: Sheet, image: int, column: int, others: Sequence[int], options: TableOptions) -> LabelSource:
    """Read the images and what their cells in `column` list; what is not listed is absent.

    others: the columns that may hold labels, `column` among them.
    """
    _refuse_scores(sheet, [i for i in others if i != column], options)
    refuse_measures(sheet, column, options)
    told = options.separator or (" " if is_called(sheet.header[column], OF_CLASSES) else None)
    separator, why, lists, said, warnings = lists_in(sheet, column, told)
    names = sorted({name for each in lists for name in each}, key=natural_order)
    if options.separator is None:
        refuse_marked(
            sheet, column, joined_numbers(names), {row[column]: own for row, own in zip(sheet.rows, lists, strict=True)}
        )
    rows = list(zip(sheet.numbers, lists, strict=True))
    refuse_controls(sheet.path, names, lambda name: f"{sheet.unit} {next(n for n, held in rows if name in held)}: ")
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
    ignored = ignored_columns(sheet, options)
    beside = [i for i in others if i != column and i not in ignored]
    said, warnings = (
        [*sheet.assumptions, *said],
        [
            *warnings,
            *may_say_none(names),
            *flags_beside(sheet, column, others, options),
            *labels_beside(sheet, column, others, options),
            *may_be_dropped(sheet, beside),
            *_of_people(sheet, image, beside, lists),
        ],
    )
    parts = (sheet.path, "list", images, sheet.numbers, names, states, said, warnings)
    return LabelSource(*parts, header=labels_first(sheet, column)).merged()


def _of_people(sheet: Sheet, image: int, others: Sequence[int], lists: Sequence[Sequence[str]]) -> list[str]:
    """A warning where someone else lists other labels of an image."""
    people = another_person(sheet, image, others)
    first: dict[str, set[str]] = {}
    rows = zip(sheet.rows, map(set, lists), strict=True)
    differ = bool(people) and any(first.setdefault(plain_path(row[image]), held) != held for row, held in rows)
    return [f"what several people saw in one image is united: {people}"] if differ else []


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
    by_cell, plain = without_fractions(by_cell)
    said += plain
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
    """A warning where no cell holds the sign that the user named, or another one is left at the end of a label."""
    cells = sheet.counts(column)
    if any(separator in cell for cell in cells):
        ended = next(
            (word for cell in cells for word in cell.split(separator) if word.strip().endswith((",", ";"))), None
        )
        return [f"the label {ended.strip()!r} holds the sign at its end: set data.separator to that"] if ended else []
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
    kept, written = {}, Counter[str]()
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
        if cell and not names and not says_none:
            written[cell] += times
    said, warnings = of_blanks(blank, empty + said_so)
    if not warnings:
        said = of_blanks(blank - written.total(), 0)[0]
    words, doubts = of_blank_words(written, {name for names in kept.values() for name in names})
    said = [*([f"{first!r} is taken as no label, in {said_so} rows"] if said_so else []), *said, *words]
    return kept, said, [*warnings, *doubts]


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

    So are read `tag1,tag2,tag3`, `colour,shape`, columns that list labels themselves, and `label1,label2` of class
    numbers, filled up with −1 or not. A word that stands in two of the columns is one label, see
    _refuse_words_of_two.
    """
    if len(options.label_columns) < 2 or options.form in ("wide", "long"):
        return sheet, options
    columns = [column_named(sheet, name, "data.label_columns") for name in options.label_columns]
    of_classes = hold_classes(sheet, columns, told=options.separator is not None)
    if any(truth_share(sheet, i) >= 0.5 for i in columns) and not of_classes:
        return sheet, options
    sheet, said = without_fills(sheet, columns) if of_classes else (sheet, [])
    listing = {
        i for i in columns if any(sign in cell for cell in sheet.counts(i) for sign in SIGNS) or holds_lists(sheet, i)
    }
    words = {cell.lower() for i in columns for cell in sheet.counts(i)} - BLANK
    if words and words <= STATES:
        shown = " and ".join(repr(word) for word in sorted(words)[:2])
        raise UsageError(
            f"{sheet.path}: the label columns hold {shown}, which may say that a label is present or absent: write 1 "
            "and 0, and nothing for what is unknown"
        )
    _refuse_words_of_two(sheet, columns, options)
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
    together = replace(
        sheet, header=[*(sheet.header[i] for i in kept), name], rows=rows, assumptions=[*sheet.assumptions, *said]
    )
    return together, replace(options, label_columns=(name,))


def _refuse_words_of_two(sheet: Sheet, columns: Sequence[int], options: TableOptions) -> None:
    """UsageError for a word that stands in two of the columns that the user named, which say different things.

    `red` under `upper_color` and `lower_color` would become one label. Columns of one kind, called as those of labels
    are, or alike but for a rank, `animal` and `second_animal`, and those that data.format lists as one, are none.
    """
    words = [words_of(sheet.header[i]) for i in columns]
    kinds = {tuple(word for word in each if word not in RANKS_OF_LABELS and not word[-1].isdecimal()) for each in words}
    named = any(word in LABEL_WORDS or is_called(word, OF_LABELS) for each in words for word in each)
    if options.form == "list" or named or len(kinds) < 2:
        return
    first: dict[str, int] = {}
    for column in columns:
        for word in sheet.counts(column):
            other = first.setdefault(word, column)
            if other == column or word.lower() in BLANK:
                continue
            own, more = (sheet.header[i] for i in (other, column))
            where = f"{sheet.unit} {sheet.line(other, word)}, column {own!r}"
            raise UsageError(
                f"{sheet.path}: {where}: {word!r} stands in column {more!r} too, in {sheet.unit} "
                f"{sheet.line(column, word)}: set data.format to list if it is one label, or write '{own}: {word}' and "
                f"'{more}: {word}' if it is two"
            )


def natural_order(name: str) -> tuple[int, int, str]:
    """The key that sorts labels: numbers first, by their value, then words."""
    return (0, int(name), name) if name.isdecimal() else (1, 0, name)
