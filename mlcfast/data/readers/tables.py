"""Tables of labels: a column a label, a column that lists labels, or a row for each image and label."""

import ast
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from mlcfast.data.readers.sheet import Sheet, read_sheet
from mlcfast.data.readers.source import LabelSource, TableOptions
from mlcfast.errors import UsageError

IMAGE_COLUMNS = (
    "image", "path", "file", "file_name", "filename", "image_path", "image_name", "image_file", "img", "img_path",
    "filepath", "file_path", "image index", "imageid", "image_id", "id", "photo", "picture", "name",
)  # fmt: skip
LIST_COLUMNS = (
    "labels", "label", "tags", "tag", "target", "targets", "classes", "categories", "category", "class",
    "finding labels", "attributes", "keywords",
)  # fmt: skip
LONG_COLUMNS = ("labelname", "label_name", "label", "class", "class_name", "category", "tag", "labels")
CONFIDENCE_COLUMNS = ("confidence", "value", "present", "score")
TRUTH = {
    "1": 1, "+1": 1, "1.0": 1, "true": 1, "yes": 1, "y": 1, "x": 1, "✓": 1,
    "0": 0, "0.0": 0, "-0.0": 0, "false": 0, "no": 0, "n": 0,
    "-1": -1, "-1.0": -1,
}  # fmt: skip
# Columns that say something of the image: with 1 and 0 alone, or blank, they are as likely no label as one.
ABOUT_IMAGES = {
    "id", "index", "image_id", "patient_id", "fold", "split", "sex", "gender", "age", "width", "height", "note",
    "notes", "comment", "comments", "remark", "remarks", "author", "source", "date",
}  # fmt: skip
BLANK = {"", "nan", "na", "n/a", "null", "none"}
NO_LABEL = {"no finding", "no_finding"}  # ChestX-ray14 writes it where a list is empty
IMAGE_NAME = re.compile(r"\.(jpe?g|png|webp|bmp|tiff?|gif|heic|ppm)$", re.IGNORECASE)


def read_table(path: Path, options: TableOptions) -> LabelSource:
    """Read a table with a header in one of its three shapes; UsageError where it could be read in several ways."""
    sheet = read_sheet(path)
    image = _image_column(sheet, options)
    others = [i for i, _ in enumerate(sheet.header) if i != image]
    long = _long_column(sheet, image, others, options)
    if long is not None:
        return _read_long(sheet, image, long, options)
    listed = _list_column(sheet, image, others, options)
    if listed is not None:
        return _read_list(sheet, image, listed, options)
    return _read_wide(sheet, image, others, options)


def _image_column(sheet: Sheet, options: TableOptions) -> int:
    names = [name.lower() for name in sheet.header]
    if options.image_column is not None:
        return _column(sheet, options.image_column, "data.image_column")
    looks = [i for i in range(len(names)) if _share(sheet, i, lambda cell: bool(IMAGE_NAME.search(cell))) > 0.5]
    if len(looks) == 1:
        return looks[0]
    called = [
        names.index(name) for name in IMAGE_COLUMNS if name in names and (not looks or names.index(name) in looks)
    ]
    if called:
        return called[0]
    if looks:
        shown = " and ".join(repr(sheet.header[i]) for i in looks[:2])
        raise UsageError(f"{sheet.path}: {shown} both hold image files: name one with data.image_column")
    first = next(i for i in range(len(names)) if not _is_index(sheet, i))
    if all(_truth(row[first]) is not None for row in sheet.rows):
        raise UsageError(f"{sheet.path}: no column of image files: name it with data.image_column")
    return first


def _column(sheet: Sheet, name: str, option: str) -> int:
    for position, own in enumerate(sheet.header):
        if own == name or own.lower() == name.lower():
            return position
    raise UsageError(
        f"{sheet.path}: {option}: no column {name!r}; there are {', '.join(filter(None, sheet.header[:12]))}"
    )


def _share(sheet: Sheet, column: int, holds: Callable[[str], bool]) -> float:
    cells = [row[column] for row in sheet.rows if row[column].lower() not in BLANK]
    return sum(map(holds, cells)) / len(cells) if cells else 0.0


def _truth(cell: str) -> int | None:
    """1, 0 or −1 as written, 2 for a blank cell, None for anything else."""
    word = cell.lower()
    return 2 if word in BLANK else TRUTH.get(word)


def _is_index(sheet: Sheet, column: int) -> bool:
    """Whether a column without a name, or pandas' `Unnamed: 0`, counts the rows."""
    if sheet.header[column] and not sheet.header[column].lower().startswith("unnamed:"):
        return False
    cells = [row[column] for row in sheet.rows]
    return all(cell.isdecimal() for cell in cells) and [int(c) - int(cells[0]) for c in cells] == list(
        range(len(cells))
    )


def _long_column(sheet: Sheet, image: int, others: Sequence[int], options: TableOptions) -> int | None:
    """The column of label names of a table with a row for each image and label."""
    if options.label_columns or options.separator is not None:
        return None
    named = [i for i in others if sheet.header[i].lower() in LONG_COLUMNS and _share(sheet, i, _is_truth) < 0.5]
    images = [row[image] for row in sheet.rows]
    confident = any(sheet.header[i].lower() in CONFIDENCE_COLUMNS for i in others)
    if len(named) != 1 or (len(set(images)) == len(images) and not confident):
        return None
    return None if any(re.search(r"[;|,\[]", row[named[0]]) for row in sheet.rows) else named[0]


def _is_truth(cell: str) -> bool:
    return _truth(cell) is not None


def _list_column(sheet: Sheet, image: int, others: Sequence[int], options: TableOptions) -> int | None:
    ignored = {_column(sheet, name, "data.ignore_columns") for name in options.ignore_columns}
    if options.label_columns:
        columns = [_column(sheet, name, "data.label_columns") for name in options.label_columns]
        return columns[0] if len(columns) == 1 and _share(sheet, columns[0], _is_truth) < 0.5 else None
    named = [i for i in others if sheet.header[i].lower() in LIST_COLUMNS and i not in ignored]
    named = [i for i in named if not _only_truths(sheet, i, others)]
    if len(named) > 1:
        shown = " and ".join(repr(sheet.header[i]) for i in named[:2])
        raise UsageError(f"{sheet.path}: {shown} may both list the labels: name one with data.label_columns")
    return named[0] if named else None


def _only_truths(sheet: Sheet, column: int, others: Sequence[int]) -> bool:
    """Whether a column called as a list holds 1 and 0 beside other such columns: then it is a label of that name."""
    alike = [i for i in others if all(_is_truth(row[i]) for row in sheet.rows)]
    return column in alike and len(alike) > 1


def _read_long(sheet: Sheet, image: int, column: int, options: TableOptions) -> LabelSource:
    confidence = next((i for i, name in enumerate(sheet.header) if name.lower() in CONFIDENCE_COLUMNS), None)
    images = list(dict.fromkeys(row[image] for row in sheet.rows))
    names = sorted({row[column] for row in sheet.rows if row[column]})
    place, label = {x: i for i, x in enumerate(images)}, {x: i for i, x in enumerate(names)}
    unlisted = -1 if confidence is None else 0
    states, lines = np.full((len(images), len(names)), unlisted, np.int8), [0] * len(images)
    seen: dict[tuple[int, int], int] = {}
    for number, row in zip(sheet.numbers, sheet.rows, strict=True):
        lines[place[row[image]]] = lines[place[row[image]]] or number
        if not row[column]:
            continue
        value = 1 if confidence is None else _truth(row[confidence])
        if value not in (0, 1):
            cell = f"line {number}, column {sheet.header[confidence or 0]!r}: {row[confidence or 0]!r}"
            raise UsageError(f"{sheet.path}: {cell} must be 1 or 0")
        cell, state = (place[row[image]], label[row[column]]), 1 if value else -1
        if seen.setdefault(cell, state) != state:
            where = f"line {number}: {row[image]!r} has {row[column]!r}"
            raise UsageError(f"{sheet.path}: {where} both as 1 and as 0: keep one of the rows")
        states[cell] = state
    said = [f"a row for each image and label, in column {sheet.header[column]!r}"]
    said += ["labels without a row for an image are unknown"] if confidence is not None else []
    return LabelSource(sheet.path, "long", images, lines, names, states, [*sheet.assumptions, *said])


def _read_list(sheet: Sheet, image: int, column: int, options: TableOptions) -> LabelSource:
    cells = [row[column] for row in sheet.rows]
    if options.separator is None:
        _refuse_flags(sheet, column)
    separator = options.separator if options.separator is not None else _separator(sheet, column)
    lists = [_split(sheet, column, row, cell, separator) for row, cell in enumerate(cells)]
    names = sorted({name for each in lists for name in each}, key=_natural)
    label = {name: position for position, name in enumerate(names)}
    states = np.full((len(lists), len(names)), -1, np.int8)
    for row, each in enumerate(lists):
        states[row, [label[name] for name in each]] = 1
    said = [
        f"column {sheet.header[column]!r} lists the labels" + (f", separated by {separator!r}" if separator else "")
    ]
    left = [name for i, name in enumerate(sheet.header) if i not in (image, column) and name]
    said += [f"columns that are no labels: {', '.join(left)}"] if left else []
    images = [row[image] for row in sheet.rows]
    return LabelSource(sheet.path, "list", images, sheet.numbers, names, states, [*sheet.assumptions, *said]).merged()


def _refuse_flags(sheet: Sheet, column: int) -> None:
    """UsageError where every cell holds equally many of 0 and 1: classes, or a flag for each class."""
    cells = [re.findall(r"[^\s,;|\[\]()]+", row[column]) for row in sheet.rows]
    alike = len({len(each) for each in cells}) == 1 and len(cells[0]) > 1
    if alike and {sign for each in cells for sign in each} <= {"0", "1"}:
        where = f"column {sheet.header[column]!r}: {sheet.rows[0][column]!r}"
        raise UsageError(
            f"{sheet.path}: {where} may be classes or a flag for each: "
            "write a column for each label, or set data.separator for classes"
        )


def _natural(name: str) -> tuple[int, int, str]:
    return (0, int(name), name) if name.isdecimal() else (1, 0, name)


def _separator(sheet: Sheet, column: int) -> str:
    """The sign between a cell's labels; "" for JSON or Python lists and for cells of one label each."""
    cells = [row[column] for row in sheet.rows if row[column] and row[column].lower() not in NO_LABEL]
    if cells and all(cell[0] in "[{(" for cell in cells):
        return ""
    found = [sign for sign in "|;," if any(sign in cell for cell in cells)]
    if len(found) > 1:
        shown = " and ".join(repr(sign) for sign in found)
        raise UsageError(f"{sheet.path}: column {sheet.header[column]!r} holds {shown}: name one with data.separator")
    if found:
        return found[0]
    if not any(" " in cell for cell in cells):
        return ""
    words = Counter(word for cell in cells for word in set(cell.split()))
    reused = all(count > 1 or word in cells for word, count in words.items())
    if all(word.isdecimal() for word in words) or sheet.header[column].lower() in ("tags", "target") or reused:
        return " "
    example = next(cell for cell in cells if " " in cell)
    raise UsageError(
        f"{sheet.path}: column {sheet.header[column]!r}: {example!r} may be one label or {len(example.split())}: "
        "set data.separator to ' ' for several, to ';' for one"
    )


def _split(sheet: Sheet, column: int, row: int, cell: str, separator: str) -> list[str]:
    if cell.lower() in BLANK | NO_LABEL:
        return []
    if separator == "" and re.search(r"['\"]\s+['\"]", cell):
        where = f"line {sheet.numbers[row]}, column {sheet.header[column]!r}"
        raise UsageError(
            f"{sheet.path}: {where}: {cell!r} has no commas between its labels: write the list with commas"
        )
    if separator == "" and cell[0] in "[{(":
        for parse in (json.loads, ast.literal_eval):
            try:
                return list(dict.fromkeys(str(name).strip() for name in parse(cell)))
            except (ValueError, SyntaxError, TypeError):
                continue
        raise UsageError(
            f"{sheet.path}: line {sheet.numbers[row]}, column {sheet.header[column]!r}: {cell!r} is no list"
        )
    pieces = cell.split(separator) if separator else [cell]
    return list(dict.fromkeys(name for piece in pieces if (name := piece.strip())))


def _read_wide(sheet: Sheet, image: int, others: Sequence[int], options: TableOptions) -> LabelSource:
    columns, left = _label_columns(sheet, others, options)
    values = np.array([list(_values(sheet, number, columns)) for number in range(len(sheet.rows))], np.int8)
    values = values.reshape(len(sheet.rows), len(columns))
    states, said = _states(values, options)
    said += [f"columns that are no labels: {', '.join(left)}"] if left else []
    names, images = [sheet.header[i] for i in columns], [row[image] for row in sheet.rows]
    empty = [name for name, some in zip(names, (states == 1).any(axis=0), strict=True) if not some]
    warnings = [f"no image has the label {name!r}" for name in empty[:5]]
    return LabelSource(
        sheet.path, "wide", images, sheet.numbers, names, states, [*sheet.assumptions, *said], warnings
    ).merged()  # fmt: skip


def _label_columns(sheet: Sheet, others: Sequence[int], options: TableOptions) -> tuple[list[int], list[str]]:
    """The columns that are labels and the names of those that are not."""
    if options.label_columns:
        columns = [_column(sheet, name, "data.label_columns") for name in options.label_columns]
        return columns, [sheet.header[i] for i in others if i not in columns and sheet.header[i]]
    ignored = {_column(sheet, name, "data.ignore_columns") for name in options.ignore_columns}
    columns, left = [], []
    for i in others:
        filled = any(row[i] for row in sheet.rows)
        if i in ignored or _is_index(sheet, i) or (filled and _share(sheet, i, _is_truth) < 0.5):
            left.append(sheet.header[i] or "the unnamed index")
        elif not sheet.header[i]:
            raise UsageError(f"{sheet.path}: line 1: column {i + 1} has no name")
        elif sheet.header[i].lower() in ABOUT_IMAGES and not filled:
            left.append(sheet.header[i])
        elif sheet.header[i].lower() in ABOUT_IMAGES:
            raise UsageError(
                f"{sheet.path}: column {sheet.header[i]!r} may be a label or say something of the image: "
                "name it in data.ignore_columns, or the labels in data.label_columns"
            )
        else:
            columns.append(i)
    if not columns:
        raise UsageError(f"{sheet.path}: the header has no label column{_why_none(sheet, others)}")
    return columns, left


def _why_none(sheet: Sheet, others: Sequence[int]) -> str:
    for i in others:
        for number, row in zip(sheet.numbers, sheet.rows, strict=True):
            if not _is_truth(row[i]):
                return f": line {number}, column {sheet.header[i]!r}: {row[i]!r} is none of 1, 0, -1 and blank"
    return ""


def _values(sheet: Sheet, row: int, columns: Sequence[int]) -> Iterator[int]:
    for i in columns:
        value = _truth(sheet.rows[row][i])
        if value is None:
            cell = f"line {sheet.numbers[row]}, column {sheet.header[i]!r}: {sheet.rows[row][i]!r}"
            raise UsageError(
                f"{sheet.path}: {cell} must be 1, 0, -1 or blank; a column that is no label goes to data.ignore_columns"
            )
        yield value


def _states(values: np.ndarray, options: TableOptions) -> tuple[np.ndarray, list[str]]:
    """States of cells that hold 1, 0, −1 or 2 for a blank, and what was assumed.

    1 and 0, or 1 and −1: present and absent. 1, 0 and −1: 0 is unknown, −1 absent. With blanks beside 0 or −1 a blank
    is unknown; with blanks, 0 and −1 the −1 is uncertain, as in CheXpert. Blanks alone beside 1 are absent.
    """
    blank, zero, minus = ((values == code).any() for code in (2, 0, -1))
    states = np.where(values == 1, 1, -1).astype(np.int8)
    if blank and (zero or minus):
        states[values == 2] = 0
    if blank and zero and minus:
        states[values == -1] = {"unknown": 0, "positive": 1, "negative": -1}[options.uncertain]
        return states, [f"blank is unknown, 0 absent, -1 uncertain and taken as {options.uncertain} (data.uncertain)"]
    if zero and minus:
        states[values == 0] = 0
        return states, ["0 is unknown, -1 absent"]
    return states, ["a blank cell is unknown" if zero or minus else "a blank cell is absent"] if blank else []
