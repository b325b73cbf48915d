"""Columns of lists whose entries may be no labels: numbers that may be boxes or sizes, and sentences."""

from collections import Counter
from collections.abc import Mapping

from mlcfast.data.readers.marked import refuse_marked, sentence_among
from mlcfast.data.readers.measures import doubt_of
from mlcfast.data.readers.sheet import Sheet


def may_be_measures(sheet: Sheet, column: int, by_cell: Mapping[str, list[str]]) -> list[str]:
    """A warning where each cell lists equally many numbers, several, which may be boxes or sizes."""
    cell, names = next(((cell, names) for cell, names in by_cell.items() if names), ("", []))
    doubt = doubt_of([[*map(int, names)] for names in by_cell.values()]) if len(names) > 1 else None
    if doubt is None:
        return []
    where = f"{sheet.unit} {sheet.line(column, cell)}, column {sheet.header[column]!r}"
    return [doubt.of(f"{where}: {cell!r}")]


def refuse_sentences(sheet: Sheet, column: int, by_cell: Mapping[str, list[str]]) -> None:
    """UsageError where the labels of a column look like captions, see sentence_among; by_cell: those of its cells."""
    times: Counter[str] = Counter()
    for cell, names in by_cell.items():
        times.update(dict.fromkeys(names, sheet.counts(column)[cell]))
    sentence = sentence_among(times)
    if sentence:
        says = "may be captions, which are no labels: set data.separator to ';' if each is a label"
        refuse_marked(
            sheet, column, (sentence, f"and others like it {says}, else name the file of the labels"), by_cell
        )
