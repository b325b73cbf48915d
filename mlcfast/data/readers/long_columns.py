"""Finds the column that names the labels of a table with a row for each image and label."""

import re
from collections.abc import Collection, Sequence

from mlcfast.data.readers.blanks import first_list
from mlcfast.data.readers.columns import (
    box_columns,
    column_named,
    ignored_columns,
    is_about,
    is_called,
    is_confidence,
    is_index,
    share,
    truth,
    truth_share,
    words_recur,
)
from mlcfast.data.readers.paths import plain_path
from mlcfast.data.readers.rivals import refuse_rivals
from mlcfast.data.readers.separators import IN_BRACKETS, SEVERAL
from mlcfast.data.readers.sheet import Sheet
from mlcfast.data.readers.source import TableOptions
from mlcfast.data.readers.words import (
    ASSERTING,
    LONG_COLUMNS,
    OBJECT_COLUMNS,
    OF_JUDGEMENT,
    OF_LABELS,
    OF_MELTED,
    OF_PEOPLE,
    OF_SCENES,
    PROSE,
)
from mlcfast.errors import UsageError

NESTED = re.compile(r"\[\s*[\[({]")  # as lists of boxes begin, `[[1, 2, 3, 4]]`


def long_column(sheet: Sheet, image: int, others: Sequence[int], options: TableOptions) -> int | None:
    """The column of label names of a table with a row for each image and label."""
    if options.form == "long" and len(options.label_columns) == 1:
        return column_named(sheet, options.label_columns[0], "data.label_columns")
    if len(options.label_columns) == 1 and options.separator is None and options.form != "list":
        named_one = column_named(sheet, options.label_columns[0], "data.label_columns")
        return named_one if _says_whether(sheet, image, named_one, others, options) else None
    if options.label_columns or options.separator is not None:
        return None
    boxes = box_columns(sheet)
    boxes = set() if _several_boxes_a_cell(sheet, boxes) else boxes
    words = [i for i in others if truth_share(sheet, i) < 0.5]
    named = [i for i in words if is_called(sheet.header[i], LONG_COLUMNS)]
    if boxes and not named:
        named = _beside_boxes(sheet, words, [i for i in others if i not in ignored_columns(sheet, options)], options)
    confident = any(is_confidence(sheet.header[i]) for i in others)
    if not named and not boxes:
        said = _verdicts(sheet, others, options)
        named = _melted(sheet, image, words) if said and said <= {0, 1} else []
        confident = bool(named)
    alone = options.form == "long" or bool(boxes)
    if len(named) != 1:
        return None
    again = _has_several_rows(sheet, image)
    if not (alone or again or confident):
        return None
    if boxes and options.form != "long" and (_lists_at_boxes(sheet, named[0]) or _may_list(sheet, named[0])):
        return None
    lists = [cell for cell in sheet.counts(named[0]) if not alone and re.search(r"[;|,\[\n]", cell)]
    joined, sign = "", ","
    if lists and again and not any(re.search(r"[;|\[\n]", cell) for cell in lists):
        joined = lists[0]
    elif not lists and options.form != "long" and (boxes or not confident):
        found = [(first_list(sheet.counts(named[0]), sign), sign) for sign in " /"]
        joined, sign = next((pair for pair in found if pair[0]), ("", ""))
    if joined:
        where = f"{sheet.path}: {sheet.unit} {sheet.line(named[0], joined)}, column {sheet.header[named[0]]!r}"
        raise UsageError(
            f"{where}: {joined!r} may be one label or {len(joined.split(sign))}: set data.format to long for one, as "
            f"{'boxes have rows' if boxes else 'images have several rows'}, or data.separator to {sign!r} for several"
        )
    if lists:
        return None
    if options.form != "long":
        refuse_rivals(sheet, named[0], [i for i in others if i not in boxes], options)
    return named[0]


def _several_boxes_a_cell(sheet: Sheet, boxes: Collection[int]) -> bool:
    """Whether cells of a column of boxes hold lists of boxes, so that a row is not one of a box."""
    return any(NESTED.match(cell) for i in boxes for cell in sheet.counts(i))


def _may_list(sheet: Sheet, column: int) -> bool:
    """Whether a column that is called as one of several labels, `tags`, and not as in LONG_COLUMNS, holds blanks."""
    name = sheet.header[column]
    several = SEVERAL.search(name) is not None and not is_called(name, LONG_COLUMNS)
    return several and any(" " in cell or "/" in cell for cell in sheet.counts(column))


def _beside_boxes(sheet: Sheet, words: Sequence[int], others: Sequence[int], options: TableOptions) -> list[int]:
    """The columns that may name the labels of boxes, none of which is called as in LONG_COLUMNS.

    They are called as objects are, or else as labels, or else hold words that recur. words: the columns that do not
    hold 1 and 0; others: those that may hold labels. UsageError where the only one of words is called as one that says
    something of the scene, `brand`, no other column may be a label, and data.format does not settle it.
    """
    called = [i for i in words if is_called(sheet.header[i], OBJECT_COLUMNS)]
    of_labels = [i for i in others if is_called(sheet.header[i], OF_LABELS) and any(sheet.counts(i))]
    if called or of_labels:
        return called or [i for i in of_labels if i in words or len(sheet.counts(i)) > 2]
    recur = [i for i in words if not is_about(sheet.header[i]) and words_recur(sheet, i)]
    if len(recur) != 1 or not is_called(sheet.header[recur[0]], OF_SCENES):
        return recur if len(recur) == 1 else []
    if options.form == "long":
        return recur
    flags = [i for i in others if i not in words and not is_about(sheet.header[i])]
    if recur[0] in others and len(others) > 1 and not flags:  # with the others ignored it is chosen
        name = sheet.header[recur[0]]
        raise UsageError(
            f"{sheet.path}: column {name!r} may name the labels of the boxes or say something of the image: set "
            "data.format to long for the former, else name it in data.ignore_columns and write a column of labels"
        )
    return []


def _says_whether(sheet: Sheet, image: int, column: int, others: Sequence[int], options: TableOptions) -> bool:
    """Whether rows of an image and a label of a named column say, some with 0, whether the image has it."""
    said = _verdicts(sheet, [i for i in others if i != column], options)
    words = truth_share(sheet, column) < 0.5 and not any(re.search(r"[;|\[]", cell) for cell in sheet.counts(column))
    return said == {0, 1} and words and _has_several_rows(sheet, image)


def _verdicts(sheet: Sheet, others: Sequence[int], options: TableOptions) -> set[int | None]:
    """What the only column called as one that says whether a row holds, has in its cells; empty without such a one."""
    ignored = ignored_columns(sheet, options)
    called = [i for i in others if is_confidence(sheet.header[i]) or is_called(sheet.header[i], ASSERTING)]
    called = [i for i in called if i not in ignored]
    return {truth(sheet, cell) for cell in sheet.counts(called[0])} if len(called) == 1 else set()


def _melted(sheet: Sheet, image: int, words: Sequence[int]) -> list[int]:
    """The column of names where another says with 1 and 0 whether a row's holds, as pandas' `melt` writes them.

    It is called as one of OF_MELTED, or the only one of words that recur, and says nothing twice of an image.
    words: the columns that do not hold 1 and 0. Empty where there is none.
    """
    called = [i for i in words if is_called(sheet.header[i], OF_MELTED)]
    facts = PROSE | OF_PEOPLE | OF_JUDGEMENT
    plain = [i for i in words if not is_about(sheet.header[i]) and not is_called(sheet.header[i], facts)]
    column = next((each[0] for each in (called, plain) if len(each) == 1), None)
    if column is None or len(sheet.counts(column)) == len(sheet.rows):
        return []
    images = {plain_path(row[image]) for row in sheet.rows}
    pairs = {(plain_path(row[image]), row[column]) for row in sheet.rows}
    several = len(pairs) == len(sheet.rows) > len(images)
    return [column] if column in called or several else []


def _has_several_rows(sheet: Sheet, image: int) -> bool:
    """Whether an image has two rows that differ in more than their number; one that merely stands there twice has not.

    image: the column of image files.
    """
    told = [i for i in range(len(sheet.header)) if i != image and not is_index(sheet, i)]
    first: dict[str, list[str]] = {}
    for row in sheet.rows:
        cells = [row[i] for i in told]
        if first.setdefault(plain_path(row[image]), cells) != cells:
            return True
    return False


def _lists_at_boxes(sheet: Sheet, column: int) -> bool:
    """Whether a column holds several labels for a box.

    A comma is a part of one unless the column's name is a plural, or what it divides also stands alone.
    """
    cells = sheet.counts(column)
    if share(sheet, column, lambda cell: IN_BRACKETS.fullmatch(cell) is not None) == 1:
        return True
    if any(re.search("[;|\n]", cell) for cell in cells):
        return True
    commas = [cell for cell in cells if "," in cell]
    plural = SEVERAL.search(sheet.header[column]) is not None
    lists = [[piece.strip() for piece in cell.split(",")] for cell in commas]
    if bool(commas) and (plural or any(all(piece in cells for piece in pieces) for pieces in lists)):
        return True
    first, behind = {pieces[0] for pieces in lists}, {piece for pieces in lists for piece in pieces[1:]}
    if not first.isdisjoint(behind):
        where = f"{sheet.path}: {sheet.unit} {sheet.line(column, commas[0])}, column {sheet.header[column]!r}"
        raise UsageError(
            f"{where}: {commas[0]!r} may be one label or {len(lists[0])}: set data.format to long for one, as boxes "
            "have rows, or data.separator to ',' for several"
        )
    return False
