"""Rows of Arrow files whose class is −1, as Hugging Face's data sets write where none is known."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from mlcfast.data.labels import from_entries, lacking, pairs
from mlcfast.data.readers.arrow_files import ArrowTable
from mlcfast.data.readers.listed import of_blanks
from mlcfast.data.readers.source import LabelSource, TableOptions
from mlcfast.data.readers.words import LIST_COLUMNS

UNKNOWN = -1  # in place of a class


def without_unknown(
    source: LabelSource, opened: Sequence[ArrowTable], classes: Mapping[str, Sequence[str]], options: TableOptions
) -> LabelSource:
    """The source in which each label is unknown, and not absent, to images of class −1; a warning says which.

    So are parts for a test whose labels are held back. source: as read of a column of classes, a row −1 being blank;
    classes: the names of the classes by column.
    """
    called = [name for name in classes if name.lower() in LIST_COLUMNS]
    column = options.label_columns[0] if options.label_columns else next(iter(called), "")
    if column not in classes:
        return source
    values = [value for table in opened for value in table.values(column)]
    rows = [number for number, value in enumerate(values, start=1) if value == UNKNOWN]
    if not rows:
        return source
    blank = sum(value is None for value in values)
    taken = of_blanks(len(rows) + blank, 0)[0]
    said = [line for line in source.assumptions if line not in taken] + of_blanks(blank, 0)[0]
    unknown = np.flatnonzero(np.isin(source.lines, rows) & lacking(source.states, 1))
    held_rows, held = pairs(source.states)
    count = len(source.names)
    states = from_entries(
        np.concatenate([held_rows, np.repeat(unknown, count)]),
        np.concatenate([held, np.tile(np.arange(count), len(unknown))]),
        (len(source.images), count),
        np.concatenate([np.ones(len(held), np.int8), np.zeros(len(unknown) * count, np.int8)]),
    )
    doubt = f"class {UNKNOWN} in column {column!r} is no known label: {len(rows)} rows, first {rows[0]}, are unknown"
    return dataclasses.replace(source, states=states, assumptions=said, warnings=[*source.warnings, doubt])
