"""Tables of labels: a column a label, a column that lists labels, or a row for each image and label."""

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from mlcfast.data.labels import from_entries
from mlcfast.data.readers.columns import (
    another_person,
    column_named,
    ignored_columns,
    image_column,
    is_called,
    is_confidence,
    is_index,
    labels_first,
    refuse_blank_images,
    refuse_broken_cells,
    refuse_sums,
    refuse_unnamed,
    truth,
    truth_share,
    with_folders,
)
from mlcfast.data.readers.dropped import refuse_dropped
from mlcfast.data.readers.flags import flags_of_rows, with_flags_apart, with_plain_flags
from mlcfast.data.readers.joined_names import with_names_apart
from mlcfast.data.readers.list_columns import list_column, may_list_more
from mlcfast.data.readers.listed import read_list, with_labels_together
from mlcfast.data.readers.long_columns import long_column
from mlcfast.data.readers.marked import KEPT, marked, may_say_none, of_blank_words, refuse_marked
from mlcfast.data.readers.names import plain_label, refuse_controls
from mlcfast.data.readers.part_columns import undivided
from mlcfast.data.readers.paths import plain_path
from mlcfast.data.readers.ranks import refuse_ranks
from mlcfast.data.readers.rivals import labels_beside
from mlcfast.data.readers.separators import QUOTED
from mlcfast.data.readers.sheet import Sheet
from mlcfast.data.readers.slips import image_and_label, labels_behind_names, refuse_class_map
from mlcfast.data.readers.source import BLANK, LabelSource, TableOptions
from mlcfast.data.readers.told_twice import without_list_told_twice
from mlcfast.data.readers.tool_exports import read_regions
from mlcfast.data.readers.wide import read_wide
from mlcfast.data.readers.words import (
    ASSERTING,
    NO_LABEL,
)
from mlcfast.errors import UsageError

SHAPES = ("wide", "list", "long")


def read_rows(sheet: Sheet, options: TableOptions) -> LabelSource:
    """Read a table in one of its three shapes; UsageError where it could be read in several ways."""
    if "region_attributes" in sheet.header:
        return read_regions(sheet)
    refuse_class_map(sheet.path, sheet.header, sheet.rows)
    sheet, options = with_names_apart(sheet, options)
    sheet = with_flags_apart(with_plain_flags(_with_plain_header(sheet), options), options)
    sheet = without_list_told_twice(sheet, options)
    sheet, options = with_labels_together(sheet, options)
    told = told_columns(sheet, options)
    image = image_column(sheet, options)
    refuse_blank_images(sheet, image)
    refuse_sums(sheet, image)
    sheet, folders = with_folders(sheet, image, options)
    refuse_unnamed(sheet, image)
    others = [i for i, _ in enumerate(sheet.header) if i not in (image, *folders, *told.values())]
    _refuse_labels_in_names(sheet, image, others, options)
    return with_told_columns(_read(sheet, image, others, options), sheet, image, told, options)


def _refuse_labels_in_names(sheet: Sheet, image: int, others: Sequence[int], options: TableOptions) -> None:
    """UsageError where a row says of an image and a label, both in one cell, whether it has it."""
    beside = [i for i in others if not is_index(sheet, i)]
    if len(beside) != 1 or options.label_columns or truth_share(sheet, beside[0]) < 1:
        return
    labels = labels_behind_names([row[image] for row in sheet.rows])
    if labels:
        name, cell = sheet.header[image], sheet.rows[0][image]
        raise UsageError(
            f"{sheet.path}: {sheet.unit} {sheet.numbers[0]}, column {name!r}: {cell!r} holds the image and the label "
            f"{image_and_label(cell)[1]!r}, one of {len(labels)}: set data.format to long if so, or "
            f"data.label_columns to [{sheet.header[beside[0]]}] if it is a name"
        )


def _with_plain_header(sheet: Sheet) -> Sheet:
    """The table with its columns' names in one spelling (plain_label); UsageError where two become the same."""
    quoted = next((name for name in sheet.header if QUOTED.fullmatch(name)), None)
    if quoted is not None:
        raise UsageError(f"{sheet.path}: line 1: the quotes are a part of {quoted}: write it without, or as CSV quotes")
    header = [plain_label(name) for name in sheet.header]
    if header == sheet.header:
        return sheet
    first: dict[str, int] = {}
    for column, name in enumerate(header):
        other = first.setdefault(name, column)
        if name and other != column:
            both = f"columns {other + 1} and {column + 1}, {sheet.header[other]!a} and {sheet.header[column]!a}"
            raise UsageError(f"{sheet.path}: line 1: {both}, are both read as {name!r}: rename one, or take it out")
    old, new = next((old, new) for old, new in zip(sheet.header, header, strict=True) if old != new)
    said = f"the column {old!a} is read as {new!r}: composed letters, plain blanks, nothing invisible"
    return dataclasses.replace(sheet, header=header, assumptions=[*sheet.assumptions, said])


def told_columns(sheet: Sheet, options: TableOptions) -> dict[str, int]:
    """The columns that the options name for splits and groups, by the names given."""
    named = (("data.split_column", options.split_column), ("data.group", options.group))
    return {name: column_named(sheet, name, option) for option, name in named if name is not None}


def with_told_columns(
    source: LabelSource, sheet: Sheet, image: int, told: Mapping[str, int], options: TableOptions
) -> LabelSource:
    """The source with each image's cells of those columns; image: the column of image files.

    Where none divides the data, one that nobody named is warned of.
    """
    columns = {name: _by_image(sheet, image, column, source.images) for name, column in told.items()}
    if options.split_column is not None:
        return dataclasses.replace(source, columns=columns)
    labels, none = {*source.names}, {*source.names, *options.ignore_columns, *options.label_columns}
    others = {name: sheet.counts(i) for i, name in enumerate(sheet.header) if i != image and name not in none}
    warned = undivided({name: cells for name, cells in others.items() if not labels.issuperset(cells)})
    return dataclasses.replace(source, columns=columns, warnings=[*source.warnings, *warned])


def _by_image(sheet: Sheet, image: int, column: int, images: Sequence[str]) -> list[str]:
    """A column's cell for each image; UsageError where two rows of an image differ in it."""
    held: dict[str, str] = {}
    for number, row in zip(sheet.numbers, sheet.rows, strict=True):
        if held.setdefault(plain_path(row[image]), row[column]) != row[column]:
            where = f"{sheet.unit} {number}, column {sheet.header[column]!r}: {row[image]!r} is {row[column]!r}"
            raise UsageError(f"{sheet.path}: {where} here and {held[plain_path(row[image])]!r} before")
    return [held[plain_path(name)] for name in images]


def _read(sheet: Sheet, image: int, others: Sequence[int], options: TableOptions) -> LabelSource:
    form = options.form if options.form in SHAPES else None
    if form is None:
        refuse_ranks(sheet, others, options)
    long, listed = shape_of(sheet, image, others, options)
    if long is not None:
        return _read_long(sheet, image, long, others, options)
    if listed is not None:
        return read_list(sheet, image, listed, others, options)
    if form in ("long", "list"):
        raise UsageError(f"{sheet.path}: data.format {form}: no column of labels: name it with data.label_columns")
    return read_wide(sheet, image, others, options)


def shape_of(sheet: Sheet, image: int, others: Sequence[int], options: TableOptions) -> tuple[int | None, int | None]:
    """The column of label names where each row is an image with one label, or the column that lists labels, or neither.

    image: the column of image files; others: those that may hold labels.
    """
    form = options.form if options.form in SHAPES else None
    long = long_column(sheet, image, others, options) if form in (None, "long") else None
    return long, list_column(sheet, others, options) if long is None and form in (None, "list") else None


def _read_long(sheet: Sheet, image: int, column: int, others: Sequence[int], options: TableOptions) -> LabelSource:
    ignored = ignored_columns(sheet, options)
    refuse_broken_cells(sheet, column)
    beside = [i for i in others if i not in ignored and i != column]
    asserting = (i for i in beside if is_called(sheet.header[i], ASSERTING) and truth_share(sheet, i) == 1)
    confidence = next((i for i in beside if is_confidence(sheet.header[i])), next(asserting, None))
    refuse_dropped(sheet, [i for i in beside if i != confidence])
    beside_warnings = flags_of_rows(sheet, image, column, others, options, confidence)
    keys = [plain_path(row[image]) for row in sheet.rows]
    spelt: dict[str, str] = {}  # of each image, as it is first written
    for key, row in zip(keys, sheet.rows, strict=True):
        spelt.setdefault(key, row[image])
    images = list(spelt.values())
    none = NO_LABEL | BLANK if confidence is None else BLANK
    names = sorted(cell for cell in sheet.counts(column) if cell and cell.lower() not in none)
    refuse_controls(sheet.path, names, lambda name: f"{sheet.unit} {sheet.line(column, name)}: ")
    refuse_marked(sheet, column, marked(names), {name: [name] for name in names})
    place, label = {x: i for i, x in enumerate(spelt)}, {x: i for i, x in enumerate(names)}
    unlisted = -1 if confidence is None else 0
    lines = [0] * len(images)
    seen: dict[tuple[int, int], int] = {}
    empty: dict[int, tuple[int, str]] = {}
    for number, key, row in zip(sheet.numbers, keys, sheet.rows, strict=True):
        lines[place[key]] = lines[place[key]] or number
        if row[column] not in label:
            if row[column]:
                empty[place[key]] = number, row[column]
            continue
        value = 1 if confidence is None else truth(sheet, row[confidence])
        if value not in (0, 1):
            cell = f"{sheet.unit} {number}, column {sheet.header[confidence or 0]!r}: {row[confidence or 0]!r}"
            remedy = "name the column in data.ignore_columns if every row says that the label is present"
            raise UsageError(f"{sheet.path}: {cell} must be 1 or 0; {remedy}")
        entry, state = (place[key], label[row[column]]), 1 if value else -1
        if seen.setdefault(entry, state) != state:
            where = f"{sheet.unit} {number}: {row[image]!r} has {row[column]!r}"
            raise UsageError(f"{sheet.path}: {where} both as 1 and as 0: keep one of the rows")
    said = [f"a row for each image and label, in column {sheet.header[column]!r}"]
    if confidence is not None:
        said.append(f"column {sheet.header[confidence]!r} says with 1 and 0 whether the label is present")
        said.append("labels without a row for an image are unknown")
    entries, values = np.array(list(seen), np.int64).reshape(-1, 2), np.array(list(seen.values()), np.int8)
    left = [sheet.header[i] for i in others if i not in (column, confidence) and not is_index(sheet, i)]
    said += [f"columns that are no labels: {', '.join(left)}"] if left else []
    states = from_entries(entries[:, 0], entries[:, 1], (len(images), len(names)), values, unlisted)
    present = {at: k for (at, k), state in sorted(seen.items(), reverse=True) if state == 1} if empty else {}
    for at, (number, word) in empty.items():
        if at in present:
            other = names[present[at]]
            where = f"{sheet.path}: {sheet.unit} {number}, column {sheet.header[column]!r}: {word!r} means no label"
            raise UsageError(f"{where}, but {images[at]!r} also has {other!r}: {KEPT}")
    of_none = [word for _, word in empty.values() if word.lower() in NO_LABEL]
    said += [f"{of_none[0]!r} is taken as no label, in {len(of_none)} rows"] if of_none else []
    blanks, doubts = of_blank_words(Counter(word for _, word in empty.values() if word.lower() not in NO_LABEL), names)
    said += blanks
    warnings = [*may_say_none(names), *beside_warnings, *doubts, *labels_beside(sheet, column, others, options)]
    if confidence is None and not options.label_columns:
        own = sheet.header[column]
        more = [sheet.header[i] for i in beside if may_list_more(sheet, i)]
        both = f"set data.label_columns to [{','.join([own, *more])}] if so"
        warnings += [f"column {more[0]!r} may hold labels as {own!r} does, and is not read: {both}"] if more else []
    if confidence is not None and -1 not in seen.values():
        warnings.append(
            f"no row of column {sheet.header[confidence]!r} holds 0, so that no image is known to lack a label: name "
            "the column in data.ignore_columns if an image has those of its rows alone"
        )
    people = another_person(sheet, image, others)
    warnings += [f"what several people saw in one image is united: {people}"] if people and confidence is None else []
    said = [*sheet.assumptions, *said]
    parts = (sheet.path, "long", images, lines, names, states, said, warnings)
    return LabelSource(*parts, header=labels_first(sheet, column))
