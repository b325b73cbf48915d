"""Decides what a column of a table holds: image files, a label, lists of labels, or other facts of the image."""

import functools
import itertools
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

from mlcfast.data.readers.names import plain_label
from mlcfast.data.readers.paths import plain_path
from mlcfast.data.readers.sheet import Sheet
from mlcfast.data.readers.source import BLANK, TableOptions
from mlcfast.data.readers.words import (
    ABOUT_IMAGES,
    BOX_COLUMNS,
    BROKEN,
    CONFIDENCE_COLUMNS,
    ENTITY,
    FOLDER_COLUMNS,
    FRACTION,
    IMAGE_COLUMNS,
    IMAGE_NAME,
    LIST_COLUMNS,
    NUMERIC,
    OF_CLASS_NUMBERS,
    OF_NUMBERS,
    OF_PEOPLE,
    OF_ROW_NUMBERS,
    OF_STUDIES,
    OF_WHOM,
    SHORTENED,
    SUMS,
    TRUTH,
    WHOLE,
    WHOLE_WITH_COMMA,
    Words,
)
from mlcfast.errors import UsageError
from mlcfast.registry import hint

LOOKED_AT = 2000  # different cells of a column


def image_column(sheet: Sheet, options: TableOptions) -> int:
    """Find the column of image files: by the name the user gave, else by its cells, else by its header."""
    names = [name.lower() for name in sheet.header]
    if options.image_column is not None:
        return column_named(sheet, options.image_column, "data.image_column")
    looks = [i for i in range(len(names)) if share(sheet, i, lambda cell: bool(IMAGE_NAME.search(cell))) > 0.5]
    if len(looks) == 1:
        return looks[0]
    called = [
        names.index(name) for name in IMAGE_COLUMNS if name in names and (not looks or names.index(name) in looks)
    ]
    called = [column for column in called if not _is_label_beside(sheet, column)]
    if called:
        return called[0]
    if looks:
        shown = " and ".join(repr(sheet.header[i]) for i in looks[:2])
        raise UsageError(f"{sheet.path}: {shown} both hold image files: name one with data.image_column")
    others = [i for i in range(len(names)) if i not in box_columns(sheet)]
    first = _first_of_names(sheet, others)
    if first is not None and is_called(names[first], OF_CLASS_NUMBERS):
        raise UsageError(
            f"{sheet.path}: no column of image files: {sheet.header[first]!r} numbers classes, so these are names of "
            "classes (or of masks), not of images: name the file of the images' labels, or data.image_column"
        )
    if first is None or all(is_truth(sheet, cell) for cell in sheet.counts(first)):
        raise UsageError(f"{sheet.path}: no column of image files: name it with data.image_column")
    if is_called(names[first], LIST_COLUMNS):
        raise UsageError(
            f"{sheet.path}: no column of image files: {sheet.header[first]!r} is called as one of labels: name that of "
            "images with data.image_column, or transpose the table if each image has a column"
        )
    cells = [row[first] for row in sheet.rows]
    of_whom = names[first] in OF_WHOM and (len(set(cells)) < len(cells) or any(name in OF_STUDIES for name in names))
    if of_whom or are_scores(cells):
        says = f"column {sheet.header[first]!r} says whom an image is of" if of_whom else f"{cells[0]!r} is a number"
        remedy = "name it with data.image_column"
        if any(name in OF_STUDIES for name in names):
            remedy += ", or write a row for each image of a study (MIMIC-CXR's metadata has them as dicom_id)"
        raise UsageError(f"{sheet.path}: no column of image files: {says}: {remedy}")
    return first


def _first_of_names(sheet: Sheet, others: Sequence[int]) -> int | None:
    """The first column that does not number the rows; one called `No.` that does, where no other names each row."""
    plain = next((i for i in others if not is_index(sheet, i, in_order=True)), None)
    if plain is not None and len(sheet.counts(plain)) == len(sheet.rows) and truth_share(sheet, plain) < 1:
        return plain
    return next((i for i in others if not (is_unnamed(sheet.header[i]) and is_index(sheet, i, in_order=True))), None)


def _is_label_beside(sheet: Sheet, column: int) -> bool:
    """Whether a column holds 1, 0 and blanks alone, and the first another name in each row: a label called `photo`."""
    first = sheet.counts(0)
    truths = all(is_truth(sheet, cell) for cell in sheet.counts(column))
    return truths and column > 0 and len(first) == len(sheet.rows) and not all(is_truth(sheet, cell) for cell in first)


def with_folders(sheet: Sheet, image: int, options: TableOptions) -> tuple[Sheet, set[int]]:
    """The table with the folder before each image's name, where a column says it and a name lies in several folders.

    Beside it the position of that column, which then is no label; none where nothing was changed.
    UsageError where such a column is blank beside one of these names.
    """
    column = next((i for i, name in enumerate(sheet.header) if is_called(name, FOLDER_COLUMNS) and i != image), None)
    if column is None or column in ignored_columns(sheet, options) or any("/" in row[image] for row in sheet.rows):
        return sheet, set()
    first: dict[str, str] = {}
    if all(first.setdefault(row[image], row[column]) == row[column] for row in sheet.rows):
        return sheet, set()
    name = sheet.header[column]
    blank = next((number for number, row in zip(sheet.numbers, sheet.rows, strict=True) if not row[column]), None)
    if blank is not None:
        raise UsageError(
            f"{sheet.path}: {sheet.unit} {blank}: column {name!r} is blank, and images of one name lie in several"
        )
    rows = [[*row[:image], f"{row[column].rstrip('/')}/{row[image]}", *row[image + 1 :]] for row in sheet.rows]
    said = f"images of one name lie in several folders: column {name!r} stands before each, as in {rows[0][image]!r}"
    return replace(sheet, rows=rows, assumptions=[*sheet.assumptions, said]), {column}


def plain_column(name: str) -> str:
    """A column's name in small letters and digits, without brackets behind: `viewposition` of `View_Position (AP)`."""
    return re.sub(r"[\s_.-]+", "", re.sub(r"\s*[(\[].*[)\]]\s*$", "", name.lower()))


def words_of(name: str) -> list[str]:
    """The words of a column's name in small letters: `assignment`, `status` of `AssignmentStatus`."""
    return [word for word in re.split(r"[\W_]+", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()) if word]


def labels_first(sheet: Sheet, column: int) -> tuple[str, ...]:
    """The names of a table's columns, before them all that of its labels; see LabelSource.header."""
    return (sheet.header[column], *(name for i, name in enumerate(sheet.header) if i != column))


@functools.cache
def _plain_columns(words: Words) -> frozenset[str]:
    return frozenset(words) | frozenset(map(plain_column, words))


def is_called(name: str, words: Words) -> bool:
    """Whether a column is called by one of `words`."""
    return name.lower() in words or plain_column(name) in _plain_columns(words)


def is_about(name: str) -> bool:
    """Whether a column is called as one that says something of the image, or numbers it, or holds percentages."""
    return is_called(name, ABOUT_IMAGES) or is_called(name, OF_ROW_NUMBERS) or OF_NUMBERS.search(name) is not None


def is_confidence(name: str) -> bool:
    """Whether a column is called as one that says whether, or how surely, a row holds."""
    return is_called(name, CONFIDENCE_COLUMNS)


def are_scores(words: Iterable[str]) -> bool:
    """Whether words are numbers of which one has a fraction; `3.0` is a class that a program made a float."""
    words = list(words)
    numbers = bool(words) and all(FRACTION.fullmatch(word) for word in words)
    return numbers and not all(WHOLE.fullmatch(word) for word in words)


def refuse_blank_images(sheet: Sheet, column: int) -> None:
    """UsageError for the first row whose image has no name, or a number in place of it, `1.23457E+15`."""
    short = next((cell for cell in sheet.counts(column) if SHORTENED.fullmatch(cell)), None)
    if short is not None:
        where = f"{sheet.path}: {sheet.unit} {sheet.line(column, short)}, column {sheet.header[column]!r}"
        says = "is a number that a spreadsheet has shortened: write the table anew, with that column as text"
        raise UsageError(f"{where}: {short!r} {says}")
    if sheet.counts(column)[""]:
        where = f"{sheet.path}: {sheet.unit} {sheet.line(column, '')}: column {sheet.header[column]!r} is blank"
        raise UsageError(f"{where}: name the image there, or take the row out")


def refuse_sums(sheet: Sheet, image: int) -> None:
    """UsageError where the last row holds numbers behind the word for a sum in place of an image, `Total,3,8`."""
    beside = [cell for place, cell in enumerate(sheet.rows[-1]) if place != image and cell] if sheet.rows else []
    if not beside or len(sheet.rows) < 2 or not all(map(NUMERIC.fullmatch, beside)):
        return
    name = sheet.rows[-1][image]
    if name.lower().rstrip(" :.") in SUMS:
        raise UsageError(
            f"{sheet.path}: {sheet.unit} {sheet.numbers[-1]} holds {name!r} in place of an image, and is a row of "
            "sums: take it out"
        )


def box_columns(sheet: Sheet) -> set[int]:
    """The columns of a table with a row for each box that say where it is; empty for another table."""
    plain = [plain_column(name) for name in sheet.header]
    words = next((words for words in BOX_COLUMNS if words <= set(plain)), set())
    return {column for column, name in enumerate(plain) if name in words}


def refuse_unnamed(sheet: Sheet, image: int) -> None:
    """UsageError for a column without a name that holds words, unless it is the first and names each row."""
    for column in (i for i, name in enumerate(sheet.header) if not name and i != image):
        cells = [cell for cell in sheet.counts(column) if cell]
        word = next((cell for cell in cells if not NUMERIC.fullmatch(cell) and not is_truth(sheet, cell)), None)
        if word is None or (column == 0 and len(cells) == len(sheet.rows)):
            continue
        raise UsageError(
            f"{sheet.path}: line 1: column {column + 1} has no name and holds {word!r}: write a name; a cell that "
            "lists several labels needs quotes around it"
        )


def another_person(sheet: Sheet, image: int, others: Iterable[int]) -> str:
    """Where an image is named again by someone else: the line, the column and the cell; "" where none is."""
    for column in (i for i in others if is_called(sheet.header[i], OF_PEOPLE)):
        first: dict[str, str] = {}
        for number, row in zip(sheet.numbers, sheet.rows, strict=True):
            if first.setdefault(plain_path(row[image]), row[column]) != row[column]:
                return f"{sheet.unit} {number}, column {sheet.header[column]!r}: {row[column]!r}"
    return ""


def refuse_broken_cells(sheet: Sheet, column: int) -> None:
    """UsageError for the first cell of labels that holds a spreadsheet's error, `#REF!`, or a web page's `&amp;`."""
    for cell in sheet.counts(column):
        says = ""
        if cell.startswith("="):
            says = f"{cell!r} is a formula: save the table with its values"
        elif "&" in cell and (entity := ENTITY.search(cell)):
            says = f"{entity[0]!r} is a sign as web pages write it: write the sign itself"
        elif "#" in cell and (broken := BROKEN.search(cell)):
            says = f"{broken[0]} is a spreadsheet's error: mend its formula, or leave the cell blank"
        if says:
            where = f"{sheet.unit} {sheet.line(column, cell)}, column {sheet.header[column]!r}"
            raise UsageError(f"{sheet.path}: {where}: {says}")


def column_named(sheet: Sheet, name: str, option: str) -> int:
    """The position of a column that the user named; UsageError lists those there are."""
    for position, own in enumerate(sheet.header):
        if own.lower() == plain_label(name).lower():
            return position
    there = f"there are {', '.join(filter(None, sheet.header[:12]))}"
    raise UsageError(f"{sheet.path}: {option}: no column {name!r}; {there}{hint(name, sheet.header)}")


def share(sheet: Sheet, column: int, holds: Callable[[str], bool]) -> float:
    """The part of a column's filled cells for which something holds; 0 for a column that is blank."""
    filled = {cell: count for cell, count in sheet.counts(column).items() if cell.lower() not in BLANK}
    held = sum(count for cell, count in filled.items() if holds(cell))
    return held / sum(filled.values()) if filled else 0.0


def truth_share(sheet: Sheet, column: int) -> float:
    """The part of a column's filled cells that hold 1, 0 or −1 in any spelling."""
    return share(sheet, column, lambda cell: is_truth(sheet, cell))


def truth(sheet: Sheet, cell: str) -> int | None:
    """1, 0 or −1 as written, 2 for a blank cell, None for anything else; `1,0` counts where a comma splits no cells."""
    word = cell.lower()
    if word in BLANK:
        return 2
    if not word.isascii():  # letters composed, digits of Arabic and Chinese as those of Latin
        word = unicodedata.normalize("NFKC", word)
        word = str(int(word)) if word.isdecimal() else word
    number = WHOLE.fullmatch(word) or (WHOLE_WITH_COMMA.fullmatch(word) if sheet.delimiter != "," else None)
    return TRUTH.get(number[1] if number else word)


def is_truth(sheet: Sheet, cell: str) -> bool:
    """Whether a cell may say that a label is there or not."""
    return truth(sheet, cell) is not None


def first_untrue(sheet: Sheet, column: int) -> str:
    """Where the first cell of a column is that says nothing of a label: its line and what it holds; "" for none."""
    cell = next((cell for cell in sheet.counts(column) if not is_truth(sheet, cell)), None)
    return "" if cell is None else f"{sheet.unit} {sheet.line(column, cell)}, column {sheet.header[column]!r}: {cell!r}"


def is_blank(sheet: Sheet, column: int) -> bool:
    """Whether no cell of a column holds anything, not even a word that counts as blank, `NA`."""
    return not any(sheet.counts(column))


def first_cells(sheet: Sheet, column: int) -> Iterator[str]:
    """The first of a column's different cells that hold something, of which a large one has many."""
    return itertools.islice(filter(None, sheet.counts(column)), LOOKED_AT)


def words_recur(sheet: Sheet, column: int) -> bool:
    """Whether a column holds words or lists of words, of up to three words each, and one stands in several cells."""
    cells = {cell: times for cell, times in sheet.counts(column).items() if cell.lower() not in BLANK}
    pieces = [({piece.strip(" []{}()'\"") for piece in re.split("[|;,]", cell)}, cells[cell]) for cell in cells]
    if len(cells) < 2 or any(len(piece.split()) > 3 for each, _ in pieces for piece in each):
        return False
    counts: Counter[str] = Counter()
    for each, times in pieces:
        counts.update(dict.fromkeys(each, times))
    return any(count > 1 and re.search(r"[^\W\d_]", piece) for piece, count in counts.items())


def is_index(sheet: Sheet, column: int, in_order: bool = False) -> bool:
    """Whether a column without a name, pandas' `Unnamed: 0`, or one called `No.` numbers the rows.

    in_order: one after another; so it must be of two rows, 0 and 1, in a column that has a name.
    """
    unnamed = is_unnamed(sheet.header[column])
    if not unnamed and not is_called(sheet.header[column], OF_ROW_NUMBERS):
        return False
    cells = [cell.removesuffix(".0") for cell in sheet.counts(column)]
    if not all(cell.isdecimal() for cell in cells) or len(cells) < len(sheet.rows):
        return False
    in_order = in_order or (not unnamed and set(cells) <= {"0", "1"})
    return not in_order or [int(cell) - int(cells[0]) for cell in cells] == list(range(len(cells)))


def is_unnamed(name: str) -> bool:
    """Whether a column has no name, or the one that pandas gives to such."""
    return not name or re.fullmatch(r"unnamed: \d+(_level_\d+)?(\.\d+)?", name, re.IGNORECASE) is not None


def ignored_columns(sheet: Sheet, options: TableOptions) -> set[int]:
    """The columns that the user said are no labels."""
    return {column_named(sheet, name, "data.ignore_columns") for name in options.ignore_columns}
